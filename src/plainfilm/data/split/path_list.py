"""A CSV that names images by path: a split file, or a list of images to exclude."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from plainfilm.base.files import read_regular
from plainfilm.errors import DataError


def read_path_list(path: Path, what: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """Its rows, every cell a text; `what` names the file in messages.

    Raises:
        DataError: it cannot be read, or one of `columns` is missing.
    """
    try:
        frame = pd.read_csv(io.BytesIO(read_regular(path)), dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        expected = f"columns {','.join(columns)}" if len(columns) > 1 else f"the column {columns[0]}"
        raise DataError(
            f"The {what} file {path} cannot be read ({type(error).__name__}). Expected a CSV with {expected}."
        ) from None
    if not set(columns) <= set(frame.columns):
        needed = f"{' and '.join(columns)} {'are' if len(columns) > 1 else 'is'} needed."
        raise DataError(f"The {what} file {path} has columns {', '.join(map(str, frame.columns))}; {needed}")
    return frame
