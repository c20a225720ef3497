"""PGM and PPM files: the pixels of P2, P3, P5 and P6 in the grey scale that their header states (`maxval`).

Pillow finds the header. Its own decoder takes a minute for a large file whose maxval is not 255, rounds twice above 255,
and reads other kinds of file (PBM, PFM) that are not images of this project. Source: netpbm, pgm(5) and ppm(5).
"""

from __future__ import annotations

import re

import numpy as np
from PIL import Image

from plainfilm.data.errors import DecodeError
from plainfilm.data.image.costly import LARGE_PIXELS
from plainfilm.data.image.modes import DEPTHS, SHALLOW_COLOUR

BAD_HEADER = "no header of a PGM or PPM: width, height and a maxval of 1 to 65535 are expected"
_MAGIC = re.compile(rb"P[2356][\s#]")
_COMMENT = re.compile(rb"#[^\r\n]*")
_NO_NUMBER = re.compile(rb"[^0-9\s]|[0-9]{6}")
_NEXT = re.compile(rb"\s*P[1-7]\s")
_FULL = 65535  # written by default for 16 bits, whatever is used of them: it states no depth


def is_pnm(data: bytes) -> bool:
    """Whether a file begins as a PGM or PPM does."""
    return _MAGIC.match(data) is not None


def read_pnm(header: Image.Image, data: bytes) -> Image.Image:
    """The pixels of an opened PGM or PPM: mode L or RGB, and I;16 for grey with a maxval of 65535.

    Any other maxval is white, so that its pixels are scaled to 0..255. Of 16-bit colour the high bytes are kept, as
    Pillow does with a PNG. `info` gets what inspect() takes from it.

    Raises:
        DecodeError: E_CORRUPT cut off or no numbers; E_VALUES above maxval; E_BITS shallow colour; E_FRAMES; E_LIMIT a long text.
    """
    tile = header.tile[0]  # type: ignore[attr-defined] # what a file opened by Pillow has
    channels = 1 if data[1:2] in b"25" else 3
    top = _maxval(tile.args)
    wanted = header.width * header.height * channels
    values = (_text if data[1:2] in b"23" else _binary)(data, tile.offset, wanted, top)
    highest = int(values.max())
    if channels == 3 and top == _FULL and highest < 2 ** DEPTHS[-2]:  # as of a PNG: its high bytes are almost black
        raise DecodeError("E_BITS", SHALLOW_COLOUR)
    if highest > top:
        raise DecodeError("E_VALUES", f"values above {top}, the largest that its header allows")
    shape = (header.height, header.width) if channels == 1 else (header.height, header.width, 3)
    image = Image.fromarray(_as_stored(values, top, channels).reshape(shape))
    image.info |= {"plainfilm_depth": 8 if top <= 255 else top.bit_length(), "plainfilm_quantisation": 0}
    return image


def _maxval(args: object) -> int:
    """From Pillow's arguments to its decoder: (raw mode, maxval), or only a raw mode where that says it."""
    return int(args[1]) if isinstance(args, tuple) else _FULL if args == "I;16B" else 255


def _as_stored(values: np.ndarray, top: int, channels: int) -> np.ndarray:
    """uint8, or uint16 where the depth is that of the whole data set."""
    if top == 255:
        return values.astype(np.uint8)
    if top == _FULL:
        return values.astype(np.uint16) if channels == 1 else (values >> 8).astype(np.uint8)
    table = np.rint(np.arange(top + 1) * 255.0 / top).astype(np.uint8)  # no float copy of the whole image
    scaled: np.ndarray = table[values]
    return scaled


def _binary(data: bytes, at: int, wanted: int, top: int) -> np.ndarray:
    kind = np.dtype(np.uint8 if top <= 255 else ">u2")
    end = at + wanted * kind.itemsize
    if len(data) < end:
        raise _cut_off()
    _refuse_another(data[end : end + 16])
    return np.frombuffer(data, kind, wanted, at)


def _text(data: bytes, at: int, wanted: int, top: int) -> np.ndarray:
    if wanted > LARGE_PIXELS:
        raise DecodeError(
            "E_LIMIT", f"{wanted:,} numbers as text; at most {LARGE_PIXELS:,}, save it as binary (P5, P6)"
        )
    text = _COMMENT.sub(b"", data[at:])
    # checked first: numpy takes 99999999999 for another number, and only warns of what is none
    values = np.empty(0) if _NO_NUMBER.search(text) else np.fromstring(text.decode("ascii"), np.int32, sep=" ")
    if len(values) < wanted:
        raise _cut_off()
    return values[:wanted]


def _refuse_another(rest: bytes) -> None:
    if _NEXT.match(rest):
        raise DecodeError("E_FRAMES", "several images in one file; one image per file is expected")


def _cut_off() -> DecodeError:
    return DecodeError("E_CORRUPT", "cut off: fewer numbers than its header states, or others")
