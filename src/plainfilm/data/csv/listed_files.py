"""The files that a table names: with either slash, with or without their suffix; and what may be meant by missing ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
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

    A name without a folder may lie anywhere below the table's folder, if only one file there has it.

    Raises:
        DataError: files do not exist.
    """
    places = _Places(table.absolute().parent)
    found = [places.existing(cell, suffix) or places.below(cell, suffix) for cell in cells]
    gone = [cell for cell, name in zip(cells, found, strict=True) if name is None]
    if gone:
        raise DataError(
            f"{table}: {len(gone)} of {len(cells)} files do not exist (first: {gone[0]!r}). {_meant(places, gone, suffix)}"
        )
    names = [name or "" for name in found]
    return names, _notes(cells, names, suffix)


class _Places:
    """The files below the folder of a table."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def existing(self, cell: str, suffix: str | None) -> str | None:
        """The spelling of a path under which the file exists."""
        both = dict.fromkeys(spellings(cell, suffix))
        return next((name for name in both if os.path.isfile(self.root / name)), None)

    def below(self, cell: str, suffix: str | None) -> str | None:
        """Where the one file of this name is; None for a path with folders, and for a name of none or several."""
        names = [] if "/" in spellings(cell, suffix)[1] else dict.fromkeys(spellings(cell, suffix))
        return next((self.by_name[name] for name in names if self.by_name.get(name)), None)

    @cached_property
    def by_name(self) -> dict[str, str]:
        """The relative path of each name that one file has; '' for a name of several."""
        return _once(self._all, lambda place: place.name)

    @cached_property
    def by_stem(self) -> dict[str, str]:
        """The same by names without their suffixes."""
        return _once(self._all, lambda place: place.stem)

    @cached_property
    def _all(self) -> list[Path]:
        return [Path(folder, name).relative_to(self.root) for folder, _, names in os.walk(self.root) for name in names]


def _once(places: list[Path], key: Callable[[Path], str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for place in places:
        found[key(place)] = "" if key(place) in found else place.as_posix()
    return found


def _notes(cells: list[str], names: list[str], suffix: str | None) -> tuple[str, ...]:
    """How many paths were read otherwise than they are written; no name is in them."""
    pairs = [(cell.strip(), name) for cell, name in zip(cells, names, strict=True)]
    slashes = sum("\\" in cell and "\\" not in name for cell, name in pairs)
    plain = [(cell.replace("\\", "/"), name) for cell, name in pairs]
    longer = sum(_name(name) == _name(cell) + suffix for cell, name in plain) if suffix else 0
    below = sum("/" not in cell and "/" in name for cell, name in plain)
    of = f"of {len(cells)} paths"
    said = [f"{slashes} {of} are written with backslashes"] if slashes else []
    said += [f"{suffix} is appended to {longer} {of}"] if longer else []
    said += [f"{below} {of} are names whose only file lies in a folder below"] if below else []
    return (f"In the table, {' and '.join(said)}.",) if said else ()


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _meant(places: _Places, gone: list[str], suffix: str | None) -> str:
    """What to do about missing files: a suffix or a folder under which all of them exist."""
    for end in () if suffix else _ALL_SUFFIXES:
        if all(places.existing(cell, end) or places.below(cell, end) for cell in gone):
            return f"With {end} appended all of them do: --suffix {end}."
    for by in (places.by_name, places.by_stem):
        names = [(Path(cell).name if by is places.by_name else Path(cell).stem) for cell in map(_plain, gone)]
        if all(by.get(name) for name in names):
            return f"Below the table's folder there is exactly one file of each name (first: {by[names[0]]!r}). Write these paths into the table."
    return "Paths are relative to the CSV's folder."


def _plain(cell: str) -> str:
    return spellings(cell, None)[1]
