"""Discordant pairs: of the pairs of images that a probe ranks wrongly, the share that the network ranks correctly.

A network that uses only the shortcut ranks none of them correctly; one that ignores it ranks them correctly as often as
any other pair. A network AUROC of 0.99 beside a probe AUROC of 0.98 does not distinguish the two; this does.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from plainfilm.evaluate.stats import intervals
from plainfilm.evaluate.stats.intervals import Bools, Floats, Ints
from plainfilm.schemas.documents import Metric

_MIN_PATIENTS = 5  # of each class in discordant pairs: fewer say nothing about other patients
_ROWS = 256  # positives compared at once


class _DiscordantPairs(NamedTuple):
    """Discordant pairs of each image, float (n,): how many the probe ranks wrongly, and how many of them the network
    ranks correctly (a tie counts half)."""

    wrong: Floats
    right: Floats


def _discordant_pairs(score: Floats, probe: Floats, positive: Bools) -> _DiscordantPairs:
    """Pairs of a positive and a negative image whose `probe` scores are in the wrong order.

    Args:
        score, probe: float (n,), of the same images. positive: bool (n,).
    """
    pos, neg = np.flatnonzero(positive), np.flatnonzero(~positive)
    wrong, right = np.zeros(len(score)), np.zeros(len(score))
    for start in range(0, len(pos), _ROWS):
        rows = pos[start : start + _ROWS]
        pair = probe[rows, None] < probe[neg]
        won = pair * ((score[rows, None] > score[neg]) + 0.5 * (score[rows, None] == score[neg]))
        wrong[rows], right[rows] = pair.sum(1), won.sum(1)
        wrong[neg] += pair.sum(0)
        right[neg] += won.sum(0)
    return _DiscordantPairs(wrong, right)


def discordant_concordance(
    score: Floats, probe: Floats, positive: Bools, clusters: Any, *, has_patients: bool = False, level: float = 0.95
) -> Metric:
    """Share of the discordant pairs that the network ranks correctly, with an interval over patients.

    A ratio of two sums over pairs; its variance is that of its projection on single patients (Hajek), as DeLong's is
    for the AUROC.

    Args:
        score, probe: float (n,), scores for the positive class. positive: bool (n,).
        clusters: (n,) int or str, a patient or a group of identical images; has_patients: whether they are patients.
    """
    codes = intervals.renumbered(np.asarray(clusters))
    pairs = _discordant_pairs(score, probe, positive)
    among = pairs.wrong > 0
    sides = [among & positive, among & ~positive]
    n, counted = int(among.sum()), len(np.unique(codes[among])) if has_patients else None
    if min(len(np.unique(codes[side])) for side in sides) < _MIN_PATIENTS:
        why = f"not estimable: the probe misranks images of fewer than {_MIN_PATIENTS} patients of a class"
        return Metric(value=None, ci_low=None, ci_high=None, n=n, n_patients=counted, method=why)
    total = float(pairs.wrong[positive].sum())
    value = float(pairs.right[positive].sum()) / total
    found = _interval(pairs, value, total, sides, codes, level)
    narrow = "" if has_patients else "; likely too narrow"  # each image counts as its own patient
    return Metric(
        value=found.value, ci_low=found.low, ci_high=found.high, n=n, n_patients=counted, method=found.method + narrow
    )


def _interval(
    pairs: _DiscordantPairs, value: float, total: float, sides: list[Bools], clusters: Ints, level: float
) -> intervals.Interval:
    m = int(clusters.max()) + 1
    shares = np.bincount(clusters, weights=(pairs.right - value * pairs.wrong) / total, minlength=m)
    weights = [np.bincount(clusters[side], weights=pairs.wrong[side], minlength=m).astype(float) for side in sides]
    rarer = min(intervals.kish_weights(weight) for weight in weights)
    patients = int(np.count_nonzero(weights[0] + weights[1]))
    variance = patients / (patients - 1) * float(shares @ shares)
    if not intervals.usable(value, variance):
        return intervals.around(value, *intervals.wilson(value, rarer, level), "wilson/patients of the rarer class")
    missed = pairs.right < pairs.wrong if value >= 0.5 else pairs.right > 0
    seen = min(len(np.unique(clusters[side & missed])) for side in sides)
    limits = intervals.logit_limits(value, variance, seen=seen, rarer=rarer, patients=int(rarer) + 1, level=level)
    return intervals.around(value, *limits, "pairs/logit")
