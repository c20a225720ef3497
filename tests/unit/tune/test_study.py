"""What a study keeps of its beginning, and says of what changed since."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from plainfilm.base.events import silent
from plainfilm.errors import DataError, GateError
from plainfilm.tune import accesses
from plainfilm.tune.plan import Plan, read_plan
from plainfilm.tune.study import study_in
from wording import lacking


@pytest.fixture
def data(tmp_path) -> Path:
    """Official parts: train, val and test of 2 classes, 8 patients each."""
    rng = np.random.default_rng(3)
    for part in ("train", "val", "test"):
        for number in range(16):
            path = tmp_path / "data" / part / "AB"[number % 2] / f"{part}{number:03}-1.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(path)
    return tmp_path / "data"


def plan_of(data: Path, split: str = "official", **tune: Any) -> Plan:
    path = data.parent / "lr.yaml"
    path.write_text(json.dumps({
        "data": {"path": str(data), "split": split, "audit": False}, "train": {"size_px": 48},
        "tune": {"trials": 2, "space": {"train.lr": {"log": [1e-4, 1e-1]}}, **tune},
    }))  # fmt: skip
    return read_plan(path)


def notes(folder: Path, plan: Plan) -> list[str]:
    with study_in(folder, plan, silent) as study:
        return study.notes


def test_the_notes_of_the_split_as_it_was_made_stay(data, tmp_path):
    first = notes(tmp_path / "study", plan_of(data))
    assert any("pooled; valid is 20%" in note for note in first), first
    assert notes(tmp_path / "study", plan_of(data)) == first
    one_set = [note for note in first if note.startswith("ONE VALID SET")]
    assert len(one_set) == 1 and "its split file" not in one_set[0]


def test_a_leak_leaves_no_study_and_names_no_option_that_tune_lacks(data, tmp_path, refusal):
    first, *_ = sorted((data / "train" / "A").iterdir())
    (data / "test" / "A" / "copy.png").write_bytes(first.read_bytes())
    said = refusal(lambda: notes(tmp_path / "study", plan_of(data)), GateError)
    assert "leaks" in said and "--allow-leak" not in said
    assert not (tmp_path / "study" / "study.json").exists()


def test_a_changed_confirm_is_kept_and_said(data, tmp_path):
    folder = tmp_path / "study"
    for top, seeds in ((1, 2), (1, 2), (0, 2), (3, 2)):
        found = notes(folder, plan_of(data, confirm={"top": top, "seeds": seeds}))
    assert json.loads((folder / "study.json").read_text())["confirms"] == [[1, 2], [3, 2]]
    assert any(lacking(note, "top 1 on 2 seeds, then top 3 on 2 seeds") == [] for note in found)


def test_training_after_a_test_access_is_kept_and_said(data, tmp_path):
    with study_in(tmp_path / "study", plan_of(data), silent) as study:
        study.record_accesses(0)
        assert not any("went on after" in note for note in study.notes)
        study.record_accesses(2)
    assert any("went on after 2 test-set accesses" in note for note in notes(tmp_path / "study", plan_of(data)))


@pytest.mark.parametrize("key", ["images", "data_sha256", "split_sha256", "config"])
def test_a_study_file_without_a_key_is_damaged(data, tmp_path, refusal, key):
    about = tmp_path / "study" / "study.json"
    notes(tmp_path / "study", plan_of(data))
    found = json.loads(about.read_text())
    about.write_text(json.dumps({name: value for name, value in found.items() if name != key}))
    assert "study.json is damaged" in refusal(lambda: notes(tmp_path / "study", plan_of(data)), DataError)


def test_accesses_are_those_of_finished_runs(tmp_path, monkeypatch):
    for name, status in (("trials/trial-000", "done"), ("trials/trial-001", "pruned"), ("confirmed/trial-001-seed1", "done"), ("confirmed/trial-000-seed1", "done")):  # fmt: skip
        run = accesses.RunDir(tmp_path / name)
        run.make()
        run.write_status(status)
    counted = {"trial-000": (0, 5), "trial-001-seed1": (2, 4), "trial-000-seed1": (1, 5)}
    monkeypatch.setattr(accesses, "count_accesses", lambda run, seal: counted[run.root.name])
    assert accesses.count_test_accesses(tmp_path) == (3, 5)
    assert accesses.count_test_accesses(tmp_path / "none") == (0, 0)
