"""Where the series of an image come from: a column of the table, or a pattern in the file names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plainfilm.config import DataConfig
from plainfilm.data.split.splits import make_split
from plainfilm.data.table.image_table import ImageTable, build_table
from plainfilm.errors import DataError, UsageError
from wording import lacking

Refusal = Callable[..., str]
CELLS = [" Boston", "7.0", "7", "unknown", "", "Bo\u0308ston"]


@pytest.fixture
def folder(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """Six images, three of each class, as ward1-0.png in class folders."""
    for i in range(6):
        image = np.random.default_rng(i).integers(0, 256, (8, 8), dtype=np.uint8)
        write_image(tmp_path / "data" / "AB"[i % 2] / f"ward{i // 2}-{i}.png", image)
    return tmp_path / "data"


def listed(folder: Path, header: str, cells: list[str]) -> Path:
    rows = [f"{'AB'[i % 2]}/ward{i // 2}-{i}.png,{'AB'[i % 2]},{cell}" for i, cell in enumerate(cells)]
    (folder / "list.csv").write_text("\n".join([f"path,label,{header}", *rows]), encoding="utf-8")
    return folder / "list.csv"


def series(table: ImageTable) -> list[str]:
    return list(table.rows.sort_values("relative", key=lambda names: names.str.rpartition("-")[2])["series"])


def group(column: str, **more: Any) -> DataConfig:
    return DataConfig(split="group", group_column=column, **more)


def test_cells_are_stripped_composed_and_numbers_are_equal(folder: Path) -> None:
    table = build_table(listed(folder, "hospital", CELLS), group("hospital"))
    assert series(table) == ["Boston", "7", "7", "", "", "B\u00f6ston"]
    assert "Columns of the table: path from 'path', label from 'label', group from 'hospital'." in table.notes


def test_a_column_of_dates_is_kept_as_it_is_written(folder: Path) -> None:
    cells = ["20200131"] * 6
    table = build_table(listed(folder, "study_date", cells), DataConfig(split="temporal", date_column="study_date"))
    assert series(table) == cells
    assert "Columns of the table: path from 'path', label from 'label', date from 'study_date'." in table.notes


@pytest.mark.parametrize("name", ["series", "set", "phase", "study_id"])
def test_a_column_that_the_user_names_is_neither_patient_nor_split(folder: Path, name: str, refusal: Refusal) -> None:
    """By its name alone each is refused, since its cells repeat."""
    path = listed(folder, name, ["x", "y"] * 3)
    assert f"{name!r} could be the" in refusal(lambda: build_table(path, DataConfig()))
    assert series(build_table(path, group(name))) == ["x", "y"] * 3
    build_table(path, DataConfig(group_column=name))  # another split, or images from elsewhere


def test_the_column_of_patients_may_be_the_series_too(folder: Path) -> None:
    table = build_table(listed(folder, "patient", [*"aabbcc"]), group("patient"))
    assert series(table) == list(table.rows.sort_values("relative", key=lambda names: names.str.rpartition("-")[2])["patient"]) == [*"aabbcc"]  # fmt: skip


def test_other_splits_read_no_series(folder: Path) -> None:
    assert "series" not in build_table(listed(folder, "hospital", CELLS), DataConfig(group_column="hospital")).rows
    assert "series" not in build_table(folder, DataConfig()).rows


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (r"^(ward\d)", ["ward0", "ward0", "ward1", "ward1", "ward2", "ward2"]),
        (r"^(A)/|^B/(w)", ["A", "", "A", "", "A", ""]),
    ],
)
def test_a_pattern_is_searched_in_names_and_with_a_slash_in_paths(folder: Path, pattern: str, found: list[str]) -> None:
    assert series(build_table(folder, DataConfig(split="group", group_pattern=pattern))) == found


def test_a_pattern_may_be_used_beside_a_table(folder: Path) -> None:
    cfg = DataConfig(split="group", group_pattern=r"^(ward\d)")
    assert series(build_table(listed(folder, "age", ["1.5"] * 6), cfg))[-1] == "ward2"


def test_a_column_that_is_not_there_is_refused_with_those_that_are(folder: Path, refusal: Refusal) -> None:
    message = refusal(lambda: build_table(listed(folder, "hospital", CELLS), group("hospitl")), UsageError)
    assert lacking(message, "--group-column 'hospitl'", "'path', 'label', 'hospital'") == []
    cfg = DataConfig(split="temporal", date_column="date")
    assert "--date-column 'date'" in refusal(lambda: build_table(listed(folder, "hospital", CELLS), cfg), UsageError)


def test_a_folder_has_no_columns(folder: Path, refusal: Refusal) -> None:
    assert "--group-pattern" in refusal(lambda: build_table(folder, group("hospital")), UsageError)
    cfg = DataConfig(split="temporal", date_column="date")
    assert "leave --date-column out" in refusal(lambda: build_table(folder, cfg), UsageError)


def test_a_pattern_that_misses_some_names_is_refused_with_their_number(folder: Path, refusal: Refusal) -> None:
    cfg = DataConfig(split="group", group_pattern=r"^ward([01])")
    message = refusal(lambda: make_split(build_table(folder, cfg), cfg, 0), DataError)
    assert lacking(message, "--group-pattern finds no series in 2 of 6 file names", "'A/ward2-4.png'") == []
