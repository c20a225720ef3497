"""The images and labels of a .npz in the form of MedMNIST, as PNG files in class folders.

Arrays are read image by image: the largest of these files do not fit into memory. Nothing is unpickled.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from plainfilm.data.archives.names import Parts
from plainfilm.data.archives.stored_png import stored_png
from plainfilm.data.archives.zip_file import MOST_FILES, Content, parts_of, refuse_odd
from plainfilm.errors import DataError

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_KEY = re.compile(r"(?:(train|val|valid|validation|test)_)?(images|labels)\.npy")
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
                pixels = b"".join(parts_of(file, height * width * channels))
                name = f"{self.split or 'image'}-{i:06d}.png"
                where = (self.split,) if self.split else ()
                yield (*where, str(label), name), [stored_png(pixels, width, height, channels)]


def holds_arrays(archive: zipfile.ZipFile) -> bool:
    """Whether it is a .npz, whatever its name: nothing but arrays, or those of a data set among others."""
    names = archive.namelist()
    return any(map(_KEY.fullmatch, names)) or (bool(names) and all(name.endswith(".npy") for name in names))


def content_of_npz(archive: zipfile.ZipFile) -> Content:
    """A PNG for each image: train/0/train-000000.png; without splits 0/image-000000.png.

    Raises:
        DataError: other arrays, types or shapes; several labels per image.
    """
    refuse_odd(archive)
    found = _by_split(archive)
    splits = [_images(archive, split, arrays) for split, arrays in found.items()]
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


def _images(archive: zipfile.ZipFile, split: str, arrays: dict[str, zipfile.ZipInfo]) -> _Images:
    with archive.open(arrays["images"]) as file:
        shape, dtype = _header(file)
    name = f"{split}_images".lstrip("_")
    if dtype != np.uint8 or not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))) or 0 in shape:
        raise DataError(
            f"{name} is {dtype} {shape}. Expected uint8, 0 to 255, grey (n, height, width) or colour (n, height, width, 3)"
        )
    whole = (shape[0], shape[1], shape[2], shape[3] if len(shape) == 4 else 1)
    labels = _labels(archive, f"{split}_labels".lstrip("_"), arrays["labels"])
    if len(labels) != whole[0]:
        raise DataError(f"{name} holds {whole[0]} images, and its labels are {len(labels)}")
    return _Images(split, arrays["images"], whole, labels)


def _labels(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> list[int]:
    with archive.open(info) as file:
        shape, dtype = _header(file)
        if len(shape) == 2 and shape[1] > 1:
            raise DataError(
                f"{name} has {shape[1]} columns: several labels per image. plainfilm takes one; save the labels as (n,) or (n, 1)"
            )
        if dtype.kind not in "iu" or len(shape) not in (1, 2):
            raise DataError(f"{name} is {dtype} {shape}. Expected integers (n,) or (n, 1)")
        data = b"".join(parts_of(file, int(np.prod(shape)) * dtype.itemsize))
    labels: list[int] = np.frombuffer(data, dtype).tolist()
    if min(labels, default=0) < 0:
        raise DataError(f"{name} holds the label {min(labels)}. Expected 0 and above; leave images without a label out")
    return labels


def _header(file: zipfile.ZipExtFile | object) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array whose bytes follow.

    Raises:
        DataError: a damaged one, of Python objects, or by columns.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a header that Python 2 wrote
        try:
            version = np.lib.format.read_magic(file)  # type: ignore[arg-type]
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, by_columns, dtype = read(file)  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001 - numpy parses it as Python: TokenError, IndentationError, RecursionError ...
            raise DataError("the header of an array in it is damaged, cut off, or of another version") from None
    if dtype.hasobject:
        raise DataError("an array in it holds Python objects. Save numbers with numpy.savez_compressed")
    if by_columns and sum(side > 1 for side in shape) > 1:  # else both orders are one
        raise DataError(
            "an array in it is stored by columns, which no image can be read from alone. Save numpy.ascontiguousarray(array)"
        )
    return shape, dtype
