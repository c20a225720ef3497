"""What a training says, in which order: its estimate within ten steps, a shortcut before the second epoch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands import plainfilm

from plainfilm.config import ExperimentConfig, load_config
from plainfilm.errors import StoppedError
from plainfilm.pipeline.train import resume_run, train_run
from plainfilm.runs.folder import RunDir

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
STEPS = 12  # 96 train images in batches of 8
SAME = (
    "model.safetensors", "history.csv", "predictions/valid.csv", "card.json", "metrics.json", "probes/probes.json",
    "probes/valid.csv", "probes/train_features.npy", "figures/batch.png",
)  # fmt: skip


@pytest.fixture(scope="module")
def cfg(tmp_path_factory) -> ExperimentConfig:
    """Drawn images whose class shows in the file: STEPS steps an epoch, two epochs."""
    data = tmp_path_factory.mktemp("data") / "drawn"
    plainfilm("phantom", data, "--images", 160, "--size", 32, "--shortcut", "jpeg")
    return load_config(options={
        "data.path": str(data), "train.size_px": 32, "train.batch_size": 8, "train.epochs": 2, "train.lr": 0.01,
        "model.filters": [4, 8], "model.dense": 8, "evaluate.n_boot": 100,
    })  # fmt: skip


class Told:
    """Event callback that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict]] = []

    def __call__(self, what: str, facts: dict) -> None:
        self.events.append((what, facts))

    def names(self) -> list[str]:
        """The events in their order, a batch with its step, a note with its first word."""
        return [
            f"{what} {facts['step']}" if what == "batch" else f"{what} {facts['text'].split()[0]}" if what == "note" else what
            for what, facts in self.events
        ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(cfg, tmp_path_factory):
    told, out = Told(), tmp_path_factory.mktemp("runs") / "whole"
    return out, told, train_run(cfg, out, device="cpu", on_event=told)


def differ(run: Path, other: Path) -> list[str]:
    return [name for name in SAME if (run / name).read_bytes() != (other / name).read_bytes()]


def test_a_shortcut_is_said_after_the_first_step_and_the_estimate_within_ten(whole):
    out, told, document = whole
    names = told.names()
    first = names.index("batch 1")
    assert names[first - 1 : first + 5] == ["run", "batch 1", "probe", "note SHORTCUT:", "pause", "batch 2"]
    assert names[names.index("batch 10") + 1] == "estimate"
    assert {name: names.count(name) for name in ("probe", "pause", "estimate", "epoch", "note SHORTCUT:")} == {
        "probe": 1, "pause": 1, "estimate": 1, "epoch": 2, "note SHORTCUT:": 1,
    }  # fmt: skip
    said = dict(told.events)["estimate"]
    assert (said["epochs"], said["resumed"]) == (2, False)
    assert document.estimate_seconds == said["seconds"] > 0
    shortcut = [facts["text"] for what, facts in told.events if what == "note" and "SHORTCUT" in facts["text"]]
    for notes in (document.notes, json.loads((out / "card.json").read_text())["notes"]):
        assert [note for note in notes if "SHORTCUT" in note] == shortcut


def test_the_epoch_and_the_speed_leave_the_probes_out(whole):
    out, told, document = whole
    probed = dict(told.events)["pause"]["seconds"]
    assert document.timing.seconds > document.timing.epochs_seconds + probed


def test_a_stopped_run_has_said_it_and_says_it_again_with_what_is_left(whole, cfg, tmp_path):
    told, out = Told(), tmp_path / "stopped"
    with pytest.raises(StoppedError):
        train_run(cfg, out, device="cpu", max_minutes=0, on_event=told)
    assert told.names()[-3:] == ["probe", "note SHORTCUT:", "pause"]
    state = json.loads((out / "checkpoints/last.json").read_text())["state"]
    assert state["step"] == 1 and state["estimate_seconds"] > 0  # from its only step
    again = Told()
    document = resume_run(out, on_event=again)
    names = again.names()
    at = names.index("batch 2")
    assert names[at : at + 5] == ["batch 2", "probe", "note SHORTCUT:", "pause", "batch 3"]
    said = dict(again.events)["estimate"]
    assert said["resumed"] is True
    assert said["seconds"] == pytest.approx(document.estimate_seconds * (1 - 1 / (2 * STEPS)))  # one is done
    assert differ(out, whole[0]) == []


def test_where_no_step_is_left_the_probes_are_made_at_the_end(whole, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(whole[0], out)
    shutil.rmtree(out / "probes")
    for name in ("card.json", "metrics.json", "figures/batch.png"):
        (out / name).unlink()
    RunDir(out).write_status("running")
    told = Told()
    document = resume_run(out, on_event=told)
    assert [name for name in told.names() if name.startswith(("batch", "estimate"))] == []
    assert {"probe", "note SHORTCUT:"} <= set(told.names())
    assert document.estimate_seconds == whole[2].estimate_seconds
    assert differ(out, whole[0]) == []


def test_a_dry_run_times_a_copy_and_makes_no_step(cfg, tmp_path):
    told = Told()
    document = train_run(cfg, tmp_path / "dry", device="cpu", dry_run=True, on_event=told)
    assert told.names()[-2:] == ["network", "estimate"] and "batch 1" not in told.names()
    assert document.estimate_seconds == dict(told.events)["estimate"]["seconds"] > 0
    assert not (tmp_path / "dry").exists()
