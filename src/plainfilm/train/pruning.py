"""Ends a trial of a study early."""

from __future__ import annotations

from collections.abc import Sequence

from fastai.callback.core import Callback

from plainfilm.errors import PrunedError
from plainfilm.runs.trial import Trial


class PruneTrial(Callback):
    """Ends the training where the study says so, from the valid AUROC of each epoch so far.

    It asks when the next epoch begins: then the state of the one before has been written, so that a pruned run can be
    read, and a trial that was killed in between is pruned where it would have been.
    """

    order = 53  # after a resumed fit has skipped the epochs that it has

    def __init__(self, trial: Trial | None) -> None:
        self.prunes = trial.prunes if trial else None

    def __call__(self, event_name: str) -> None:
        # not a method named after the event: fastai rewrites the message of an exception raised there
        if event_name != "before_train" or self.prunes is None:
            return
        scores: Sequence[float] = [float(row["valid_auroc"]) for row in self.run_history.rows]
        if scores and self.prunes(scores):
            raise PrunedError(f"Pruned after {len(scores)} epochs.")
