"""decode(): the one way a file becomes pixels, for training, evaluation and everything later.

numpy and Pillow only. No other module opens an image.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from plainfilm.data.refusals import MAX_BYTES, MAX_PIXELS, DecodeError

FORMATS = ("PNG", "JPEG", "BMP")  # TIFF runs libtiff, by far the largest attack surface of Pillow: not by default
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib"})
DEPTHS = (8, 10, 12, 14, 16)
# Pillow only warns of a picture that is far too large; process-wide, since filters cannot be set per thread
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
GREY_TOLERANCE = 8  # channels that differ by less are one grey picture after JPEG's colour rounding


@dataclass(frozen=True)
class DecodeSpec:
    """What pixels are wanted: `size_px` square, 1 (grey) or 3 (RGB) channels, and how deep integers are stored.

    `bits` is b of DESIGN promise 1: integers above 8 bits are divided by 2**b - 1. It is one number for the whole
    data set, never guessed per image; None says that the set holds no such image.
    """

    size_px: int
    channels: Literal[1, 3] = 1
    resize: Literal["squish"] = "squish"
    bits: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for config, card and cache keys."""
        return asdict(self)


@dataclass(frozen=True)
class ImageFacts:
    """What one full read of a file tells; `deep_max` is the largest value of integers above 8 bits, else None."""

    sha256: str
    bytes: int
    width: int
    height: int
    mode: str
    grey: bool
    deep_max: int | None


def decode(path: Path | str, spec: DecodeSpec) -> np.ndarray:
    """The picture in `path`: uint8 (size, size) for one channel, (size, size, 3) for three, 0..255.

    Raises:
        DecodeError: the file cannot be read as a single still picture, or holds values above 2**bits - 1.
    """
    return decode_bytes(read_bytes(path), spec)


def decode_bytes(data: bytes, spec: DecodeSpec) -> np.ndarray:
    """decode() for a file that is in memory already."""
    return resize(to_uint8(load(data), spec.channels, spec.bits), spec.size_px)


def digest(data: bytes) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def inspect(path: Path | str) -> ImageFacts:
    """Facts of a file after a full load (a header alone would pass truncated files).

    Raises:
        DecodeError: as decode().
    """
    data = read_bytes(path)
    image = load(data)
    deep = deep_values(image)
    return ImageFacts(
        sha256=digest(data),
        bytes=len(data),
        width=image.width,
        height=image.height,
        mode=image.mode,
        grey=is_grey(image),
        deep_max=int(deep.max()) if deep is not None else None,
    )


def read_bytes(path: Path | str) -> bytes:
    """All bytes of a regular file; a FIFO or device is refused before it can block."""
    try:
        # O_NONBLOCK: opening a FIFO without a writer would hang for ever.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise DecodeError("E_READ", f"the file cannot be opened ({error.strerror})") from None
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        os.close(handle)
        raise DecodeError("E_TYPE", "not a regular file")
    with os.fdopen(handle, "rb") as file:
        if facts.st_size == 0:
            raise DecodeError("E_EMPTY", "the file has no bytes")
        if facts.st_size > MAX_BYTES:
            raise DecodeError("E_LARGE", f"{facts.st_size} bytes; at most {MAX_BYTES} are read")
        try:
            return file.read()
        except OSError as error:
            raise DecodeError("E_READ", f"the file cannot be read ({error.strerror})") from None


def load(data: bytes) -> Image.Image:
    """One still picture, fully loaded and turned upright by its EXIF orientation."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            raise DecodeError("E_LARGE", f"{image.width} x {image.height} pixels; at most {MAX_PIXELS} are read")
        if (frames := getattr(image, "n_frames", 1)) != 1:
            raise DecodeError("E_FRAMES", f"{frames} frames; one picture per file is expected")
        image.load()
        if image.format == "PNG" and data[24] == 16 and data[25] in (2, 6):  # IHDR: depth, colour type
            _refuse_shallow_colour(image)
        return ImageOps.exif_transpose(image)
    except DecodeError:
        raise
    except UnidentifiedImageError:
        raise DecodeError("E_FORMAT", f"not a {', '.join(FORMATS)} picture") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
        raise DecodeError("E_LARGE", f"more than {MAX_PIXELS} pixels") from None
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error ...
        raise DecodeError("E_CORRUPT", f"damaged or cut off ({type(error).__name__})") from None


def _refuse_shallow_colour(image: Image.Image) -> None:
    """Pillow keeps the high bytes of 16-bit colour only: right for 16 bits, almost black for 12 stored in 16."""
    if np.asarray(image)[..., :3].max() < 2 ** (DEPTHS[-2] - 8):
        raise DecodeError(
            "E_BITS", "16-bit colour with at most 14 bits in use; save it as 16-bit grey or as 8-bit colour"
        )


def deep_values(image: Image.Image) -> np.ndarray | None:
    """Integers above 8 bits as they are stored, (h, w); None for 8-bit and float pictures."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        return np.asarray(image)
    return None


def is_grey(image: Image.Image) -> bool:
    """True when colour tells nothing: one channel, or channels equal within JPEG's colour rounding."""
    if image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16"):
        return True
    red, green, blue = image.convert("RGB").split()
    gaps = (ImageChops.difference(a, b) for a, b in ((red, green), (green, blue), (red, blue)))
    return all(np.max(gap.getextrema()) <= GREY_TOLERANCE for gap in gaps)


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
    """The picture as uint8 (h, w) or (h, w, 3); transparency lies on black.

    Pillow's own convert() would clip 16-bit pixels at 255: 99.6 % of them turn white.
    """
    deep = deep_values(image)
    if deep is not None:
        grey = _scale_deep(deep, bits)
    elif image.mode == "F":
        grey = _scale_float(np.asarray(image))
    elif image.mode == "L" and "transparency" not in image.info:
        grey = np.asarray(image)
    else:
        return _from_colour(image, channels)
    return grey if channels == 1 else np.repeat(grey[..., None], 3, axis=2)


def _scale_deep(values: np.ndarray, bits: int | None) -> np.ndarray:
    if bits is None:
        raise DecodeError("E_BITS", "more than 8 bits, but no bit depth is set; give --bits 10, 12, 14 or 16")
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
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = np.asarray(image.convert("RGBA")).astype(np.uint16)
        flat = (rgba[..., :3] * rgba[..., 3:] + 127) // 255
        image = Image.fromarray(flat.astype(np.uint8), "RGB")
    elif image.mode != "RGB":
        image = image.convert("RGB")
    return np.asarray(image if channels == 3 else image.convert("L"))


def resize(pixels: np.ndarray, size_px: int) -> np.ndarray:
    """`pixels` squished to (size, size), antialiased; aspect is not kept."""
    if pixels.shape[:2] == (size_px, size_px):
        return np.ascontiguousarray(pixels)
    return np.asarray(Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.BILINEAR))
