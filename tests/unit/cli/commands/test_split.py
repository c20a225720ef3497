"""`plainfilm split --split group` and `temporal` as a user types them: counts, notes, and one line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from plainfilm.cli import app
from wording import lacking

HOSPITALS = {"north": 10, "south": 4, "east": 6}  # patients of each class, one image each


def plainfilm(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images of three hospitals in folders NORMAL and SICK, named as the hospital, with a table beside them."""
    root = tmp_path_factory.mktemp("hospitals")
    rows = ["path,label,patient,hospital,day,empty,one"]
    for name, patients in HOSPITALS.items():
        for i in range(2 * patients):
            label, n = ("NORMAL", "SICK")[i % 2], len(rows)
            path = root / label / f"{name}_{i}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.random.default_rng(n).integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
            day = f"2020-{1 + (n - 1) // 28:02}-{1 + (n - 1) % 28:02}"
            rows.append(f"{label}/{path.name},{label},{name}{i},{name},{day},{'' if n == 3 else 'x'},same")
    (root / "list.csv").write_text("\n".join(rows), encoding="utf-8")
    return root / "list.csv"


def test_a_table_is_divided_by_hospital_and_the_split_file_says_the_same(listed: Path, tmp_path: Path) -> None:
    """Of 40 images 6 are wished for test: south, the smallest, has 8; of the other 32 9.4 for valid: east has 12."""
    out = tmp_path / "split.csv"
    done = plainfilm("split", listed, "--split", "group", "--group-column", "hospital", "--out", out, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    counts = {name: part["images"] for name, part in document["data"]["splits"].items()}
    assert (document["kind"], document["leaky"], counts) == ("group", False, {"train": 20, "valid": 12, "test": 8})
    found = pd.read_csv(out).groupby("split")["series"].unique().map(list).to_dict()
    assert found == {"train": ["north"], "valid": ["east"], "test": ["south"]}
    again = plainfilm("split", listed, "--split", out, "--out", tmp_path / "again.csv", "--json")
    assert json.loads(again.stdout)["data"]["splits"] == document["data"]["splits"]
    assert any(note.startswith("HELD-OUT SERIES: test is 'south'") for note in json.loads(again.stdout)["notes"])


def test_names_do_for_folders_without_a_table(listed: Path, tmp_path: Path) -> None:
    done = plainfilm(
        "split", listed.parent, "--split", "group", "--group-pattern", "^([a-z]+)_", "--test-series", "north",
        "--out", tmp_path / "split.csv",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert lacking(done.output, "HELD-OUT SERIES: test is 'north', of 3 series") == []
    assert set(pd.read_csv(tmp_path / "split.csv").query("split == 'test'")["series"]) == {"north"}


def test_the_latest_images_are_test(listed: Path, tmp_path: Path) -> None:
    """One image a day, 28 of them in January: of 40 days the last 6 are test, from 7 February on, the 10 before them valid."""
    out = tmp_path / "split.csv"
    done = plainfilm("split", listed, "--split", "temporal", "--date-column", "day", "--out", out)
    assert done.exit_code == 0, done.output
    assert lacking(done.output, "train is before 2020-01-25, valid before 2020-02-07, test from then on") == []
    assert "series" not in pd.read_csv(out).columns


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["group"], ["--group-column", "--group-pattern", "found neither"]),
        (["temporal"], ["--date-column"]),
        (["group", "--group-column", "hospitl"], ["--group-column 'hospitl'", "'hospital'"]),
        (["group", "--group-column", "one"], ["All 40 images are of one series, 'same'"]),
        (["group", "--group-column", "empty"], ["1 of 40 images have no series in the column 'empty'"]),
        (["group", "--group-column", "hospital", "--test-series", "west"], ["--test-series 'west'", "'east', 'north', 'south'"]),
        (["group", "--group-column", "label"], ["None of 2 series can be held out"]),
        (["group", "--group-pattern", "^([a-z]+)x"], ["finds no series in 40 of 40 file names"]),
        (["temporal", "--date-column", "one"], ["holds 'same'", "2020-01-31 or 20200131"]),
        (["temporal", "--date-column", "hour"], ["--date-column 'hour'", "'day'"]),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_ends_with_two(
    listed: Path, tmp_path: Path, words: list[str], said: list[str]
) -> None:
    done = plainfilm("split", listed, "--split", *words, "--out", tmp_path / "split.csv")
    assert done.exit_code == 2, done.output
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("plainfilm: ")]
    assert lacking(line, *said) == [] and "Traceback" not in done.output
    assert not (tmp_path / "split.csv").exists()


def test_the_run_keeps_no_column_of_the_table(listed: Path, tmp_path: Path) -> None:
    from plainfilm.base.events import silent
    from plainfilm.config import load_config
    from plainfilm.pipeline.prepare import prepare
    from plainfilm.pipeline.run_inputs import read_inputs, write_inputs
    from plainfilm.runs.folder import RunDir

    cfg = load_config(options={"data.path": str(listed), "data.split": "group", "data.group_column": "hospital"})
    ready, run = prepare(cfg, silent), RunDir(tmp_path / "run")
    run.start.parent.mkdir(parents=True)
    write_inputs(run, cfg, ready, {"device": "cpu", "threads": 1}, seal=ready.seal)
    assert (
        "south"
        not in pd.read_csv(run.table).drop(columns=["path", "relative", "patient", "wide", "duplicate_of"]).to_csv()
    )
    again = read_inputs(run).ready
    assert (again.split.kind, again.split.notes) == ("group", ready.split.notes)
    assert list(again.split.rows["split"]) == list(ready.split.rows["split"])
