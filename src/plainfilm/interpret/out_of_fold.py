"""Out-of-fold scores: over the runs of a k-fold experiment, each image is scored by a network not trained on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from plainfilm.config import ExperimentConfig, load_config
from plainfilm.data.table.image_table import read_table
from plainfilm.errors import PlainfilmError
from plainfilm.evaluate.predictions import Predictions, read_predictions
from plainfilm.runs.card import Card, read_card
from plainfilm.runs.folder import RunDir

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


def out_of_fold(run: RunDir, cfg: ExperimentConfig, card: Card, rows: pd.DataFrame, valid: Predictions) -> _OutOfFold:
    """The valid images of `run` and, if it is a fold, those of the other finished folds in the same folder.

    The valid images of fold i are the test images of fold i + 1, so over all folds each image is in valid once; no
    test score is read.
    """
    parts: dict[int, _Part] = {cfg.data.fold: (rows[rows["split"] == "valid"], valid)}
    if cfg.data.split == "kfold":
        for folder in sorted(run.root.parent.iterdir()):
            part = None if folder == run.root else _fold_of(RunDir(folder), cfg, card, rows)
            if part is not None:
                parts.setdefault(*part)
    found = [parts[fold] for fold in sorted(parts)]
    return _OutOfFold(
        [name for part, _ in found for name in part["relative"]],
        np.concatenate([predictions.probs for _, predictions in found]),
        np.concatenate([predictions.targs for _, predictions in found]),
        len(found), cfg.data.folds if cfg.data.split == "kfold" else 0,
    )  # fmt: skip


def _fold_of(other: RunDir, cfg: ExperimentConfig, card: Card, rows: pd.DataFrame) -> tuple[int, _Part] | None:
    """Fold, valid rows and scores of a run of the same experiment on the same images; None for any other folder."""
    if not (other.status.is_file() and other.config.is_file()):
        return None
    try:
        theirs = load_config(other.config)
        if _without_fold(theirs) != _without_fold(cfg) or other.read_status()["status"] != "done":
            return None
        table, found = read_table(other.table), read_card(other)
        if found.vocab != card.vocab or not _agree(table, rows):
            return None
        part = table[table["split"] == "valid"]
        predictions = read_predictions(other.predictions("valid"), part, card.vocab, has_patients=card.has_patients)
    except PlainfilmError:  # a folder that cannot be read is not a fold of this experiment
        return None
    return theirs.data.fold, (part, predictions)


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
