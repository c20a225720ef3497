"""What of a trial's faults is an outcome, and what stops the study."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plainfilm.base.events import silent
from plainfilm.config import load_config
from plainfilm.config.tune import TuneConfig
from plainfilm.errors import ConfigError, DataError, DivergedError, GateError, MissingError, TrainingError
from plainfilm.tune import run as running
from plainfilm.tune import trials
from plainfilm.tune.trials import Machine, count_begun, run_trial

TUNE = TuneConfig.model_validate({"trials": 2, "space": {"train.lr": {"log": [1e-4, 1e-1]}}})


@pytest.fixture
def study(tmp_path) -> Any:
    cfg = load_config()
    plan = SimpleNamespace(tune=TUNE, name="lr", default={"train.lr": 1e-3})
    return SimpleNamespace(folder=tmp_path, plan=plan, config=lambda values: cfg)


@pytest.fixture
def failing(study, monkeypatch):
    """failing(error, number): the outcome of a trial whose training ends with this error."""

    def work(error: Exception, number: int) -> Any:
        def train(*args: Any) -> None:
            raise error

        monkeypatch.setattr(trials, "train_in", train)
        monkeypatch.setattr(trials, "draw", lambda tune, number, past: {"train.lr": 0.01})
        return run_trial(study, number, [], Machine("cpu", False, silent))

    return work


@pytest.mark.parametrize("kind", [TrainingError, DivergedError, ConfigError])
def test_a_fault_of_the_config_is_an_outcome(failing, kind):
    found = failing(kind("It went wrong."), 1)
    assert (found.status, found.message, found.select) == ("failed", "It went wrong.", None)


@pytest.mark.parametrize("kind", [DataError, MissingError, GateError])
def test_a_fault_of_the_machine_or_the_data_stops_the_study(failing, refusal, kind):
    assert refusal(lambda: failing(kind("The disk is full."), 1), kind) == "The disk is full."


def test_a_fault_of_the_file_itself_stops_the_study(failing, refusal):
    assert refusal(lambda: failing(TrainingError("It diverged."), 0), TrainingError) == "It diverged."


def begin(folder: Path, *names: str) -> None:
    for name in names:
        (folder / "trials" / name).mkdir(parents=True)
        (folder / "trials" / name / "config.yaml").touch()


def test_fewer_trials_than_the_folder_has_are_refused(study, tmp_path, refusal):
    assert count_begun(study) == 0
    begin(tmp_path, "trial-000", "trial-001.2", "trial-old")
    (tmp_path / "trials" / "trial-007").mkdir()  # holds nothing: it was never begun
    assert count_begun(study) == 2
    begin(tmp_path, "trial-004")
    said = refusal(lambda: running._search(study, [], Machine("cpu", False, silent)))
    assert "has 5 trials" in said and "tune.trials is 2" in said
