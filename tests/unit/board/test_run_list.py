"""Rows of run folders: what they say, what is wrong with them, and that listing changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tests.unit.conftest import SaveRun

from plainfilm.board.run_list import Wanted, find_runs, list_runs
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.runs.folder import RunDir
from plainfilm.runs.verified_files import adopt_files
from plainfilm.schemas.run_list import RunRow

RECALIBRATION = {
    "method": "platt", "date": "2026-01-01", "parent_sha256": "0" * 64,
    "parent": {"temperature": 1.0, "bias": {}, "threshold": 0.5}, "images": 9, "patients": None, "fitted_images": 9,
    "fitted_patients": None, "fingerprint": "0" * 64,
}  # fmt: skip
OLD = Path(__file__).parents[2] / "artefacts" / "6b26762"


def one(folder: Path, **wanted: object) -> RunRow:
    (row,) = list_runs(folder, Wanted(**wanted)).runs  # type: ignore[arg-type]
    return row


def everything(folder: Path) -> dict[str, tuple[str, int]]:
    """Hash and time of change of every file below a folder."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_row_has_the_numbers_that_were_saved(save_run: SaveRun):
    run = save_run("first", looked=True)
    row = one(run.root.parent)
    assert (row.name, row.model, row.data, row.split, row.status) == ("first", "paper", "/data", "patient", "done")
    assert row.problem is None and row.opened == 1 and row.test is not None and row.valid is not None
    for split, found in (("valid", row.valid), ("test", row.test)):
        scores = FinishedRun.open(run.root).predictions(split)
        by_sklearn = roc_auc_score(scores.targs, scores.probs[:, 1])
        assert found.auroc.value == pytest.approx(by_sklearn, abs=1e-9)
        assert found.auroc.ci_low < by_sklearn < found.auroc.ci_high  # type: ignore[operator]


def test_a_run_of_three_classes_is_checked_by_the_mean_over_classes(save_run: SaveRun):
    run = save_run("three", vocab=("A", "B", "C"), positive=None)
    scores = FinishedRun.open(run.root).predictions("valid")
    mean = np.mean([roc_auc_score(scores.targs == c, scores.probs[:, c]) for c in range(3)])
    row = one(run.root.parent)
    assert row.problem is None and row.valid is not None
    assert row.valid.auroc.value == pytest.approx(mean, abs=1e-9)


def test_listing_writes_nothing_and_counts_no_access(save_run: SaveRun):
    run = save_run("first", looked=True)
    save_run("going", status="running")
    before = everything(run.root.parent)
    for _ in range(2):
        assert [row.opened for row in list_runs(run.root.parent).runs] == [1, 0]
    assert everything(run.root.parent) == before


def test_running_without_its_lock_is_interrupted_and_with_it_running(save_run: SaveRun):
    run = save_run("going", status="running")
    run.timing.write_text("phase,epoch,images,train_seconds,epoch_seconds\n0,0,80,50,60\n0,1,80,50,30\n")
    row = one(run.root.parent)
    assert (row.status, row.epochs, row.minutes, row.valid) == ("interrupted", 2, 1.5, None)
    assert row.status_text == "interrupted, 2 epochs"
    with run.lock():
        assert one(run.root.parent).status == "running"


def test_a_status_of_a_later_version_is_shown_as_it_is(save_run: SaveRun):
    run = save_run("cut", status="pruned")
    assert one(run.root.parent).status == "pruned"


def test_runs_are_found_four_folders_deep_and_nothing_below_a_run(save_run: SaveRun, tmp_path: Path):
    root = tmp_path / "runs"
    for name in ("a", "experiments/grid/b", "tune/study/x/c", "1/2/3/4/too-deep"):
        save_run(name, status="failed", root=root)
    save_run("inner", status="failed", root=root / "a" / "bundle")
    save_run("d", status="failed", root=root / ".looks")
    assert list(find_runs(root)[0]) == ["a", "experiments/grid/b", "tune/study/x/c"]
    assert list(find_runs(root / "a")[0]) == ["a"]  # a run itself


def test_links_are_counted_not_followed(save_run: SaveRun, tmp_path: Path):
    run = save_run("first", status="failed")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "linked").symlink_to(run.root)
    (tmp_path / "other" / "loop").symlink_to(tmp_path / "other")
    document = list_runs(tmp_path / "other")
    assert document.runs == [] and document.notes == [
        "Linked folders are not followed, and there are 2; give the folder itself."
    ]


def damage_status(run: RunDir) -> None:
    run.status.write_text('{"status": ')


def huge_status(run: RunDir) -> None:
    with run.status.open("ab") as file:
        file.truncate(2_000_000)


def fifo_status(run: RunDir) -> None:
    run.status.unlink()
    os.mkfifo(run.status)


def folder_for_status(run: RunDir) -> None:
    run.status.unlink()
    run.status.mkdir()


def no_config(run: RunDir) -> None:
    run.config.unlink()


def anchored_config(run: RunDir) -> None:
    run.config.write_text("a: &x 1\nb: *x\n")


def other_auroc(run: RunDir) -> None:
    """Without a manifest or a hash of what it says, as in older versions: only the scores tell."""
    found = json.loads(run.metrics.read_text())
    found["valid"]["metrics"]["auroc"]["value"] = 0.999
    found["valid"].pop("inputs", None)
    run.metrics.write_text(json.dumps(found))


def other_scores(run: RunDir) -> None:
    run.predictions("valid").write_text("label,prob_NORMAL,prob_PNEUMONIA\nNORMAL,0.5\n")


def no_ledger(run: RunDir) -> None:
    run.ledger.unlink()


def broken_history(run: RunDir) -> None:
    run.timing.write_text("phase,epoch_seconds\n0,1,2\n")


@pytest.mark.parametrize(
    ("harm", "says", "kept"),
    [
        (damage_status, "status.json of", False),
        (huge_status, "2,000,000 bytes; at most 1,000,000 are read", False),
        (fifo_status, "status.json of", False),
        (folder_for_status, "status.json of", False),
        (no_config, "config.yaml cannot be read", True),
        (anchored_config, "not valid YAML", True),
        (other_auroc, "auroc 0.999 there", False),
        (other_scores, "predictions/valid.csv is damaged", False),
        (no_ledger, "accesses were removed", True),
        (broken_history, "timing.csv of", True),
    ],
)
def test_a_damaged_run_is_a_row_with_the_reason(save_run: SaveRun, harm: Callable, says: str, kept: bool):
    run = save_run("bad", looked=True)
    save_run("sound", looked=True, noise=3)
    harm(run)
    bad, good = list_runs(run.root.parent).runs
    assert bad.problem is not None and says in bad.problem and "\n" not in bad.problem
    assert (bad.valid is not None) == kept
    assert harm is not no_ledger or (bad.test is None and bad.opened is None)
    assert good.name == "sound" and good.problem is None


def test_an_edit_is_found_by_the_manifest(save_run: SaveRun):
    run = save_run("edited")
    adopt_files(run)
    assert one(run.root.parent).problem is None
    run.config.write_text(run.config.read_text() + "\n")
    row = one(run.root.parent)
    assert row.problem is not None and row.problem.startswith("config.yaml of")


def test_test_numbers_without_an_access_are_not_shown(save_run: SaveRun):
    run = save_run("copied", looked=True)
    run.ledger.unlink()
    shutil.rmtree(run.root.parent / ".looks")
    status = json.loads(run.status.read_text())
    run.status.write_text(json.dumps({**status, "ledger_head": None}))
    shutil.rmtree(Path(os.environ["PLAINFILM_HOME"]), ignore_errors=True)
    row = one(run.root.parent)
    assert row.test is None and row.problem is not None and "no test-set access is recorded" in row.problem


@pytest.mark.parametrize(("inherited", "shown"), [(0, True), (1, False)])
def test_a_recalibrated_version_needs_an_access_of_its_own(save_run: SaveRun, inherited: int, shown: bool):
    """Its one access was made at the operating point of its parent where the card counts one inherited."""
    run = save_run("fitted", looked=True)
    card = json.loads(run.card.read_text())
    run.card.write_text(json.dumps({**card, "recalibration": {**RECALIBRATION, "test_accesses": inherited}}))
    row = one(run.root.parent)
    assert row.valid is not None and row.opened == 1 and (row.test is not None) == shown
    assert shown or "no test-set access is recorded" in (row.problem or "")


def test_a_run_of_an_older_version_is_listed():
    row = one(OLD)
    assert (row.name, row.status, row.model, row.split, row.opened) == (
        "grid/small-seed0",
        "done",
        "paper",
        "patient",
        1,
    )
    assert row.valid is not None and row.valid.auroc.value == pytest.approx(0.85206, abs=1e-5)
    assert row.minutes == pytest.approx(3.43, abs=0.01) and row.epochs == 40


def test_folds_are_named_and_a_recalibrated_version_too(save_run: SaveRun):
    run = save_run("fold", options={"data.split": "kfold", "data.folds": 4, "data.fold": 2})
    card = json.loads(run.card.read_text())
    run.card.write_text(json.dumps({**card, "recalibration": {"method": "platt"}}))
    row = one(run.root.parent)
    assert row.split_text == "kfold 2/4" and row.model_text == "paper recalibrated"


def test_rows_are_sorted_by_a_column_and_those_without_a_value_come_last(save_run: SaveRun):
    for name, skill in (("low", 0.2), ("high", 3.0)):
        save_run(name, skill=skill)
    root = save_run("none", status="failed").root.parent

    def names(**wanted: object) -> list[str]:
        return [row.name for row in list_runs(root, Wanted(**wanted)).runs]  # type: ignore[arg-type]

    assert names() == ["high", "low", "none"]
    assert names(reverse=True) == ["none", "low", "high"]
    assert names(sort="valid") == ["high", "low", "none"]
    assert names(sort="valid", reverse=True) == ["low", "high", "none"]
    assert names(sort="status", reverse=True) == ["none", "high", "low"]
    assert (
        names(status="FAIL") == ["none"]
        and names(model="resnet") == []
        and names(data="/DATA") == ["high", "low", "none"]
    )
    assert list_runs(root, Wanted(model="resnet")).found == 3


def test_an_unknown_column_and_a_missing_folder_are_one_line(tmp_path: Path, refusal: Callable):
    from plainfilm.errors import UsageError

    assert "--sort 'auc' is no column" in refusal(lambda: list_runs(tmp_path, Wanted(sort="auc")), UsageError)
    assert "does not exist" in refusal(lambda: list_runs(tmp_path / "none"))
    assert list_runs(tmp_path).runs == []


def test_the_command_lists_without_torch(save_run: SaveRun):
    run = save_run("first")
    code = (
        "import sys\nfrom plainfilm.cli import app\ntry:\n    app(['runs', sys.argv[1], '--json'])\nexcept SystemExit as end:\n"
        "    assert not end.code\nassert not {'torch', 'fastai', 'matplotlib', 'sklearn', 'starlette', 'pandas', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run.root.parent)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert [row["name"] for row in json.loads(done.stdout)["runs"]] == ["first"]
