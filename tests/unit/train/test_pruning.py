"""A trial is ended where its study says so, before the next epoch begins."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from plainfilm.errors import PrunedError
from plainfilm.runs.trial import Trial
from plainfilm.train.pruning import PruneTrial


def callback(*scores: float, trial: Trial | None) -> PruneTrial:
    found = PruneTrial(trial)
    found.learn = SimpleNamespace(run_history=SimpleNamespace(rows=[{"valid_auroc": score} for score in scores]))
    return found


def test_it_asks_with_the_scores_so_far_when_the_next_epoch_begins():
    asked: list[list[float]] = []
    trial = Trial("lr", 1, prunes=lambda curve: asked.append(list(curve)) or len(curve) == 2)
    callback(trial=trial)("before_train")
    one = callback(0.6, trial=trial)
    for event in ("before_epoch", "after_epoch", "before_train", "after_train"):
        one(event)
    assert asked == [[0.6]]
    with pytest.raises(PrunedError, match="after 2 epochs"):
        callback(0.6, 0.5, trial=trial)("before_train")


def test_a_trial_without_pruning_and_a_run_of_no_study_are_trained_to_their_end():
    for trial in (None, Trial("lr", 1)):
        callback(0.6, 0.5, trial=trial)("before_train")
