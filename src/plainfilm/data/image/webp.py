"""Size and parts of a WebP file from its first bytes: Pillow allocates two canvases when it opens one.

Source: Google, WebP Container Specification, and RFC 6386 9.1 for VP8.
"""

from __future__ import annotations

import struct

import numpy as np

CANVASES, FRAME = 8, 4  # bytes that the decoder takes for each pixel: two canvases when it is opened, then a frame
_BESIDE = 4 * 1024 * 1024  # bytes: tables, rows


def is_webp(data: bytes) -> bool:
    """Whether a file begins as a WebP does."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def webp_size(data: bytes) -> tuple[int, int]:
    """Width and height that its header states; (0, 0) where none is found."""
    kind, head = data[12:16], data[:30].ljust(30, b"\0")
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0


def lacks_memory(data: bytes, needs: int) -> bool:
    """Whether a WebP file failed for want of memory, of which its decoder says the same as of a damaged one.

    Args:
        needs: CANVASES where it could not be opened, FRAME where it was.
    """
    width, height = webp_size(data)
    try:
        np.empty(width * height * needs + _BESIDE, np.uint8)  # reserved, not touched
    except MemoryError:
        return True
    return False
