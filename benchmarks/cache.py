"""How fast files are scanned, decoded into the cache and read back: `python benchmarks/cache.py FOLDER`."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from plainfilm.config import DataConfig
from plainfilm.data.cache.rows import decode_rows
from plainfilm.data.image.decode import DecodeSpec, decode
from plainfilm.data.table.image_table import scan_table

SIZE_PX = 224


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as cache:
        os.environ["PLAINFILM_CACHE"] = cache
        for what in ("first scan", "second scan"):
            started = time.perf_counter()
            table, _ = scan_table(folder, DataConfig())
            print(f"{what}: {len(table.rows) / (time.perf_counter() - started):.0f} files/s ({len(table.rows)} files)")
        spec = DecodeSpec(SIZE_PX, bits=table.bits)
        for what in ("cache build", "cache open, every row checked"):
            started = time.perf_counter()
            rows = decode_rows(table.rows, spec)
            print(f"{what}: {len(rows) / (time.perf_counter() - started):.0f} files/s to {SIZE_PX} px")
        some = np.random.default_rng(0).permutation(len(rows))[:192]
        started = time.perf_counter()
        for path in table.rows["path"].iloc[some]:
            decode(path, spec)
        decoding = (time.perf_counter() - started) / len(some)
        started = time.perf_counter()
        for _ in range(20):
            for first in range(0, len(some), 64):
                rows[some[first : first + 64]]
        reading = (time.perf_counter() - started) / 20 / len(some)
        print(
            f"decode {1e3 * decoding:.2f} ms per image in one thread, read {1e3 * reading:.4f} ms: {decoding / reading:.0f} times"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
