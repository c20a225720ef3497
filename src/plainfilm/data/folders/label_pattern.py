"""Classes in file names: `--label-pattern`, and the pattern that would fit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

NO_MATCH = "name does not fit --label-pattern"
_BEGIN = (r"^([A-Za-z]+)\d", r"^([A-Za-z]+)[ _.-]", r"^([A-Za-z]+)[ _-]*\(?\d")
_END = (r"[ _.-]([A-Za-z]+)\.[^.]*$", r"\d([A-Za-z]+)\.[^.]*$")
_MOST_CLASSES, _FEWEST_FILES = 50, 2
_SIDES_AND_VIEWS = frozenset({
    "l", "r", "lt", "rt", "left", "right", "ap", "pa", "lat", "lateral", "cc", "mlo",
})  # fmt: skip


def label_reader(pattern: str) -> Callable[[str], str]:
    """A function from relative path to class, '' where the pattern finds none.

    The pattern is searched in the file name, in the whole relative path when it holds a '/'; its first group is the
    class.
    """
    compiled, whole = re.compile(pattern), "/" in pattern

    def label_of(relative: str) -> str:
        match = compiled.search(relative if whole else relative.rpartition("/")[2])
        return (match[1] or "").strip() if match else ""

    return label_of


def propose(names: Iterable[str]) -> str:
    """' Their names ...' with a pattern that fits every file name and finds two classes or more; '' where none does.

    Of the words that names begin and end with, those of fewer values: a surname has more of them than a class. Words
    that are all sides or views of the body (L, R, PA, ...) are not proposed.
    """
    names, fitting = list(names), list[tuple[int, str, str, str]]()
    for where, form in (*(("begin", form) for form in _BEGIN), *(("end", form) for form in _END)):
        found = Counter(map(label_reader(form), names))
        if {word.casefold() for word in found} <= _SIDES_AND_VIEWS:
            continue
        if "" not in found and 2 <= len(found) <= _MOST_CLASSES and min(found.values()) >= _FEWEST_FILES:
            first = ", ".join(sorted(found)[:3]) + (", ..." if len(found) > 3 else "")
            fitting.append((len(found), where, first, form))
    if not fitting:
        return ""
    _, where, first, form = min(fitting, key=lambda each: each[0])  # the first of equals
    return f" Their names {where} alike ({first}); if that is the class: --label-pattern '{form}'."
