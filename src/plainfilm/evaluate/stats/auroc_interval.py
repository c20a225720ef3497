"""The area under the ROC curve and its variance when a patient has several images.

Source: DeLong, DeLong & Clarke-Pearson, Biometrics 1988;44:837; Obuchowski, Biometrics 1997;53:567;
Sun & Xu, IEEE Signal Process Lett 2014;21:1389 (midranks: n log n time, n memory).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from plainfilm.evaluate.stats.intervals import (
    Bools,
    Floats,
    Interval,
    Ints,
    around,
    kish_patients,
    logit_limits,
    usable,
    wilson,
)


class _Curve(NamedTuple):
    """One ROC curve: its area and the placement of each image in the other class."""

    area: float
    placed: Floats  # float (n,), share of the other class ranked correctly against the image, ties count half
    labels: Bools


def curve(scores: Floats, labels: Bools) -> _Curve:
    """Area and placements; `labels` holds both classes.

    Args:
        scores: float (n,), higher = more positive.
        labels: bool (n,), True = positive.
    """
    ranks, placed = rankdata(scores), np.empty(len(scores))
    for side in (True, False):
        rows = labels == side
        below = (ranks[rows] - rankdata(scores[rows])) / np.count_nonzero(~rows)
        placed[rows] = below if side else 1 - below
    return _Curve(float(placed[labels].mean()), placed, labels)


def tied_runs(scores: Floats) -> tuple[Ints, Ints]:
    """The order of ascending scores, int (n,), and where in it each run of equal scores begins, int (m,)."""
    order = np.argsort(scores, kind="stable")
    return order, np.append(0, np.flatnonzero(np.diff(scores[order])) + 1)


def weight_below(weights: Floats) -> Floats:
    """Weight below each run of equal scores, a tie counting half; `weights` (b, m), of one class, by run."""
    return np.asarray(np.cumsum(weights, axis=1) - weights / 2)


def errors_by_cluster(roc: _Curve, clusters: Ints) -> tuple[Floats, Floats]:
    """Contribution of each cluster's positives and negatives to the error of the area: two float (m,), each sum 0."""
    m = int(clusters.max()) + 1
    error = (roc.placed - roc.area) / np.where(roc.labels, roc.labels.sum(), (~roc.labels).sum())
    pos, neg = (np.bincount(clusters, weights=error * (roc.labels == side), minlength=m) for side in (True, False))
    return np.asarray(pos), np.asarray(neg)


def _variance(roc: _Curve, clusters: Ints) -> float:
    """Variance of the area over clusters; NaN when a class is in one cluster only.

    With one image per cluster it is DeLong's variance. Source: Obuchowski 1997, equation 4.
    """
    pos, neg = errors_by_cluster(roc, clusters)
    m_pos, m_neg = (len(np.unique(clusters[roc.labels == side])) for side in (True, False))
    if min(m_pos, m_neg) < 2:
        return float("nan")
    m = len(np.unique(clusters))
    own = m_pos / (m_pos - 1) * (pos @ pos) + m_neg / (m_neg - 1) * (neg @ neg)
    return float(own + 2 * m / (m - 1) * (pos @ neg))


def _rarer_patients(curves: Sequence[_Curve], clusters: Ints) -> float:
    """Kish's number of patients in the smallest class of any curve."""
    return min(kish_patients(clusters[roc.labels == side]) for roc in curves for side in (True, False))


def misplaced_patients(curves: Sequence[_Curve], clusters: Ints) -> int:
    """Fewest patients with a misranked image (area below 0.5: a correctly ranked one) in any class of any curve."""
    found = []
    for roc in curves:
        wrong = roc.placed < 1 if roc.area >= 0.5 else roc.placed > 0
        found += [len(np.unique(clusters[wrong & (roc.labels == side)])) for side in (True, False)]
    return min(found)


def _mean_variance(curves: Sequence[_Curve], clusters: Ints) -> float:
    """Variance of the mean area of several curves over the same images, from their summed errors by cluster."""
    if len(curves) == 1:
        return _variance(curves[0], clusters)
    if not all(_variance(roc, clusters) >= 0 for roc in curves):
        return float("nan")
    errors = np.mean([np.add(*errors_by_cluster(roc, clusters)) for roc in curves], axis=0)
    m = len(np.unique(clusters))
    return float(m / (m - 1) * (errors @ errors))


def auroc_interval(curves: Sequence[_Curve], clusters: Ints, level: float = 0.95) -> Interval:
    """Mean area of one or more curves over the same images, with limits on the logit scale.

    Without a usable variance (area 0 or 1, all scores tied, a class in one patient) the limits are Wilson's on the
    patients of the rarer class: the variance of an area is at most A (1 - A) / min(n+, n-).
    Source: Obuchowski 1997; Birnbaum & Klose, Ann Math Stat 1957;28:933 (the bound).
    """
    area = float(np.mean([roc.area for roc in curves]))
    rarer, spread = _rarer_patients(curves, clusters), _mean_variance(curves, clusters)
    if not usable(area, spread):
        return around(area, *wilson(area, rarer, level), "wilson/patients of the rarer class (no usable variance)")
    seen, patients = misplaced_patients(curves, clusters), len(np.unique(clusters))
    limits = logit_limits(area, spread, seen=seen, rarer=rarer, patients=patients, level=level)
    return around(area, *limits, "obuchowski/logit")
