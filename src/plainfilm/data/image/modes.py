"""An opened image of any mode -> uint8 grey or RGB, and facts about its pixels.

Images are processed strip by strip: a whole second copy of the largest one would double its memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

import numpy as np
from PIL import Image, ImageChops

from plainfilm.data.errors import DecodeError

DEPTHS = (8, 10, 12, 14, 16)
NO_DEPTH = "more than 8 bits, but no bit depth is set"
SHALLOW_COLOUR = "16-bit colour with at most 14 bits in use; save it as 16-bit grey or as 8-bit colour"
DEPTH_OF_MODE = {"1": 1, "I": 16, "I;16": 16, "I;16B": 16, "I;16L": 16, "I;16N": 16, "F": 32}
_GREY_TOLERANCE = 8  # channels that differ by less are one grey image after JPEG's colour rounding
_STRIP_PIXELS = 1_000_000


def _strips(image: Image.Image) -> Iterator[Image.Image]:
    """The image from top to bottom in parts of at most _STRIP_PIXELS."""
    rows = max(1, _STRIP_PIXELS // image.width)
    if rows >= image.height:
        yield image
        return
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def content_of(image: Image.Image, grey: bool) -> tuple[str, int | None]:
    """Digest of the decoded pixels (hexadecimal; shape, depth and values), and the largest of integers above 8 bits."""
    seen, deep_max = hashlib.blake2b(digest_size=16), None
    for i, strip in enumerate(_strips(image)):
        deep = _deep_values(strip)
        if deep is not None:
            pixels, deep_max = deep, max(deep_max or 0, int(deep.max()))
        elif strip.mode == "F":
            pixels = np.asarray(strip)
        else:
            pixels = to_uint8(strip, 1 if grey else 3, None)
        if i == 0:
            seen.update(f"{pixels.dtype.str} {image.size} {pixels.shape[2:]} ".encode())
        seen.update(np.ascontiguousarray(pixels).data)
    return seen.hexdigest(), deep_max


def _deep_values(image: Image.Image) -> np.ndarray | None:
    """Integers above 8 bits as they are stored, (h, w); None for 8-bit and float images."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        return np.asarray(image)
    return None


def is_grey(image: Image.Image) -> bool:
    """True when colour carries no information: one channel, or channels equal within JPEG's colour rounding."""
    if image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16"):
        return True
    return all(_is_grey_strip(strip) for strip in _strips(image))


def _is_grey_strip(strip: Image.Image) -> bool:
    red, green, blue = strip.convert("RGB").split()
    gaps = (ImageChops.difference(a, b) for a, b in ((red, green), (green, blue), (red, blue)))
    return all(np.max(gap.getextrema()) <= _GREY_TOLERANCE for gap in gaps)


def smallest_depth(deep_max: int) -> int:
    """The smallest usual bit depth that holds `deep_max`.

    Raises:
        DecodeError: more than 16 bits.
    """
    for bits in DEPTHS:
        if deep_max < 2**bits:
            return bits
    raise DecodeError("E_BITS", f"values up to {deep_max}; at most 16 bits are read")


def to_uint8(image: Image.Image, channels: Literal[1, 3], bits: int | None) -> np.ndarray:
    """The image as uint8 (h, w) or (h, w, 3), transparency over black.

    Pillow's own convert() would clip 16-bit pixels at 255: 99.6 % of them would turn white.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        scale = _scale_float if image.mode == "F" else partial(_scale_deep, bits=bits)
        grey = _by_strips(image, 1, lambda strip: scale(np.asarray(strip)))
    elif image.mode == "L" and "transparency" not in image.info:
        grey = np.asarray(image)
    else:
        return _from_colour(image, channels)
    return with_channels(grey, channels)


def with_channels(pixels: np.ndarray, channels: Literal[1, 3]) -> np.ndarray:
    """uint8 (h, w) or (h, w, 3) as grey (h, w) or RGB (h, w, 3)."""
    if pixels.ndim == 2:
        return pixels if channels == 1 else np.repeat(pixels[..., None], 3, axis=2)
    return pixels if channels == 3 else np.asarray(Image.fromarray(pixels, "RGB").convert("L"))


def _scale_deep(values: np.ndarray, bits: int | None) -> np.ndarray:
    if bits is None:
        raise DecodeError("E_BITS", NO_DEPTH, "; give --bits 10, 12, 14 or 16")
    top = 2**bits - 1
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > top:
        raise DecodeError("E_BITS", f"values {low} to {high}; {bits} bits hold 0 to {top}")
    scaled: np.ndarray = np.rint(values * (255.0 / top)).astype(np.uint8)
    return scaled


def _scale_float(values: np.ndarray) -> np.ndarray:
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise DecodeError("E_VALUES", "float pixels outside 0..1")
    scaled: np.ndarray = np.rint(values * 255.0).astype(np.uint8)
    return scaled


def _from_colour(image: Image.Image, channels: Literal[1, 3]) -> np.ndarray:
    return _by_strips(image, channels, lambda strip: _flat(strip, channels))


def _by_strips(image: Image.Image, channels: Literal[1, 3], make: Callable[[Image.Image], np.ndarray]) -> np.ndarray:
    out = np.empty((image.height, image.width) if channels == 1 else (image.height, image.width, 3), np.uint8)
    top = 0
    for strip in _strips(image):
        out[top : top + strip.height] = make(strip)
        top += strip.height
    return out


def _flat(image: Image.Image, channels: Literal[1, 3]) -> np.ndarray:
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA")).astype(np.uint16)
        flat = (rgba[..., :3] * rgba[..., 3:] + 127) // 255
        image = Image.fromarray(flat.astype(np.uint8), "RGB")
    elif image.mode != "RGB":
        image = image.convert("RGB")
    return np.asarray(image if channels == 3 else image.convert("L"))
