"""A search as a user runs it: trials, confirming runs, no test-set access; killed, interrupted, damaged and resumed."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from plainfilm.errors import StoppedError
from plainfilm.runs.folder import RunDir
from plainfilm.tune.run import TuneRequest, tune
from wording import lacking

optuna = pytest.importorskip("optuna", reason="needs the extra tune: pip install 'plainfilm[tune]'")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
plainfilm = partial(commands.plainfilm, COLUMNS="200")
SAME = ("model.safetensors", "history.csv", "predictions/valid.csv", "card.json")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """256 patients of one image each, so that valid is divided; the second class has a faint spot."""
    root, rng = tmp_path_factory.mktemp("data") / "drawn", np.random.default_rng(5)
    for number in range(256):
        image = rng.normal(110, 30, (24, 24))
        if label := number % 2:
            y, x = rng.integers(3, 15, 2)
            image[y : y + 6, x : x + 6] += 25
        path = root / ("CLEAR", "SPOT")[label] / f"phantom-{number:05d}-1.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(path)
    return root


def write_file(folder: Path, data: Path, **changes: Any) -> Path:
    section: dict[str, Any] = {
        "trials": 3, "space": {"train.lr": {"log": [1e-3, 1e-1]}, "model.filters": {"choice": [[4, 8], [8, 8]]}},
        "confirm": {"top": 1, "seeds": 2}, **changes,
    }  # fmt: skip
    path = folder / "lr.yaml"
    path.write_text(json.dumps({
        "data": {"path": str(data), "audit": False, "shares": [0.35, 0.45, 0.2]}, "evaluate": {"n_boot": 100, "gate": False},
        "model": {"filters": [4, 8], "kernel": 3, "dense": 8}, "train": {"size_px": 24, "epochs": 3, "batch_size": 16, "lr": 0.01},
        "tune": section,
    }))  # fmt: skip
    return path


OPENED: list[str] = []
sys.addaudithook(lambda event, args: OPENED.append(str(args[0])) if event == "open" and HEARS else None)
HEARS: list[bool] = []


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tune")


@pytest.fixture(scope="module")
def study(place, data) -> dict[str, Any]:
    """The document of a whole study, and in OPENED what was opened from its first trial on."""
    os.environ["PLAINFILM_CACHE"] = str(place / "cache")  # nothing is decoded yet

    def hear(what: str, facts: dict[str, Any]) -> None:
        if what == "tune_trial":
            HEARS.append(True)

    document = tune(TuneRequest(write_file(place, data), out=place / "runs", device="cpu"), on_event=hear)
    HEARS.clear()
    return document.model_dump(mode="json")


@pytest.fixture(scope="module")
def folder(study) -> Path:
    return Path(study["out"])


def scores(run: Path) -> pd.DataFrame:
    """The saved valid scores with the roles of their images."""
    table = pd.read_csv(run / "table.csv", dtype=str)
    found = pd.read_csv(run / "predictions" / "valid.csv").merge(table[["path", "role"]], on="path")
    assert set(found["role"]) == {"select", "calibrate"}
    return found


def auroc(found: pd.DataFrame, role: str) -> float:
    part = found[found["role"] == role]
    return float(roc_auc_score(part["label"] == "SPOT", part["prob_SPOT"]))


def test_select_alone_decides_and_trial_0_is_the_file_itself(study):
    first, *others = study["trials"]
    assert first["params"] == {"train.lr": 0.01, "model.filters": [4, 8]} and study["default"] == first["select"]
    assert all(1e-3 <= trial["params"]["train.lr"] <= 1e-1 for trial in others)
    for trial in study["trials"]:
        assert trial["select"] == pytest.approx(auroc(scores(Path(trial["run"])), "select"), abs=1e-6)
        assert trial["select"] == max(pd.read_csv(Path(trial["run"]) / "history.csv")["valid_auroc"])
    best = max(study["trials"], key=lambda trial: trial["select"])
    assert (study["best"]["number"], study["best"]["select"]) == (best["number"], best["select"])
    assert study["best"]["apart"] is True


def test_the_winners_calibrate_is_of_images_that_chose_nothing(study):
    winner = next(trial for trial in study["trials"] if trial["number"] == study["best"]["number"])
    assert study["best"]["calibrate"]["value"] == pytest.approx(
        auroc(scores(Path(winner["run"])), "calibrate"), abs=1e-6
    )
    assert all("calibrate" not in trial for trial in study["trials"])


def test_the_best_and_the_default_are_trained_again_on_fresh_seeds_of_one_split(study):
    assert {row["number"] for row in study["confirmed"]} == {0, study["best"]["number"]}
    roles = set()
    for row in study["confirmed"]:
        assert row["seeds"] == [1, 2] and len(row["runs"]) == 2
        values = [auroc(scores(Path(run)), "calibrate") for run in row["runs"]]
        assert row["calibrate"]["mean"] == pytest.approx(np.mean(values), abs=1e-6)
        assert row["calibrate"]["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
        roles |= {pd.read_csv(Path(run) / "table.csv")[["path", "split", "role"]].to_csv() for run in row["runs"]}
    assert len(roles) == 1  # whatever the seed
    means = {row["number"]: row["calibrate"]["mean"] for row in study["confirmed"]}
    for row in study["confirmed"]:
        if row["number"]:
            found = row["difference"]
            assert found["value"] == pytest.approx(means[row["number"]] - means[0], abs=1e-6)
            assert found["ci_low"] < found["value"] < found["ci_high"]
        else:
            assert row["difference"] is None


def test_no_test_image_is_opened_and_no_access_recorded(study, folder):
    split = pd.read_csv(folder / "split.csv")
    opened = {Path(name).name for name in OPENED}
    named = {part: {Path(p).name for p in rows["path"]} for part, rows in split.groupby("split")}
    assert named["train"] <= opened and not named["test"] & opened
    assert not list(folder.rglob("test_ledger.jsonl")) and not list(folder.rglob(".looks"))


def test_a_trial_may_not_be_evaluated_on_test_and_a_confirmed_run_may(study):
    refused = plainfilm("evaluate", study["trials"][1]["run"], "--split", "test", code=2)
    assert lacking(refused.stderr, "trial 1 of the study lr", "confirmed/") == [] and refused.stdout == ""
    done = json.loads(plainfilm("evaluate", study["confirmed"][0]["runs"][0], "--split", "test", "--json").stdout)
    assert done["opened"] == 1


def test_the_same_command_trains_nothing_again_and_says_the_same(study, folder, place, data):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")}
    again = plainfilm("tune", write_file(place, data), "--out", place / "runs", "--device", "cpu", "--json")
    counts = {"test_accesses": 1, "test_accesses_by_all": 1}  # the evaluation above
    assert study["test_accesses"] == 0 and json.loads(again.stdout) == study | counts
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("model.safetensors")}


@pytest.mark.parametrize("damage", ["deleted", "truncated", "garbage", "other"])
def test_a_lost_or_damaged_database_is_made_again_from_the_run_folders(study, folder, place, data, damage):
    database = folder / "study.db"
    held = trials_in(database)
    assert [(state, value) for state, value, _ in held] == [("COMPLETE", trial["select"]) for trial in study["trials"]]
    if damage == "deleted":
        database.unlink()
    elif damage == "truncated":
        database.write_bytes(database.read_bytes()[: database.stat().st_size // 2])
    elif damage == "garbage":
        database.write_bytes(b"no database at all" * 99)
    else:
        optuna.load_study(study_name="lr", storage=f"sqlite:///{database}").add_trial(
            optuna.trial.create_trial(value=1.0)
        )
    done = plainfilm("tune", write_file(place, data), "--out", place / "runs", "--device", "cpu")
    assert trials_in(database) == held
    assert ("study.db" in done.stderr) == (damage != "deleted"), done.stderr


def trials_in(database: Path) -> list[tuple[str, float, dict[str, Any]]]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{database}")
    found = [(t.state.name, t.value, t.params) for t in optuna.load_study(study_name="lr", storage=storage).trials]
    storage.remove_session()
    storage.engine.dispose()
    return found


def test_another_space_split_or_data_is_refused_in_one_line(study, folder, place, data, tmp_path):
    def refused(code: int = 2, **changes: Any) -> str:
        done = plainfilm("tune", write_file(place, data, **changes), "--out", place / "runs", "-q", code=code)
        assert done.stdout == "" and len(done.stderr.strip().splitlines()) == 1
        return done.stderr

    assert lacking(refused(space={"train.lr": {"log": [1e-3, 1.0]}}), "tune.space.train.lr.log", "0.1", "1.0") == []
    assert "tune.sampler" in refused(sampler="random")
    split = folder / "split.csv"
    text = split.read_text()
    split.write_text(text.replace(",train,", ",test,", 1))
    assert "split.csv" in refused()
    split.write_text(text)
    gone = data / "CLEAR" / "phantom-00000-1.png"
    gone.rename(tmp_path / "gone.png")
    assert lacking(refused(), "data", "phantom-00000-1.png") == []
    (tmp_path / "gone.png").rename(gone)
    with RunDir(folder).lock():
        assert "another process" in refused(code=4)


def test_the_page_holds_the_figures_and_loads_nothing(study, folder):
    page = (folder / "tune.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3  # three trials are too few to tell importance
    assert "<script" not in page and "://" not in page
    assert lacking(page, f"Best of {len(study['trials'])} trials", "flatters itself") == []


@needs_fork
def test_a_driver_that_is_killed_loses_nothing_that_shows(study, tmp_path, data):
    """Killed -9 after the first epoch of trial 1, then resumed: every file that matters has the same bytes."""
    request = TuneRequest(write_file(tmp_path, data, confirm={"top": 0}), out=tmp_path / "runs", device="cpu")
    pid = os.fork()
    if not pid:
        tune(request, on_event=at("epoch", 1, lambda: os.kill(os.getpid(), signal.SIGKILL)))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    trials = tmp_path / "runs" / "lr" / "trials"
    assert RunDir(trials / "trial-001").read_status()["status"] == "interrupted"
    weights = (trials / "trial-000" / "model.safetensors").stat().st_mtime_ns
    events: list[tuple[str, Any]] = []
    document = tune(request, on_event=lambda what, facts: events.append((what, facts)))
    assert [facts["resumes"] for what, facts in events if what == "tune_trial"] == [True, False]
    assert (trials / "trial-000" / "model.safetensors").stat().st_mtime_ns == weights
    for trial, whole in zip(document.trials, study["trials"], strict=True):
        assert trial.params == whole["params"] and trial.select == whole["select"]
        assert [
            n for n in SAME if (Path(trial.run or "") / n).read_bytes() != (Path(whole["run"]) / n).read_bytes()
        ] == []


def at(what: str, trial: int, work: Callable[[], None]) -> Callable[[str, dict[str, Any]], None]:
    """Does `work` at the first such event of a trial."""
    number = -1

    def hear(event: str, facts: dict[str, Any]) -> None:
        nonlocal number
        number = facts["number"] if event == "tune_trial" else number
        if event == what and number == trial:
            number = -1
            work()

    return hear


def test_an_interrupt_is_resumed_and_a_pruned_trial_stays_so(tmp_path, data, monkeypatch):
    """Trial 1 is interrupted in its first epoch; trial 2 is pruned after it."""
    request = TuneRequest(write_file(tmp_path, data, confirm={"top": 0}), out=tmp_path / "runs", device="cpu")
    with pytest.raises(StoppedError) as stopped:
        tune(request, on_event=at("batch", 1, lambda: os.kill(os.getpid(), signal.SIGINT)))
    assert lacking(str(stopped.value), "1 of 3 trials", "Resume with: plainfilm tune") == []
    trials = tmp_path / "runs" / "lr" / "trials"
    assert RunDir(trials / "trial-001").read_status()["status"] == "interrupted"
    monkeypatch.setattr(
        "plainfilm.tune.trials.median_pruner",
        lambda tune, past, epochs: (lambda curve: True) if len(past) == 2 else None,
    )
    found = tune(request)
    assert [(trial.status, trial.epochs) for trial in found.trials] == [("done", 3), ("done", 3), ("pruned", 1)]
    assert tune(request) == found
    run = trials / "trial-002"
    assert json.loads((run / "status.json").read_text())["status"] == "pruned"
    assert not (run / "model.safetensors").exists()
    for command in ("resume", "show"):
        assert lacking(plainfilm(command, run, code=2).stderr, "plainfilm tune ended it") == []


def test_a_dry_run_writes_nothing(tmp_path, data):
    done = plainfilm("tune", write_file(tmp_path, data), "--out", tmp_path / "runs", "--dry-run", "--json")
    document = json.loads(done.stdout)
    assert document["planned"] == 3 and document["trials"] == [] and document["estimate_seconds"] > 0
    assert not (tmp_path / "runs").exists()
