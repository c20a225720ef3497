"""The markers of a JPEG as libjpeg finds them. Whoever walks a JPEG walks here: two walks that differ hide a frame."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

# Bytes that are no marker are skipped, FF before a marker is padding (T.81, B.1.1.2), FF 00 is coded data.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_END, _WITHOUT_LENGTH = 0xD9, (0x01, 0xD8)


def markers(data: bytes) -> Iterator[tuple[int, int]]:
    """Kind (0..255) and place of each marker from byte 2 to the end of the image; the place is that of its last FF.

    Restarts are left out: they have no length and no meaning outside coded data.
    """
    at = 2
    while found := _MARKER.search(data, at):
        at, kind = found.start(), data[found.start() + 1]
        if kind == _END:
            return
        yield kind, at
        at += 2 if kind in _WITHOUT_LENGTH else 2 + max(2, segment_length(data, at))


def segment_length(data: bytes, at: int) -> int:
    """The length that the segment at this place gives itself, with its own two bytes; less than that at the end."""
    return int(struct.unpack(">H", data[at + 2 : at + 4].ljust(2, b"\0"))[0])
