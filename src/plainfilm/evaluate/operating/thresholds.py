"""The threshold on the positive score, chosen on the valid images by a named rule."""

from __future__ import annotations

import re

import numpy as np

from plainfilm.errors import DataError

_BOUND = re.compile(r"^(sensitivity|specificity)>=(.+)$")


def choose_threshold(rule: str, scores: np.ndarray, labels: np.ndarray) -> float:
    """A threshold in 0..1; an image is predicted positive when its score is at least this.

    Every threshold between two neighbouring scores gives the same predictions, so rules choose an interval and take its
    midpoint, which is farthest from any valid image.

    Args:
        rule: accuracy | youden | sensitivity>=x | specificity>=x | a number.
        scores: float (n,), probability of the positive class of the valid images.
        labels: bool (n,), True = positive class.
    Raises:
        DataError: no positive or no negative image.
    """
    labels = np.asarray(labels, dtype=bool)
    if labels.all() or not labels.any():
        raise DataError(
            "The threshold needs valid images of both classes; found one. Use a fixed number, e.g. --threshold 0.5."
        )
    bound = _BOUND.match(rule)
    if not bound and rule not in ("accuracy", "youden"):
        return float(rule)
    low, high, tp, tn = _intervals(np.asarray(scores, dtype=np.float64), labels)
    sensitivity, specificity = tp / labels.sum(), tn / (~labels).sum()
    if bound:
        held, other = (sensitivity, specificity) if bound[1] == "sensitivity" else (specificity, sensitivity)
        merit = np.where(held >= float(bound[2]) - 1e-12, 1 + other, held)
    else:
        merit = tp + tn if rule == "accuracy" else sensitivity + specificity
    best = np.flatnonzero(merit >= merit.max() - 1e-12)
    widest = best[np.argmax(high[best] - low[best])]
    return _middle(float(low[widest]), float(high[widest]))


def _intervals(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Intervals (low, high] of thresholds with equal predictions, lowest first, with true positives and negatives."""
    values = np.unique(scores)
    edges = np.concatenate([[0.0], values, [1.0]])
    low, high = edges[:-1], edges[1:]
    tp = labels.sum() - np.searchsorted(np.sort(scores[labels]), values, side="right")
    tn = np.searchsorted(np.sort(scores[~labels]), values, side="right")
    tp, tn = np.concatenate([[labels.sum()], tp]), np.concatenate([[0], tn])
    real = (high > low) | (np.arange(len(low)) == 0)  # a score of exactly 1 leaves no room above it
    return low[real], high[real], tp[real], tn[real]


def _middle(low: float, high: float) -> float:
    middle = (low + high) / 2
    return middle if low < middle else high
