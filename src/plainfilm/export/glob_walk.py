"""Glob patterns, walked lazily as folders are: links only when asked, and each folder once, so that a loop ends."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator
from fnmatch import fnmatch

from plainfilm.data.folders.walk import CROWDED, UNREADABLE, identity, is_system, listed

LINK, UNMATCHED = "link", "not matched"
_States = frozenset[int]  # how many parts of the pattern are matched; several, since ** may stand for any number


def matching(pattern: str, follow_links: bool = False, most: int = sys.maxsize) -> Iterator[tuple[str, str]]:
    """Files and folders that the pattern names, those of a folder sorted by name, with the rule that sets them aside.

    '' is a match; LINK is one that is not followed, UNMATCHED another entry, so that a caller can count,
    UNREADABLE a folder on the way, and CROWDED one with more than `most` entries.
    """
    start, parts = _cut(pattern)
    seen: set[object] = set()
    todo = [(start, _reached({0}, parts), "")]  # last in, first out
    while todo:
        here, states, rule = todo.pop()
        if here != start:
            yield here, rule or ("" if len(parts) in states else UNMATCHED)
        if rule or not states - {len(parts)} or not os.path.isdir(here or "."):
            continue
        try:
            key, entries = (identity(here or "."), states), listed(here or ".", most)
        except OSError:
            yield here, UNREADABLE
            continue
        if entries is None:
            yield here, CROWDED
        elif key not in seen:
            seen.add(key)
            todo += [_next(here, entry, states, parts, follow_links) for entry in entries]


def _cut(pattern: str) -> tuple[str, list[str]]:
    """The folder before the first part with * ? [, as it was written, and the parts from there on."""
    start, rest = "", pattern
    while rest and not glob.has_magic(_first(rest)):
        start, rest = start + _first(rest), rest[len(_first(rest)) :]
    return start, [part for part in rest.replace(os.altsep or os.sep, os.sep).split(os.sep) if part not in ("", ".")]


def _first(path: str) -> str:
    """The first part of a path with the separator after it."""
    ends = [at for at in (path.find(os.sep), path.find(os.altsep or os.sep)) if at >= 0]
    return path[: min(ends) + 1] if ends else path


def _next(
    here: str, entry: os.DirEntry[str], states: _States, parts: list[str], follow_links: bool
) -> tuple[str, _States, str]:
    """An entry of a folder, what of the pattern it has reached, and its rule."""
    after = _after(states, entry, parts)
    if follow_links or not after or not entry.is_symlink():
        return os.path.join(here, entry.name), after, ""
    counts = len(parts) in after or os.path.isdir(entry.path)
    return os.path.join(here, entry.name), after, LINK if counts else UNMATCHED


def _after(states: _States, entry: os.DirEntry[str], parts: list[str]) -> _States:
    """The states after an entry of a folder; none where it does not fit. Only a folder can be followed by an empty **."""
    name, passed, fits = entry.name, set[int](), set[int]()
    for i in states - {len(parts)}:
        if parts[i] == "**":
            passed |= set() if is_system(name) else {i}
        elif fnmatch(name, parts[i]) and (not is_system(name) or parts[i][0] == name[0]):
            fits.add(i + 1)
    return _reached(passed | fits, parts) if os.path.isdir(entry.path) else _reached(passed, parts) | fits


def _reached(states: set[int], parts: list[str]) -> _States:
    """With the states that follow because ** also stands for no folder."""
    found = set(states)
    for i, part in enumerate(parts):
        if i in found and part == "**":
            found.add(i + 1)
    return frozenset(found)
