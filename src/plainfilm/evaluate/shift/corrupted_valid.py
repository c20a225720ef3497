"""The split `valid-shifted`: every valid image unchanged and under each of the fixed corruptions.

Used to rank models, and optionally to choose the threshold, when valid itself is too similar to train.
All copies of an image belong to its patient, so the intervals count patients and not copies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from plainfilm.base.seeds import content_key
from plainfilm.data.cache.rows import PixelRows
from plainfilm.data.synthetic.corruptions import CORRUPTIONS, corrupted
from plainfilm.evaluate.finished import AS_IT_IS, SHIFTED, shifted_rows
from plainfilm.evaluate.metrics.measure import auroc_metric
from plainfilm.evaluate.metrics.sample import make_sample
from plainfilm.evaluate.ood.ood_gate import OODGate, share_marked
from plainfilm.evaluate.predictions import CHANGE, OOD, Predictions, make_predictions, predict, write_predictions
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.documents import ChangeScore

if TYPE_CHECKING:
    from plainfilm.models.build import Normalised


def score_changes(predictions: Predictions, positive: int | None) -> list[ChangeScore]:
    """AUROC, log loss and the share marked by the OOD gate, of the images under each corruption."""
    changes, found = predictions.frame[CHANGE].to_numpy(), []
    for name in (AS_IT_IS, *CORRUPTIONS):
        here = changes == name
        patients = None if predictions.patients is None else predictions.patients[here]
        sample = make_sample(
            predictions.probs[here], predictions.targs[here], predictions.groups[here], patients,
            positive=positive, threshold=None,
        )  # fmt: skip
        auroc = auroc_metric(sample.classes, sample, 0.95)
        marked = share_marked(predictions.frame[OOD].to_numpy()[here] if OOD in predictions.frame else None)
        log_loss = float(predictions.losses[here].mean())
        found.append(ChangeScore(change=name, auroc=auroc, log_loss=log_loss, marked=marked))
    return found


def predict_shifted(
    rows: pd.DataFrame, model: Normalised, pixels: PixelRows, device: str, *, vocab: list[str], has_patients: bool,
    gate: OODGate | None = None,
) -> Predictions:  # fmt: skip
    """Scores of the valid images under each corruption, scored as trained.

    Args:
        rows: of the run's table. pixels: of its valid rows, in their order.
    """
    valid = rows[rows["split"] == "valid"]
    keys = np.array([content_key(sha) for sha in valid["sha256"]], dtype=np.int64)
    whole = pixels[:]
    logits, ood = [], []
    for name in (AS_IT_IS, *CORRUPTIONS):
        changed = whole if name == AS_IT_IS else corrupted(whole, name, keys)
        scores, features = predict(model, changed, device)
        logits.append(scores)
        ood += [gate.score(changed, features)[0]] if gate else []
    return make_predictions(
        shifted_rows(rows), np.concatenate(logits), vocab, has_patients=has_patients,
        ood=np.concatenate(ood) if gate else None,
    )  # fmt: skip


def save_shifted(run: RunDir, predictions: Predictions) -> None:
    """Save them like those of a split."""
    write_predictions(run, SHIFTED, predictions)
