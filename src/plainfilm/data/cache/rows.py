"""Decode once: the rows of a table as uint8 pixels, cached on disk and shared by all runs and processes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from filelock import Timeout

from plainfilm.base.events import EventCallback
from plainfilm.data.cache.moved_data import files_of
from plainfilm.data.cache.row_file import RowFile
from plainfilm.data.cache.store import NEARLY_FULL, CacheBlock, Store, cache_folder, why_not_written
from plainfilm.data.cache.threads import in_threads
from plainfilm.data.errors import MOST_MEGAPIXELS, DecodeError, NotAsScannedError
from plainfilm.data.image import decode, sandbox
from plainfilm.data.image.decode import DecodeSpec, digest, read_bytes

_BLOCK_BYTES = 64 * 1024 * 1024  # lost at most when the process is killed, and held in memory while decoding
_OnNote = Callable[[str], None]


class PixelRows:
    """Pixels by row, uint8 (n, h, w) or (n, h, w, 3), gathered from blocks that may be on disk.

    Indexed like an array, with a number, a slice, a mask or an array of numbers; the result is a copy, in which every
    row from a disk was checked: a DataError says that the cache changed.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, blocks: Sequence[RowFile | np.ndarray], block_of: np.ndarray, row_of: np.ndarray) -> None:
        self.blocks, self.block_of, self.row_of = tuple(blocks), block_of, row_of
        self.shape = (len(block_of), *self.blocks[0].shape[1:])
        self.ndim = len(self.shape)

    @classmethod
    def of_array(cls, pixels: np.ndarray) -> PixelRows:
        """Rows of an array in memory."""
        return cls([pixels], np.zeros(len(pixels), np.intp), np.arange(len(pixels)))

    def __len__(self) -> int:
        return len(self.block_of)

    def __getitem__(self, which: Any) -> np.ndarray:
        blocks, rows = self.block_of[which], self.row_of[which]
        if np.ndim(blocks) == 0:
            image: np.ndarray = self._gathered(blocks[None], rows[None])[0]
            return image
        return self._gathered(blocks, rows)

    def _gathered(self, blocks: np.ndarray, rows: np.ndarray) -> np.ndarray:
        out = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for number in np.unique(blocks):
            block, mine = self.blocks[number], np.flatnonzero(blocks == number)
            if isinstance(block, RowFile):
                block.read(rows[mine], out, mine)
            else:
                out[mine] = block[rows[mine]]
        return out

    @classmethod
    def joined(cls, parts: Sequence[tuple[np.ndarray, PixelRows]]) -> PixelRows:
        """One set of rows from several: each part with the mask of the rows that it fills."""
        blocks = [block for _, part in parts for block in part.blocks]
        block_of = np.empty(len(parts[0][0]), np.intp)
        row_of = np.empty(len(parts[0][0]), np.intp)
        first = 0
        for mask, part in parts:
            block_of[mask], row_of[mask] = part.block_of + first, part.row_of
            first += len(part.blocks)
        return cls(blocks, block_of, row_of)

    def part(self, which: np.ndarray) -> PixelRows:
        """Some of the rows, without a copy."""
        return PixelRows(self.blocks, self.block_of[which], self.row_of[which])

    @property
    def nbytes(self) -> int:
        """Size of all rows if they were one array."""
        return int(np.prod(self.shape))


def decode_rows(
    rows: pd.DataFrame,
    spec: DecodeSpec,
    progress: Callable[[int, int], None] | None = None,
    *,
    keep: bool = True,
    on_note: _OnNote | None = None,
    files_too: bool = False,
) -> PixelRows:
    """Pixels of every row, uint8 (n, size, size), or (n, size, size, 3) for three channels, in row order.

    4 times smaller than float32: 5,216 images of 224 px are 262 MB. With `keep` they come from the cache, where each
    file's content is decoded once per preprocessing; without it they are decoded into memory. The pixels are the same.
    Where the cache cannot be written, memory is used and `on_note` receives a message.

    Args:
        rows: needs `path` (or `file`, see find_moved), `relative` and `sha256`.
        files_too: first read every file and compare its hash, also where the cache has its pixels.
    Raises:
        DataError: a file changed or broke since the scan; the message names it and says what to do.
    """
    if files_too:
        _refuse_changed(rows)
    shape = (spec.size_px, spec.size_px) + ((3,) if spec.channels == 3 else ())
    if not len(rows):
        return PixelRows.of_array(np.empty((0, *shape), np.uint8))
    files = rows.assign(file=files_of(rows)).drop_duplicates("sha256").set_index("sha256")[["file", "relative"]]
    blocks = list(_cached(files, spec, shape, progress, on_note) if keep else _decoded(files, spec, shape, progress))
    place = {sha256: (i, row) for i, block in enumerate(blocks) for sha256, row in block.row_of.items()}
    where = np.array([place[sha256] for sha256 in rows["sha256"]], dtype=np.intp)
    return PixelRows([block.pixels for block in blocks], where[:, 0], where[:, 1])


def decode_with_events(
    rows: pd.DataFrame, spec: DecodeSpec, on_event: EventCallback, *, keep: bool, files_too: bool = False
) -> PixelRows:
    """decode_rows() with progress and notes sent to the event callback."""
    return decode_rows(
        rows, spec, lambda done, of: on_event("decode", {"done": done, "of": of}),
        keep=keep, on_note=lambda text: on_event("note", {"text": text}), files_too=files_too,
    )  # fmt: skip


def _refuse_changed(rows: pd.DataFrame) -> None:
    def check(row: tuple[str, str, str]) -> None:  # returns nothing: the bytes of all files would fill the memory
        _read_unchanged(*row, MOST_MEGAPIXELS)

    for _ in in_threads(check, zip(rows["sha256"], files_of(rows), rows["relative"], strict=True)):
        pass


def about_pixels(spec: DecodeSpec) -> dict[str, Any]:
    """Everything that determines the pixels of a file: the spec and the versions of the decoders."""
    return {
        "spec": {name: value for name, value in spec.as_dict().items() if name != "megapixels"},
        "decode": decode.VERSION,
        **decode.libraries(),
        "byteorder": sys.byteorder,
    }


def _cached(
    files: pd.DataFrame, spec: DecodeSpec, shape: tuple[int, ...], progress: Any, on_note: _OnNote | None
) -> list[CacheBlock]:
    """Blocks that cover every file: those found, and new ones for the missing files."""
    store = Store(cache_folder(), about_pixels(spec))
    found, missing = _find(store, files, on_note)
    if not len(missing):
        return found
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_locked(store, on_note))
            since, missing = _find(store, missing, on_note)  # another process may have decoded them meanwhile
            found += since
            keep = store.has_room_for(len(missing) * int(np.prod(shape)))
            why = NEARLY_FULL
        except (OSError, NotImplementedError) as error:
            keep, why = False, why_not_written(error)
        if not keep and on_note:
            on_note(f"The cache {store.folder.parent.parent} cannot be written ({why}); decoding into memory instead.")
        return found + list(_decoded(missing, spec, shape, progress, store if keep else None, on_note, len(files)))


@contextlib.contextmanager
def _locked(store: Store, on_note: _OnNote | None) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(store.lock(wait_seconds=2))
        except Timeout:
            if on_note:
                on_note("Another process is decoding images with the same preprocessing; waiting for it.")
            stack.enter_context(store.lock())
        yield


def _find(store: Store, files: pd.DataFrame, on_note: _OnNote | None) -> tuple[list[CacheBlock], pd.DataFrame]:
    """Intact blocks with the files that they hold, and the files that are in no block."""
    left, found = set(files.index), []
    for block in store.blocks():
        mine = sorted(left & block.row_of.keys())
        if not mine:
            continue
        if not block.intact(mine):
            store.drop(block)
            if on_note:
                on_note("A block of the cache was damaged; it is decoded again.")
            continue
        found.append(block.only(mine))
        left -= set(mine)
    return found, files[files.index.isin(left)]


def _decoded(
    files: pd.DataFrame, spec: DecodeSpec, shape: tuple[int, ...], progress: Any,
    store: Store | None = None, on_note: _OnNote | None = None, of: int | None = None,
) -> Iterator[CacheBlock]:  # fmt: skip
    """New blocks, on disk where a store is given and can be written, else in memory."""
    of = len(files) if of is None else of
    done = of - len(files)
    step = max(1, _BLOCK_BYTES // int(np.prod(shape))) if store else len(files)
    for start in range(0, len(files), step):
        part = files.iloc[start : start + step]
        pixels = np.empty((len(part), *shape), np.uint8)
        jobs = zip(pixels, part.index, part["file"], part["relative"], strict=True)
        for _ in in_threads(lambda job: _fill(*job, spec=spec), jobs):
            done += 1
            if progress:
                progress(done, of)
        if store is not None:
            try:
                yield store.write(list(part.index), pixels)
                continue
            except OSError as error:
                if on_note:
                    on_note(f"The cache cannot be written ({error.strerror}); decoding into memory instead.")
                store = None
        yield CacheBlock("", pixels, {sha256: row for row, sha256 in enumerate(part.index)})


def _fill(out: np.ndarray, sha256: str, path: str, relative: str, *, spec: DecodeSpec) -> None:
    with sandbox.in_turn(path):
        data = _read_unchanged(sha256, path, relative, spec.megapixels)
        try:
            out[:] = sandbox.pixels_of(data, spec)
        except DecodeError as error:
            raise _unreadable(relative, error) from None


def _read_unchanged(sha256: str, path: str, relative: str, megapixels: int) -> bytes:
    try:
        data = read_bytes(path, megapixels)
    except DecodeError as error:
        raise _unreadable(relative, error) from None
    if digest(data) != sha256:
        raise NotAsScannedError(relative, "changed since it was scanned")
    return data


def _unreadable(relative: str, error: DecodeError) -> NotAsScannedError:
    return NotAsScannedError(relative, f"cannot be read any more ({error.code}: {error.why})")
