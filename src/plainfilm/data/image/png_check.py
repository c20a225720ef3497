"""Checks that a PNG is complete; Pillow does not."""

from __future__ import annotations

import struct
import zlib

from plainfilm.data.errors import DecodeError

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# first column, first row and their steps, of each pass of an interlaced image
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def refuse_short_png(data: bytes) -> None:
    """Refuse a PNG whose stream ends before its last row: if all checksums hold, Pillow accepts it and leaves the rest
    black."""
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
    inflater, found, at = zlib.decompressobj(), 0, 8
    while at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"IEND":
            return found, True
        left = data[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        while left and found < enough:
            found += len(inflater.decompress(left, 1 << 20))
            left = inflater.unconsumed_tail
        at += 12 + length
    return found, False
