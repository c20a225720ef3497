"""A run and a bundle of commit 6b26762 (tests/artefacts/6b26762) are read by this version, with the same numbers."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from plainfilm.cli import app
from plainfilm.runs.environment import versions

KEPT = Path(__file__).parents[1] / "artefacts" / "6b26762"
RUN = "small-seed0"
# what commit 6b26762 said of an image, and what is said now
FLAGS = {"": "", "unsure": "abstain", "unlike the training images": "out of distribution"}


def plainfilm(*args: object, code: int = 0) -> Result:
    done = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "200"}).invoke(app, [str(arg) for arg in args])
    assert done.exit_code == code, f"exit {done.exit_code}, expected {code}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """A copy of the runs, to be written to."""
    return Path(shutil.copytree(KEPT / "grid", tmp_path / "grid"))


@pytest.fixture
def evaluated() -> dict[str, dict]:
    return json.loads((KEPT / "grid" / RUN / "metrics.json").read_text(encoding="utf-8"))


def test_report_states_the_saved_numbers(grid, evaluated):
    plainfilm("report", grid / RUN)
    page = (grid / RUN / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", " ", page)
    for split in ("valid", "test"):
        for name in ("accuracy", "auroc"):
            assert f"{evaluated[split]['metrics'][name]['value']:.3f}" in text
    assert evaluated["test"]["metrics"]["auroc"]["n"] == 45
    baseline = evaluated["test"]["no_lungs_needed"]["auroc"]["value"]
    assert f"{baseline:.3f}" in text


def facts_of(metric):
    return metric["value"], metric["n"], metric["n_patients"]


def test_valid_is_evaluated_again_to_the_same_numbers_without_its_images(grid, evaluated):
    found = json.loads(plainfilm("evaluate", grid / RUN, "--split", "valid", "--json").stdout)
    before = evaluated["valid"]
    for block in ("confusion", "threshold", "positive"):
        assert found[block] == before[block], block
    for block in ("metrics", "metrics_at_half"):  # limits are those of this version
        assert {name: facts_of(metric) for name, metric in found[block].items()} == {
            name: facts_of(metric) for name, metric in before[block].items()
        }, block


def test_test_numbers_saved_by_that_commit_are_shown_without_an_access(grid, evaluated):
    """They name no inputs: whether these changed is not known, and a note says so."""
    before = (grid / RUN / "test_ledger.jsonl").read_bytes(), (grid / RUN / "metrics.json").read_bytes()
    for command in (["evaluate", grid / RUN, "--split", "test"], ["show", grid / RUN]):
        found = json.loads(plainfilm(*command, "--json").stdout)
        assert found["metrics"] == evaluated["test"]["metrics"] and "not known" in found["notes"][-1]
        printed = plainfilm(*command).stdout
        assert "AUROC" in printed and printed.count("not known") == 1
    assert before == ((grid / RUN / "test_ledger.jsonl").read_bytes(), (grid / RUN / "metrics.json").read_bytes())
    plainfilm("evaluate", grid / RUN, "--split", "test", "--prevalence", "0.1")  # another question
    assert (grid / RUN / "test_ledger.jsonl").read_bytes() != before[0]


def test_the_drawn_set_is_counted_beside_the_runs_and_any_other_for_the_user(grid, home_of_one_test, monkeypatch):
    ask = ("evaluate", grid / RUN, "--split", "test", "--prevalence")
    assert "2 by this run, 2 by all runs\n" in plainfilm(*ask, "0.1").stdout
    assert not home_of_one_test.exists()
    monkeypatch.setattr("plainfilm.evaluate.heldout.all_drawn", lambda rows: False)
    plainfilm(*ask, "0.2")
    (ledger,) = home_of_one_test.glob("accesses/*.jsonl")
    assert [json.loads(line)["run"] for line in ledger.read_text().splitlines()] == [RUN] * 3


def test_compare_finds_no_difference_between_a_run_and_its_own_scores(grid):
    """The copy's config names another network, so that it is another configuration; the scores are the same."""
    copy = Path(shutil.copytree(grid / RUN, grid / "other"))
    config = copy / "config.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace("dense: 128", "dense: 64"), encoding="utf-8")
    first, second = json.loads(plainfilm("compare", grid / RUN, copy, "--json").stdout)["rows"]
    assert first["metrics"] == second["metrics"]
    found = second["differences"]["auroc"]
    assert (found["value"], found["p"], found["patients"]) == (0, 1, 30)
    assert found["ci_low"] < 0 < found["ci_high"]


def test_the_experiments_table_has_the_same_rows(grid, tmp_path):
    out = tmp_path / "results"
    out.mkdir()
    plainfilm("experiments", "table", grid, "--out", out)
    found, before = read_rows(out / "results.csv"), read_rows(KEPT / "results.csv")
    assert len(found) == len(before) == 2  # the network and the thumbnail probe
    for row, old in zip(found, before, strict=True):
        differ = {key: (old[key], row.get(key)) for key in old if row.get(key) != old[key]}
        limits = {key for key in differ if key.endswith(("_low", "_high"))}  # those of this version
        assert differ.keys() - limits <= {"experiment", "configuration", "runs"}, differ
    assert found[0]["configuration"] == "small"
    assert "8x8" in found[1]["configuration"]


def test_predict_gives_the_same_scores(tmp_path):
    out = tmp_path / "rows.csv"
    plainfilm("predict", KEPT / "bundle", KEPT / "images", "--out", out)
    found, before = read_rows(out), read_rows(KEPT / "predictions.csv")
    assert [Path(row["path"]).name for row in found] == [Path(row["path"]).name for row in before]
    for row, old in zip(found, before, strict=True):
        assert row["label"] == old["label"]
        for key in ("score", "prob_NORMAL", "prob_PNEUMONIA"):
            assert float(row[key]) == pytest.approx(float(old[key]), abs=1e-5)
        assert row["flag"] == FLAGS[old["flag"]]


def test_a_finished_run_is_not_resumed(grid):
    assert "already done" in plainfilm("resume", grid / RUN, code=2).stderr


def stopped(run: Path) -> Path:
    """The run as it would be had it been interrupted."""
    status = run / "status.json"
    status.write_text(status.read_text(encoding="utf-8").replace('"done"', '"interrupted"'), encoding="utf-8")
    return run


def test_a_stopped_run_whose_images_and_state_are_gone_is_refused_by_name(grid):
    """What differs is named: versions first, then images; the state was not kept."""
    said = plainfilm("resume", stopped(grid / RUN), code=2).stderr
    assert RUN in said and "train again" in said
    kept = json.loads((grid / RUN / "environment.json").read_text(encoding="utf-8"))
    same = versions() == {"plainfilm": kept["plainfilm"], **kept["libraries"]}
    assert re.search(r"phantom-\d{5}-\d\.png", said) if same else re.search(r"\d+\.\d+", said)


def test_a_stopped_run_whose_config_was_edited_is_refused_by_its_key(grid):
    config = stopped(grid / RUN) / "config.yaml"
    config.write_text(config.read_text(encoding="utf-8").replace("dense: 128", "dense: 64"), encoding="utf-8")
    assert "model.dense" in plainfilm("resume", grid / RUN, code=2).stderr
