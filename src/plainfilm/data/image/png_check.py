"""Checks that a PNG begins with its header and is complete; Pillow does neither."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from plainfilm.data.errors import DecodeError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_CHUNKS = 100_000
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# first column, first row and their steps, of each pass of an interlaced image
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind of each chunk, place and length of its body, up to the end marker or the end of the file."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at + 8, length
        if kind == b"IEND":
            return
        at += 12 + length


def refuse_odd_chunks(data: bytes) -> None:
    """Refuse a PNG of far too many chunks, and one whose first chunk is not its only header: Pillow takes the last of
    several, so that what the first one says is not what is read.

    Raises:
        DecodeError: E_LIMIT, E_CORRUPT.
    """
    for count, (kind, _, length) in enumerate(chunks(data)):
        if (count == 0) != (kind == b"IHDR") or (count == 0 and length != 13):
            raise DecodeError("E_CORRUPT", "a PNG with IHDR elsewhere than in its first chunk, and only there")
        if count == _MOST_CHUNKS:
            raise DecodeError("E_LIMIT", f"a PNG of more than {_MOST_CHUNKS:,} chunks")


def refuse_short_png(data: bytes) -> None:
    """Refuse a PNG whose stream ends before its last row: if all checksums hold, Pillow accepts it and leaves the rest
    black. Its first chunk is its header (refuse_odd_chunks)."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    wanted = 0
    for x, y, step_x, step_y in passes:
        columns, rows = -(-(width - x) // step_x), -(-(height - y) // step_y)
        if columns > 0 and rows > 0:
            wanted += rows * (1 + -(-columns * depth * _PNG_CHANNELS[colour] // 8))
    held, ended = _png_body(data, wanted)
    if held < wanted or not ended:
        raise DecodeError("E_CORRUPT", "cut off: the image or the file ends too early")


def _png_body(data: bytes, enough: int) -> tuple[int, bool]:
    """How many bytes the IDAT chunks hold, counted up to `enough` and never kept; and whether the end marker is there."""
    inflater, found = zlib.decompressobj(), 0
    for kind, start, length in chunks(data):
        if kind == b"IEND":
            return found, True
        left = data[start : start + length] if kind == b"IDAT" else b""
        while left and found < enough:
            found += len(inflater.decompress(left, 1 << 20))
            left = inflater.unconsumed_tail
    return found, False
