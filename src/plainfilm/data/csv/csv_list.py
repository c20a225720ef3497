"""A table that lists images, path,label[,patient][,split] by any name; every cell is text."""

from __future__ import annotations

import os
from pathlib import Path

from plainfilm.config import DataConfig
from plainfilm.data.csv.column_names import flagged_parts
from plainfilm.data.csv.columns import Columns, find_columns, flag_of, options_that_fit, path_column
from plainfilm.data.csv.dialect import TextRows, read_rows
from plainfilm.data.csv.listed_files import find_files, relative_of, spellings
from plainfilm.data.folders.split_names import split_of
from plainfilm.data.folders.walk import DataFiles, FoundFiles
from plainfilm.errors import DataError, UsageError

_NO_PATIENT_CELL = "The patient column is empty; patients are read from DICOM or known file names, if these tell any."


def read_csv(path: Path, cfg: DataConfig | None = None) -> DataFiles:
    """The rows of a table of images; every cell is text (`NA` and `007` stay); labels are as they are written, with their spaces; labels
    and patients may be empty.

    Args:
        cfg: names the columns; None: they are found by their names.
    Raises:
        UsageError: an option names a column that does not exist, or patients are in a column and in a pattern. DataError:
            no table, doubt about its columns, missing paths or files, an unknown split, or a path named twice.
    """
    cfg = cfg or DataConfig()
    table = read_rows(path)
    columns = find_columns(path, table, cfg)
    _require_paths(path, table, columns)
    given, of_flag = _given(path, table, columns)
    names, notes = find_files(path, [cells[columns.path] for _, cells in table.rows], cfg.suffix)
    root = path.absolute().parent
    _refuse_twice(path, [root / name for name in names], names)
    labels, patients = _labels(table, columns), _patients(path, table, columns, cfg)
    series = _column(table, columns.series)
    found = [
        FoundFiles(root / name, relative_of(name), label, split, patient, line, series=one)
        for name, label, split, patient, one, (line, _) in zip(
            names, labels, given, patients, series, table.rows, strict=True
        )
    ]
    empty = [_NO_PATIENT_CELL] if columns.patient is not None and not any(patients) else []
    return DataFiles(found, [], (*table.notes, *columns.notes, *of_flag, *empty, *notes))


def read_column(path: Path, name: str, cfg: DataConfig | None = None) -> dict[str, str] | None:
    """A column of the table by the relative path of each image, stripped; None where it has no such column.

    The image files are not checked: they may have been moved since the run was trained. So a path that could be read in
    two ways, with a suffix appended or not, is there in both.

    Raises:
        UsageError, DataError: the table is missing or no longer valid.
    """
    table = read_rows(path)
    if name not in table.header:
        return None
    cfg = DataConfig(**options_that_fit(path, table, cfg)) if cfg else DataConfig()
    paths, values = path_column(path, table, cfg), table.column(table.header.index(name))
    both = [spellings(cells[paths], cfg.suffix) for _, cells in table.rows]
    changed, written = zip(*((relative_of(plain), relative_of(raw)) for raw, plain in both), strict=True)
    return {**dict(zip(changed, values, strict=True)), **dict(zip(written, values, strict=True))}


def _labels(table: TextRows, columns: Columns) -> list[str]:
    """The label cells as they are; of a column of 0 and 1, its name or 'no NAME', and an unclear cell (empty, -1) as it is."""
    cells = [cells[columns.label] for _, cells in table.rows]
    said = {"1": columns.flag, "0": f"no {columns.flag}"} if columns.flag else {}
    return [said.get(flag_of(cell), cell) if said else cell for cell in cells]


def _patients(path: Path, table: TextRows, columns: Columns, cfg: DataConfig) -> list[str]:
    """The patient cells, '' everywhere without such a column."""
    if columns.patient is not None and cfg.patient_pattern is not None:
        raise UsageError(
            f"{path} names patients in the column {table.spelled(columns.patient)}, and --patient-pattern finds others in the file "
            "names. Leave the pattern out; or --patient-column none uses the pattern."
        )
    return _column(table, columns.patient)


def _column(table: TextRows, i: int | None) -> list[str]:
    return table.column(i) if i is not None else [""] * len(table.rows)


def _require_paths(path: Path, table: TextRows, columns: Columns) -> None:
    blank = [line for line, cells in table.rows if not cells[columns.path].strip()]
    if blank:
        raise DataError(
            f"{path}: {len(blank)} of {len(table.rows)} rows have no path (first: row {blank[0]}). Fill them in, or remove the rows."
        )


def _given(path: Path, table: TextRows, columns: Columns) -> tuple[list[str], list[str]]:
    """The split of each row, '' everywhere without one, and a note where a column of 1 and 0 says it."""
    cells = _column(table, columns.split)
    if columns.split is not None and (said := flagged_parts(table.header[columns.split], {*map(flag_of, cells)})):
        note = f"In the split column {table.spelled(columns.split)}, 1 is read as {said['1']} and 0 as {said['0']}."
        return [said[flag_of(cell)] for cell in cells], [note]
    odd = sorted({cell for cell in cells if cell and not split_of(cell)})
    blank = cells.count("")
    if odd or 0 < blank < len(cells):
        what = f"holds {odd[0]!r}" if odd else f"is empty in {blank} of {len(cells)} rows"
        raise DataError(
            f"{path}: the split column {table.spelled(columns.split or 0)} {what}. Expected train, valid or test in every row, or no split column (--split-column none)."
        )
    return [split_of(cell) for cell in cells], []


def _refuse_twice(path: Path, files: list[Path], names: list[str]) -> None:
    """Raises a DataError for a file that two rows name, in one spelling or in two ('a.png' and './a.png')."""
    first: dict[str, int] = {}
    places = [os.path.normpath(file) for file in files]
    for i, place in enumerate(places):
        if first.setdefault(place, i) != i:
            raise DataError(
                f"{path} names {relative_of(names[i])!r} {places.count(place)} times. Keep one row per image."
            )
