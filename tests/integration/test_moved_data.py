"""DATA that was moved after training: every command finds its images again, or says which are other ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from commands import plainfilm

from plainfilm.runs.folder import RunDir

pytestmark = [pytest.mark.slow, pytest.mark.campaign, pytest.mark.usefixtures("one_thread")]
SMALL = ["--size", 32, "--batch-size", 16, "--epochs", 1, "--no-audit", "--no-cache", "--model", "compact"]


@pytest.fixture
def data(tmp_path) -> Path:
    plainfilm("phantom", tmp_path / "data", "--images", 48, "--size", 32, "-q")
    return tmp_path / "data"


def files(run: Path) -> dict[str, bytes]:
    """What a run must hold again, byte for byte."""
    names = ("model.safetensors", "table.csv", "predictions/valid.csv", "history.csv")
    found = {name: (run / name).read_bytes() for name in names if (run / name).is_file()}
    assert len(found) >= 3
    return found


def test_a_stopped_run_goes_on_with_moved_data_to_the_same_bytes(data, tmp_path):
    plainfilm("train", data, *SMALL, "--out", tmp_path / "whole", "-q")
    plainfilm("train", data, *SMALL, "--out", tmp_path / "run", "--max-minutes", 0, "-q", code=130)
    moved = tmp_path / "elsewhere" / "images"
    moved.parent.mkdir()
    shutil.move(data, moved)
    assert "--data" in plainfilm("resume", tmp_path / "run", "-q", code=2).stderr
    plainfilm("resume", tmp_path / "run", "--data", moved, "-q")
    assert files(tmp_path / "run") == files(tmp_path / "whole")


def test_other_images_in_the_new_place_are_refused_by_name(data, tmp_path):
    plainfilm("train", data, *SMALL, "--out", tmp_path / "run", "--max-minutes", 0, "-q", code=130)
    moved = tmp_path / "moved"
    shutil.move(data, moved)
    assert "does not exist" in plainfilm("resume", tmp_path / "run", "--data", tmp_path / "nowhere", code=2).stderr
    name = next(line for line in (tmp_path / "run" / "table.csv").read_text().splitlines() if ",train" in line).split(
        ","
    )[1]
    before = (moved / name).read_bytes()
    other = next(path for path in moved.rglob("*.png") if path.read_bytes() != before)
    (moved / name).write_bytes(other.read_bytes())
    line = plainfilm("resume", tmp_path / "run", "--data", moved, code=2).stderr
    assert "1 of the run's images" in line and name in line
    (moved / name).unlink()
    line = plainfilm("resume", tmp_path / "run", "--data", moved, code=2).stderr
    assert "1 of the run's 48 images are not below" in line and name in line


class Moved(NamedTuple):
    """Two copies of a finished run, in folders of their own; of `stayed` all was computed before DATA was moved to `data`."""

    run: Path
    stayed: Path
    data: Path


def as_json(*words: object) -> dict:
    return json.loads(plainfilm(*words, "--json").stdout)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Moved:
    root = tmp_path_factory.mktemp("moved")
    plainfilm("phantom", root / "old", "--images", 48, "--size", 32, "-q")
    images = sorted((root / "old").rglob("*.png"))
    lines = [f"{p.relative_to(root / 'old').as_posix()},{p.parent.name},{'ab'[i % 2]}" for i, p in enumerate(images)]
    (root / "old" / "list.csv").write_text("\n".join(["path,label,site", *lines]) + "\n")
    plainfilm("train", root / "old" / "list.csv", *SMALL, "--out", root / "runs" / "one", "-q")
    shutil.copytree(root / "runs" / "one", root / "others" / "one")
    for split in ("valid-shifted", "test"):
        plainfilm("evaluate", root / "others" / "one", "--split", split, "--by", "site", "-q")
    plainfilm("interpret", root / "others" / "one", "--split", "valid", "--heat-maps", 4, "-q")
    (root / "new").mkdir()
    shutil.move(root / "old", root / "new" / "images")
    return Moved(root / "runs" / "one", root / "others" / "one", root / "new" / "images")


def numbers(run: Path, split: str) -> dict:
    return {
        name: part for name, part in json.loads((run / "metrics.json").read_text())[split].items() if name != "inputs"
    }


@pytest.mark.parametrize("split", ["valid-shifted", "test"])
def test_moved_images_give_the_numbers_that_they_gave_before(finished, split):
    line = plainfilm("evaluate", finished.run, "--split", split, "--by", "site", code=2).stderr
    assert "list.csv cannot be read" in line and "--data" in line
    line = plainfilm("evaluate", finished.run, "--split", split, code=2).stderr
    assert "cannot be read any more" in line and "--data" in line
    assert not (finished.run / "predictions" / f"{split}.csv").exists()
    as_json("evaluate", finished.run, "--split", split, "--by", "site", "--data", finished.data / "list.csv")
    assert numbers(finished.run, split) == numbers(finished.stayed, split)
    name = f"predictions/{split}.csv"
    assert (finished.run / name).read_bytes() == (finished.stayed / name).read_bytes()


def test_a_folder_may_be_named_in_place_of_the_table_in_it(finished):
    found = as_json("evaluate", finished.run, "--by", "site", "--data", finished.data)
    assert [group["name"] for group in found["subgroups"]["groups"]] == ["a", "b"]


def test_heat_maps_of_moved_images_are_those_of_before(finished):
    said = plainfilm("interpret", finished.run, "--split", "valid", "--heat-maps", 4).stderr
    assert "saved largest losses" in said and "--data" in said
    told = plainfilm("interpret", finished.run, "--split", "valid", "--heat-maps", 4, "--data", finished.data)
    assert "saved largest losses" not in told.stderr
    now, before = (RunDir(run).heat_checks.read_bytes() for run in (finished.run, finished.stayed))
    assert now == before


def test_report_and_export_say_that_all_is_there_and_refuse_where_it_is_not(finished, tmp_path):
    plain = plainfilm("report", finished.run, "--out", tmp_path / "a.html")
    told = plainfilm("report", finished.run, "--out", tmp_path / "b.html", "--data", finished.data)
    assert "images of train and valid are unchanged; the " in " ".join(told.stderr.split())
    assert "unchanged" not in plain.stderr
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    found = as_json("export", finished.run, "--out", tmp_path / "bundle", "--data", finished.data)
    assert found["pictures"] > 0
    assert json.loads((tmp_path / "bundle" / "card.json").read_text())["onnx"]["compared_on"] == "valid images"
    for words in (("report", "--out", tmp_path / "c.html"), ("export", "--out", tmp_path / "c")):
        refused = plainfilm(words[0], finished.run, *words[1:], "--data", tmp_path, code=2)
        assert "images are not below" in refused.stderr and not Path(words[2]).exists()


def test_a_test_image_that_changed_on_the_way_is_refused_before_the_access_is_recorded(finished, tmp_path):
    run, data = tmp_path / "run", tmp_path / "data"
    shutil.copytree(finished.stayed, run)
    shutil.copytree(finished.data, data)
    before = (run / "test_ledger.jsonl").read_bytes()
    name = next(line for line in (run / "table.csv").read_text().splitlines() if line.endswith("test")).split(",")[1]
    with (data / name).open("ab") as file:
        file.write(b"x")
    refused = plainfilm("evaluate", run, "--split", "test", "--again", "--data", data, code=2)
    assert "changed since it was scanned" in refused.stderr and name in refused.stderr
    assert (run / "test_ledger.jsonl").read_bytes() == before
