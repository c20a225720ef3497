"""Which images of a table are phantoms that plainfilm drew, from the facts that every table holds; no file is opened.

`phantom` gives its files a name and a form of storage of their own. Both survive copying a class folder elsewhere, into
another set or into a CSV, as a marker file beside the images would not; and a mark inside the files would change their
hashes, from which order and augmentation of every drawn run follow. A drawn file that was renamed is not recognised.
"""

from __future__ import annotations

import pandas as pd

from plainfilm.schemas.documents import DRAWN

_NAME = r"(?:^|/)phantom-\d{5}-\d\.(?:png|jpg)$"
_ALL = "all images are phantoms drawn by plainfilm; the numbers show that the pipeline works, they say nothing about radiographs."


def drawn_note(rows: pd.DataFrame) -> list[str]:
    """The note that every output of a run on drawn images repeats; none where no image is drawn."""
    n = int(_is_drawn(rows).sum())
    if not n:
        return []
    return [f"{DRAWN}: {_ALL if n == len(rows) else f'{n} of {len(rows)} images are phantoms drawn by plainfilm.'}"]


def _is_drawn(rows: pd.DataFrame) -> pd.Series:
    """bool (n,): named like a phantom, square, grey, and, if a PNG, as large as its uncompressed pixels.

    Scanners and people do not store PNGs uncompressed, so that a photograph of a real phantom is not taken for a drawn one
    by its name alone.
    """
    named = rows["relative"].str.contains(_NAME) & (rows["mode"] == "L") & (rows["width"] == rows["height"])
    pixels = rows["height"] * (rows["width"] + 1)  # each row of a PNG begins with one byte for its filter
    whole = (rows["bytes"] > pixels) & (rows["bytes"] < 1.01 * pixels + 100)
    return named & (whole | rows["relative"].str.endswith(".jpg"))
