"""Atomic file writes, the JSON format of all our files, and file hashes."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import itertools
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from plainfilm.base.sanitize import found_value
from plainfilm.errors import UsageError

TEMP_PREFIX = ".partial-"


def from_home(path: str | Path) -> Path:
    """The path with ~ and ~user written out.

    Raises:
        UsageError: there is no such user, or no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(
            f"The home folder in {found_value(str(path))} is not known on this machine. Give a path without ~, or set HOME and PLAINFILM_CACHE."
        ) from None


def tidy(path: Path) -> Path:
    """The absolute path without `..`; kept where a link before the `..` makes it another place."""
    short, plain = Path(os.path.abspath(path)), path.absolute()
    with contextlib.suppress(OSError):
        return short if short.samefile(plain) else plain
    return plain if plain.exists() else short


def atomic_write(path: Path, content: str | bytes, *, private: bool = False) -> None:
    """Write `content` atomically: `path` is the old file or the new one, never a mix; `private`: for the owner only."""
    with atomic_file(path, private=private) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def atomic_file(path: Path, *, private: bool = False) -> Iterator[IO[bytes]]:
    """A file to write in parts; it becomes `path` if the block ends without an error, and is removed otherwise.

    Folders above it that are not there are created, and removed with it.

    The temporary file is in the same folder (a rename across file systems would copy) and is flushed to disk before
    the rename: without fsync, a power cut can leave an empty file under the new name. The folder is flushed after
    it, so that a power cut never keeps only the second of two files written in sequence.
    """
    with folders_above(path):
        yield from _written(path, private)


@contextmanager
def folders_above(path: Path) -> Iterator[None]:
    """The folders above `path`; those that were not there are removed on an error, unless they hold something."""
    missing = list(itertools.takewhile(lambda folder: not os.path.exists(folder), path.parents))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for folder in missing:  # the lowest first
                folder.rmdir()
        raise


def _written(path: Path, private: bool) -> Iterator[IO[bytes]]:
    handle, temp = tempfile.mkstemp(prefix=TEMP_PREFIX, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if not private:
            os.chmod(temp, 0o666 & ~_umask())
        os.replace(temp, path)
    except BaseException:
        Path(temp).unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # the file is already in place; some systems cannot flush a folder
        _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sweep(folder: Path) -> int:
    """Remove temporary files and folders that a killed writer left in `folder` and below; returns how many."""
    leftovers = list(folder.rglob(f"{TEMP_PREFIX}*"))
    for path in leftovers:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(leftovers)


def dump_json(value: Any) -> str:
    """JSON text in the format of all our files: indented by two spaces, keys in the order given, a final newline."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def png_uri(png: bytes) -> str:
    """A PNG as the source of an img element that needs no request."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def hash_json(value: Any) -> str:
    """SHA-256 of a JSON value, hexadecimal; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("utf-8")).hexdigest()


def read_regular(path: Path, most: int = -1) -> bytes:
    """All bytes of a regular file, or the first `most`; a FIFO, socket or device is refused before it can block.

    Raises:
        OSError: it cannot be read, or is none.
    """
    # O_NONBLOCK: opening a FIFO without a writer would wait for ever; Windows has no such flag and no such files
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    kind = os.fstat(handle).st_mode
    if not stat.S_ISREG(kind):
        os.close(handle)
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with os.fdopen(handle, "rb") as file:
        return file.read(most)


def regular_file(path: Path) -> Path:
    """The path itself, checked for a library that opens files by name: a FIFO or device would be waited for.

    Raises:
        OSError: there is no file with content.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        raise OSError(errno.EINVAL, "not a regular file with content", str(path))
    return path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal; '' if the file does not exist."""
    try:
        return hashlib.sha256(read_regular(path)).hexdigest()
    except FileNotFoundError:
        return ""
