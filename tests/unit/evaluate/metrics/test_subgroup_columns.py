"""Where the subgroups come from: file names, the table, the CSV of the run; and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from plainfilm.config import DataConfig
from plainfilm.errors import DataError, UsageError
from plainfilm.evaluate.metrics.subgroup_columns import subgroup_names
from wording import lacking

Refusal = Callable[..., str]
NAMES = ["person1_virus_6.jpeg", "person3_bacteria_10.jpeg", "IM-0001-0001.jpeg", "NORMAL2-IM-0095-0001.jpeg", "bacteria.png"]  # fmt: skip
ROWS = pd.DataFrame(
    {"relative": [f"train/X/{name}" for name in NAMES], "mode": ["L", "L", "L", "RGB", "L"], "label": "X"}
)


def csv(folder: Path, columns: dict[str, list[str]]) -> Path:
    path = folder / "list.csv"
    pd.DataFrame({"path": ROWS["relative"], "label": "X", **columns}).to_csv(path, index=False)
    return path


def test_the_subtype_is_read_from_names_of_the_kermany_set():
    assert subgroup_names(ROWS, "subtype", None) == ["virus", "bacteria", "", "", ""]


def test_a_column_of_the_table_is_taken_as_it_is():
    assert subgroup_names(ROWS, "mode", Path("/data/folder")) == ["L", "L", "L", "RGB", "L"]


def test_an_archive_is_no_table(tmp_path: Path):
    (tmp_path / "set.zip").write_bytes(b"PK")
    assert subgroup_names(ROWS, "mode", tmp_path / "set.zip") == ["L", "L", "L", "RGB", "L"]


def test_a_column_of_the_csv_is_joined_by_path_as_text_and_comes_first(tmp_path: Path):
    path = csv(tmp_path, {"site": ["007", "7", " 7 ", "", "NA"], "subtype": ["a", "a", "b", "b", "b"]})
    assert subgroup_names(ROWS.iloc[::-1], "site", path) == ["NA", "", "7", "7", "007"]
    assert subgroup_names(ROWS, "subtype", path) == ["a", "a", "b", "b", "b"]
    assert subgroup_names(ROWS, "mode", path) == ["L", "L", "L", "RGB", "L"]  # not in the CSV: the table's


@pytest.mark.parametrize("column", ["sex", "label", "relative", "line", ""])
def test_what_is_no_column_of_subgroups_is_refused_with_those_that_are(column: str, refusal: Refusal, tmp_path: Path):
    message = refusal(lambda: subgroup_names(ROWS, column, csv(tmp_path, {})), UsageError)
    assert "Expected one of subtype, mode" in message


def test_too_many_values_or_none_make_no_subgroups(refusal: Refusal, tmp_path: Path):
    many = pd.concat([ROWS] * 10, ignore_index=True).assign(age=[str(i) for i in range(50)])
    message = refusal(lambda: subgroup_names(many, "age", None), UsageError)
    assert lacking(message, "--by age", "50 different values", "at most 20") == []
    path = csv(tmp_path, {"site": [""] * 5})
    assert "no image here has a value" in refusal(lambda: subgroup_names(ROWS, "site", path), UsageError)


def test_a_csv_that_is_gone_or_lists_other_images_is_refused(refusal: Refusal, tmp_path: Path):
    path = csv(tmp_path, {"site": list("abcde")})
    other = ROWS.assign(relative=["x", *ROWS["relative"][1:]])
    assert "no longer lists 1 of 5 images" in refusal(lambda: subgroup_names(other, "site", path), DataError)
    path.unlink()
    assert "cannot be read" in refusal(lambda: subgroup_names(ROWS, "site", path), DataError)


def test_twenty_values_make_subgroups_and_any_ending_of_a_csv_is_one(tmp_path: Path):
    many = pd.concat([ROWS] * 4, ignore_index=True).assign(age=list(range(20)))
    assert subgroup_names(many, "age", None) == [str(i) for i in range(20)]
    path = csv(tmp_path, {"site": list("abcde")})
    upper = path.rename(tmp_path / "LIST.CSV")
    assert subgroup_names(ROWS, "site", upper) == list("abcde")


def test_the_refusals_name_what_there_is(refusal: Refusal, tmp_path: Path):
    said = refusal(lambda: subgroup_names(ROWS, "sex", None), UsageError)
    assert said.startswith("--by 'sex': no such column of subgroups. Expected one of subtype, mode, or a column of")
    path = csv(tmp_path, {"site": [""] * 5})
    assert refusal(lambda: subgroup_names(ROWS, "site", path), UsageError).startswith("--by site: no image")
    many = pd.concat([ROWS] * 10, ignore_index=True).assign(age=[str(i) for i in range(50)])
    assert refusal(lambda: subgroup_names(many, "age", None), UsageError).startswith("--by age: found 50")
    other = ROWS.assign(relative="x")
    assert refusal(lambda: subgroup_names(other, "site", csv(tmp_path, {"site": list("abcde")}))).startswith("list.csv no longer lists")  # fmt: skip


def test_a_built_in_column_that_tells_nothing_is_named(refusal: Refusal):
    rows = ROWS.assign(relative=[f"X/{i}.png" for i in range(5)])
    assert refusal(lambda: subgroup_names(rows, "subtype", None), UsageError).startswith("--by subtype: no image")


def test_a_column_is_joined_as_the_run_reads_its_table(tmp_path: Path):
    """Tabs, a column of paths by another name, and names without their suffix."""
    table = tmp_path / "list.tsv"
    lines = [f"train/X/{Path(name).stem}\tX\t{i}" for i, name in enumerate(NAMES[:4])]
    table.write_text("\n".join(["film\tlabel\tsite", *lines]) + "\n")
    cfg = DataConfig(path_column="film", suffix=".jpeg")
    assert subgroup_names(ROWS[:4], "site", table, cfg) == ["0", "1", "2", "3"]
