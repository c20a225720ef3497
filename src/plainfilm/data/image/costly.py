"""What is refused because no image needs it: far too many parts, or a side that is far too long."""

from __future__ import annotations

import contextlib
import struct
from itertools import islice

from plainfilm.data.errors import MAX_SIDE, MEGAPIXELS, DecodeError, how_to_admit
from plainfilm.data.image.jpeg_markers import START_OF_FRAME, markers
from plainfilm.data.image.png_check import SIGNATURE, refuse_odd_chunks
from plainfilm.data.image.webp import is_webp, webp_size

LARGE_PIXELS = 16_000_000
_MOST_SCANS = 256  # progressive files have about 10, one of 2,000 takes 7 s
# Honest files have 5 to 15 and up to 10 scans with a table each. Large profiles and depth maps come in pieces of 64 KB:
# 255 of a colour profile (ICC.1, annex B.4), some 200 of extended XMP. 256 scans with five segments each are 1,536.
_MOST_SEGMENTS = 4096
_SCAN = 0xDA


def stated_pixels(data: bytes) -> int | None:
    """The pixels of a PNG, JPEG, WebP or BMP as its header states them; None for another format, or without a header."""
    size = (0, 0)
    with contextlib.suppress(struct.error):
        if data.startswith(b"\xff\xd8"):
            frames = (at for kind, at in islice(markers(data), _MOST_SEGMENTS) if kind in START_OF_FRAME)
            size = next((struct.unpack_from(">HH", data, at + 5) for at in frames), size)
        elif data.startswith(SIGNATURE):
            size = struct.unpack_from(">II", data, 16)
        elif is_webp(data):
            size = webp_size(data)
        elif data.startswith(b"BM"):
            size = struct.unpack_from("<ii", data, 18)
    return abs(size[0] * size[1]) or None


def refuse_costly(data: bytes, megapixels: int = MEGAPIXELS) -> None:
    """Refuse files with far more parts than an image needs, or a PNG that begins otherwise than the standard says.

    Raises:
        DecodeError: E_LIMIT, E_CORRUPT.
    """
    if data.startswith(b"\xff\xd8"):
        _refuse_parts(data)
    elif data.startswith(SIGNATURE):
        refuse_odd_chunks(data)
    elif is_webp(data):  # before Pillow opens it, which takes memory for two images
        refuse_large(*webp_size(data), megapixels)


def refuse_large(width: int, height: int, megapixels: int = MEGAPIXELS) -> None:
    """Refuse more pixels than are read, or a side that is longer than any is.

    Raises:
        DecodeError: E_LARGE, E_LIMIT.
    """
    if width * height > megapixels * 1_000_000:
        hint = how_to_admit(megapixels, -(-width * height // 1_000_000))
        raise DecodeError("E_LARGE", f"{width} x {height} pixels; at most {megapixels * 1_000_000} are read", hint)
    _refuse_long_side(width, height)


def _refuse_long_side(width: int, height: int) -> None:
    """Refuse an image that is wider or higher than any is: a row or a column of pixels takes far more memory.

    Raises:
        DecodeError: E_LIMIT.
    """
    if max(width, height) > MAX_SIDE:
        raise DecodeError("E_LIMIT", f"{width} x {height} pixels; each side may have {MAX_SIDE:,}")


def _refuse_parts(data: bytes) -> None:
    scans = 0
    for count, (kind, _) in enumerate(markers(data), 1):
        scans += kind == _SCAN
        if scans > _MOST_SCANS:
            raise DecodeError("E_LIMIT", f"a JPEG of more than {_MOST_SCANS} scans")
        if count > _MOST_SEGMENTS:
            raise DecodeError("E_LIMIT", f"a JPEG of more than {_MOST_SEGMENTS:,} segments")
