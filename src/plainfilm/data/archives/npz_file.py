"""The images and labels of a .npz in the form of MedMNIST, as PNG files in class folders.

Arrays are read rows by rows: the largest of these files do not fit into memory, and every size is compared before it is
read. Nothing is unpickled.
"""

from __future__ import annotations

import math
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from plainfilm.data.archives.names import Parts
from plainfilm.data.archives.stored_png import stored_png
from plainfilm.data.archives.zip_file import MOST_FILES, PART, Content, parts_of, refuse_odd
from plainfilm.data.errors import DecodeError
from plainfilm.data.image.costly import refuse_large
from plainfilm.errors import DataError

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_KEY = re.compile(r"(?:(train|val|valid|validation|test)_)?(images|labels)\.npy")
_LONGEST_HEADER = 10_000  # bytes, as numpy has it
_EXPECTED = "Expected train_images, train_labels, and the same for val and test, or images and labels alone"
_NAMELESS = "The classes are the numbers {} of the .npz, which has no names for them, and no patients."


@dataclass(frozen=True)
class _Images:
    """Images of one split: the place of their array, its shape (n, h, w, channels), and the class of each."""

    split: str
    info: zipfile.ZipInfo
    shape: tuple[int, int, int, int]
    labels: list[int]

    def each(self, archive: zipfile.ZipFile) -> Iterator[tuple[Parts, Iterable[bytes]]]:
        _, height, width, channels = self.shape
        with archive.open(self.info) as file:
            _header(file)
            for i, label in enumerate(self.labels):
                name = f"{self.split or 'image'}-{i:06d}.png"
                where = (self.split,) if self.split else ()
                yield (
                    (*where, str(label), name),
                    stored_png(_rows(file, height, width * channels), width, height, channels),
                )


def _rows(file: IO[bytes], height: int, row: int) -> Iterator[bytes]:
    """The next `height` rows of `row` bytes, as many at once as a part holds."""
    step = max(1, PART // row)
    for first in range(0, height, step):
        yield b"".join(parts_of(file, min(step, height - first) * row))


def holds_arrays(archive: zipfile.ZipFile) -> bool:
    """Whether it is a .npz, whatever its name: nothing but arrays, or those of a data set among others."""
    names = archive.namelist()
    return any(map(_KEY.fullmatch, names)) or (bool(names) and all(name.endswith(".npy") for name in names))


def content_of_npz(archive: zipfile.ZipFile, megapixels: int) -> Content:
    """A PNG for each image: train/0/train-000000.png; without splits 0/image-000000.png.

    Raises:
        DataError: other arrays, types or shapes; several labels per image; images too many, or too large to be read.
    """
    refuse_odd(archive)
    found = _by_split(archive)
    splits = [_images(archive, split, arrays, megapixels) for split, arrays in found.items()]
    count = sum(len(split.labels) for split in splits)
    size = sum(split.shape[0] * (split.shape[1] * (split.shape[2] * split.shape[3] + 6) + 100) for split in splits)
    if count > MOST_FILES:
        raise DataError(f"it holds {count:,} images; at most {MOST_FILES:,} are unpacked")
    classes = sorted({label for split in splits for label in split.labels})
    shown = ", ".join(map(str, classes[:10])) + (" ..." if len(classes) > 10 else "")
    unread = sorted(info.filename for info in archive.infolist() if not _KEY.fullmatch(info.filename))
    notes = [f"Arrays of the .npz that were not read: {len(unread)}."] if unread else []
    return Content(
        count, size, lambda: (one for split in splits for one in split.each(archive)), (_NAMELESS.format(shown), *notes)
    )


def _by_split(archive: zipfile.ZipFile) -> dict[str, dict[str, zipfile.ZipInfo]]:
    found: dict[str, dict[str, zipfile.ZipInfo]] = {}
    for info in archive.infolist():
        if key := _KEY.fullmatch(info.filename):
            kinds = found.setdefault(_SPLITS[key[1]] if key[1] else "", {})
            if key[2] in kinds:
                raise DataError(f"it holds two arrays for the {key[2]} of {key[1]}")
            kinds[key[2]] = info
    names = ", ".join(info.filename.removesuffix(".npy")[:40] for info in archive.infolist()[:8])
    if not found or any(len(kinds) != 2 for kinds in found.values()) or ("" in found and len(found) > 1):
        raise DataError(f"it holds the arrays {names or 'of no name'}. {_EXPECTED}")
    return found


def _images(archive: zipfile.ZipFile, split: str, arrays: dict[str, zipfile.ZipInfo], megapixels: int) -> _Images:
    with archive.open(arrays["images"]) as file:
        shape, dtype = _header(file)
    name = f"{split}_images".lstrip("_")
    if dtype != np.uint8 or not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))) or min(shape) < 1:
        raise DataError(
            f"{name} is {dtype} {shape}. Expected uint8, 0 to 255, grey (n, height, width) or colour (n, height, width, 3)"
        )
    whole = (shape[0], shape[1], shape[2], shape[3] if len(shape) == 4 else 1)
    _refuse_too_much(name, whole, megapixels)
    labels = _labels(archive, f"{split}_labels".lstrip("_"), arrays["labels"], whole[0])
    return _Images(split, arrays["images"], whole, labels)


def _refuse_too_much(name: str, shape: tuple[int, int, int, int], megapixels: int) -> None:
    count, height, width, _ = shape
    if count > MOST_FILES:
        raise DataError(f"{name} holds {count:,} images; at most {MOST_FILES:,} are unpacked")
    try:
        refuse_large(width, height, megapixels)
    except DecodeError as error:
        raise DataError(f"{name} cannot be read: {error.why}") from None


def _labels(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo, count: int) -> list[int]:
    """The label of each of `count` images."""
    with archive.open(info) as file:
        shape, dtype = _header(file)
        if len(shape) == 2 and shape[1] > 1:
            raise DataError(
                f"{name} has {shape[1]} columns: several labels per image. plainfilm takes one; save the labels as (n,) or (n, 1)"
            )
        if dtype.kind not in "iu" or len(shape) not in (1, 2):
            raise DataError(f"{name} is {dtype} {shape}. Expected integers (n,) or (n, 1)")
        if math.prod(shape) != count:  # before any label is read: there may be more than fit into memory
            raise DataError(f"it holds {count:,} images, and {name} are {math.prod(shape):,}")
        data = b"".join(parts_of(file, count * dtype.itemsize))
    labels: list[int] = np.frombuffer(data, dtype).tolist()
    if min(labels) < 0:
        raise DataError(f"{name} holds the label {min(labels)}. Expected 0 and above; leave images without a label out")
    return labels


class _Short:
    """The head of an array's file: numpy reads a header of any length, up to 4 GB, before it refuses a long one."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        if size > _LONGEST_HEADER:
            raise ValueError("no array has such a header")
        return self._file.read(size)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array whose bytes follow.

    Raises:
        DataError: a damaged one, of Python objects, or by columns.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a header that Python 2 wrote
        head: Any = _Short(file)
        try:
            version = np.lib.format.read_magic(head)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, by_columns, dtype = read(head)
        except Exception:  # noqa: BLE001 - numpy parses it as Python: TokenError, IndentationError, RecursionError ...
            raise DataError("the header of an array in it is damaged, cut off, or of another version") from None
    if dtype.hasobject:
        raise DataError("an array in it holds Python objects. Save numbers with numpy.savez_compressed")
    if by_columns and sum(side > 1 for side in shape) > 1:  # else both orders are one
        raise DataError(
            "an array in it is stored by columns, which no image can be read from alone. Save numpy.ascontiguousarray(array)"
        )
    return shape, dtype
