"""Names of the parts of a data set, as folders and split columns spell them."""

from __future__ import annotations

import re
from collections.abc import Iterable

SPELLINGS = {
    "train": ("train", "training"),
    "valid": ("val", "valid", "validation", "validate", "dev"),
    "test": ("test", "testing"),
}
BESIDE = ("set", "data", "dataset", "images", "image", "imgs", "img", "folder", "split", "seg")
_PARTS = {word: part for part, words in SPELLINGS.items() for word in words}
_JOINED = {f"{word}{end}": part for word, part in _PARTS.items() for end in ("set", "data")}  # trainset, testdata
DOUBTFUL = (  # they name a part, but not which: 'evaluation' may be valid or test
    "development", "derivation", "tuning", "holdout", "eval", "evaluation", "infer", "inference", "fold",
    "folds",
)  # fmt: skip
_SHORT = {"tr": "train", "trn": "train", "vl": "valid", "va": "valid", "tst": "test", "te": "test",
          "ts": "test"}  # fmt: skip
_BREAK = re.compile(  # the last three: TrainData, test1, 1st
    r"[\s_\-().\[\]]+|(?<=[a-z])(?=[A-Z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])"
)
_HOLD_OUT = re.compile(r"\b(hold|held)[\s_-]?out(?![a-z])", re.IGNORECASE)


def split_of(name: str) -> str:
    """'train', 'valid' or 'test' as a folder or cell spells it: one such word, alone or beside words that only say
    'data set'; '' for any other name."""
    words = _words(name)
    parts = _parts(words)
    return parts[0] if len(parts) == 1 and all(word in BESIDE for word in words if not _part(word)) else ""


def likely_part(name: str) -> str:
    """The part that a name says and nothing else, also by a doubtful word, an abbreviation or with a number: 'train' for
    'Train 2' and 'tr', 'fold' for 'fold3'; '' for any other name."""
    return _bare_part([_SHORT.get(word, word) for word in _words(name)])


def splits_among(names: Iterable[str]) -> list[str]:
    """The names that are splits where classes are expected; [] where they may be classes.

    Classes may hold such a word ('test tube', 'development delay', 'TR1' to 'TR5'). They are splits where two names say
    nothing but different parts, one has the word train and another a second part, or every name has such a word.
    """
    words = {name: _words(name) for name in sorted(set(names))}
    named = {name: parts for name, found in words.items() if (parts := _likely_parts(found))}
    bare = {part for found in words.values() if (part := _bare_part(found))}
    parts = set().union(*named.values())
    rest = {tuple(word for word in found if not (_part(word) or word.isdecimal())) for found in words.values()}
    numbered = all(any(word.isdecimal() for word in found) for found in words.values())
    # test_positive and test_negative are classes; a_train1 and b_train2 are not
    every = len(named) == len(words) and (len(parts) > 1 or len(rest) == 1 or numbered)
    if every or len(bare) > 1 or ("train" in parts and len(parts) > 1):
        return list(named)
    return list(words) if len({*map(likely_part, words)}) > 1 and all(map(likely_part, words)) else []


def _words(name: str) -> list[str]:
    return [word.casefold() for word in _BREAK.split(_HOLD_OUT.sub("holdout", name)) if word]


def _part(word: str) -> str:
    return _PARTS.get(word) or _JOINED.get(word, "")


def _parts(words: list[str]) -> list[str]:
    return [part for word in words if (part := _part(word))]


def _likely_parts(words: list[str]) -> set[str]:
    """The parts that any word spells, and the words that are doubtful."""
    return {*_parts(words), *(word for word in words if word in DOUBTFUL)}


def _bare_part(words: list[str]) -> str:
    """The part that a name says, and nothing else: 'train' for 'Train 2'."""
    said = {_part(word) or word for word in words if not (word in BESIDE or word.isdecimal())}
    part = said.pop() if len(said) == 1 else ""
    return part if part in SPELLINGS or part in DOUBTFUL else ""
