"""Names of the parts of a data set, as folders and split columns spell them."""

from __future__ import annotations

import re

SPELLINGS = {
    "train": ("train", "training"),
    "valid": ("val", "valid", "validation", "validate", "dev"),
    "test": ("test", "testing"),
}
BESIDE = ("set", "data", "dataset", "images", "image", "imgs", "img", "folder", "split", "seg")
_PARTS = {word: part for part, words in SPELLINGS.items() for word in words}
_JOINED = {f"{word}{end}": part for word, part in _PARTS.items() for end in ("set", "data")}  # trainset, testdata
_BREAK = re.compile(r"[\s_\-]+|(?<=[a-z])(?=[A-Z])")  # the last: TrainData


def split_of(name: str) -> str:
    """'train', 'valid' or 'test' as a folder or cell spells it: one such word, alone or beside words that only say
    'data set'; '' for any other name."""
    words = _words(name)
    parts = _parts(words)
    return parts[0] if len(parts) == 1 and all(word in BESIDE for word in words if not _part(word)) else ""


def parts_in(name: str) -> set[str]:
    """The parts that any whole word of a name spells: {'train'} for 'chest_train', which split_of() does not take."""
    return set(_parts(_words(name)))


def _words(name: str) -> list[str]:
    return [word.casefold() for word in _BREAK.split(name.strip()) if word]


def _part(word: str) -> str:
    return _PARTS.get(word) or _JOINED.get(word, "")


def _parts(words: list[str]) -> list[str]:
    return [part for word in words if (part := _part(word))]
