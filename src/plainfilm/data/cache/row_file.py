"""Rows of a block's file: read into memory of our own, and checked there, at every use.

A mapping would show later writes to the file, and a file that became shorter would end the process with SIGBUS.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
import weakref
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np

from plainfilm.errors import DataError

_ReadAt = Callable[[memoryview, int], int]  # fills the buffer from a place in the file; returns the number of bytes


def checksum(row: np.ndarray) -> str:
    """Checksum of one image's bytes; it finds damage, not forgery (a forger can write the index too)."""
    return hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=12).hexdigest()


class RowFile:
    """The rows of an open file, uint8 `shape` from the byte `offset` on; a removed file stays readable.

    The first reading of a row compares its checksum with `checks`; later ones its CRC-32 with that of the first, which
    takes a quarter of the time (12 us for 224 px).
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], checks: Sequence[str]) -> None:
        file = path.open("rb", buffering=0)
        weakref.finalize(self, file.close)
        self.path, self.shape = path, shape
        self._read_at, self._offset, self._row_bytes = _reader(file), offset, math.prod(shape[1:])
        self._checks, self._crcs = checks, [-1] * shape[0]

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, rows: np.ndarray, out: np.ndarray, at: np.ndarray) -> None:
        """Row rows[i] into out[at[i]], for every i.

        Args:
            rows, at: int (k,), none negative.
            out: uint8 (n, *shape[1:]), contiguous.
        Raises:
            DataError: a row is not what was written, or the file has become shorter.
        """
        for row, place in zip(rows.tolist(), at.tolist(), strict=True):
            if not self._take(row, out[place]):
                raise DataError(
                    f"{self.path} of the cache changed or was cut short while it was in use, or cannot be read; nothing of "
                    "the change was used. Repeat the command; a training goes on with: plainfilm resume RUN."
                )

    def intact(self, rows: Sequence[int]) -> bool:
        """Whether these rows are, byte for byte, what was written."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # hashing runs outside the interpreter lock
            return all(pool.map(lambda row: self._take(row, np.empty(self._row_bytes, np.uint8)), rows))

    def _take(self, row: int, out: np.ndarray) -> bool:
        """A row into `out`, uint8, contiguous; False where that is not what was written."""
        return self._filled(row, out) and self._is_right(row, out)

    def _filled(self, row: int, out: np.ndarray) -> bool:
        left, place = out.reshape(-1).data, self._offset + row * self._row_bytes
        while left:
            try:
                count = self._read_at(left, place)
            except OSError:
                return False
            if not count:
                return False
            left, place = left[count:], place + count
        return True

    def _is_right(self, row: int, out: np.ndarray) -> bool:
        crc = zlib.crc32(out.data)
        if self._crcs[row] >= 0:
            return crc == self._crcs[row]
        if checksum(out) != self._checks[row]:
            return False
        self._crcs[row] = crc
        return True


def _reader(file: IO[bytes]) -> _ReadAt:
    """Reading at a place, for several threads at once; Windows has no preadv."""
    if hasattr(os, "preadv"):
        number = file.fileno()
        return lambda buffer, place: os.preadv(number, [buffer], place)
    lock = threading.Lock()

    def read_at(buffer: memoryview, place: int) -> int:
        with lock:
            file.seek(place)
            return file.readinto(buffer) or 0  # type: ignore[attr-defined]

    return read_at
