"""A PNG of pixels as they are, without compression: the same bytes on every system and with every version of zlib.

The hash of such a file names an image in a run, and must be the same when the archive is unpacked again.
Source: W3C, Portable Network Graphics (third edition); RFC 1950 and 1951, stored blocks.
"""

from __future__ import annotations

import struct
import zlib

_BLOCK = 65_535


def stored_png(pixels: bytes, width: int, height: int, channels: int) -> bytes:
    """The file for uint8 pixels (height, width, channels), row by row; 1 channel is grey, 3 are RGB."""
    row = width * channels
    body = b"".join(b"\0" + pixels[i * row : (i + 1) * row] for i in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", _zlib(body)) + _chunk(b"IEND", b"")


def _zlib(body: bytes) -> bytes:
    blocks = [body[at : at + _BLOCK] for at in range(0, len(body), _BLOCK)]
    last = len(blocks) - 1
    stored = [struct.pack("<BHH", i == last, len(block), len(block) ^ 0xFFFF) + block for i, block in enumerate(blocks)]
    return b"\x78\x01" + b"".join(stored) + struct.pack(">I", zlib.adler32(body))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
