"""Names of the files in an archive, checked before anything is written: each is a new place below the folder, on every system."""

from __future__ import annotations

import os
import re
import unicodedata
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field

from plainfilm.errors import DataError

_MOST_BYTES, _MOST_DEEP = 255, 32  # of one name; folders in each other
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*]')
_DEVICES = frozenset({"con", "prn", "aux", "nul", "conin$", "conout$"}) | {
    f"{kind}{number}" for kind in ("com", "lpt") for number in "0123456789¹²³"
}
Parts = tuple[str, ...]


def stated_name(info: zipfile.ZipInfo) -> tuple[str, bool]:
    """The name of a file, and whether its character set is known: where the archive states none, UTF-8 if the bytes are.

    zipfile takes such bytes for code page 437, as the format says; programs write UTF-8, or the page of their country.
    """
    written = info.orig_filename.split("\0")[0].replace(os.sep, "/")
    if info.flag_bits & 0x800 or info.filename != written or written.isascii():  # another: from a Unicode extra field
        return info.filename, True
    try:
        return written.encode("cp437").decode("utf-8"), True
    except UnicodeError:
        return info.filename, False


def checked_parts(names: Iterable[str]) -> list[Parts]:
    """Folders and file of each name; a name that ends with / is a folder and gives ().

    Raises:
        DataError: a name leads outside, means a device, is one of two for one place, or cannot be written here.
    """
    places, found = _Places(), []
    for name in names:
        parts = _parts(name)
        if why := _why_unsafe(name, parts):
            raise DataError(f"the name {name[:80]!r} in it {why}")
        is_file = name[-1:] not in ("/", "\\")
        places.take(parts, is_file=is_file)
        found.append(parts if is_file else ())
    return found


def _parts(name: str) -> Parts:
    """Windows writes \\ between folders, and so do some of its programs into a zip."""
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def _why_unsafe(name: str, parts: Parts) -> str:
    if name[:1] in ("/", "\\") or _DRIVE.match(name):
        return "is an absolute path"
    if ".." in parts:
        return "leads out of its folder"
    if not parts or any(not part.rstrip(". ") for part in parts) or _CONTROL.search(name):
        return "is no name of a file"
    if len(parts) > _MOST_DEEP or any(len(part.encode("utf-8", "replace")) > _MOST_BYTES for part in parts):
        return "is too long"
    if any(part.split(".")[0].strip().casefold() in _DEVICES for part in parts):
        return "is a device of Windows"
    if os.name == "nt" and any(_NOT_ON_WINDOWS.search(part) for part in parts):
        return "cannot be written on Windows"
    return ""


@dataclass
class _Places:
    """Places taken so far, by what every system takes for equal: case, Unicode form, dots and spaces at the end."""

    spelled: dict[Parts, Parts] = field(default_factory=dict)
    folders: set[Parts] = field(default_factory=set)
    files: set[Parts] = field(default_factory=set)

    def take(self, parts: Parts, *, is_file: bool) -> None:
        """Raises a DataError for a place that is taken, or lies in a file."""
        key = folded(parts)
        for i in range(1, len(parts) + 1):
            other = self.spelled.setdefault(key[:i], parts[:i])
            if other != parts[:i]:
                raise DataError(f"the names {_shown(other)} and {_shown(parts)} in it are one place on some systems")
        above = {key[:i] for i in range(1, len(key))} | (set() if is_file else {key})
        if is_file and key in self.files:
            raise DataError(f"the name {_shown(parts)} is in it twice")
        if above & self.files or (is_file and key in self.folders):
            raise DataError(f"the name {_shown(parts)} in it makes a file of a folder")
        self.folders |= above
        self.files |= {key} if is_file else set()


def folded(parts: Parts) -> Parts:
    """Equal for places that are one on some system."""
    return tuple(unicodedata.normalize("NFC", part).casefold().rstrip(". ") for part in parts)


def _shown(parts: Parts) -> str:
    return repr("/".join(parts)[:80])
