"""Ends a trial of a study early, after the epoch whose state has been written."""

from __future__ import annotations

from collections.abc import Sequence

from fastai.callback.core import Callback

from plainfilm.config import Phase
from plainfilm.errors import PrunedError
from plainfilm.runs.trial import Trial


class PruneTrial(Callback):
    """Ends the training where the study says so, from the valid AUROC of each epoch; never in the last epoch."""

    order = 71  # after the state has been written: a pruned run can be read like any other

    def __init__(self, trial: Trial | None, phases: Sequence[Phase]) -> None:
        self.prunes = trial.prunes if trial else None
        self.epochs = sum(phase.epochs for phase in phases)

    def __call__(self, event_name: str) -> None:
        # not a method named after the event: fastai rewrites the message of an exception raised there
        if event_name != "after_epoch" or not self.recorder.values[-1] or self.prunes is None:
            return
        scores = [float(row["valid_auroc"]) for row in self.run_history.rows]
        if len(scores) < self.epochs and self.prunes(scores):
            raise PrunedError(f"Pruned after {len(scores)} of {self.epochs} epochs.")
