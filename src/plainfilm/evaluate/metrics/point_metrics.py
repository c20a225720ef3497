"""Metrics from predicted classes and scores, without intervals; each usable alone.

The `*_statistic` functions give the same metrics for many draws at once: they sort once and return a function of
weights (b, n), the count of each of n images in each of b draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from plainfilm.errors import DataError
from plainfilm.evaluate.stats.intervals import Bools, Floats, Ints, Statistic

ECE_BINS = 15
# name -> (which images count, which of them are hits), from bool (n,) `predicted` and `truth`
RATES: dict[str, Callable[[Bools, Bools], tuple[Bools, Bools]]] = {
    "sensitivity": lambda predicted, truth: (truth, predicted),
    "specificity": lambda predicted, truth: (~truth, ~predicted),
    "ppv": lambda predicted, truth: (predicted, truth),
    "npv": lambda predicted, truth: (~predicted, ~truth),
    # J = TP / (TP + FP + FN), from which F1 follows; undefined without a positive image
    "f1": lambda predicted, truth: ((predicted | truth) & truth.any(), predicted & truth),
}
REASONS = {
    "sensitivity": "no positive image",
    "specificity": "no negative image",
    "ppv": "no image predicted positive",
    "npv": "no image predicted negative",
    "f1": "no positive image",
    "auroc": "one class only",
    "auprc": "one class only",
    "balanced_accuracy": "one class only",
    "mcc": "one class only, in the labels or the predictions",
}


def confusion_matrix(predicted: Ints, targs: Ints, k: int) -> Ints:
    """Counts int (k, k), rows = truth, columns = predictions.

    scikit-learn's is the same (a test compares the two), but refuses an empty set, and its import would add 0.5 s to an
    evaluation of saved scores.
    """
    return np.bincount(np.asarray(targs) * k + np.asarray(predicted), minlength=k * k).reshape(k, k)


def is_among_highest(probs: Floats, targs: Ints, most: int) -> Bools:
    """bool (n,), whether the true class is among the `most` highest scores; of equal ones the first class is higher."""
    own = probs[np.arange(len(targs)), targs][:, None]
    earlier = np.arange(probs.shape[1]) < targs[:, None]
    return np.asarray(((probs > own) | ((probs == own) & earlier)).sum(axis=1) < most)


def auprc(scores: Floats, labels: Bools) -> float:
    """Average precision, 0..1: precision at each distinct score weighted by the recall gained there, as scikit-learn.

    Raises:
        DataError: `labels` holds one class only.
    """
    scores = np.asarray(scores, float)
    return _once(auprc_statistic(scores, _both_classes(labels, "auprc")), len(scores))


def _both_classes(labels: Bools, name: str) -> Bools:
    """`labels` as bool (n,), which must hold True and False."""
    labels = np.asarray(labels, bool)
    if labels.all() or not labels.any():
        raise DataError(f"{name} is undefined: {REASONS[name]}. It needs positive and negative images.")
    return labels


def _once(statistic: Statistic, n: int) -> float:
    """The statistic with every image counted once."""
    return float(statistic(np.ones((1, n)))[0])


def auprc_statistic(scores: Floats, labels: Bools) -> Statistic:
    """Average precision of weighted images; sorted once, where scikit-learn would sort each of 2,000 draws."""
    order = np.argsort(-scores)
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of each run of equal scores
    positive = labels[order].astype(float)

    def statistic(weights: Floats) -> Floats:
        weights = weights[:, order]
        found, named = (np.cumsum(w, axis=1)[:, last] for w in (weights * positive, weights))
        precision = found / np.where(named > 0, named, 1.0)
        gained = np.diff(found, axis=1, prepend=0.0)
        total = found[:, -1]
        return np.where(total > 0, (gained * precision).sum(axis=1) / np.where(total > 0, total, 1.0), np.nan)

    return statistic


def ece_bins(confidence: Floats) -> Ints:
    """Bin of each image, int (n,), 0..14: equal mass, except that equal confidences share a bin."""
    _, group, size = np.unique(confidence, return_inverse=True, return_counts=True)
    middle = (np.cumsum(size) - size / 2) / len(confidence)
    return np.asarray((middle * ECE_BINS).astype(np.int64)[group])


def sensitivity_statistic(scores: Floats, truth: Bools, specificity: float) -> Statistic:
    """Sensitivity at that specificity of weighted images: weights (b, n) -> (b,); NaN where a class has no weight."""
    order = np.argsort(scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of each run of equal scores
    positive = truth[order]

    def statistic(weights: Floats) -> Floats:
        weights = weights[:, order]
        below = [np.cumsum(weights * side, axis=1) for side in (~positive, positive)]
        negatives, positives = (each[:, -1] for each in below)
        enough = below[0][:, ends] >= specificity * negatives[:, None] - 1e-9  # negatives up to each score
        cut = ends[enough.argmax(axis=1)]
        found = positives - below[1][np.arange(len(weights)), cut]
        known = (negatives > 0) & (positives > 0)
        return np.where(known, found / np.where(positives > 0, positives, 1.0), np.nan)

    return statistic


def gap_statistic(confidence: Floats, correct: Bools) -> Statistic:
    """Signed gap between truth and confidence in each bin, times the bin's share: weights (b, n) -> (b, 15).

    The bins are those of the sample in every draw, so that gaps can be compared between draws.
    """
    gaps = np.eye(ECE_BINS)[ece_bins(confidence)] * (correct - confidence)[:, None]
    return lambda weights: np.asarray(weights @ gaps / weights.sum(axis=1, keepdims=True))


def mcc_statistic(predicted: Ints, targs: Ints, k: int) -> Statistic:
    """Matthews correlation of weighted images; NaN where a draw has one class only, true or predicted."""
    truth, prediction = _by_class(targs, k), _by_class(predicted, k)
    hits = (predicted == targs).astype(float)

    def statistic(weights: Floats) -> Floats:
        n, right, true, named = weights.sum(axis=1), weights @ hits, truth(weights), prediction(weights)
        both = (n**2 - (true**2).sum(axis=1)) * (n**2 - (named**2).sum(axis=1))
        above = right * n - (true * named).sum(axis=1)
        return np.where(both > 0, above / np.sqrt(np.where(both > 0, both, 1.0)), np.nan)

    return statistic


def _by_class(of: Ints, k: int) -> Statistic:
    """Weights (b, n) -> (b, k), the weight of each class; a product with one-hot columns takes k times as long."""
    order = np.argsort(of, kind="stable")
    starts = np.flatnonzero(np.diff(of[order], prepend=-1))

    def statistic(weights: Floats) -> Floats:
        found = np.zeros((len(weights), k))
        found[:, of[order[starts]]] = np.add.reduceat(weights[:, order], starts, axis=1)
        return found

    return statistic


def macro_statistic(statistics: Sequence[Statistic]) -> Statistic:
    """Mean of several statistics over those defined in a draw; NaN where there is none."""

    def statistic(weights: Floats) -> Floats:
        values = np.stack([each(weights) for each in statistics])
        known = np.isfinite(values).sum(axis=0)
        return np.where(known > 0, np.nansum(values, axis=0) / np.maximum(known, 1), np.nan)

    return statistic


def brier_losses(probs: Floats, targs: Ints, positive: int | None) -> Floats:
    """Squared error of each image, float (n,)."""
    if positive is not None:
        return np.asarray((probs[:, positive] - (targs == positive)) ** 2)
    gaps = probs.copy()
    gaps[np.arange(len(targs)), targs] -= 1
    return np.asarray((gaps**2).sum(axis=1))


def mean_statistic(values: Floats | Bools, among: Bools | None = None) -> Statistic:
    """Weighted mean of values (n,) or (n, d), of all images or `among` some; NaN where a draw has none of these."""

    def statistic(weights: Floats) -> Floats:
        weights = weights if among is None else weights * among
        with np.errstate(invalid="ignore"):
            return np.asarray(((weights @ values).T / weights.sum(axis=1)).T)

    return statistic
