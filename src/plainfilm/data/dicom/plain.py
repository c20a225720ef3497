"""Which DICOM files are provably cheap to read: uncompressed, with few elements and few bytes beside the pixels.

Elements are taken as pydicom takes them, one by one; where it might take them otherwise, the walk gives up.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice

_PLAIN = {  # the uncompressed transfer syntaxes: byte order, explicit VR
    b"1.2.840.10008.1.2": ("<", False),
    b"1.2.840.10008.1.2.1": ("<", True),
    b"1.2.840.10008.1.2.2": (">", True),
}
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # VRs with a length of four bytes (PS3.5, 7.1.2)
_MOST_META = 64  # group 2 has 17 elements
_MOST_ELEMENTS, _DEEPEST = 2_000, 16  # a radiograph has 60 to 300
_MOST_BESIDE = 64 * 1024  # bytes that are not pixels; pydicom makes objects of them, of up to 32,000 numbers
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_SYNTAX, _SIDES, _PIXEL_GROUP = 0x00020010, (0x00280010, 0x00280011), 0x7FE0
_PIXEL_VRS = frozenset((b"OB", b"OW", b"OF", b"OD", b""))  # of others pydicom makes an object a value
_PALETTES = range(0x00281200, 0x00281300)  # segmented ones unfold
_Element = tuple[int, bytes, int, int]  # tag, VR, place and length of the value


def is_coded_dicom(data: bytes) -> bool:
    """Whether its pixels are compressed by a codec of its own, which takes longer a byte: JPEG 2000, JPEG-LS ..."""
    try:
        return data[128:132] == b"DICM" and b".1.2.4." in _meta(data)[0]
    except (struct.error, ValueError):
        return False


def largest_if_plain(data: bytes) -> int | None:
    """Pixels of a DICOM file that is uncompressed, well-formed and has few elements; None of any other.

    Raises:
        struct.error, ValueError: as it ends, or is not well-formed.
    """
    syntax, at = _meta(data)
    order, explicit = _PLAIN.get(syntax, ("", True))
    if not order or (not explicit and _is_vr(data[at + 4 : at + 6])):  # pydicom then reads it as explicit
        return None
    sides, pixels = dict.fromkeys(_SIDES, 0), 0
    for count, (tag, vr, start, length) in enumerate(islice(_elements(data, at, order, explicit), _MOST_ELEMENTS + 1)):
        are_pixels = tag >> 16 == _PIXEL_GROUP
        if count == _MOST_ELEMENTS or tag in _PALETTES or (are_pixels and vr not in _PIXEL_VRS):
            return None
        if tag in sides:
            sides[tag] = max(sides[tag], _word(data[start : start + length], order, vr))
        elif are_pixels:
            pixels = max(pixels, length)
    rows, columns = sides.values()
    return rows * columns if len(data) - pixels <= _MOST_BESIDE else None


def _word(value: bytes, order: str, vr: bytes) -> int:
    if vr not in (b"US", b""):
        raise ValueError("a side that is not of one word")
    return int(struct.unpack(order + "H", value)[0])


def _is_vr(letters: bytes) -> bool:
    return letters.isalpha() and letters.isupper()


def _meta(data: bytes) -> tuple[bytes, int]:
    """The transfer syntax that group 2 names, and where it ends (PS3.10, 7.1: explicit VR, little endian).

    Raises:
        struct.error, ValueError: not well-formed, or not exactly one.
    """
    at, found = 132, []
    for _ in range(_MOST_META):
        if data[at : at + 2] != b"\x02\x00":
            break
        tag, _, start, length = _element(data, at, "<", explicit=True)
        at = start + length
        if tag == _SYNTAX:
            found.append(data[start:at].rstrip(b"\0 "))
    if len(found) != 1 or at > len(data) or data[at : at + 2] == b"\x02\x00":
        raise ValueError("not one transfer syntax")
    return found[0], at


def _element(data: bytes, at: int, order: str, *, explicit: bool) -> _Element:
    """The element at a place; items and delimiters have no VR."""
    group, number = struct.unpack_from(order + "HH", data, at)
    vr = data[at + 4 : at + 6] if explicit and group != _ITEM >> 16 else b""
    if vr and not _is_vr(vr):
        raise ValueError("no VR")
    if vr and vr not in _LONG:
        return group << 16 | number, vr, at + 8, struct.unpack_from(order + "H", data, at + 6)[0]
    at += 4 if vr else 0  # two letters and two reserved bytes
    return group << 16 | number, vr, at + 8, struct.unpack_from(order + "I", data, at + 4)[0]


def _elements(data: bytes, at: int, order: str, explicit: bool) -> Iterator[_Element]:
    """Each element that pydicom reads: those within sequences too, and the items there."""
    levels = [(False, False, len(data))]  # holds items, ends with a delimiter, ends at the latest
    while levels:
        holds_items, delimited, end = levels[-1]
        if at == end and not delimited:
            levels.pop()
            continue
        tag, vr, at, length = found = _element(data, at, order, explicit=explicit)
        if delimited and tag == (_SEQUENCE_END if holds_items else _ITEM_END):
            levels.pop()
            continue
        if holds_items is not (tag == _ITEM):
            raise ValueError("out of place")
        yield found
        if tag == _ITEM or length == _UNDEFINED or vr == b"SQ":
            levels.append(_entered(tag, vr, at, length, end))
        else:
            at += length
        if at > end or levels[-1][2] > end or len(levels) > _DEEPEST:
            raise ValueError("beyond its end")


def _entered(tag: int, vr: bytes, at: int, length: int, end: int) -> tuple[bool, bool, int]:
    """The level below an item or a sequence."""
    if tag != _ITEM and vr != b"SQ":  # pydicom asks its dictionary, or searches for the end
        raise ValueError("of undefined length")
    return tag != _ITEM, length == _UNDEFINED, end if length == _UNDEFINED else at + length
