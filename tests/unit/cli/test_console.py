from __future__ import annotations

import json

import pytest

from plainfilm.cli.console import Terminal
from plainfilm.cli.render.registry import _NAMES, duration, metric_text
from plainfilm.errors import StoppedError
from plainfilm.evaluate.metrics.measure import METRICS
from plainfilm.schemas.data import PhantomDocument
from plainfilm.schemas.documents import Metric
from wording import lacking

DOCUMENT = PhantomDocument(out="o", images=12, patients=5, size_px=32, seed=0, classes={"NORMAL": 6, "PNEUMONIA": 6})


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
        terminal("estimate", {"seconds": 3, "epochs": 2})
        terminal.result(DOCUMENT)
    out, err = capsys.readouterr()
    assert "12 images of 5 patients" in out
    assert err == ""


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
    "found": True, "phase": 1, "phases": 1, "epoch": 3, "epochs": 10, "step": 7, "finished": False, "seconds": 100,
    "device": "cpu", "began_on": "cpu", "notes": (),
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "shown", "hidden"),
    [
        ({}, ["epoch 3/10", "step 7", "about 2 min left"], ["NOTE", "phase"]),
        ({"notes": ("LEAKY SPLIT: x.",)}, ["NOTE: LEAKY SPLIT: x.", "epoch 3/10", "step 7"], []),
        ({"device": "cuda"}, ["NOTE:", "began on cpu", "cuda", "epoch 3/10"], []),
        ({"phases": 2, "finished": True}, ["epoch 3/10 of phase 1/2", "its end", "about 2 min left"], ["step"]),
        ({"finished": True}, ["All epochs are done", "after training"], ["left", "step"]),
        ({"found": False}, ["before its first state", "from the beginning", "about 2 min left"], ["epoch", "step"]),
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
