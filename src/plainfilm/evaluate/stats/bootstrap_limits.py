"""Intervals of what is no mean, from bootstrap draws of whole patients: a correlation, and a length such as the ECE."""

from __future__ import annotations

import numpy as np

from plainfilm.evaluate.stats.intervals import (
    Floats,
    Interval,
    Ints,
    around,
    drawn_mean,
    kish_patients,
    t_quantile,
    wilson,
)


def behind_correlation(targs: Ints, clusters: Ints) -> float:
    """Patients behind a correlation: of two classes those of the rarer; of more all, times 1 - sum of squared shares.

    One wrong image of n lowers the correlation by about 1 / (n (1 - sum)), so a rare class of many counts little.
    """
    images = np.bincount(targs)
    present = np.flatnonzero(images)
    if len(present) < 3:
        return min(kish_patients(clusters[targs == c]) for c in present)
    return kish_patients(clusters) * (1 - float(((images / images.sum()) ** 2).sum()))


def drawn_correlation(
    value: float, draws: Floats, *, seen: float, rarer: float, patients: int, level: float = 0.95
) -> Interval:
    """Interval of a correlation in -1..1: `drawn_mean` of (1 + r) / 2, whose logit is twice Fisher's z of r.

    Source: Fisher, Metron 1921;1:3 (the scale).
    """
    found = drawn_mean((1 + value) / 2, (1 + draws) / 2, seen=seen, rarer=rarer, patients=patients, level=level)
    low, high = 2 * found.low - 1, 2 * found.high - 1
    return Interval(value, min(low, value), max(high, value), found.method.replace("logit", "fisher z"))


def drawn_distance(
    value: float, draws: Floats, moves: Floats, *, rarer: float, patients: int, level: float = 0.95
) -> Interval:
    """Interval of a length in 0..1, a sum of |gaps|, which noise can only increase.

    A perfectly calibrated model has a true gap of 0 but never a sample gap of 0, and its bootstrap draws are further
    off still: percentiles never contain 0. By the triangle inequality the true length differs from the estimate by at
    most the movement of the gaps, which the draws estimate. So the lower limit is value - moves and the upper one a
    percentile of the draws, both as far out as a t interval (Hesterberg, The American Statistician 2015;69:371, 4.4).

    Args:
        draws: float (n_boot,), the length in each draw.
        moves: float (n_boot,), sum of |gap in the draw - gap|.
    """
    from scipy.special import ndtr

    tail = float(ndtr(-((patients / max(patients - 1, 1)) ** 0.5) * t_quantile(level, patients - 1)))
    low, high = value - float(np.quantile(moves, 1 - tail)), float(np.quantile(draws, 1 - tail))
    if max(high, value) - max(low, 0.0) > 1e-9:
        return around(value, low, high, "bootstrap (band)")
    return around(value, *wilson(value, rarer, level), "wilson (bootstrap degenerate)")
