"""Files that take far more time or memory than their size suggests, seen in their first bytes and markers.

Nothing is decoded here. What no image needs is refused at once; what a few images need is left to the caller to fence.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import islice

from plainfilm.data.errors import MAX_PIXELS, MAX_SIDE, DecodeError
from plainfilm.data.image.webp import is_animated, is_webp, webp_size

LARGE_PIXELS = 16_000_000
_MOST_SCANS, _MANY_SCANS = 256, 16  # progressive files have about 10, one of 2,000 takes 7 s
_MOST_CHUNKS, _MANY_CHUNKS = 100_000, 10_000
_MUCH_LARGER = 64  # pixels a byte; photographs and radiographs have 2 to 15
_SMALL_PIXELS = 4_000_000  # decoded in a tenth of a second, whatever they hold
_PLAIN = (b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.2")  # DICOM without compression
_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_PNM = (b"P2", b"P3", b"P5", b"P6")
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # within coded data FF is followed by 00 or a restart
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9


def refuse_costly(data: bytes) -> None:
    """Refuse files with far more parts than an image needs.

    Raises:
        DecodeError: E_LIMIT.
    """
    if data.startswith(_JPEG) and _scans(data, _MOST_SCANS) > _MOST_SCANS:
        raise DecodeError("E_LIMIT", f"a JPEG of more than {_MOST_SCANS} scans")
    if data.startswith(_PNG) and _chunks(data, _MOST_CHUNKS) > _MOST_CHUNKS:
        raise DecodeError("E_LIMIT", f"a PNG of more than {_MOST_CHUNKS:,} chunks")
    if is_webp(data):  # before Pillow opens it, which takes memory for two images
        refuse_large(*webp_size(data))


def refuse_large(width: int, height: int) -> None:
    """Refuse more pixels than are read, or a side that is longer than any is.

    Raises:
        DecodeError: E_LARGE, E_LIMIT.
    """
    if width * height > MAX_PIXELS:
        raise DecodeError("E_LARGE", f"{width} x {height} pixels; at most {MAX_PIXELS} are read")
    refuse_long_side(width, height)


def refuse_long_side(width: int, height: int) -> None:
    """Refuse an image that is wider or higher than any is: a row or a column of pixels takes far more memory.

    Raises:
        DecodeError: E_LIMIT.
    """
    if max(width, height) > MAX_SIDE:
        raise DecodeError("E_LIMIT", f"{width} x {height} pixels; each side may have {MAX_SIDE:,}")


def may_cost(data: bytes) -> bool:
    """Whether decoding may take seconds or hundreds of megabytes: by its pixels, its parts or its compression."""
    if data[128:132] == b"DICM":
        return _syntax(data) not in _PLAIN or len(data) > 2 * LARGE_PIXELS
    if data.startswith(_JPEG):
        return _is_large(_jpeg_size(data), len(data)) or _scans(data, _MANY_SCANS) > _MANY_SCANS
    if data.startswith(_PNG):
        width, height = struct.unpack_from(">II", data.ljust(24, b"\0"), 16)
        return _is_large(width * height, len(data)) or _chunks(data, _MANY_CHUNKS) > _MANY_CHUNKS
    if data.startswith(b"BM"):
        width, height = struct.unpack_from("<ii", data.ljust(26, b"\0"), 18)
        return _is_large(abs(width * height), len(data))
    if is_webp(data):
        width, height = webp_size(data)
        return is_animated(data) or _is_large(width * height, len(data))
    if data.startswith(_PNM):
        return len(data) > LARGE_PIXELS  # as binary, a byte or more for each pixel
    return data.startswith((b"II", b"MM"))  # TIFF; anything else is no image, which is seen at once


def is_coded_dicom(data: bytes) -> bool:
    """Whether its pixels are compressed by a codec of its own, which takes longer a byte: JPEG 2000, JPEG-LS ..."""
    return data[128:132] == b"DICM" and b".1.2.4." in _syntax(data)


def _is_large(pixels: int, size: int) -> bool:
    return pixels > LARGE_PIXELS or (pixels > _SMALL_PIXELS and pixels > _MUCH_LARGER * size)


def _markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Place and kind of each marker of a JPEG, up to its end."""
    at = 2
    while found := _MARKER.search(data, at):
        at, kind = found.start(), data[found.start() + 1]
        if kind == _END:
            return
        yield at, kind
        length = struct.unpack_from(">H", data[at + 2 : at + 4].ljust(2, b"\0"))[0]
        at += 2 if kind in (0x01, 0xD8) else 2 + max(2, length)


def _scans(data: bytes, most: int) -> int:
    """How many scans a JPEG has, counted up to one more than `most`."""
    return sum(1 for _ in islice((kind for _, kind in _markers(data) if kind == _SCAN), most + 1))


def _jpeg_size(data: bytes) -> int:
    """Pixels by the header of the frame, which comes before the first scan; 0 without one."""
    for at, kind in islice(_markers(data), 10_000):
        if kind in _FRAMES:
            height, width = struct.unpack_from(">HH", data[at + 5 : at + 9].ljust(4, b"\0"))
            return int(width * height)
    return 0


def _chunks(data: bytes, most: int) -> int:
    """How many chunks a PNG has, counted up to one more than `most`."""
    at, count = len(_PNG), 0
    while at + 12 <= len(data) and count <= most:
        at += 12 + struct.unpack_from(">I", data, at)[0]
        count += 1
    return count


def _syntax(data: bytes) -> bytes:
    """The transfer syntax that a DICOM file names in its first kilobytes; b'' where it is not found."""
    found = re.search(rb"\x02\x00\x10\x00UI(..)([0-9.]{1,64})", data[132 : 132 + 4096], re.DOTALL)
    return found[2][: int.from_bytes(found[1], "little")] if found else b""
