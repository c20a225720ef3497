"""Point values alone, from one confusion matrix and sorted scores: what saved numbers are compared with.

The values are those of measure_sample(); its intervals take a hundred times as long, seconds for 1,000 classes.
"""

from __future__ import annotations

import numpy as np

from plainfilm.evaluate.metrics.point_metrics import brier_losses, confusion_matrix
from plainfilm.evaluate.metrics.sample import Sample
from plainfilm.evaluate.stats.intervals import Bools, Floats

_Values = dict[str, float | None]


def point_values(sample: Sample) -> _Values:
    """Accuracy, the mean rates and AUROC over the sample's classes, and Brier score, by name.

    None where the images define none, whoever their patients are; empty for no images.
    """
    if not len(sample.targs):
        return {}
    return _rates(sample) | {
        "auroc": _mean_auroc(sample),
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


def _mean_auroc(sample: Sample) -> float | None:
    """The mean area over the classes that have images and others."""
    areas = [_area(sample.probs[:, c], sample.targs == c) for c in sample.classes]
    known = [area for area in areas if area is not None]
    return float(np.mean(known)) if known else None


def _area(scores: Floats, labels: Bools) -> float | None:
    """Share of pairs in order, a tie counting half; a curve also places each image, for its interval."""
    mine = scores[labels]
    if not 0 < len(mine) < len(scores):
        return None
    ordered = np.sort(scores)
    below = (np.searchsorted(ordered, mine, "left") + np.searchsorted(ordered, mine, "right")).sum() / 2
    return float((below - len(mine) ** 2 / 2) / (len(mine) * (len(scores) - len(mine))))
