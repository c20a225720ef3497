from __future__ import annotations

import json

import pytest

from plainfilm.cli import console
from plainfilm.cli.console import Terminal
from plainfilm.cli.render.evaluate import _NAMES
from plainfilm.cli.render.evaluate_blocks import metric_text
from plainfilm.cli.screen import duration
from plainfilm.errors import StoppedError
from plainfilm.evaluate.metrics.measure import METRICS
from plainfilm.schemas.data import PhantomDocument
from plainfilm.schemas.documents import Metric
from wording import lacking

DOCUMENT = PhantomDocument(out="o", images=12, patients=5, size_px=32, seed=0, classes={"NORMAL": 6, "PNEUMONIA": 6})


ESTIMATE = {
    "seconds": 600.0,
    "epochs": 10,
    "load": "other processes use 0.7 of 2 cores",
    "slowdown": 1.0,
    "resumed": False,
}
EPOCH = {"of": 10, "train_loss": 0.5, "valid_loss": 0.4, "accuracy": 0.8, "auroc": 0.9}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (40, "40 s"), (89, "89 s"), (100, "2 min"), (5399, "90 min"), (9000, "2.5 h")]
)
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text


def test_json_is_the_only_thing_on_stdout(capsys):
    with Terminal(json=True) as terminal:
        print("printed by a library")
        terminal("network", {"name": "paper", "parameters": 1, "size_px": 8, "device": "cpu", "balanced": False})
        terminal.result(DOCUMENT)
    out, err = capsys.readouterr()
    assert json.loads(out)["images"] == 12
    assert "printed by a library" in err
    assert "Network: paper" in err


def test_quiet_prints_only_the_result(capsys):
    with Terminal(quiet=True) as terminal:
        terminal("estimate", ESTIMATE)
        terminal.result(DOCUMENT)
    out, err = capsys.readouterr()
    assert "12 images of 5 patients" in out
    assert err == ""


def test_the_estimate_says_what_a_busy_machine_costs(capsys):
    with Terminal() as terminal:
        terminal("estimate", ESTIMATE)
        terminal("estimate", ESTIMATE | {"slowdown": 1.5})
    alone, busy = capsys.readouterr().err.splitlines()[1:]
    assert alone == "10 epochs will take about 10 min (from timed steps)"
    assert busy == f"{alone}: other processes use 0.7 of 2 cores; alone it would be about 7 min"


@pytest.mark.parametrize(
    ("seconds", "correction"),
    [
        (61.0, None), (89.0, None), (41.0, None),
        (180.0, "The epoch took 3 min instead of 60 s; about 27 min left"),
        (12.0, "The epoch took 12 s instead of 60 s; about 2 min left"),
    ],
)  # fmt: skip
def test_a_wrong_estimate_is_corrected_once(seconds, correction, capsys, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(console.time, "perf_counter", lambda: now)
    with Terminal() as terminal:
        terminal("estimate", ESTIMATE)
        for epoch in range(3):
            for step in (1, 2):
                terminal("batch", {"epoch": epoch, "of": 10, "step": step, "steps": 2, "images": 8})
            now += seconds
            terminal("epoch", EPOCH | {"epoch": epoch})
    said = [line for line in capsys.readouterr().err.splitlines() if "instead" in line]
    assert said == [correction] * (correction is not None)


def test_a_resumed_run_says_what_is_left(capsys):
    with Terminal() as terminal:
        terminal("estimate", ESTIMATE | {"resumed": True})
    assert capsys.readouterr().err.splitlines()[1:] == ["About 10 min left (from timed steps)"]


def test_a_pause_is_no_part_of_the_epoch(capsys, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(console.time, "perf_counter", lambda: now)
    with Terminal() as terminal:
        terminal("batch", {"epoch": 0, "of": 10, "step": 1, "steps": 2, "images": 8})
        now += 240
        terminal("pause", {"seconds": 240.0})
        terminal("estimate", ESTIMATE)
        now += 60  # a minute, as estimated
        terminal("epoch", EPOCH | {"epoch": 0})
    assert "instead" not in capsys.readouterr().err


def test_a_short_training_is_not_corrected(capsys):
    with Terminal() as terminal:
        terminal("estimate", ESTIMATE | {"seconds": 0.01})
        terminal("batch", {"epoch": 0, "of": 10, "step": 1, "steps": 2, "images": 8})
        terminal("epoch", EPOCH | {"epoch": 0})
    assert "instead" not in capsys.readouterr().err


@pytest.mark.parametrize("quiet", [False, True])
def test_an_interrupted_run_says_how_to_resume_and_other_work_does_not(tmp_path, quiet):
    run = tmp_path / "my run"
    with pytest.raises(StoppedError) as error, Terminal(quiet=quiet) as terminal:
        terminal("run", {"path": str(run)})
        raise KeyboardInterrupt
    said = str(error.value)
    assert said.startswith("Interrupted.") and said.endswith(f": plainfilm resume '{run}'")
    assert error.value.exit_code == 130
    with pytest.raises(KeyboardInterrupt), Terminal(quiet=quiet):
        raise KeyboardInterrupt


RESUMED = {
    "found": True, "phase": 1, "phases": 1, "epoch": 3, "epochs": 10, "step": 7, "finished": False,
    "device": "cpu", "began_on": "cpu", "notes": (),
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "shown", "hidden"),
    [
        ({}, ["epoch 3/10", "step 7"], ["NOTE", "phase", "left"]),
        ({"notes": ("LEAKY SPLIT: x.",)}, ["NOTE: LEAKY SPLIT: x.", "epoch 3/10", "step 7"], []),
        ({"device": "cuda"}, ["NOTE:", "began on cpu", "cuda", "epoch 3/10"], []),
        ({"phases": 2, "finished": True}, ["epoch 3/10 of phase 1/2", "its end"], ["step", "left"]),
        ({"finished": True}, ["All epochs are done", "after training"], ["left", "step"]),
        ({"found": False}, ["before its first state", "from the beginning"], ["epoch", "step"]),
    ],
)
def test_a_resumed_run_says_where_it_goes_on(changes, shown, hidden, capsys):
    with Terminal() as terminal:
        terminal("resume", RESUMED | changes)
    said = capsys.readouterr().err
    assert lacking(said, *shown) == []
    assert lacking(said, *hidden) == hidden
    assert ("bit" in said) is ("device" in changes)  # another device adds up in another order


def test_after_a_first_ctrl_c_it_is_said_what_happens_and_what_a_second_does(capsys):
    with Terminal() as terminal:
        terminal("stopping", {})
    assert lacking(capsys.readouterr().err, "after this step", "saving the state", "Ctrl-C again", "at once") == []


def test_a_metric_that_cannot_be_estimated_is_a_dash_with_its_reason():
    missing = Metric(
        value=None, ci_low=None, ci_high=None, n=0, n_patients=0, method="not estimable: no positive image"
    )
    assert metric_text(missing) == ("-", "not estimable: no positive image", "0")


def test_every_metric_has_a_name_for_people():
    assert set(_NAMES) == set(METRICS)


def test_the_progress_line_shows_loss_and_the_last_valid_auroc(monkeypatch):
    seen = []
    terminal = Terminal()
    monkeypatch.setattr(type(terminal.err), "is_terminal", True)
    monkeypatch.setattr(terminal, "_advance", lambda key, title, done, of, unit: seen.append((title, done, of, unit)))
    step = {"of": 3, "steps": 10, "images": 8, "step": 2}
    terminal("batch", {**step, "epoch": 0, "loss": None})
    terminal("batch", {**step, "epoch": 0, "loss": 0.69314})
    terminal("epoch", {**EPOCH, "epoch": 0})
    terminal("batch", {**step, "epoch": 1, "loss": 0.5})
    assert seen == [
        ("Epoch 1/3", 2, 30, ""),
        ("Epoch 1/3", 2, 30, "loss 0.693"),
        ("Epoch 2/3", 12, 30, "loss 0.500, valid AUROC 0.900"),
    ]
