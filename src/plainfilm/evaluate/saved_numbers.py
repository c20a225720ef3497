"""Saved numbers against the saved scores that they come from.

The scores are hashed, those of test in the ledger too. So an edit of metrics.json is found even where its hash in
run_manifest.json was written again, and so is a metrics.json that a sync brought from another copy of the run.
Compared are the counts and point values; intervals and further blocks are only in the hashes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from plainfilm.evaluate.metrics.measure import accuracy_metric, auroc_metric, rate_metric
from plainfilm.evaluate.metrics.point_metrics import RATES, brier_losses, confusion_matrix
from plainfilm.evaluate.metrics.sample import Sample, make_sample
from plainfilm.evaluate.saved_auroc import damaged_scores, other_numbers
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import MetricsDocument, Number
from plainfilm.runs.run_manifest import is_kept, read_verified
from plainfilm.schemas.documents import EvaluateDocument, Metric

_TOLERANCE, _LEVEL = 1e-6, 0.95  # scores have nine digits; the level has no effect on a point value


def refuse_other_numbers(run: RunDir, documents: Iterable[EvaluateDocument | MetricsDocument]) -> None:
    """Check that the numbers of each split are those of its scores; a split without saved scores is passed over.

    In a run of an older version too, whose files nothing else verifies.

    Raises:
        DataError: they are not, or the scores are damaged or edited.
    """
    for document in documents:
        if is_kept(run, run.predictions(document.split)) and (what := _difference(document, _sample(run, document))):
            raise other_numbers(run, document.split, what)


def _sample(run: RunDir, document: EvaluateDocument | MetricsDocument) -> Sample:
    vocab, path = document.confusion.labels, run.predictions(document.split)
    try:
        frame = pd.read_csv(io.BytesIO(read_verified(run, path)), dtype={"label": str}, keep_default_na=False)
        probs = frame[[f"prob_{name}" for name in vocab]].to_numpy(dtype=np.float64)
        targs = [vocab.index(label) for label in frame["label"]]
        positive = None if document.positive is None else vocab.index(document.positive)
        scores = probs / probs.sum(axis=1, keepdims=True)
        return make_sample(scores, targs, np.arange(len(targs)), None, positive=positive, threshold=document.threshold)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        raise damaged_scores(path) from None


def _difference(document: EvaluateDocument | MetricsDocument, sample: Sample) -> str:
    """The first number that is another one, with both values; '' where all agree."""
    counts = confusion_matrix(sample.predicted, sample.targs, len(sample.all_classes)).tolist()
    if document.confusion.rows != counts:
        return f"confusion {document.confusion.rows} there, {counts} by the scores"
    at_half = sample.at(None if sample.positive is None else 0.5)
    return _other_value(document.metrics, sample) or _other_value(document.metrics_at_half, at_half)


def _other_value(said: Mapping[str, Metric] | Mapping[str, Number], sample: Sample) -> str:
    for name, value in _values(sample).items():
        there = said[name].value if name in said else None
        if there is not None and value is not None and abs(there - value) > _TOLERANCE:
            return f"{name} {there:.6g} there, {value:.6g} by the scores"
    return ""


def _values(sample: Sample) -> dict[str, float | None]:
    """Point values by name; None where not estimable, or for no images."""
    if not len(sample.targs):
        return {}
    rates = {name: rate_metric(name, sample.classes, sample, _LEVEL).value for name in RATES}
    return {
        "accuracy": accuracy_metric(sample, _LEVEL).value, "auroc": auroc_metric(sample.classes, sample, _LEVEL).value,
        **rates, "brier": float(brier_losses(sample.probs, sample.targs, sample.positive).mean()),
    }  # fmt: skip
