"""study.db is made again where it is other than the run folders, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="needs the extra tune: pip install 'plainfilm[tune]'")

from plainfilm.config.tune import TuneConfig
from plainfilm.tune.database import keep_database
from plainfilm.tune.outcome import Outcome

TUNE = TuneConfig.model_validate({"trials": 3, "space": {"train.lr": {"log": [1e-4, 1e-1]}}})


def trials(*selects: float) -> list[Outcome]:
    return [
        Outcome(n, "done", {"train.lr": 1e-3}, Path(f"trial-{n}"), (value,), value) for n, value in enumerate(selects)
    ]


def test_a_later_start_that_goes_through_the_trials_again_finds_nothing_wrong(tmp_path):
    database, found = tmp_path / "study.db", trials(0.7, 0.8, 0.6)
    for start in range(2):
        for number in range(1, 4):
            assert keep_database(database, "lr", TUNE, found[:number]) == "", (start, number)


@pytest.mark.parametrize("other", [(0.7, 0.9, 0.6), (0.7, 0.8, 0.6, 0.5)], ids=["another_value", "one_more"])
def test_other_trials_are_found(tmp_path, other):
    database, raised = tmp_path / "study.db", TUNE.model_copy(update={"trials": 4})
    assert keep_database(database, "lr", raised, trials(*other)) == ""
    assert "other trials" in keep_database(database, "lr", TUNE, trials(0.7, 0.8, 0.6))
    assert keep_database(database, "lr", TUNE, trials(0.7, 0.8, 0.6)) == ""
