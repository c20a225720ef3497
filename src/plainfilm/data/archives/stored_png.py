"""A PNG of pixels as they are, without compression: the same bytes on every system and with every version of zlib.

The hash of such a file names an image in a run, and must be the same when the archive is unpacked again.
Source: W3C, Portable Network Graphics (third edition); RFC 1950 and 1951, stored blocks.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterable, Iterator

_BLOCK = 65_535


def stored_png(rows: Iterable[bytes], width: int, height: int, channels: int) -> Iterator[bytes]:
    """The file in parts, for uint8 pixels (height, width, channels) in parts of whole rows; 1 channel is grey, 3 are RGB.

    Nothing larger than a part is held: an image may have 192 MB.
    """
    head = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    yield b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head)
    size = height * (width * channels + 1)
    yield struct.pack(">I", 2 + size + 5 * -(-size // _BLOCK) + 4)
    crc = 0
    for part in itertools.chain([b"IDAT"], _zlib(_blocks(rows, width * channels), size)):
        crc = zlib.crc32(part, crc)
        yield part
    yield struct.pack(">I", crc) + _chunk(b"IEND", b"")


def _blocks(parts: Iterable[bytes], row: int) -> Iterator[bytes]:
    """The rows, each after the byte of no filter, in blocks of one length; the last is shorter."""
    rest = b""
    for part in parts:
        rest += b"".join(b"\0" + part[at : at + row] for at in range(0, len(part), row))
        whole = len(rest) // _BLOCK * _BLOCK
        yield from (rest[at : at + _BLOCK] for at in range(0, whole, _BLOCK))
        rest = rest[whole:]
    if rest:
        yield rest


def _zlib(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    yield b"\x78\x01"
    adler = 1
    for block in blocks:
        size -= len(block)
        adler = zlib.adler32(block, adler)
        yield struct.pack("<BHH", size == 0, len(block), len(block) ^ 0xFFFF) + block
    yield struct.pack(">I", adler)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
