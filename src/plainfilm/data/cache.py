"""Decode once: the rows of a table as one uint8 array in memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from plainfilm.data.decode import DecodeSpec, decode_bytes, digest, read_bytes
from plainfilm.data.refusals import DecodeError
from plainfilm.errors import DataError


def decode_rows(rows: pd.DataFrame, spec: DecodeSpec, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
    """Pixels of every row: uint8 (n, size, size), or (n, size, size, 3) for three channels, in row order.

    4 times smaller than float32: 5,216 images of 224 px are 262 MB, and no epoch after this opens a file.

    Args:
        rows: needs `path`, `relative` and `sha256`.
    Raises:
        DataError: a file changed or broke since the scan; its name and what to do are told.
    """
    shape = (spec.size_px, spec.size_px) + ((3,) if spec.channels == 3 else ())
    pixels = np.empty((len(rows), *shape), dtype=np.uint8)
    jobs = list(enumerate(zip(rows["path"], rows["relative"], rows["sha256"], strict=True)))

    def fill(job: tuple[int, tuple[str, str, str]]) -> None:
        i, (path, relative, sha256) = job
        try:
            data = read_bytes(path)
            if digest(data) != sha256:
                raise DataError(f"{relative!r} changed since it was scanned. Restore the file, or start a new run.")
            pixels[i] = decode_bytes(data, spec)
        except DecodeError as error:
            raise DataError(
                f"{relative!r} cannot be read any more ({error.code}: {error.why}). Restore it, or start a new run."
            ) from None

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for done, _ in enumerate(pool.map(fill, jobs), start=1):
            if progress:
                progress(done, len(rows))
    return pixels
