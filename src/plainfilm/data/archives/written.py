"""Files as they were unpacked: what is kept of each, and whether they are still so."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from plainfilm.data.archives.names import Parts, folded
from plainfilm.errors import DataError

_PART = 1 << 20


class Written(NamedTuple):
    """Size in bytes and CRC-32 of a file, and its times in nanoseconds; the second is that of any change (on Windows, of its creation)."""

    size: int
    crc: int
    mtime_ns: int
    ctime_ns: int


def write_file(folder: Path, parts: Parts, chunks: Iterable[bytes]) -> Written:
    """Writes one file; 'x': nothing is ever overwritten."""
    place = folder.joinpath(*parts)
    place.parent.mkdir(parents=True, exist_ok=True)
    crc = 0
    with place.open("xb") as file:
        for chunk in chunks:
            crc = zlib.crc32(chunk, crc)
            file.write(chunk)
    found = os.stat(place)
    return Written(found.st_size, crc, found.st_mtime_ns, found.st_ctime_ns)


def as_written(folder: Path, files: dict[str, Written]) -> bool:
    """Whether each file below `folder` is as it was written; one is read again only where its times differ.

    Raises:
        DataError: another file lies among them. It may be the user's, so it is not removed.
    """
    if not all(_is_as_written(folder / name, file) for name, file in files.items()):
        return False
    if other := _another(folder, files):
        raise DataError(f"{folder / other} is not of the archive that was unpacked there. Move it to another folder.")
    return True


def _is_as_written(place: Path, file: Written) -> bool:
    try:
        found = os.lstat(place)
        if not stat.S_ISREG(found.st_mode) or found.st_size != file.size:
            return False
        return (found.st_mtime_ns, found.st_ctime_ns) == file[2:] or _crc(place) == file.crc
    except OSError:
        return False


def _crc(place: Path) -> int:
    crc = 0
    with place.open("rb") as file:
        while part := file.read(_PART):
            crc = zlib.crc32(part, crc)
    return crc


def _another(folder: Path, files: dict[str, Written]) -> str:
    """A file or link below the folder that is not listed, '' without one; some systems spell a name in another way."""
    names = set(files)
    unknown = [name for name in _below(str(folder)) if name not in names]
    known = {folded(tuple(name.split("/"))) for name in names} if unknown else set()
    return next((name for name in unknown if folded(tuple(name.split("/"))) not in known), "")


def _below(folder: str) -> list[str]:
    found = []
    for place, folders, names in os.walk(folder):
        start = os.path.relpath(place, folder).replace(os.sep, "/") + "/" if place != folder else ""
        found += [start + name for name in names]
        found += [start + name for name in folders if os.path.islink(os.path.join(place, name))]
    return found
