"""The files that a table names: with either slash, with or without their suffix; and what may be meant by missing ones."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path, PurePosixPath

from plainfilm.data.image.decode import SUFFIXES, TIFF_SUFFIXES
from plainfilm.errors import DataError

_COMMON = (".png", ".jpg", ".jpeg", ".dcm")  # tried in this order; the others after them
_ALL_SUFFIXES = (*_COMMON, *sorted((SUFFIXES | TIFF_SUFFIXES) - set(_COMMON)))


def spellings(cell: str, suffix: str | None) -> tuple[str, str]:
    """A path as it is written, and with '/', without spaces around it and with `suffix` where it has none of an image."""
    plain = cell.strip().replace("\\", "/")
    if suffix and PurePosixPath(plain).suffix.casefold() not in _ALL_SUFFIXES:
        plain += suffix
    return cell, plain


def relative_of(spelling: str) -> str:
    """The normalised path: '/' and no './'."""
    return PurePosixPath(spelling.replace("\\", "/")).as_posix()


def find_files(table: Path, cells: list[str], suffix: str | None) -> tuple[list[str], tuple[str, ...]]:
    """The spelling of each path under which the file exists, and notes on those that were changed.

    Raises:
        DataError: files do not exist.
    """
    root = table.absolute().parent
    found = [_existing(root, cell, suffix) for cell in cells]
    gone = [cell for cell, name in zip(cells, found, strict=True) if name is None]
    if gone:
        raise DataError(
            f"{table}: {len(gone)} of {len(cells)} files do not exist (first: {gone[0]!r}). {_meant(root, gone, suffix)}"
        )
    names = [name or "" for name in found]
    return names, _notes(cells, names, suffix)


def _existing(root: Path, cell: str, suffix: str | None) -> str | None:
    return next((name for name in dict.fromkeys(spellings(cell, suffix)) if os.path.isfile(root / name)), None)


def _notes(cells: list[str], names: list[str], suffix: str | None) -> tuple[str, ...]:
    """How many paths were read otherwise than they are written; no name is in them."""
    pairs = [(cell.strip(), name) for cell, name in zip(cells, names, strict=True)]
    slashes = sum("\\" in cell and "\\" not in name for cell, name in pairs)
    longer = sum(name == cell.replace("\\", "/") + (suffix or "") for cell, name in pairs) if suffix else 0
    said = [f"{slashes} of {len(cells)} paths are written with backslashes"] if slashes else []
    said += [f"{suffix} is appended to {longer} of {len(cells)} paths"] if longer else []
    return (f"In the table, {' and '.join(said)}.",) if said else ()


def _meant(root: Path, gone: list[str], suffix: str | None) -> str:
    """What to do about missing files: a suffix or a folder under which all of them exist."""
    for end in () if suffix else _ALL_SUFFIXES:
        if all(_existing(root, cell, end) for cell in gone):
            return f"With {end} appended all of them do: --suffix {end}."
    below = _below(root, gone)
    if below:
        return f"Below the table's folder there is exactly one file of each name (first: {below!r}). Write these paths into the table."
    return "Paths are relative to the CSV's folder."


def _below(root: Path, gone: list[str]) -> str:
    """Where the first of these names is, if each belongs to one file below the folder of the table; else ''."""
    places = [Path(folder, name).relative_to(root) for folder, _, names in os.walk(root) for name in names]
    for key in (lambda place: place.name, lambda place: place.stem):
        count = Counter(map(key, places))
        names = [key(Path(spellings(cell, None)[1])) for cell in gone]
        if all(count[name] == 1 for name in names):
            return next(place.as_posix() for place in places if key(place) == names[0])
    return ""
