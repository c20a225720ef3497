"""Curves of a split with a 95 % band: ROC, and precision against recall.

Bands are pointwise: the bootstrap over patients, and nowhere narrower than the interval of a proportion at that point,
since where every draw is perfect the bootstrap has no width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from plainfilm.evaluate.metrics.sample import Sample
from plainfilm.evaluate.stats import intervals
from plainfilm.evaluate.stats.intervals import Bools, Floats, Statistic

GRID = np.linspace(0, 1, 101)
_LEVEL = 0.95


class CurveBand(NamedTuple):
    """A curve, float (m,) each: the points themselves, and limits of `y` on GRID (NaN where undefined)."""

    x: Floats
    y: Floats
    low: Floats
    high: Floats


def roc_band(sample: Sample, c: int, *, n_boot: int, seed: int) -> CurveBand | None:
    """Sensitivity against 1 - specificity of class `c` against the rest; None where one of the two has no image."""
    truth, scores = sample.targs == c, sample.probs[:, c]
    if truth.all() or not truth.any():
        return None
    cuts = _cuts(scores)
    x, y = _share_above(scores[~truth], cuts), _share_above(scores[truth], cuts)
    at = np.searchsorted(x, GRID + 1e-12, side="right") - 1
    drawn = _drawn(_sensitivity_at(scores, truth), sample, n_boot, seed)
    least = [_proportion((scores >= cuts[i])[truth], sample.clusters[truth]) for i in at]
    return CurveBand(x, y, *_wider(drawn, least))


def precision_recall_band(sample: Sample, c: int, *, n_boot: int, seed: int) -> CurveBand | None:
    """Precision (PPV) against recall (sensitivity) of class `c` against the rest; None where no image is of `c`."""
    truth, scores = sample.targs == c, sample.probs[:, c]
    if not truth.any():
        return None
    cuts = _cuts(scores)[1:]  # above the first no image is predicted positive, and precision is undefined
    recall, named = _share_above(scores[truth], cuts), _share_above(scores, cuts)
    at = np.searchsorted(recall, np.maximum(GRID, 1e-9) - 1e-12)
    drawn = _drawn(_precision_at(scores, truth), sample, n_boot, seed)
    predicted = [scores >= cuts[i] for i in at]
    least = [_proportion(truth[here], sample.clusters[here]) for here in predicted]
    return CurveBand(recall, recall * truth.mean() / named, *_wider(drawn, least))


def mean_curves(sample: Sample) -> tuple[CurveBand, CurveBand]:
    """Mean sensitivity at each 1 - specificity on GRID, and mean precision at each recall, over the classes with both sides;
    without a band.
    """
    views = [(sample.probs[:, c], truth) for c, truth in _both_sides(sample)]
    return _mean_curve([_roc_at(*view) for view in views]), _mean_curve([_recall_at(*view) for view in views])


def _both_sides(sample: Sample) -> Iterator[tuple[int, Bools]]:
    """Each class that has images and others have, with whether each image is of it."""
    for c in sample.classes:
        truth = sample.targs == c
        if truth.any() and not truth.all():
            yield c, truth


def _mean_curve(rows: list[Floats]) -> CurveBand:
    nothing = np.full(len(GRID), np.nan)
    return CurveBand(GRID, np.mean(rows, axis=0), nothing, nothing)


def _roc_at(scores: Floats, truth: Bools) -> Floats:
    """Sensitivity at each 1 - specificity on GRID."""
    cuts = _cuts(scores)
    x, y = _share_above(scores[~truth], cuts), _share_above(scores[truth], cuts)
    return np.asarray(y[np.searchsorted(x, GRID + 1e-12, side="right") - 1])


def _recall_at(scores: Floats, truth: Bools) -> Floats:
    """Precision where each recall on GRID is first reached."""
    cuts = np.unique(scores[truth])[::-1]
    recall, named = _share_above(scores[truth], cuts), _share_above(scores, cuts)
    at = np.searchsorted(recall, np.maximum(GRID, 1e-9) - 1e-12)
    return np.asarray((recall * truth.mean() / named)[at])


def _cuts(scores: Floats) -> Floats:
    """Every cut with different predictions: infinity, and each distinct score, descending."""
    return np.append(np.inf, np.unique(scores)[::-1])


def _share_above(scores: Floats, cuts: Floats) -> Floats:
    """Share of `scores` at or above each cut."""
    return np.searchsorted(np.sort(-scores), -cuts, side="right") / len(scores)


def _cumulated(scores: Floats, truth: Bools) -> Statistic:
    """Weights (b, n) -> (2, b, m): true and false positives at each distinct score, descending."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    positive = truth[order].astype(float)

    def statistic(weights: Floats) -> Floats:
        weights = weights[:, order]
        return np.stack([np.cumsum(weights * part, axis=1)[:, last] for part in (positive, 1 - positive)])

    return statistic


def _sensitivity_at(scores: Floats, truth: Bools) -> Statistic:
    """Sensitivity of each draw at each false positive rate on GRID: (b, n) -> (b, 101)."""
    cumulated = _cumulated(scores, truth)

    def statistic(weights: Floats) -> Floats:
        found, alarms = cumulated(weights)
        out = np.full((len(weights), len(GRID)), np.nan)
        for i in np.flatnonzero((found[:, -1] > 0) & (alarms[:, -1] > 0)):
            steps = np.searchsorted(alarms[i] / alarms[i, -1], GRID + 1e-12, side="right")
            out[i] = np.append(0.0, found[i] / found[i, -1])[steps]
        return out

    return statistic


def _precision_at(scores: Floats, truth: Bools) -> Statistic:
    """Precision of each draw where it first reaches each recall on GRID: (b, n) -> (b, 101)."""
    cumulated = _cumulated(scores, truth)

    def statistic(weights: Floats) -> Floats:
        found, alarms = cumulated(weights)
        named = found + alarms
        out = np.full((len(weights), len(GRID)), np.nan)
        for i in np.flatnonzero(found[:, -1] > 0):
            steps = np.searchsorted(found[i] / found[i, -1], np.maximum(GRID, 1e-9) - 1e-12)
            out[i] = (found[i] / np.where(named[i] > 0, named[i], 1))[steps]
        return out

    return statistic


def _drawn(statistic: Statistic, sample: Sample, n_boot: int, seed: int) -> tuple[Floats, Floats]:
    draws = intervals.bootstrap({"": statistic}, sample.clusters, n_boot, seed)[""]
    draws = draws[~np.isnan(draws).any(axis=1)]
    if not len(draws):
        return np.full(len(GRID), np.nan), np.full(len(GRID), np.nan)
    low, high = np.quantile(draws, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
    return low, high


def _proportion(hits: Bools, clusters: intervals.Ints) -> intervals.Interval:
    return intervals.proportion(hits, clusters, _LEVEL)


def _wider(drawn: tuple[Floats, Floats], least: list[intervals.Interval]) -> tuple[Floats, Floats]:
    return (
        np.fmin(drawn[0], np.array([part.low for part in least])),
        np.fmax(drawn[1], np.array([part.high for part in least])),
    )
