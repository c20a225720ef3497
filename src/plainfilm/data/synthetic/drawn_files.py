"""Which images of a table are phantoms that plainfilm drew, from the facts that every table holds; no file is opened.

`phantom` gives its files a name and a form of storage of their own. Both survive copying a class folder elsewhere, into
another set or into a CSV, as a marker file beside the images would not; and a mark inside the files would change their
hashes, from which order and augmentation of every drawn run follow. A drawn file that was renamed is not recognised.
"""

from __future__ import annotations

import pandas as pd

from plainfilm.schemas.documents import DRAWN

JPEG_QUALITY = {"NORMAL": 95, "PNEUMONIA": 80}  # file length alone: AUROC 1.000 at 64 and 256 px; 90 and 80: 0.997
COPY_QUALITY = range(60, 96)  # of a nearly identical copy
# Quantisation of luminance at quality 50: ITU-T T.81 (JPEG), table K.1. Its order does not matter for a sum.
_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_NAME = r"(?:^|/)phantom-\d{5}-\d\.(?:png|jpg)$"
_ALL = "phantoms drawn by plainfilm; the numbers show that the pipeline works, they say nothing about radiographs."


def drawn_note(rows: pd.DataFrame, images: str = "images") -> list[str]:
    """The note that every output of a run on drawn images repeats; none where no image is drawn.

    Args:
        images: their name in the note, where others are meant than the run's own.
    """
    n = int(_is_drawn(rows).sum())
    if not n:
        return []
    some = f"{n} of {len(rows)} {images} are phantoms drawn by plainfilm."
    return [f"{DRAWN}: {f'all {images} are {_ALL}' if n == len(rows) else some}"]


def all_drawn(rows: pd.DataFrame) -> bool:
    """Whether every image is a phantom that plainfilm drew; False without images."""
    return len(rows) > 0 and bool(_is_drawn(rows).all())


def _is_drawn(rows: pd.DataFrame) -> pd.Series:
    """bool (n,): named like a phantom, square, grey, and stored as `phantom` stores its files.

    A PNG is as large as its uncompressed pixels. Scanners and people do not store PNGs uncompressed, so that a photograph
    of a real phantom is not taken for a drawn one. A JPEG has the quantisation of a drawn one. Others can have it too, so
    JPEGs count only beside drawn PNGs, or if most JPEGs of the set pass. A set that consists of real, square, grey JPEGs
    with these names and one of these two qualities cannot be distinguished from a drawn one.
    """
    named = rows["relative"].str.contains(_NAME) & (rows["mode"] == "L") & (rows["width"] == rows["height"])
    pixels = rows["height"] * (rows["width"] + 1)  # each row of a PNG begins with one byte for its filter
    png = named & rows["relative"].str.endswith(".png") & rows["bytes"].between(pixels + 1, 1.01 * pixels + 100)
    jpeg = rows["quantisation"] > 0
    if png.any():
        return png | (named & rows["quantisation"].isin([_quantisation(q) for q in COPY_QUALITY]))
    drawn = named & rows["quantisation"].isin([_quantisation(q) for q in JPEG_QUALITY.values()])
    return drawn if 2 * drawn.sum() > jpeg.sum() else png


def _quantisation(quality: int) -> int:
    """Sum of the quantisation table of a grey JPEG that libjpeg saves with this quality, 50 to 100."""
    return sum(max((step * (200 - 2 * quality) + 50) // 100, 1) for step in _LUMINANCE)
