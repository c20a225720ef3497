"""Out-of-fold scores: over the runs of a k-fold experiment, each image is scored by a network not trained on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from plainfilm.config import ExperimentConfig
from plainfilm.errors import PlainfilmError
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.predictions import Predictions
from plainfilm.runs.folder import RunDir
from plainfilm.runs.saved_config import read_run_config

_Part = tuple[pd.DataFrame, Predictions]  # the valid rows of a run and their scores


@dataclass(frozen=True)
class _OutOfFold:
    """Images scored by a network that was not trained on them.

    `relative`: paths below DATA; `probs`: float (n, k); `targs`: int (n,); `folds`: how many runs they come from, of
    `of_folds` (0: the run is not a fold).
    """

    relative: list[str]
    probs: np.ndarray
    targs: np.ndarray
    folds: int
    of_folds: int


def out_of_fold(finished: FinishedRun, valid: Predictions) -> _OutOfFold:
    """The valid images of the run and, if it is a fold, those of the other finished folds in the same folder.

    The valid images of fold i are the test images of fold i + 1, so over all folds each image is in valid once; no
    test score is read.
    """
    cfg, root = finished.cfg.data, finished.run.root
    parts: dict[int, _Part] = {cfg.fold: (finished.part("valid"), valid)}
    if cfg.split == "kfold":
        for folder in sorted(root.parent.iterdir()):
            part = None if folder == root else _fold_of(RunDir(folder), finished)
            if part is not None:
                parts.setdefault(*part)
    found = [parts[fold] for fold in sorted(parts)]
    return _OutOfFold(
        [name for part, _ in found for name in part["relative"]],
        np.concatenate([predictions.probs for _, predictions in found]),
        np.concatenate([predictions.targs for _, predictions in found]),
        len(found), cfg.folds if cfg.split == "kfold" else 0,
    )  # fmt: skip


def _fold_of(other: RunDir, finished: FinishedRun) -> tuple[int, _Part] | None:
    """Fold, valid rows and scores of a run of the same experiment on the same images; None for any other folder."""
    if not (other.status.is_file() and other.config.is_file()):
        return None
    try:
        config = read_run_config(other)  # first: the weights of other runs need not be read
        if _without_fold(config) != _without_fold(finished.cfg) or other.read_status()["status"] != "done":
            return None
        fold = FinishedRun.open(other)
        if fold.card.vocab != finished.card.vocab or not _agree(fold.rows, finished.rows):
            return None
        return config.data.fold, (fold.part("valid"), fold.predictions("valid"))
    except PlainfilmError:  # a folder that cannot be read is not a fold of this experiment
        return None


def _without_fold(cfg: ExperimentConfig) -> dict[str, Any]:
    tree: dict[str, Any] = cfg.model_dump(mode="json")
    del tree["data"]["fold"], tree["data"]["cache"]
    return tree


def _agree(one: pd.DataFrame, two: pd.DataFrame) -> bool:
    """Whether the tables agree on the images that both hold; each may lack what `--exclude` left out of train and valid."""
    both = one.merge(two, on="relative", suffixes=("", "_two"))
    return len(both) > 0 and bool(
        (both["label"] == both["label_two"]).all() and (both["sha256"] == both["sha256_two"]).all()
    )
