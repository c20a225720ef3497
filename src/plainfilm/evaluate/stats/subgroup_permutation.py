"""Does a metric differ between two subgroups? A permutation test that exchanges patients between them.

Patients keep their images and classes; only their subgroup is permuted, among patients with images of the same classes,
so that each draw has the original numbers of positive and negative patients in each subgroup. A patient with images in
both subgroups exchanges its own. The difference is divided by its standard error in each draw, since the subgroups may
have different numbers of images per patient; where they do and errors are few, that is not enough, so p is at least
that of the interval of the difference (`inverted_p`).
Source: Janssen, Stat Probab Lett 1997;36:9 (studentised permutation); Phipson & Smyth 2010 (p is never 0).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from plainfilm.evaluate.stats.auroc_interval import tied_runs, weight_below
from plainfilm.evaluate.stats.intervals import CHUNK, Bools, Floats, Interval, Ints

DRAWS = 1_999
MIN_PATIENTS = (
    5  # of each class that a metric needs, in each subgroup: fewer say little about the variation between patients
)


class Sides(NamedTuple):
    """The images of two subgroups. `in_a`: bool (n,), else in b. `clusters`: int (n,), 0..m-1. `truth`: bool (n,)."""

    in_a: Bools
    clusters: Ints
    truth: Bools


def exchanges(sides: Sides, draws: int, rng: np.random.Generator) -> Bools:
    """Which clusters change sides in each draw, bool (draws, m)."""
    m = int(sides.clusters.max()) + 1
    has = [np.bincount(sides.clusters[rows], minlength=m) > 0 for rows in
           (sides.in_a, ~sides.in_a, sides.truth, ~sides.truth)]  # fmt: skip
    both = has[0] & has[1]
    kind = np.where(both, -1, 2 * has[2] + has[3])
    swap = np.zeros((draws, m), dtype=bool)
    swap[:, both] = rng.random((draws, int(both.sum()))) < 0.5
    for value in np.unique(kind[~both]):
        units = np.flatnonzero(kind == value)
        side = has[0][units]
        swap[:, units] = rng.permuted(np.broadcast_to(side, (draws, len(units))), axis=1) != side
    return swap


def share_gap(values: Floats, sides: Sides, swap: Bools) -> Floats:
    """Studentised difference of the means of `values`, a minus b, after each exchange: float (draws,).

    Args:
        values: float (n,), of each image, e.g. 1 = predicted correctly.
    """
    m = swap.shape[1]
    total, size = (
        [np.bincount(sides.clusters[rows], weights=w[rows], minlength=m) for rows in (sides.in_a, ~sides.in_a)]
        for w in (values, np.ones(len(values)))
    )
    mean, variance = [], []
    for own, other in ((0, 1), (1, 0)):
        moments = []
        for x in (total, size, [t * t for t in total], [t * s for t, s in zip(total, size, strict=True)],
                  [s * s for s in size], [s > 0 for s in size]):  # fmt: skip
            here, there = np.asarray(x[own], float), np.asarray(x[other], float)
            moments.append(here.sum() + swap @ (there - here))
        t, s, tt, ts, ss, units = moments
        centre = t / s
        mean.append(centre)
        variance.append(units / np.maximum(units - 1, 1) * np.maximum(tt - 2 * centre * ts + centre**2 * ss, 0) / s**2)
    return _studentised(mean[0] - mean[1], variance[0] + variance[1])


def area_gap(scores: Floats, sides: Sides, swap: Bools) -> Floats:
    """Studentised difference of the AUROCs, a minus b, after each exchange: float (draws,).

    The variance is over clusters (Obuchowski 1997), with each subgroup's own positives and negatives.
    """
    found = []
    for own in (sides.in_a, ~sides.in_a):
        parts = []
        step = max(1, CHUNK // len(scores))
        for start in range(0, len(swap), step):
            # an exchanged cluster's images count on the other side
            counts = (own ^ swap[start : start + step][:, sides.clusters]).astype(float)
            parts.append(_weighted_areas(scores, sides.truth, sides.clusters, counts))
        found.append(np.concatenate(parts, axis=1))
    (area_a, spread_a), (area_b, spread_b) = found
    return _studentised(area_a - area_b, spread_a + spread_b)


def _weighted_areas(scores: Floats, truth: Bools, clusters: Ints, counts: Floats) -> Floats:
    """Area and its clustered variance of the images that count, float (2, draws); `counts` (draws, n) of 0 and 1."""
    order, starts = tied_runs(scores)
    run = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(scores)))  # of equal scores, in sorted order
    truth, counts = truth[order], counts[:, order]
    member = np.eye(int(clusters.max()) + 1)[clusters[order]]
    pos, neg = counts * truth, counts * ~truth
    n_pos, n_neg = pos.sum(axis=1), neg.sum(axis=1)
    tied_pos, tied_neg = (np.add.reduceat(side, starts, axis=1) for side in (pos, neg))
    below = weight_below(tied_neg)[:, run] / n_neg[:, None]
    above = 1 - weight_below(tied_pos)[:, run] / n_pos[:, None]
    area = (pos * below).sum(axis=1) / n_pos
    errors = [(side * (placed - area[:, None]) / n[:, None]) @ member
              for side, placed, n in ((pos, below, n_pos), (neg, above, n_neg))]  # fmt: skip
    of_pos, of_neg, of_both = (np.count_nonzero(side @ member, axis=1) for side in (pos, neg, counts))
    own = sum(m / np.maximum(m - 1, 1) * (e * e).sum(axis=1) for m, e in zip((of_pos, of_neg), errors, strict=True))
    spread = own + 2 * of_both / np.maximum(of_both - 1, 1) * (errors[0] * errors[1]).sum(axis=1)
    return np.stack([area, np.maximum(spread, 0.0)])


def _studentised(difference: Floats, variance: Floats) -> Floats:
    """difference / standard error; 0 where nothing differs, infinite where the variance is 0."""
    exact = np.where(difference == 0, 0.0, np.copysign(np.inf, difference))
    return np.where(variance > 1e-15, difference / np.sqrt(np.where(variance > 1e-15, variance, 1.0)), exact)


def inverted_p(at: Callable[[float], Interval]) -> float:
    """1 - the highest level at which the interval `at(level)` of a difference excludes 0, within 0.0001.

    Below 0.0001 in powers of ten down to 1e-7: adjusted for hundreds of gaps, a p of 0.0001 would never be significant.
    """
    low, high = 0.0, 0.9999
    if _excludes_zero(at(high)):
        return next((p for p in (1e-7, 1e-6, 1e-5) if _excludes_zero(at(1 - p))), 1 - high)
    while high - low > 1e-4:
        level = (low + high) / 2
        low, high = (level, high) if _excludes_zero(at(level)) else (low, level)
    return 1 - low


def _excludes_zero(found: Interval) -> bool:
    return found.low > 0 or found.high < 0
