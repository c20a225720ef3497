"""Class names that fit into a figure: cut in the middle, and never so that two classes read alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from unicodedata import east_asian_width

_GAP = "..."


def short(name: str, most: int = 16) -> str:
    """A name of at most `most` letters: its start and its end, since names that belong together differ at either."""
    if _width(name) <= most:
        return name
    tail = (most - len(_GAP)) // 2
    return _fitting(name, most - len(_GAP) - tail) + _GAP + _fitting(name[::-1], tail)[::-1]


def distinct(names: Sequence[str], most: int = 16) -> list[str]:
    """Each of the names cut to `most` letters, no two alike where the names are not.

    Names that would read alike are cut around what tells them apart, or else begin with their number in `names`, from
    1; so does one that the figure's font lacks a letter of, which is drawn as a box like any other such letter.
    """
    cut = [short(name, most) for name in names]
    groups: dict[str, list[int]] = {}
    for i, text in enumerate(cut):
        groups.setdefault(text, []).append(i)
    for alike in groups.values():
        if len({names[i] for i in alike}) > 1:
            start = _common_start([names[i] for i in alike])
            for i in alike:
                cut[i] = _from(names[i], start, most)
    seen = {text: {name for name, other in zip(names, cut, strict=True) if other == text} for text in _repeated(cut)}
    return [
        _numbered(i, name, most) if len(seen.get(text, ())) > 1 or not _drawable(name) else text
        for i, (name, text) in enumerate(zip(names, cut, strict=True))
    ]


def _repeated(texts: Sequence[str]) -> list[str]:
    return [text for text, n in Counter(texts).items() if n > 1]


def _numbered(i: int, name: str, most: int) -> str:
    number = f"{i + 1}: "
    return number + short(name, max(most - len(number), len(_GAP) + 2))


def _common_start(names: Sequence[str]) -> int:
    """How many letters all of the names begin with; the smallest and the largest decide it."""
    low, high = min(names), max(names)
    return next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))


def _from(name: str, start: int, most: int) -> str:
    """The name from `start` on: '...left up...'."""
    rest = (_GAP if start else "") + name[start:]
    return rest if _width(rest) <= most else _fitting(rest, most - len(_GAP)) + _GAP


def _fitting(text: str, most: int) -> str:
    """The longest beginning that is at most so wide."""
    while _width(text) > most:
        text = text[: min(len(text) - 1, most)]
    return text


def _width(text: str) -> int:
    """Letters; those of East Asian scripts are as wide as two."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def _drawable(name: str) -> bool:
    return name.isascii() or all(_glyph(letter) for letter in name)


@cache
def _glyph(letter: str) -> bool:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return get_font(findfont(FontProperties())).get_char_index(ord(letter)) != 0
