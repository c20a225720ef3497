"""The classes of external images: named as the run's by the user, or left out by the user; nothing is guessed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from plainfilm.base.command_line import shell_word
from plainfilm.base.listing import NAMED, some
from plainfilm.data.table.image_table import ImageTable, set_apart
from plainfilm.data.table.positive_class import is_negative
from plainfilm.errors import DataError, UsageError

_NEAR = 0.75  # of difflib: normals and normal are near, viral and virus are not


def without_classes(table: ImageTable, left_out: Sequence[str], names: Mapping[str, str]) -> ImageTable:
    """The table without the images of these external classes, which become ignored files.

    Raises:
        UsageError: no such class, or `names` maps it. DataError: no image is left.
    """
    for name in left_out:
        if name not in table.classes:
            raise UsageError(
                f"--leave-out {name}: {name!r} is not one of the external classes {some(table.classes, NAMED)}. Correct the name."
            )
        if name in names:
            raise UsageError(f"--map {name}={names[name]} and --leave-out {name} are for the same class. Choose one.")
    if set(table.classes) <= set(left_out):
        raise DataError("--leave-out names every external class. Leave one of them in.")
    gone = table.rows["label"].isin(left_out)
    return set_apart(table, gone, "class left out", "its class is left out by --leave-out")


def renamed(table: ImageTable, path: Path, vocab: list[str], names: Mapping[str, str]) -> pd.Series[str]:
    """Labels as the run's class names.

    Raises:
        UsageError: `names` has a class that does not exist. DataError: a class that the run does not know.
    """
    theirs = table.classes
    for given, wanted in names.items():
        if given not in theirs or wanted not in vocab:
            what, choice = (given, theirs) if given not in theirs else (wanted, vocab)
            whose = "the external classes" if choice is theirs else "the run's classes"
            raise UsageError(
                f"--map {given}={wanted}: {what!r} is not one of {whose} {some(choice, NAMED)}. Correct the name."
            )
    unknown = [name for name in theirs if names.get(name, name) not in vocab]
    if unknown:
        raise DataError(
            f"{path} has the class {unknown[0]!r}, which the run does not know; its classes are {some(vocab, NAMED)}. "
            + _advice(unknown[0], vocab)
        )
    return table.rows["label"].map(lambda name: names.get(name, name))


def _advice(unknown: str, vocab: list[str]) -> str:
    """What to do about an unknown class; a class of the run is named only where the name is plainly that of it."""
    ours, left_out = _same(unknown, vocab), f"--leave-out {shell_word(unknown)}"
    if ours is not None:
        return f"If that is {ours}: --map {shell_word(f'{unknown}={ours}')}. If it is none of them: {left_out}."
    return f"If it is one of them, map it, in the form --map {shell_word(unknown)}=...; if it is none: {left_out}."


def _same(unknown: str, vocab: list[str]) -> str | None:
    """The class that an unknown one seems to be: negative if and only if it is, and the only such class or near by name."""
    everything = (*vocab, unknown)
    negative = {name: is_negative(name, *(other for other in everything if other != name)) for name in everything}
    alike = [ours for ours in vocab if negative[ours] == negative[unknown]]
    names = [ours.casefold() for ours in alike if not _opposite(unknown, ours)]
    near = difflib.get_close_matches(unknown.casefold(), names, n=1, cutoff=_NEAR)
    if near:
        return next(ours for ours in alike if ours.casefold() == near[0])
    return alike[0] if len(alike) == 1 else None


def _opposite(first: str, second: str) -> bool:
    """Whether one name is the other with a prefix, such as unclear and clear: near by letters, and hardly the same."""
    short, long = sorted((first.casefold(), second.casefold()), key=len)
    return short != long and long.endswith(short)
