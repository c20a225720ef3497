"""The images that a command line names: files, folders, globs, and a list on stdin."""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from plainfilm.data.folders.walk import CROWDED, UNREADABLE, identity, walk
from plainfilm.errors import UsageError
from plainfilm.export.glob_walk import UNMATCHED, matching

MANY = 100_000  # files that are listed without a question
AGAIN = "named twice"
EMPTY = "empty folder"
_STDIN = "-"
_READ_ALL_THE_SAME = ("name is not Unicode", UNREADABLE)  # the first may be an image, the second must be reported


@dataclass(frozen=True)
class Inputs:
    """The words of a command line, and how they are read; each line of `stdin` is a literal path."""

    words: Sequence[str]
    stdin: Iterable[bytes] = ()
    tiff: bool = False
    follow_links: bool = False
    most: int = sys.maxsize  # a folder of more entries is not entered


def image_paths(inputs: Inputs, left_out: Counter[str]) -> Iterator[str]:
    """Paths of all images, in the order of the words, found lazily and written as they were given.

    A file is yielded whatever it is, and as often as it is named; so is a path that does not exist: both get a row that
    says so. The files of a folder are sorted by name; those that are not images are counted in `left_out` by rule. A
    word with * ? [ that is not a path is a glob, which is walked as a folder is. What folders and globs name is yielded
    once, under its first name. `-` stands for the lines of stdin. A folder that cannot be read is yielded itself.
    """
    once: set[object] = set()
    for word in inputs.words:
        yield from _images(_entries(inputs, word, once), left_out)


def few_or_agreed(
    inputs: Inputs, left_out: Counter[str], agree: Callable[[str], bool], most: int = MANY
) -> Iterator[str]:
    """image_paths(), after listing what folders and globs hold, which ends beyond `most` files.

    Args:
        agree: asked then, with the question; True goes on without a limit.
    Raises:
        UsageError: it does not agree.
    """
    lists, rules = _listed(inputs, most)
    if lists is not None:
        left_out.update(rules)
        return chain.from_iterable(
            _images(_entries(inputs, _STDIN, set()), left_out) if one is None else one for one in lists
        )
    if not agree(f"More than {most:,} files are named. Score all of them?"):
        raise UsageError(
            f"More than {most:,} files are named; counting stopped at {most + 1:,}. "
            "Name a folder of images, or add --yes to score all of them."
        )
    return image_paths(inputs, left_out)


def _listed(inputs: Inputs, most: int) -> tuple[list[list[str] | None] | None, Counter[str]]:
    """The paths of each word, None for stdin, and what is left out by rule; no lists beyond `most` files."""
    lists: list[list[str] | None] = []
    rules, once, files = Counter[str](), set[object](), 0
    for word in inputs.words:
        if word == _STDIN:
            lists.append(None)
            continue
        found: list[str] = []
        lists.append(found)
        for path, rule in _entries(replace(inputs, most=most), word, once):
            files += path != word  # a file that is named itself is no surprise
            if files > most or rule == CROWDED:
                return None, rules
            found += _images([(path, rule)], rules)
    return lists, rules


def _images(entries: Iterable[tuple[str, str]], left_out: Counter[str]) -> Iterator[str]:
    for path, rule in entries:
        if not rule or rule in _READ_ALL_THE_SAME:
            yield path
        elif rule != UNMATCHED:
            left_out[rule] += 1


def _entries(inputs: Inputs, word: str, once: set[object]) -> Iterator[tuple[str, str]]:
    """Everything that a word names, with the rule that sets it aside ('' = none)."""
    if word == _STDIN:
        for line in inputs.stdin:
            if name := os.fsdecode(line.rstrip(b"\r\n")):
                yield from _file_or_folder(inputs, name, set())
    elif glob.has_magic(word) and not os.path.lexists(word):
        yield from _of_glob(inputs, word, once)
    else:
        yield from _file_or_folder(inputs, word, once)


def _of_glob(inputs: Inputs, word: str, once: set[object]) -> Iterator[tuple[str, str]]:
    matched = False
    for path, rule in matching(word, inputs.follow_links, inputs.most):
        matched |= rule != UNMATCHED
        if rule:
            yield path, _first_time(path, rule, once)
        elif os.path.isdir(path):
            yield from _of_folder(inputs, path, once)
        else:
            yield path, _again(path, once)
    if not matched:
        yield word, ""


def _file_or_folder(inputs: Inputs, name: str, once: set[object]) -> Iterator[tuple[str, str]]:
    if "\0" in name or not os.path.isdir(name):
        yield name, ""
    else:
        yield from _of_folder(inputs, name, once)


def _of_folder(inputs: Inputs, name: str, once: set[object]) -> Iterator[tuple[str, str]]:
    empty = True
    for path, rule in walk(Path(name), inputs.follow_links, tiff=inputs.tiff, unreadable=True, most=inputs.most):
        empty = False
        yield str(path), _first_time(path, rule, once) if rule else _again(path, once)
    if empty:
        yield name, EMPTY


def _first_time(path: str | Path, rule: str, once: set[object]) -> str:
    """The rule of what is set aside; UNMATCHED for what a folder or glob has set aside before, so that it counts once."""
    if rule in (*_READ_ALL_THE_SAME, CROWDED, UNMATCHED):
        return rule
    key = rule, os.path.normcase(os.path.abspath(path))  # not what a link leads to
    if key in once:
        return UNMATCHED
    once.add(key)
    return rule


def _again(path: str | Path, once: set[object]) -> str:
    """The rule of a file that a folder or glob has named before, under this name or another; else ''."""
    try:
        key = identity(path)
    except OSError:  # removed meanwhile: its row says so
        return ""
    if key in once:
        return AGAIN
    once.add(key)
    return ""
