"""A CSV that lists images: path,label[,patient][,split]; every cell is text."""

from __future__ import annotations

import csv
import difflib
import io
from pathlib import Path, PurePosixPath

import pandas as pd

from plainfilm.data.folders import GIVEN_NAMES, Found
from plainfilm.errors import DataError


def read_csv(path: Path) -> list[Found]:
    """The rows of a CSV with columns path,label[,patient][,split]; every cell is text (`NA` and `007` stay).

    Raises:
        DataError: missing columns, cells or files, an unknown split, or a path named twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text ({type(error).__name__}). Save the CSV as UTF-8.") from None
    reader = csv.reader(io.StringIO(text))
    header = [name.strip() for name in next(reader, [])]
    _require_columns(path, header)
    frame = pd.DataFrame([cells for cells in reader if any(cells)], dtype=str)
    if frame.empty:
        raise DataError(f"{path} has a header but no rows. Expected one row per image: path,label.")
    if frame.shape[1] != len(header) or frame.isna().any(axis=None):
        raise DataError(f"{path}: some rows do not have the header's {len(header)} cells. Quote commas inside cells.")
    frame.columns = pd.Index(header)
    _require_cells(path, frame)
    return [
        Found(
            path.absolute().parent / cells["path"],
            PurePosixPath(cells["path"].replace("\\", "/")).as_posix(),
            cells["label"].strip(),
            GIVEN_NAMES[cells["split"].strip().casefold()] if cells.get("split", "").strip() else "",
            cells.get("patient", "").strip(),
        )
        for cells in frame.to_dict("records")
    ]


def _require_columns(path: Path, header: list[str]) -> None:
    for name in ("path", "label"):
        if name not in header:
            near = difflib.get_close_matches(name, header, n=1, cutoff=0.4)
            hint = f" (is {near[0]!r} meant?)" if near else " (separated by commas)"
            raise DataError(
                f"{path} has no column {name!r}{hint}; found {', '.join(header) or 'nothing'}. Expected path,label[,patient][,split]."
            )
    if len(set(header)) != len(header):
        raise DataError(f"{path} names a column twice: {', '.join(header)}. Keep one of each.")


def _require_cells(path: Path, frame: pd.DataFrame) -> None:
    for name in ("path", "label"):
        blank = frame.index[frame[name].str.strip() == ""]
        if len(blank):
            raise DataError(
                f"{path}: {len(blank)} of {len(frame)} rows have no {name} (first: row {blank[0] + 2}). Fill them in, or remove the rows."
            )
    twice = frame["path"][frame["path"].duplicated()]
    if len(twice):
        raise DataError(
            f"{path} names {twice.iloc[0]!r} {int((frame['path'] == twice.iloc[0]).sum())} times. Keep one row per image."
        )
    if "split" in frame:
        given = frame["split"].str.strip().str.casefold()
        odd = sorted(set(given) - set(GIVEN_NAMES) - {""})
        if odd or ((given == "").any() and (given != "").any()):
            what = f"the split {odd[0]!r}" if odd else f"{int((given == '').sum())} rows without a split"
            raise DataError(f"{path} has {what}. Expected train, valid or test in every row, or no split column.")
    gone = [cell for cell in frame["path"] if not (path.absolute().parent / cell).is_file()]
    if gone:
        raise DataError(
            f"{path}: {len(gone)} of {len(frame)} files do not exist (first: {gone[0]!r}). Paths are relative to the CSV's folder."
        )
