"""A CSV that lists images: path,label[,patient][,split]; every cell is text."""

from __future__ import annotations

import csv
import difflib
import io
from pathlib import Path, PurePosixPath

import pandas as pd

from plainfilm.data.dicom.read import is_dicom
from plainfilm.data.table.folders import DataFiles, FoundFiles
from plainfilm.data.table.split_names import split_of
from plainfilm.errors import DataError


def read_csv(path: Path) -> DataFiles:
    """The rows of a CSV with columns path,label[,patient][,split]; every cell is text (`NA` and `007` stay).

    Raises:
        DataError: missing columns, cells or files, an unknown split, or a path named twice.
    """
    frame = _parse(path, _text(path))
    _require_cells(path, frame)
    found = [
        FoundFiles(
            path.absolute().parent / cells["path"],
            cells["relative"],
            cells["label"].strip(),
            split_of(cells.get("split", "")),
            cells.get("patient", "").strip(),
            cells["line"],
        )
        for cells in frame.to_dict("records")
    ]
    return DataFiles(found, [])


def read_column(path: Path, name: str) -> dict[str, str] | None:
    """A column of the CSV by the relative path of each image, stripped; None where it has no such column.

    The image files are not checked: they may have been moved since the run was trained.

    Raises:
        DataError: the CSV is missing or no longer valid.
    """
    frame = _parse(path, _text(path))
    if name not in frame or name in ("line", "relative"):
        return None
    return dict(zip(frame["relative"], frame[name].str.strip(), strict=True))


_NOT_TEXT = {
    b"\xff\xd8\xff": "a JPEG image", b"\x89PNG": "a PNG image", b"BM": "a BMP image", b"GIF8": "a GIF image",
    b"II*\0": "a TIFF image", b"MM\0*": "a TIFF image", b"%PDF": "a PDF",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook", b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "a gzip archive",
}  # fmt: skip


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Make it readable.") from None
    kinds = ["a DICOM file"] * is_dicom(data) + [kind for magic, kind in _NOT_TEXT.items() if data.startswith(magic)]
    try:
        if not kinds:
            return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        kinds = ["not UTF-8 text; if it is a CSV, save it as UTF-8"]
    raise DataError(
        f"{path} is {kinds[0]}. Expected a folder of class folders, DATA/<class>/<images>, or a CSV with columns "
        "path,label[,patient][,split]."
    )


def _parse(path: Path, text: str) -> pd.DataFrame:
    """The rows, all text; `line` is where a row ends in the file, `relative` its normalised path."""
    reader = csv.reader(io.StringIO(text))
    try:
        header = [name.strip() for name in next(reader, [])]
        _require_columns(path, header)
        rows = [(reader.line_num, cells) for cells in reader if any(cells)]
    except csv.Error as error:
        raise DataError(
            f"{path} cannot be read as CSV at line {reader.line_num} ({error}). Is a quote never closed?"
        ) from None
    if not rows:
        raise DataError(f"{path} has a header but no rows. Expected one row per image: path,label.")
    for line, cells in rows:
        if len(cells) != len(header):
            raise DataError(
                f"{path}: row {line} has {len(cells)} cells, the header {len(header)}. Quote commas inside cells."
            )
    frame = pd.DataFrame([cells for _, cells in rows], columns=header, dtype=str)
    spelling = [PurePosixPath(cell.replace("\\", "/")).as_posix() for cell in frame["path"]]
    return frame.assign(line=[line for line, _ in rows], relative=spelling)


def _require_columns(path: Path, header: list[str]) -> None:
    for name in ("path", "label"):
        if name not in header:
            if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
                raise DataError(
                    f"{path} has no column {name!r}; found {header[0]!r}, not separated by commas. Save it with commas."
                )
            near = difflib.get_close_matches(name, header, n=1, cutoff=0.4)
            hint = f" (is {near[0]!r} meant?)" if near else " (separated by commas)"
            raise DataError(
                f"{path} has no column {name!r}{hint}; found {', '.join(header) or 'nothing'}. Expected path,label[,patient][,split]."
            )
    if len(set(header)) != len(header):
        raise DataError(f"{path} names a column twice: {', '.join(header)}. Keep one of each.")


def _require_cells(path: Path, frame: pd.DataFrame) -> None:
    for name in ("path",):
        blank = frame.index[frame[name].str.strip() == ""]
        if len(blank):
            raise DataError(
                f"{path}: {len(blank)} of {len(frame)} rows have no {name} (first: row {frame['line'][blank[0]]}). Fill them in, or remove the rows."
            )
    twice = frame["relative"][frame["relative"].duplicated()]
    if len(twice):
        times = int((frame["relative"] == twice.iloc[0]).sum())
        raise DataError(f"{path} names {twice.iloc[0]!r} {times} times. Keep one row per image.")
    if "split" in frame:
        given = frame["split"].str.strip().str.casefold()
        odd = sorted(name for name in set(given) - {""} if not split_of(name))
        if odd or ((given == "").any() and (given != "").any()):
            what = f"the split {odd[0]!r}" if odd else f"{int((given == '').sum())} rows without a split"
            raise DataError(f"{path} has {what}. Expected train, valid or test in every row, or no split column.")
    gone = [cell for cell in frame["path"] if not (path.absolute().parent / cell).is_file()]
    if gone:
        raise DataError(
            f"{path}: {len(gone)} of {len(frame)} files do not exist (first: {gone[0]!r}). Paths are relative to the CSV's folder."
        )
