"""may_cost(): which files may take seconds or hundreds of megabytes to decode. Nothing is decoded here.

False is a proof, not a guess: the format is known, its start well-formed, its parts are few and of kinds that are known
to be cheap, and the bytes are in proportion to the pixels. The check itself is bounded: some thousand parts one by one,
and bytes.count() in at most 32 MB.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from itertools import islice

from plainfilm.data.dicom.plain import largest_if_plain
from plainfilm.data.image.costly import LARGE_PIXELS
from plainfilm.data.image.jpeg_markers import markers, segment_length
from plainfilm.data.image.png_check import SIGNATURE, chunks
from plainfilm.data.image.webp import is_webp, webp_size

MOST_BYTES = 32 * 1024 * 1024  # as many as 16 million pixels of 16 bits take
_MUCH_LARGER = 64  # pixels a byte; photographs and radiographs have 2 to 15
_MOST_A_PIXEL = 8  # bytes: four samples of 16 bits
_SMALL_PIXELS = 4_000_000  # decoded in a tenth of a second, whatever they hold
_BESIDE = 1024 * 1024  # bytes beside the pixels: tables, profiles, EXIF
_MOST_HEAD = 128 * 1024  # bytes before the first scan; Pillow walks Photoshop's resources one by one
_MOST_SEGMENTS = 100  # before the first scan; files of cameras have up to 40, of a scanner 10
_MOST_SCANS, _SCANNED_PIXELS = 16, 4 * LARGE_PIXELS  # progressive files have about 10; each takes time for all pixels
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_SCAN, _APP1, _APP2, _COMMENT = 0xDA, 0xE1, 0xE2, 0xFE
# with tables and restart interval; Pillow takes others for no segment, and reads what is in them
_KNOWN_SEGMENTS = frozenset({*_FRAMES, 0xC4, _SCAN, 0xDB, 0xDD, *range(0xE0, 0xF0), _COMMENT})
_MOST_CHUNKS, _MOST_PACKED = 4096, 8
_PACKED_TEXT = (b"zTXt", b"iTXt")  # each inflates to a megabyte
_MOST_PROFILES = 1  # Pillow inflates each, up to a megabyte
_KNOWN_CHUNKS = frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB bKGD hIST pHYs sPLT tIME eXIf tEXt zTXt iTXt".split()
)
_MOST_EXIF, _MOST_ENTRIES = 65_536, 512  # older versions of Pillow copy the value of each entry, shared or not
_BELOW = (0x8769, 0x8825, 0xA005)  # directories within a directory
_MOST_PNM_HEAD = 1024  # bytes; Pillow reads comments one by one
_PNM_COMMENT, _PNM_HEAD = re.compile(rb"#[^\r\n]*[\r\n]"), re.compile(rb"P([56])\s+(\d{1,5})\s+(\d{1,5})\s+\d{1,5}\s")
_LOSSLESS_PIXELS = 256 * 256  # of a WebP: each 4 x 4 may have its own tables, of 6 KB
_BMP_HEADERS, _BMP_UNPACKED = (40, 52, 56, 108, 124), (0, 3)


def may_cost(data: bytes) -> bool:
    """Whether decoding may take seconds or hundreds of megabytes; False only where it provably does not."""
    check = _is_cheap_dicom if data[128:132] == b"DICM" else _check_of(data)
    if check is None:
        return False  # none of the formats: refused by its first bytes
    try:
        return len(data) > MOST_BYTES or not check(data)
    except (struct.error, ValueError):
        return True  # not well-formed


def _check_of(data: bytes) -> Callable[[bytes], bool] | None:
    starts = {b"\xff\xd8": _is_cheap_jpeg, SIGNATURE: _is_cheap_png, b"BM": _is_cheap_bmp}
    if data.startswith((b"II", b"MM")):
        return lambda _: False  # TIFF is never cheap: directories, tiles and a dozen codecs
    if is_webp(data):
        return _is_cheap_webp
    if data[:1] == b"P" and data[1:2] in (b"2", b"3", b"5", b"6"):
        return _is_cheap_pnm
    return next((check for start, check in starts.items() if data.startswith(start)), None)


def _in_proportion(pixels: int, size: int) -> bool:
    """Pixels and bytes of a file whose decoder takes time for both."""
    few = pixels <= _SMALL_PIXELS or pixels <= min(LARGE_PIXELS, _MUCH_LARGER * size)
    return few and size <= _MOST_A_PIXEL * pixels + _BESIDE


def _is_cheap_dicom(data: bytes) -> bool:
    pixels = largest_if_plain(data)
    return pixels is not None and pixels <= LARGE_PIXELS


def _is_cheap_bmp(data: bytes) -> bool:
    header, width, height, _, _, packing = struct.unpack_from("<IiiHHI", data, 14)
    return header in _BMP_HEADERS and packing in _BMP_UNPACKED and _in_proportion(abs(width * height), len(data))


def _is_cheap_webp(data: bytes) -> bool:
    """A simple file: an extended one has a canvas of another size than its parts, EXIF data, or an animation."""
    width, height = webp_size(data)
    most = {b"VP8 ": LARGE_PIXELS, b"VP8L": _LOSSLESS_PIXELS}.get(data[12:16], 0)
    return 0 < width * height <= most and _in_proportion(width * height, len(data))


def _is_cheap_pnm(data: bytes) -> bool:
    """A binary one; numbers as text are not."""
    found = _PNM_HEAD.match(_PNM_COMMENT.sub(b"", data[:_MOST_PNM_HEAD]))
    return found is not None and _in_proportion(int(found[2]) * int(found[3]), len(data))


def _is_cheap_jpeg(data: bytes) -> bool:
    pixels, first = _jpeg_start(data)
    scans = data.count(b"\xff\xda", first)  # within coded data FF is followed by 00 or a restart
    return scans <= _MOST_SCANS and scans * pixels <= _SCANNED_PIXELS and _in_proportion(pixels, len(data))


def _jpeg_start(data: bytes) -> tuple[int, int]:
    """Pixels of a JPEG and the place of its first scan, where segment follows segment without a byte between them.

    Raises:
        struct.error, ValueError: anything else.
    """
    head, end, exif = data[: _MOST_HEAD + 65_537], 2, 0  # a segment has at most 65,537 bytes
    sizes: list[int] = []
    for kind, at in islice(markers(head), _MOST_SEGMENTS):
        length = segment_length(head, at)
        body = head[at + 4 : at + 2 + length]
        if at != end or at > _MOST_HEAD or length < 2 or not _is_known_segment(kind, body):
            break
        exif += kind == _APP1 and body.startswith(b"Exif\0\0")
        if kind == _SCAN:
            if len(sizes) == 1 and exif <= 1:
                return sizes[0], at
            break
        if kind in _FRAMES:
            height, width = struct.unpack_from(">HH", body, 1)
            sizes.append(width * height)
        end = at + 2 + length
    raise ValueError("no plain JPEG")


def _is_known_segment(kind: int, body: bytes) -> bool:
    """Whether a segment has a length, and Pillow takes no more than its bytes' time for it."""
    if kind == _APP1 and body.startswith(b"Exif\0\0"):
        return _is_small_exif(body[6:])
    if kind == _APP2 and body.startswith(b"MPF\0"):
        return False  # several images
    return kind in _KNOWN_SEGMENTS


def _is_cheap_png(data: bytes) -> bool:
    found = list(islice(chunks(data), _MOST_CHUNKS + 1))
    kinds = [kind for kind, _, _ in found]
    beside = sum(length for kind, _, length in found if kind != b"IDAT")
    if kinds[:1] != [b"IHDR"] or kinds.count(b"IHDR") != 1 or not _KNOWN_CHUNKS.issuperset(kinds):
        return False
    if len(found) > _MOST_CHUNKS or beside > _BESIDE or sum(map(kinds.count, _PACKED_TEXT)) > _MOST_PACKED:
        return False
    if kinds.count(b"iCCP") > _MOST_PROFILES:
        return False
    if not all(_is_cheap_chunk(kind, data[start : start + length]) for kind, start, length in found):
        return False
    width, height = struct.unpack_from(">II", data, 16)
    return _in_proportion(width * height, len(data))


def _is_cheap_chunk(kind: bytes, body: bytes) -> bool:
    if kind == b"eXIf":
        return _is_small_exif(body)
    return not kind.endswith(b"Xt") or b"exif" not in body[:79].lower()  # a text may hold EXIF data as well


def _is_small_exif(tiff: bytes) -> bool:
    """Whether EXIF data have few entries, in the directories that Pillow reads."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) > _MOST_EXIF:
        return False
    entries, places = 0, [struct.unpack_from(order + "I", tiff, 4)[0]]
    for place in places:  # grows
        count = struct.unpack_from(order + "H", tiff, place)[0]
        entries += count
        if entries > _MOST_ENTRIES or len(places) > 1 + len(_BELOW):
            return False
        for i in range(count):
            tag, kind, values, value = struct.unpack_from(order + "HHII", tiff, place + 2 + 12 * i)
            if tag in _BELOW:
                if (kind, values) != (4, 1):  # not one offset
                    return False
                places.append(value)
    return True
