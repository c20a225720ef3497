"""decode(): the only way a file becomes pixels, in training, evaluation and prediction.

numpy and Pillow only (pydicom only for DICOM files). No other module opens an image.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from plainfilm.data.dicom import read as dicom
from plainfilm.data.errors import MEGAPIXELS, NO_MEMORY, DecodeError, how_to_admit, most_bytes
from plainfilm.data.image.costly import LARGE_PIXELS, refuse_costly, refuse_large
from plainfilm.data.image.modes import (
    DEPTH_OF_MODE,
    DEPTHS,
    SHALLOW_COLOUR,
    content_of,
    is_grey,
    to_uint8,
    with_channels,
)
from plainfilm.data.image.other_formats import NOT_AN_IMAGE, instead_of_an_image
from plainfilm.data.image.png_check import refuse_short_png
from plainfilm.data.image.pnm import BAD_HEADER, is_pnm, read_pnm
from plainfilm.data.image.resize import ResizeMode, harmonised, resize
from plainfilm.data.image.webp import CANVASES, FRAME, is_webp, lacks_memory

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_PNM = ("PPM",)  # Pillow's word for PGM, PPM and more: only of files that begin as the first two do
_TIFF = ("TIFF",)  # uses libtiff, by far the largest attack surface of Pillow: by option only
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".webp", ".pgm", ".ppm", ".pnm", ".dcm", ".dicom"}
)
TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
VERSION = 2  # of the pixels that decode() makes; any change to them increments it, and caches are rebuilt
# One large image at a time: one of 64 megapixels needs about 500 MB by itself.
_LARGE, _ADMITTING = threading.Lock(), threading.Lock()
# Pillow keeps an image in blocks of 16 MB, which the allocator of each thread holds on to after they are freed (two
# threads: 500 MB wasted); a block of more than 32 MB goes back to the system at once.
Image.core.set_block_size(64 * 1024 * 1024)  # type: ignore[attr-defined] # not in its stubs
# Pillow only warns of an image that is far too large; process-wide, since filters cannot be set per thread
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


@dataclass(frozen=True)
class DecodeSpec:
    """The requested pixels: `size_px` square, 1 (grey) or 3 (RGB) channels, and how files are read.

    `bits`: integers above 8 bits are divided by 2**bits - 1. It is one number for the whole data set, never guessed per
    image; None: the set has no such image. DICOM files state their own. `tiff` and `frame` (counted from 0) admit files
    that are refused otherwise. `harmonise` sends all files through one grey path that reduces traces of compression;
    `requantise` then keeps that many grey levels. `megapixels`: larger images are refused; it changes no pixel.
    """

    size_px: int
    channels: Literal[1, 3] = 1
    resize: ResizeMode = "squish"
    bits: int | None = None
    tiff: bool = False
    frame: int | None = None
    harmonise: bool = False
    requantise: int | None = None
    megapixels: int = MEGAPIXELS

    def as_dict(self) -> dict[str, Any]:
        """Plain values for config, card and cache keys."""
        return asdict(self)


@dataclass(frozen=True)
class ImageFacts:
    """Facts from one full read of a file.

    `deep_max` is the largest value of integers above 8 bits whose depth no header states, else None. `depth` and
    `channels` are those of the file; `quantisation` is the sum of a JPEG's tables, else 0. `content` is a digest of
    the decoded pixels: the same image in another lossless file has the same digest. `patient` is the keyed hash of a
    DICOM PatientID, else ''.
    """

    sha256: str
    bytes: int
    width: int
    height: int
    mode: str
    grey: bool
    deep_max: int | None
    depth: int
    channels: int
    quantisation: int
    content: str
    patient: str = ""


def decode(path: Path | str, spec: DecodeSpec) -> np.ndarray:
    """The image in `path`: uint8 (size, size) for one channel, (size, size, 3) for three, 0..255.

    Raises:
        DecodeError: the file cannot be read as a single still image, or holds values above 2**bits - 1.
    """
    return decode_bytes(read_bytes(path, spec.megapixels), spec)


def decode_bytes(data: bytes, spec: DecodeSpec) -> np.ndarray:
    """decode() for a file that is in memory already."""
    channels = 1 if spec.harmonise else spec.channels
    if dicom.is_dicom(data):
        shown = dicom.read_dicom(data, spec.frame, megapixels=spec.megapixels)
        return _sized(with_channels(shown.pixels, channels), spec)
    with _opened(data, spec.tiff, spec.frame, spec.megapixels) as image:
        pixels = to_uint8(image, channels, spec.bits)
        image.close()  # its pixels are no longer needed, and may take 256 MB
        return _sized(pixels, spec)


def _sized(pixels: np.ndarray, spec: DecodeSpec) -> np.ndarray:
    if not spec.harmonise:
        return resize(pixels, spec.size_px, spec.resize)
    grey = harmonised(pixels, spec.size_px, spec.resize, spec.requantise)
    return grey if spec.channels == 1 else np.repeat(grey[..., None], 3, axis=2)


def libraries() -> dict[str, str]:
    """Name and version of every library that affects the pixels."""
    names = ("pillow", "numpy", "pydicom", "pylibjpeg", "pylibjpeg-openjpeg", "pyjpegls", "python-gdcm")
    found = {
        name: metadata.version(name) for name in names if util.find_spec(_MODULES.get(name, name.replace("-", "_")))
    }
    return {**found, **{name: str(features.version(name)) for name in ("jpg", "zlib", "webp", "jpg_2000", "libtiff")}}


_MODULES = {"pillow": "PIL", "pylibjpeg-openjpeg": "openjpeg", "pyjpegls": "jpeg_ls", "python-gdcm": "gdcm"}


def digest(data: bytes) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def inspect(
    data: bytes, *, tiff: bool = False, frame: int | None = None, key: bytes | None = None, megapixels: int = MEGAPIXELS
) -> ImageFacts:
    """Facts of a file's bytes after a full load (a header alone would pass truncated files).

    Args:
        key: secret of the keyed hash that replaces a DICOM PatientID; None leaves `patient` empty.
    Raises:
        DecodeError: as decode().
    """
    if dicom.is_dicom(data):
        return _inspect_dicom(data, frame, key, megapixels)
    with _opened(data, tiff, frame, megapixels) as image:
        grey = is_grey(image)
        content, deep_max = content_of(image, grey)
        return ImageFacts(
            sha256=digest(data), bytes=len(data), width=image.width, height=image.height, mode=image.mode, grey=grey,
            deep_max=deep_max, depth=image.info["plainfilm_depth"], channels=len(image.getbands()),
            quantisation=image.info["plainfilm_quantisation"], content=content,
        )  # fmt: skip


def _inspect_dicom(data: bytes, frame: int | None, key: bytes | None, megapixels: int) -> ImageFacts:
    image = dicom.read_dicom(data, frame, key, megapixels)
    height, width = image.pixels.shape[:2]
    grey = image.pixels.ndim == 2
    return ImageFacts(
        sha256=digest(data), bytes=len(data), width=width, height=height, mode=image.photometric, grey=grey,
        deep_max=None, depth=image.bits, channels=1 if grey else 3, quantisation=0,
        content=content_of(Image.fromarray(image.pixels), grey)[0], patient=image.patient,
    )  # fmt: skip


def read_bytes(path: Path | str, megapixels: int = MEGAPIXELS) -> bytes:
    """All bytes of a regular file, as many as an image of so many megapixels may have; no FIFO or device can block it."""
    with _regular_file(path, megapixels) as file:
        return file.read()


def digest_of_file(path: Path | str, megapixels: int) -> str:
    """digest() of read_bytes(), in blocks: without holding the file."""
    with _regular_file(path, megapixels) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _regular_file(path: Path | str, megapixels: int) -> Iterator[io.BufferedReader]:
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
            raise DecodeError("E_EMPTY", "the file has no bytes", "; fetch it again")
        if facts.st_size > (most := most_bytes(megapixels)):
            raise DecodeError("E_LARGE", f"{facts.st_size} bytes; at most {most} are read", how_to_admit(megapixels))
        try:
            yield file
        except OSError as error:
            raise DecodeError("E_READ", f"the file cannot be read ({error.strerror})") from None


@contextlib.contextmanager
def _opened(data: bytes, tiff: bool, frame: int | None, megapixels: int) -> Iterator[Image.Image]:
    """load(), one large image at a time."""
    header = _header(data, tiff, megapixels)
    alone = frame is not None or header.width * header.height > LARGE_PIXELS  # another frame may be larger
    with _LARGE if alone else contextlib.nullcontext():
        image = _load(header, data, frame, megapixels)
        try:
            yield image
        finally:
            image.close()  # within the lock: the next one may need 256 MB as well


def load(data: bytes, *, tiff: bool = False, frame: int | None = None, megapixels: int = MEGAPIXELS) -> Image.Image:
    """One still image, fully loaded and turned upright by its EXIF orientation.

    Raises:
        DecodeError: not an allowed format, damaged, too large, or without the one requested frame.
    """
    return _load(_header(data, tiff, megapixels), data, frame, megapixels)


def _header(data: bytes, tiff: bool, megapixels: int) -> Image.Image:
    if not data:
        raise DecodeError("E_EMPTY", "the file has no bytes", "; fetch it again")
    refuse_costly(data, megapixels)
    _admit(megapixels)
    formats = _PNM if is_pnm(data) else _FORMATS + _TIFF if tiff else _FORMATS
    with _one_error(megapixels, data, CANVASES):
        try:
            image = Image.open(io.BytesIO(data), formats=formats)
        except UnidentifiedImageError:
            hint = "; --tiff admits TIFF" if not tiff and data[:4] in (b"II*\0", b"MM\0*") else ""
            raise DecodeError("E_FORMAT", f"{NOT_AN_IMAGE} image{instead_of_an_image(data)}", hint) from None
        except ValueError:
            if formats is not _PNM:
                raise
            raise DecodeError("E_CORRUPT", BAD_HEADER) from None
        refuse_large(image.width, image.height, megapixels)
        return image


def _admit(megapixels: int) -> None:
    """Pillow's own limit, 89 million pixels, never is below ours; it holds for the process, and is only raised."""
    with _ADMITTING:
        if (Image.MAX_IMAGE_PIXELS or math.inf) < megapixels * 1_000_000:
            Image.MAX_IMAGE_PIXELS = megapixels * 1_000_000


def _load(image: Image.Image, data: bytes, frame: int | None, megapixels: int) -> Image.Image:
    with _one_error(megapixels, data, FRAME):
        _pick_frame(image, frame)
        refuse_large(image.width, image.height, megapixels)
        if image.format == "PPM":
            return read_pnm(image, data)
        image.load()
        if image.format == "PNG":
            refuse_short_png(data)
        deep_colour = image.format == "PNG" and data[24] == 16 and data[25] in (2, 4, 6)  # IHDR: depth, colour type
        if deep_colour:
            _refuse_shallow_colour(image)
        tables = getattr(image, "quantization", None) or {}
        ImageOps.exif_transpose(image, in_place=True)  # else every image is copied, turned or not
        image.info["plainfilm_quantisation"] = sum(sum(table) for table in tables.values())
        image.info["plainfilm_depth"] = 16 if deep_colour else DEPTH_OF_MODE.get(image.mode, 8)
        return image


def _pick_frame(image: Image.Image, frame: int | None) -> None:
    frames = getattr(image, "n_frames", 1)
    if frame is None and frames != 1:
        raise DecodeError("E_FRAMES", f"{frames} frames; one image per file is expected", " (--frame picks one)")
    if frame is not None and frame >= frames:
        raise DecodeError("E_FRAMES", f"{frames} {'frame' if frames == 1 else 'frames'}; there is no frame {frame}")
    if frame:
        image.seek(frame)


@contextlib.contextmanager
def _one_error(megapixels: int, data: bytes, webp_needs: int) -> Iterator[None]:
    """Whatever Pillow raises for this file becomes a DecodeError; `webp_needs`: bytes for each pixel of a WebP at this step."""
    try:
        yield
    except DecodeError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DecodeError("E_LARGE", f"more than {megapixels * 1_000_000} pixels", how_to_admit(megapixels)) from None
    except MemoryError:
        raise DecodeError("E_LIMIT", NO_MEMORY) from None
    except Exception as error:  # noqa: BLE001 - Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error ...
        if is_webp(data) and lacks_memory(data, webp_needs):
            raise DecodeError("E_LIMIT", NO_MEMORY) from None
        raise DecodeError("E_CORRUPT", f"damaged or cut off ({type(error).__name__})") from None


def _refuse_shallow_colour(image: Image.Image) -> None:
    """Pillow keeps the high bytes of 16-bit colour only: right for 16 bits, almost black for 12 stored in 16."""
    highs = [image.getchannel(i).getextrema()[1] for i in range(min(3, len(image.getbands())))]  # no copy of 256 MB
    if max(highs) < 2 ** (DEPTHS[-2] - 8):
        raise DecodeError("E_BITS", SHALLOW_COLOUR)
