"""Files below a folder: found in a fixed order, or set aside by a named rule."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from plainfilm.base.files import read_regular
from plainfilm.data.dicom.read import is_dicom
from plainfilm.data.image.decode import SUFFIXES, TIFF_SUFFIXES
from plainfilm.data.image.other_formats import rule_of
from plainfilm.errors import DataError

UNREADABLE = "folder cannot be read"
CROWDED = "folder of too many files"
NOT_READ = "test image of the run"  # the rule of files that are set aside by their path, before any is read
_SYSTEM_FOLDERS = frozenset({"__macosx", "$recycle.bin", "system volume information"})


@dataclass(frozen=True)
class FoundFiles:
    """One file of the walk: where it is, and its label and given split from the folders (or the CSV)."""

    path: Path
    relative: str  # below the data folder, with '/'
    label: str = ""
    given: str = ""
    patient: str = ""
    line: int = 0  # where its row ends in the CSV; 0 in a folder
    inner: tuple[str, ...] = ()  # its folders below the class folder; () in a table
    series: str = ""  # the cell of the column that --split group or temporal asks for


@dataclass(frozen=True)
class DataFiles:
    """What a folder or CSV names as images, the files set aside by a rule, and how it was read, in sentences for every
    output."""

    found: list[FoundFiles]
    ignored: list[dict[str, str]]
    notes: tuple[str, ...] = ()


def walk(
    root: Path,
    follow_links: bool = False,
    *,
    tiff: bool = False,
    unreadable: bool = False,
    sealed: frozenset[str] = frozenset(),
    most: int = sys.maxsize,
) -> Iterator[tuple[Path, str]]:
    """Every file below `root`, sorted by name, with the rule that sets it aside ('' = none).

    Links are not followed unless asked; then each folder is entered once, so that a loop ends.

    Args:
        unreadable: yield a folder that cannot be read as a path with the rule UNREADABLE.
        sealed: real paths of images that are not opened to see whether they are DICOM.
        most: a folder of more entries is yielded as a path with the rule CROWDED, and not entered.
    Raises:
        DataError: a folder cannot be read, and `unreadable` is not set.
    """
    seen: set[object] = set()
    todo: list[tuple[Path, str, os.DirEntry[str] | None]] = [(root, "", None)]  # None: a folder; last in, first out
    while todo:
        here, rule, file = todo.pop()
        if file is not None:
            yield here, rule or _file_rule(file, here, tiff, sealed)
            continue
        try:
            place, entries = identity(here), listed(here, most)
        except OSError as error:
            if not unreadable:
                raise DataError(
                    f"The folder {here} cannot be read ({error.strerror}). Make it readable, or move it away."
                ) from None
            yield here, UNREADABLE
            continue
        if entries is None:
            yield here, CROWDED
        if entries is None or place in seen:
            continue
        seen.add(place)
        for entry in entries:
            hidden = rule or ("hidden" if is_system(entry.name) else "")
            if entry.is_symlink() and not follow_links:
                todo.append((Path(entry.path), hidden or "link", entry))
            else:
                todo.append((Path(entry.path), hidden, None if _is_folder(entry) else entry))


def listed(folder: Path | str, most: int = sys.maxsize) -> list[os.DirEntry[str]] | None:
    """The entries of a folder, the last name first; None for more than `most`.

    Raises:
        OSError: it cannot be read.
    """
    with os.scandir(folder) as entries:
        found = list(islice(entries, min(most, sys.maxsize - 1) + 1))
    return sorted(found, key=lambda entry: entry.name, reverse=True) if len(found) <= most else None


def identity(path: Path | str) -> object:
    """Equal for two names of one file or folder: device and inode, or the real path where a file system counts none.

    Raises:
        OSError: it does not exist, or cannot be reached.
    """
    facts = os.stat(path)
    return (facts.st_dev, facts.st_ino) if facts.st_ino else os.path.normcase(os.path.realpath(path))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _file_rule(entry: os.DirEntry[str], path: Path, tiff: bool, sealed: frozenset[str]) -> str:
    try:
        if not stat.S_ISREG(entry.stat().st_mode):
            return "not a regular file"
    except OSError:
        return "broken link"
    if not _is_text(entry.name):
        return "name is not Unicode"
    suffix = path.suffix.casefold()
    if suffix in TIFF_SUFFIXES:
        return "" if tiff else "TIFF, read with --tiff only"
    if sealed and os.path.realpath(path) in sealed:
        return ""
    return "" if suffix in SUFFIXES or _has_dicom_prefix(path) else rule_of(entry.name)


def _has_dicom_prefix(path: Path) -> bool:
    """True when the DICM prefix is there: scanners often name DICOM files by a UID, or use a suffix of their own."""
    try:
        return is_dicom(read_regular(path, 132))
    except OSError:
        return False


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_system(name: str) -> bool:
    """True for hidden files and folders, and those that a system adds by itself."""
    return name.startswith(".") or name.casefold() in _SYSTEM_FOLDERS


def hides_images(path: Path) -> bool:
    """True for a link to a folder, or to a file named as an image."""
    return path.is_dir() or (path.is_file() and path.suffix.casefold() in SUFFIXES)


def set_aside(path: Path, relative: str, state: str, code: str, why: str) -> dict[str, str]:
    """One row of the table of files that are not used; a name that is not Unicode is escaped."""
    names = [str(name).encode("utf-8", "backslashreplace").decode("utf-8") for name in (path, relative)]
    return {"path": names[0], "relative": names[1], "state": state, "code": code, "why": why}


def without_sealed(sealed: frozenset[str], files: DataFiles) -> DataFiles:
    """The files without those of these real paths, which become ignored files."""
    if not sealed:
        return files
    apart = [file for file in files.found if os.path.realpath(file.path) in sealed]
    why = "in the sealed test set of the run, and was not read"
    ignored = [set_aside(file.path, file.relative, "ignored", NOT_READ, why) for file in apart]
    names = {file.relative for file in apart}
    found = [file for file in files.found if file.relative not in names]
    return replace(files, found=found, ignored=[*files.ignored, *ignored])
