"""The split `valid-shifted`: every valid picture as it is and under each of the fixed corruptions.

It is what models are ranked by, and where a threshold can be taken from, when valid itself is too much like train.
All copies of a picture belong to its patient, so the intervals count patients and not copies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from plainfilm.base.seeds import content_key
from plainfilm.data.cache.rows import PixelRows
from plainfilm.data.synthetic.corruptions import CORRUPTIONS, corrupted
from plainfilm.evaluate.metrics.measure import auroc_metric
from plainfilm.evaluate.metrics.sample import make_sample
from plainfilm.evaluate.ood.ood_gate import OODGate
from plainfilm.evaluate.predictions import CHANGE, OOD, Predictions, make_predictions, predict, write_predictions
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.documents import ChangeScore

if TYPE_CHECKING:
    from plainfilm.models.build import Normalised

SHIFTED, AS_IT_IS = "valid-shifted", "none"


def shifted_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The valid rows, once for each change; `change` names it, 'none' first."""
    valid = rows[rows["split"] == "valid"]
    return pd.concat([valid.assign(**{CHANGE: name}) for name in (AS_IT_IS, *CORRUPTIONS)], ignore_index=True)


def score_changes(predictions: Predictions, positive: int | None) -> list[ChangeScore]:
    """AUROC, log loss and the share marked by the input gate, of the pictures under each change."""
    changes, found = predictions.frame[CHANGE].to_numpy(), []
    for name in (AS_IT_IS, *CORRUPTIONS):
        here = changes == name
        patients = None if predictions.patients is None else predictions.patients[here]
        sample = make_sample(
            predictions.probs[here], predictions.targs[here], predictions.groups[here], patients,
            positive=positive, threshold=None,
        )  # fmt: skip
        auroc = auroc_metric(sample.classes, sample, 0.95)
        marked = float((predictions.frame[OOD][here] > 1).mean()) if OOD in predictions.frame else None
        log_loss = float(predictions.losses[here].mean())
        found.append(ChangeScore(change=name, auroc=auroc, log_loss=log_loss, marked=marked))
    return found


def predict_shifted(
    rows: pd.DataFrame, model: Normalised, pixels: PixelRows, device: str, *, vocab: list[str], has_patients: bool,
    gate: OODGate | None = None,
) -> Predictions:  # fmt: skip
    """Scores of the valid pictures under each change, at temperature 1.

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
    """Keep them as those of a split."""
    write_predictions(run.predictions(SHIFTED), predictions)
