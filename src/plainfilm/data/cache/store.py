"""Decoded pixels, and features of a network, on disk: immutable blocks of rows, keyed by the content of the source file.

A block is `<name>.npy`, uint8 (n, ...), and `<name>.json` beside it, written second: without its index a block does
not exist. The index holds the file hash and the checksum of each row, and a checksum of itself; whatever does not match is
not used. Rows are checked when a block is opened and at every use (row_file.py): truncating or overwriting a block in
place while it is in use ends the work with an error, and no changed byte is used; removing one is safe.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from plainfilm.base.files import atomic_write, from_home, hash_json, read_regular, sweep
from plainfilm.base.json_text import parsed_json
from plainfilm.data.cache.row_file import RowFile, checksum

_FORMAT = 1
_KEEP_FREE_BYTES = 512 * 1024 * 1024  # of the user's disk
NEARLY_FULL = "the disk is nearly full"


def cache_folder() -> Path:
    """Where plainfilm keeps data that can be rebuilt: PLAINFILM_CACHE, else the user's cache folder."""
    if os.environ.get("PLAINFILM_CACHE"):
        return from_home(os.environ["PLAINFILM_CACHE"])
    home = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return from_home(home) / "plainfilm"


def why_not_written(error: OSError | NotImplementedError) -> str:
    """The reason why the cache cannot be written, for a note; it names no path."""
    return getattr(error, "strerror", None) or type(error).__name__


@dataclass(frozen=True)
class CacheBlock:
    """One opened block, or rows in memory; `row_of` gives the row of a file's SHA-256."""

    name: str
    pixels: RowFile | np.ndarray
    row_of: dict[str, int]

    def intact(self, sha256s: Sequence[str]) -> bool:
        """True when the rows of these files are, byte for byte, what was written."""
        return isinstance(self.pixels, np.ndarray) or self.pixels.intact([self.row_of[sha256] for sha256 in sha256s])

    def only(self, sha256s: Sequence[str]) -> CacheBlock:
        """The same block, known to have these files alone."""
        return CacheBlock(self.name, self.pixels, {sha256: self.row_of[sha256] for sha256 in sha256s})


class Store:
    """All blocks of one preprocessing: `about` describes the pixels, down to the version of each library.

    `kind`: the folder of the cache, "decoded" or "features".
    """

    def __init__(self, root: Path, about: dict[str, Any], kind: str = "decoded") -> None:
        self.about = about
        self.folder = root / kind / hash_json(about)[:16]

    def blocks(self) -> list[CacheBlock]:
        """Every block whose index and shape fit; damaged, half-written and foreign ones are skipped."""
        found = (self._open(path) for path in sorted(self.folder.glob("*.json")))
        return [block for block in found if block is not None]

    def _open(self, index: Path) -> CacheBlock | None:
        try:
            written = parsed_json(read_regular(index), index)
            body = written["block"]
            if written["check"] != hash_json(body) or body["format"] != _FORMAT or body["about"] != self.about:
                return None
            checks = [check for _, check in body["rows"]]
            pixels = _opened(index.with_suffix(".npy"), tuple(body["shape"]), checks)
            if pixels is None or len(checks) != len(pixels):
                return None
            return CacheBlock(index.stem, pixels, {sha256: row for row, (sha256, _) in enumerate(body["rows"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, sha256s: Sequence[str], pixels: np.ndarray) -> CacheBlock:
        """Add a block; the caller holds lock().

        Raises:
            OSError: the disk is full or cannot be written.
        """
        body = {
            "format": _FORMAT,
            "about": self.about,
            "shape": list(pixels.shape),
            "rows": [[sha256, checksum(row)] for sha256, row in zip(sha256s, pixels, strict=True)],
        }
        check = hash_json(body)
        index = self.folder / f"{check[:24]}.json"
        buffer = io.BytesIO()
        np.save(buffer, pixels, allow_pickle=False)
        atomic_write(index.with_suffix(".npy"), buffer.getvalue())
        atomic_write(index, json.dumps({"block": body, "check": check}))
        block = self._open(index)
        if block is None:
            raise OSError(f"{index.name} cannot be read back")
        return block

    def drop(self, block: CacheBlock) -> None:
        """Remove a damaged block; its index goes first, so that no reader finds it."""
        for suffix in (".json", ".npy"):
            with contextlib.suppress(OSError):  # Windows keeps open files; without an index it is not read
                (self.folder / f"{block.name}{suffix}").unlink(missing_ok=True)

    def has_room_for(self, size: int) -> bool:
        """True when `size` bytes fit on the disk and some stay free."""
        return shutil.disk_usage(self.folder).free >= size + _KEEP_FREE_BYTES

    @contextlib.contextmanager
    def lock(self, wait_seconds: float = -1) -> Iterator[None]:
        """One writer at a time; leftovers of a killed one are removed first.

        Raises:
            Timeout: another process wrote for longer than `wait_seconds` (-1: waits forever).
            OSError: the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock", timeout=wait_seconds):
            sweep(self.folder)
            for path in self.folder.glob("*.npy"):
                if not path.with_suffix(".json").exists():
                    path.unlink(missing_ok=True)
            yield


def _opened(path: Path, shape: tuple[int, ...], checks: Sequence[str]) -> RowFile | None:
    """The rows of an .npy file; None unless it is exactly what np.save writes for uint8 of this shape.

    A damaged header must not reach numpy's parser, which raises errors of many kinds.
    """
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    header = buffer.getvalue()
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if file.read(len(header)) != header or path.stat().st_size != len(header) + math.prod(shape):
            return None
    return RowFile(path, len(header), shape, checks)
