"""Compressed pixels by their own header: which codec made them, and of which size they are."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from itertools import islice

from plainfilm.data.errors import DecodeError
from plainfilm.data.image.jpeg_markers import START_OF_FRAME, markers

RLE = "1.2.840.10008.1.2.5"
JPEG, JPEG_EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_2000 = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 201, 202, 203))
_START_OF_FRAME = START_OF_FRAME | {0xF7}
# By the start of the frame (T.81 table B.1; T.87), and what each transfer syntax promises (PS3.5, 8.2 and annex A.4).
# Whoever reads extended JPEG reads baseline, and either is written under both names.
_NAMES = {0xC0: "JPEG", 0xC1: "JPEG", 0xC2: "progressive JPEG", 0xC3: "lossless JPEG", 0xF7: "JPEG-LS"}
_PROMISED: Mapping[str, str] = {
    RLE: "RLE",
    **dict.fromkeys((JPEG, JPEG_EXTENDED), "JPEG"),
    **dict.fromkeys(JPEG_LOSSLESS, "lossless JPEG"),
    **dict.fromkeys(JPEG_LS, "JPEG-LS"),
    **dict.fromkeys(JPEG_2000, "JPEG 2000"),
}


def codestream(coded: bytes) -> str:
    """The codec that made a compressed image, by its header; '' where it is none of those with a header."""
    if coded[:4] == b"\xff\x4f\xff\x51" or coded[4:8] == b"jP  ":  # sometimes in its file format
        return "JPEG 2000"
    return _NAMES.get(coded[_frame(coded) + 1], "another JPEG") if coded[:3] == b"\xff\xd8\xff" else ""


def refuse_another(coded: bytes, syntax: str) -> None:
    """Refuse a codestream that is not the one of the transfer syntax: some decoders take whatever they find.

    Raises:
        DecodeError: E_CORRUPT.
    """
    found, promised = codestream(coded), _PROMISED[syntax]
    if found != promised and (found or promised != "RLE"):  # RLE has no mark of its own
        raise DecodeError(
            "E_CORRUPT", f"found {found or 'no codestream'}, expected {promised} by the transfer syntax of the file"
        )


def coded_size(coded: bytes) -> tuple[int, int]:
    """Height and width in the codestream's own header, which decoders use whatever the data set says."""
    if coded[:2] == b"\xff\xd8":
        return struct.unpack_from(">HH", coded, _frame(coded) + 5)
    at = coded.index(b"jp2c") + 4 if coded[4:8] == b"jP  " else 0
    width, height, left, top = struct.unpack_from(">4I", coded, at + 8)
    return height - top, width - left


def _frame(coded: bytes) -> int:
    """The place of the start of the frame, behind the first segments of a JPEG."""
    for kind, at in islice(markers(coded), 1000):
        if kind in _START_OF_FRAME:
            return at
    raise DecodeError("E_CORRUPT", "the compressed image has no size")
