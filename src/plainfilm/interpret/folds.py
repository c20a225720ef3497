"""The runs of one k-fold experiment: over all of them every image was scored by a network that had not learned it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from plainfilm.card import Card, read_card
from plainfilm.config import ExperimentConfig, load_config
from plainfilm.data.table import read_table
from plainfilm.errors import PlainfilmError
from plainfilm.evaluate.predictions import Predictions, read_predictions
from plainfilm.runs import RunDir


@dataclass(frozen=True)
class Unlearned:
    """Images that a network scored without having learned them.

    `relative`: paths below DATA; `probs`: float (n, k); `targs`: int (n,); `folds`: how many runs they come from, of
    `of_folds` (0: the run is no fold).
    """

    relative: list[str]
    probs: np.ndarray
    targs: np.ndarray
    folds: int
    of_folds: int


def unlearned(run: RunDir, cfg: ExperimentConfig, card: Card, rows: pd.DataFrame, valid: Predictions) -> Unlearned:
    """The valid images of `run`, and, where it is a fold, those of the finished other folds in the same folder.

    Fold i chooses on the images that fold i + 1 reports on, so over all folds each image is in valid once; no test
    score is read.
    """
    parts = {cfg.data.fold: (rows[rows["split"] == "valid"], valid)}
    if cfg.data.split == "kfold":
        for other in sorted(run.root.parent.iterdir()):
            fold, part = _fold_of(other, run, cfg, card, rows)
            if part is not None and fold not in parts:
                parts[fold] = part
    found = [parts[fold] for fold in sorted(parts)]
    return Unlearned(
        [name for part, _ in found for name in part["relative"]],
        np.concatenate([predictions.probs for _, predictions in found]),
        np.concatenate([predictions.targs for _, predictions in found]),
        len(found), cfg.data.folds if cfg.data.split == "kfold" else 0,
    )  # fmt: skip


Part = tuple[pd.DataFrame, Predictions]


def _fold_of(
    path: object, run: RunDir, cfg: ExperimentConfig, card: Card, rows: pd.DataFrame
) -> tuple[int, Part | None]:
    """The fold that the folder beside `run` holds of the same experiment on the same images, if it does."""
    other = RunDir(run.root.parent / str(getattr(path, "name", path)))
    if other.root == run.root or not other.status.is_file() or not other.config.is_file():
        return -1, None
    try:
        theirs = load_config(other.config)
        if _without_fold(theirs) != _without_fold(cfg) or other.read_status()["status"] != "done":
            return -1, None
        table, found = read_table(other.table), read_card(other)
        if found.vocab != card.vocab or not _same_images(table, rows):
            return -1, None
        part = table[table["split"] == "valid"]
        predictions = read_predictions(other.predictions("valid"), part, card.vocab, has_patients=card.has_patients)
    except PlainfilmError:  # a folder that cannot be read is no fold of ours
        return -1, None
    return theirs.data.fold, (part, predictions)


def _without_fold(cfg: ExperimentConfig) -> object:
    tree = cfg.model_dump(mode="json")
    del tree["data"]["fold"], tree["data"]["cache"]
    return tree


def _same_images(one: pd.DataFrame, two: pd.DataFrame) -> bool:
    columns = ["relative", "label", "sha256"]
    return (
        one[columns].sort_values("relative").to_numpy().tolist()
        == two[columns].sort_values("relative").to_numpy().tolist()
    )
