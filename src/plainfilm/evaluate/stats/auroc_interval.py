"""The area under the ROC curve and its variance when a patient has several images.

Source: DeLong, DeLong & Clarke-Pearson, Biometrics 1988;44:837; Obuchowski, Biometrics 1997;53:567;
Sun & Xu, IEEE Signal Process Lett 2014;21:1389 (midranks: n log n time, n memory).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from plainfilm.evaluate.stats.clusters import distinct
from plainfilm.evaluate.stats.intervals import (
    Bools,
    Floats,
    Interval,
    Ints,
    around,
    bounded,
    kish_patients,
    logit_range,
    t_quantile,
    usable,
    wilson,
)


class Curve(NamedTuple):
    """One ROC curve: its area and the placement of each image in the other class."""

    area: float
    placed: Floats  # float (n,), share of the other class ranked correctly against the image, ties count half
    labels: Bools


def curve(scores: Floats, labels: Bools) -> Curve:
    """Area and placements; `labels` holds both classes.

    Args:
        scores: float (n,), higher = more positive.
        labels: bool (n,), True = positive.
    """
    order = np.argsort(scores)
    starts = np.append(0, np.flatnonzero(np.diff(scores[order])) + 1)
    sizes = np.diff(np.append(starts, len(scores)))
    own = np.add.reduceat(labels[order].astype(np.float64), starts)
    placed = np.empty(len(scores))
    for side, of_other in ((True, sizes - own), (False, own)):  # images of the other class in each run of equal scores
        below = np.repeat((np.cumsum(of_other) - of_other / 2) / of_other.sum(), sizes)
        rows = labels[order] == side
        placed[order[rows]] = below[rows] if side else 1 - below[rows]
    return Curve(float(placed[labels].mean()), placed, labels)


def tied_runs(scores: Floats) -> tuple[Ints, Ints]:
    """The order of ascending scores, int (n,), and where in it each run of equal scores begins, int (m,)."""
    order = np.argsort(scores, kind="stable")
    return order, np.append(0, np.flatnonzero(np.diff(scores[order])) + 1)


def weight_below(weights: Floats) -> Floats:
    """Weight below each run of equal scores, a tie counting half; `weights` (b, m), of one class, by run."""
    return np.asarray(np.cumsum(weights, axis=1) - weights / 2)


def errors_by_cluster(roc: Curve, clusters: Ints) -> tuple[Floats, Floats]:
    """Contribution of each cluster's positives and negatives to the error of the area: two float (m,), each sum 0."""
    m = int(clusters.max()) + 1
    error = (roc.placed - roc.area) / np.where(roc.labels, roc.labels.sum(), (~roc.labels).sum())
    pos, neg = (np.bincount(clusters, weights=error * (roc.labels == side), minlength=m) for side in (True, False))
    return np.asarray(pos), np.asarray(neg)


def _variance(roc: Curve, clusters: Ints) -> float:
    """Variance of the area over clusters; NaN when a class is in one cluster only.

    With one image per cluster it is DeLong's variance. Source: Obuchowski 1997, equation 4.
    """
    pos, neg = errors_by_cluster(roc, clusters)
    m_pos, m_neg = (distinct(clusters[roc.labels == side]) for side in (True, False))
    if min(m_pos, m_neg) < 2:
        return float("nan")
    m = distinct(clusters)
    own = m_pos / (m_pos - 1) * (pos @ pos) + m_neg / (m_neg - 1) * (neg @ neg)
    return float(own + 2 * m / (m - 1) * (pos @ neg))


def _rarer_patients(roc: Curve, clusters: Ints) -> float:
    """Kish's number of patients in the smaller class."""
    return min(kish_patients(clusters[roc.labels == side]) for side in (True, False))


def patients_apart(curves: Sequence[Curve], clusters: Ints) -> float:
    """Patients n for which A (1 - A) / n is the variance of a mean over curves that vary apart, each by at most
    A (1 - A) / the patients of its positive class; of one curve those patients.
    """
    positive = np.array([kish_patients(clusters[roc.labels]) for roc in curves])
    return float(len(positive) ** 2 / (1 / positive).sum())


def _patients_behind(curves: Sequence[Curve], clusters: Ints) -> float:
    """Patients n for which A (1 - A) / n bounds the variance of the mean area, however the curves are correlated."""
    rarer = np.array([_rarer_patients(roc, clusters) for roc in curves])
    return float(len(rarer) ** 2 / (rarer**-0.5).sum() ** 2)


def has_variance(curves: Sequence[Curve], clusters: Ints) -> bool:
    """Whether in some curve each class has images of two patients; else nothing tells how patients differ."""
    return any(min(distinct(clusters[roc.labels == side]) for side in (True, False)) >= 2 for roc in curves)


def misplaced_patients(curves: Sequence[Curve], clusters: Ints) -> int:
    """Fewest patients with a misranked image (area below 0.5: a correctly ranked one) in any class of any curve."""
    found = []
    for roc in curves:
        wrong = roc.placed < 1 if roc.area >= 0.5 else roc.placed > 0
        found += [distinct(clusters[wrong & (roc.labels == side)]) for side in (True, False)]
    return min(found)


def _mean_variance(curves: Sequence[Curve], clusters: Ints) -> float:
    """Variance of the mean area of several curves over the same images, from their summed errors by cluster."""
    if len(curves) == 1:
        return _variance(curves[0], clusters)
    errors = np.mean([np.add(*errors_by_cluster(roc, clusters)) for roc in curves], axis=0)
    m = distinct(clusters)
    return float(m / max(m - 1, 1) * (errors @ errors))


def _unseen_variance(roc: Curve, clusters: Ints, area: float) -> float:
    """What the variance of one curve lacks, by `bounded`; `area`: the mean over all curves, also of a perfect one."""
    own = _variance(roc, clusters)
    own, seen = (own, misplaced_patients([roc], clusters)) if own > 0 else (0.0, 0)
    return bounded(area, own, seen=seen, rarer=_rarer_patients(roc, clusters)) - own


def _one_misplaced(curves: Sequence[Curve], clusters: Ints) -> list[Curve]:
    """The curves, all of area 1, with the first image of the rarest class ranked below every other image."""
    at = int(np.argmin([kish_patients(clusters[roc.labels]) for roc in curves]))
    labels = curves[at].labels
    area = 1 - 1 / float(labels.sum())
    placed = np.where(labels, 1.0, area)
    placed[np.argmax(labels)] = 0.0
    return [*curves[:at], Curve(area, placed, labels), *curves[at + 1 :]]


def _perfect(roc: Curve) -> Curve:
    """The curve with every image placed correctly."""
    return Curve(1.0, np.ones(len(roc.placed)), roc.labels)


def auroc_interval(curves: Sequence[Curve], clusters: Ints, level: float = 0.95) -> Interval:
    """Mean area of one or more curves over the same images, with limits on the logit scale.

    They are never further out than Wilson's on the patients of the rarer class, since the variance of an area is at
    most A (1 - A) / min(n+, n-): near 1 the logit scale alone gave 0.999 [0.000, 1.000] for five patients. Without a
    usable variance (area 0 or 1, all scores tied, a class in one patient) they are Wilson's. Of several curves that is
    too much near 1, where one rare class would decide for all (35 classes of 10 images, all ranked correctly: 0.722):
    their lower limit is at least that of the same images with one misplaced, and that one where all areas are 1.
    Source: Obuchowski 1997; Birnbaum & Klose, Ann Math Stat 1957;28:933 (the bound).
    """
    area = float(np.mean([roc.area for roc in curves]))
    if not usable(area, _mean_variance(curves, clusters)):
        widest = wilson(area, _patients_behind(curves, clusters), level)
        found = around(area, *widest, "wilson/patients of the rarer class (no usable variance)")
    else:
        found = _limits(curves, clusters, level)
    least = _least(curves, clusters, level) if len(curves) > 1 else None
    if least is None or area < least.value or found.low >= least.low:
        return found
    return around(area, least.low, found.high, "obuchowski/logit (of one misplaced image)")


def _least(curves: Sequence[Curve], clusters: Ints, level: float) -> Interval:
    """The interval if one image of the rarest class were misplaced, and no other."""
    return _limits(_one_misplaced([_perfect(roc) for roc in curves], clusters), clusters, level)


def _limits(curves: Sequence[Curve], clusters: Ints, level: float) -> Interval:
    """Limits on the logit scale from the variance seen and unseen; the mean area is neither 0 nor 1."""
    area = float(np.mean([roc.area for roc in curves]))
    widest = wilson(area, _patients_behind(curves, clusters), level)
    spread = _mean_variance(curves, clusters)
    spread += sum(_unseen_variance(roc, clusters, area) for roc in curves) / len(curves) ** 2
    low, high = logit_range(area, spread, kish_patients(clusters) - 1, level)
    return around(area, max(low, widest[0]), min(high, widest[1]), "obuchowski/logit")


class Ranked(NamedTuple):
    """A curve and the clusters of its images, int (n,), numbered as those of the curve it is compared with."""

    roc: Curve
    clusters: Ints

    def patients(self, side: bool) -> Ints:
        """The clusters of the images of one class."""
        return np.asarray(self.clusters[self.roc.labels == side])

    def errors(self, m: int) -> dict[bool, Floats]:
        """Contribution of each of `m` clusters to the error of the area, float (m,), by class."""
        pos, neg = errors_by_cluster(self.roc, self.clusters)
        return {side: np.pad(each, (0, m - len(each))) for side, each in ((True, pos), (False, neg))}


class SharedGap(NamedTuple):
    """The difference of two areas over the same images of one class, its variance, and the degrees of freedom."""

    value: float
    variance: float
    df: float

    def at(self, level: float) -> Interval:
        """Student's t limits, within -1..1."""
        half = t_quantile(level, self.df) * self.variance**0.5
        low, high = max(-1.0, self.value - half), min(1.0, self.value + half)
        return Interval(self.value, low, high, "obuchowski/shared class (t)")


def shared_gap(a: Ranked, b: Ranked, *, shared: bool) -> SharedGap | None:
    """AUROC of `a` minus that of `b`, which have all images of the class `shared` (True: positive) in common.

    The error of the difference is summed by cluster: an image of the shared class counts by how much better it is
    placed in the one curve than in the other, which mostly cancels. None where a variance is not usable.
    Source: DeLong 1988 (the covariance); Obuchowski 1997 (clusters); Satterthwaite, Biometrics Bull 1946;2:110.
    """
    if not all(usable(each.roc.area, _variance(*each)) for each in (a, b)):
        return None
    m = int(max(a.clusters.max(), b.clusters.max())) + 1
    of_a, of_b, own = a.errors(m), b.errors(m), not shared
    parts = [of_a[own], -of_b[own], of_a[shared] - of_b[shared]]
    who = [a.patients(own), b.patients(own), a.patients(shared)]
    counts = [len(np.unique(each)) for each in who]
    parts = [part * (n / (n - 1)) ** 0.5 for part, n in zip(parts, counts, strict=True)]  # as in Obuchowski's variance
    total = np.sum(parts, axis=0)
    unseen = sum(_unseen_variance(*each, each.roc.area) for each in (a, b))
    sizes = np.array([part @ part for part in parts])
    df = sizes.sum() ** 2 / (sizes**2 / [max(kish_patients(each) - 1, 1.0) for each in who]).sum()
    return SharedGap(a.roc.area - b.roc.area, float(total @ total + unseen), float(df))
