"""The files of a .zip, listed and checked before any is unpacked."""

from __future__ import annotations

import contextlib
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from plainfilm.data.archives.names import Parts, checked_parts, stated_name
from plainfilm.errors import DataError

MOST_FILES, MOST_BYTES = 500_000, 64 * 1024**3
_MOST_LISTED = 64 * 1024**2  # bytes of the list of names: zipfile reads it whole
_MUCH_LARGER, _SMALL = 100, 64 * 1024**2  # bytes for each packed one: images are packed already; from how many on
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
PART = 1 << 20  # bytes that are read at once
_ENTRY, _SHORTEST = b"PK\1\2", 46  # how each entry of the list begins, and the bytes of one without a name
_GUESSED = (
    "{1} names in the archive are in no character set that it states, and were read as that of DOS (first: {0!r}). "
    "Zip the folder again with UTF-8 names."
)


@dataclass(frozen=True)
class Content:
    """What an archive is unpacked into: how many files, bytes in all (`size`), `each` with its place, and what was left out."""

    files: int
    size: int
    each: Callable[[], Iterator[tuple[Parts, Iterable[bytes]]]]
    notes: tuple[str, ...] = ()


class _Bounded(io.FileIO):
    """A file that is never read by more than its list may have, nor with more names: zipfile makes 0.5 KB of each.

    Counted in the list itself, since the end record may lie; whatever else is read is shorter.
    """

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > _MOST_LISTED:
            raise DataError("its list of names is longer than any data set needs")
        data = super().read(-1 if size is None else size) or b""
        if len(data) > MOST_FILES * _SHORTEST and data.startswith(_ENTRY) and (n := data.count(_ENTRY)) > MOST_FILES:
            raise DataError(f"it holds {n:,} files; at most {MOST_FILES:,} are unpacked")
        return data


@contextlib.contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive at `path`; whatever zipfile raises within the block becomes a DataError.

    Raises:
        DataError: no zip, or a damaged one; the words lack the name of the archive.
    """
    try:
        with _Bounded(path) as file, zipfile.ZipFile(file) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, NotImplementedError, RuntimeError):
        raise DataError("it is damaged, cut off, or no zip") from None


def content_of_zip(archive: zipfile.ZipFile) -> Content:
    """Every file in it under its own name; links and devices are left out, and archives within stay as they are.

    Raises:
        DataError: an unsafe or encrypted file, another compression, or more than an archive of images has.
    """
    refuse_odd(archive)
    plain = [info for info in archive.infolist() if _is_plain(info)]
    named = [stated_name(info) for info in plain]
    placed = checked_parts(name for name, _ in named)
    files = [(parts, info) for parts, info in zip(placed, plain, strict=True) if parts]

    def each() -> Iterator[tuple[Parts, Iterable[bytes]]]:
        for parts, info in files:
            with archive.open(info) as file:
                yield parts, parts_of(file, info.file_size)

    odd = len(archive.infolist()) - len(plain)
    guessed = [name for name, sure in named if not sure]
    notes = [f"{odd} links or devices in the archive were not unpacked."] if odd else []
    notes += [_GUESSED.format(guessed[0][:80], len(guessed))] if guessed else []
    return Content(len(files), sum(info.file_size for _, info in files), each, tuple(notes))


def parts_of(file: IO[bytes], size: int) -> Iterator[bytes]:
    """The next `size` bytes of a file in parts.

    Raises:
        EOFError: there are fewer.
    """
    while size:
        part = file.read(min(size, PART))
        if not part:
            raise EOFError
        size -= len(part)
        yield part


def refuse_odd(archive: zipfile.ZipFile) -> None:
    """Raises a DataError for what cannot be unpacked, or is made to fill the disk."""
    infos = archive.infolist()
    total, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
    if len(infos) > MOST_FILES or total > MOST_BYTES:
        raise DataError(
            f"it holds {len(infos):,} files of {total:,} bytes; at most {MOST_FILES:,} files and {MOST_BYTES:,} bytes are unpacked"
        )
    size = archive.fp.seek(0, io.SEEK_END) if archive.fp else packed  # members may overlap
    if total > _SMALL and total > _MUCH_LARGER * min(packed, size):
        raise DataError(f"its {total:,} bytes are packed into {min(packed, size):,}, which no images are")
    if any(info.flag_bits & 1 for info in infos):
        raise DataError("it is encrypted")
    if any(info.compress_type not in _METHODS for info in infos):
        raise DataError("it is packed by another method than stored or deflate")


def _is_plain(info: zipfile.ZipInfo) -> bool:
    """A file or folder, by the type that Unix writes, if any is written."""
    return stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
