from __future__ import annotations

import json

import pytest

from plainfilm.cli.console import Terminal
from plainfilm.cli.render.registry import _NAMES, duration, metric_text
from plainfilm.errors import StoppedError
from plainfilm.evaluate.metrics.measure import METRICS
from plainfilm.schemas.data import PhantomDocument
from plainfilm.schemas.documents import Metric

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
    assert (str(error.value), error.value.exit_code) == (f"Interrupted. Go on: plainfilm resume '{run}'", 130)
    with pytest.raises(KeyboardInterrupt), Terminal(quiet=quiet):
        raise KeyboardInterrupt


def test_a_resumed_run_says_where_it_resumes(capsys):
    facts = {
        "found": True, "phase": 1, "phases": 1, "epoch": 3, "epochs": 10, "step": 7, "finished": False, "seconds": 100,
        "device": "cpu", "began_on": "cpu", "notes": ("LEAKY SPLIT: x.",),
    }  # fmt: skip
    with Terminal() as terminal:
        terminal("resume", facts)
        terminal("resume", {**facts, "phases": 2, "finished": True, "device": "cuda"})
        terminal("resume", {**facts, "finished": True})
        terminal("resume", {**facts, "found": False})
        terminal("stopping", {})
    said = capsys.readouterr().err
    for line in (
        "NOTE: LEAKY SPLIT: x.",
        "Resuming in epoch 3/10, after step 7; about 2 min left",
        "NOTE: the run began on cpu and continues on cuda: the result will not be bit-identical.",
        "Resuming in epoch 3/10 of phase 1/2, after its end; about 2 min left",
        "All epochs are done; running the steps after training",
        "The run stopped before its first state was written; starting from the beginning, about 2 min left",
        "Stopping after this step and saving the state. Ctrl-C again stops at once.",
    ):
        assert line in said


def test_a_metric_that_cannot_be_estimated_is_a_dash_with_its_reason():
    missing = Metric(
        value=None, ci_low=None, ci_high=None, n=0, n_patients=0, method="not estimable: no positive image"
    )
    assert metric_text(missing) == ("-", "not estimable: no positive image", "0")


def test_every_metric_has_a_name_for_people():
    assert set(_NAMES) == set(METRICS)
