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

from plainfilm.evaluate.metrics.point_metrics import brier_losses, confusion_matrix
from plainfilm.evaluate.metrics.sample import Sample, make_sample
from plainfilm.evaluate.saved_auroc import damaged_scores, mean_auroc, other_numbers
from plainfilm.evaluate.stats.intervals import Bools, Floats
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import MetricsDocument, Number
from plainfilm.runs.run_manifest import is_kept, read_verified
from plainfilm.schemas.documents import EvaluateDocument, Metric

_TOLERANCE = 1e-6  # scores have nine digits
_Values = dict[str, float | None]


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
    values = _point_values(sample)
    at_half = values if sample.positive is None else _point_values(sample.at(0.5))  # more classes have no threshold
    return _other_value(document.metrics, values) or _other_value(document.metrics_at_half, at_half)


def _other_value(said: Mapping[str, Metric] | Mapping[str, Number], values: Mapping[str, float | None]) -> str:
    for name, value in values.items():
        there = said[name].value if name in said else None
        if there is not None and value is not None and abs(there - value) > _TOLERANCE:
            return f"{name} {there:.6g} there, {value:.6g} by the scores"
    return ""


# --- point values: those of measure_sample(), whose intervals take a hundred times as long ---------------------------


def _point_values(sample: Sample) -> _Values:
    """Accuracy, the mean rates and AUROC over the sample's classes, and Brier score, by name.

    None where the images define none, whoever their patients are; empty for no images.
    """
    if not len(sample.targs):
        return {}
    return _rates(sample) | {
        "auroc": mean_auroc(sample.probs, sample.targs, sample.classes),
        "brier": float(brier_losses(sample.probs, sample.targs, sample.positive).mean()),
    }


def _rates(sample: Sample) -> _Values:
    """As measure._macro_rate(): the mean over the classes of `sample` with a denominator."""
    n, classes = len(sample.targs), list(sample.classes)
    counts = confusion_matrix(sample.predicted, sample.targs, len(sample.all_classes))
    hits, true, named = (each[classes].astype(float) for each in (counts.diagonal(), counts.sum(1), counts.sum(0)))
    right_rest = n - true - named + hits
    rankable = (true > 0) & (true < n)
    return {
        "accuracy": float(counts.trace() / n),
        "sensitivity": _mean_ratio(hits, true, true > 0),
        "specificity": _mean_ratio(right_rest, n - true, true < n),
        "ppv": _mean_ratio(hits, named, rankable & (named > 0)),
        "npv": _mean_ratio(right_rest, n - named, rankable & (named < n)),
        "f1": _mean_ratio(2 * hits, true + named, rankable),
    }


def _mean_ratio(above: Floats, below: Floats, known: Bools) -> float | None:
    """The mean of above / below over the classes that are `known`, each (k,)."""
    return float((above[known] / below[known]).mean()) if known.any() else None
