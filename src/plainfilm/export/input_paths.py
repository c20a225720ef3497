"""The images that a command line names: files, folders, globs, and a list on stdin."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from plainfilm.data.folders.walk import UNREADABLE, walk

_STDIN = "-"
_EMPTY = "empty folder"
_READ_ALL_THE_SAME = ("name is not Unicode", UNREADABLE)  # the first may be an image, the second must be reported


def image_paths(words: Iterable[str], stdin: Iterable[bytes], left_out: Counter[str], *, tiff: bool) -> Iterator[str]:
    """Paths of all images, in the order of `words`, found lazily and written as they were given.

    A file is yielded whatever it is, and so is a path that does not exist: both get a row that says so. The files of a
    folder are sorted by name; those that are not images are counted in `left_out` by rule. A word with * ? [ that is
    not a path is a glob. `-` stands for the lines of `stdin`, each a literal path. A folder that cannot be read is
    yielded itself, so that it gets a row too.
    """
    for word in words:
        if word == _STDIN:
            for line in stdin:
                if name := os.fsdecode(line.rstrip(b"\r\n")):
                    yield from _one(name, left_out, tiff)
        elif glob.has_magic(word) and not os.path.lexists(word):
            yield from _matching(word, left_out, tiff)
        else:
            yield from _one(word, left_out, tiff)


def _matching(pattern: str, left_out: Counter[str], tiff: bool) -> Iterator[str]:
    found = sorted(glob.glob(pattern, recursive=True))
    if not found:
        yield pattern
    for name in found:
        yield from _one(name, left_out, tiff)


def _one(name: str, left_out: Counter[str], tiff: bool) -> Iterator[str]:
    if "\0" in name or not os.path.isdir(name):
        yield name
        return
    empty = True
    for path, rule in walk(Path(name), tiff=tiff, unreadable=True):
        empty = False
        if rule and rule not in _READ_ALL_THE_SAME:
            left_out[rule] += 1
        else:
            yield str(path)
    if empty:
        left_out[_EMPTY] += 1
