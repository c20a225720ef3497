"""Do two classifiers differ on the same images? Paired tests in which the patient is the unit.

Every difference is written as a sum of one share per patient, so that a test is arithmetic on one array. A pair may
have been scored on several sets of images (seeds with different partitions): each set is a block of PairedScores, with
patients numbered across all blocks, and the difference is the mean over the blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest, rankdata

from plainfilm.evaluate.stats.auroc_interval import curve, errors_by_cluster, tied_runs, weight_below
from plainfilm.evaluate.stats.intervals import CHUNK, Bools, Floats, Interval, Ints, Statistic, t_quantile

DRAWS = 9_999
DRAWS_PER_TEST = 60  # Holm multiplies the smallest p, 1 / (1 + draws), by the number of tests; it must stay below 0.05
_EXACT_PATIENTS = 12  # up to 4,096 exchanges are enumerated


class PairedScores(NamedTuple):
    """Two classifiers on one set of images.

    a, b: float (n, c), one-vs-rest scores of c classes; two classes have c = 1, the positive one.
    labels: bool (n, c), True = of that class.
    hits_a, hits_b: bool (n,), predicted correctly at each one's own threshold.
    patients: int (n,), 0..m-1, the same number for the same patient in every block.
    """

    a: Floats
    b: Floats
    labels: Bools
    hits_a: Bools
    hits_b: Bools
    patients: Ints


class _Closed(NamedTuple):
    """The p value of a closed test, and its name."""

    p: float
    method: str


def _auroc_shares(block: PairedScores, m: int) -> Floats:
    """Share of each of `m` patients in AUROC(a) - AUROC(b), mean over the classes with both sides: float (m,).

    Scores become ranks within their own classifier first, so that a patient's two scores can be exchanged although the
    classifiers are calibrated differently. Exchanging the scores of any set of patients then gives the same sum with
    these patients' signs flipped: in the difference of the two areas after an exchange all products of two signs
    cancel, and the remaining share of an image is how much better `a` places it than `b` does in the other class, as
    both classifiers rank that class. Source: Venkatraman & Begg, Biometrika 1996;83:835 (exchange
    of ranks); Bandos, Rockette & Gur, Stat Med 2005;24:2873 (its closed form).
    """
    share, known = np.zeros(len(block.patients)), 0
    for a, b, labels in zip(block.a.T, block.b.T, block.labels.T, strict=True):
        if labels.all() or not labels.any():
            continue
        known += 1
        a, b = rankdata(a), rankdata(b)
        for side in (True, False):
            rows = labels == side
            others = np.sort(np.concatenate([a[~rows], b[~rows]]))
            gain = _placed(a[rows], others) - _placed(b[rows], others)
            share[rows] += (gain if side else -gain) / np.count_nonzero(rows)
    return np.asarray(np.bincount(block.patients, weights=share / max(known, 1), minlength=m), dtype=np.float64)


def _placed(values: Floats, others: Floats) -> Floats:
    """Share of sorted `others` below each value, ties counting half."""
    left, right = (np.searchsorted(others, values, side=side) for side in ("left", "right"))
    return np.asarray((left + right) / (2 * len(others)))


def _accuracy_shares(block: PairedScores, m: int) -> Floats:
    """Share of each of `m` patients in the difference of the accuracies: float (m,)."""
    better = block.hits_a.astype(float) - block.hits_b.astype(float)
    return np.asarray(np.bincount(block.patients, weights=better / len(better), minlength=m), dtype=np.float64)


_SHARES = {"auroc": _auroc_shares, "accuracy": _accuracy_shares}


def mean_shares(blocks: Sequence[PairedScores], metric: str, m: int) -> Floats:
    """Shares of the mean difference over the blocks, float (m,); they sum to it."""
    return np.asarray(np.mean([_SHARES[metric](block, m) for block in blocks], axis=0))


def smallest_p(shares: Floats, draws: int = DRAWS) -> float:
    """The floor of a `permutation_p` that is drawn, reached where no exchange is as extreme; 0 where it is exact."""
    return 0.0 if np.count_nonzero((shares != 0).any(axis=1)) <= _EXACT_PATIENTS else 1 / (1 + draws)


def permutation_p(shares: Floats, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Two-sided p of each column of `shares` (m, d): how often exchanging whole patients gives a sum as extreme.

    p = (1 + count) / (1 + draws), never 0; exact where at most 12 patients have a nonzero share. The same
    exchanges are drawn for every column. Source: Phipson & Smyth, Stat Appl Genet Mol Biol 2010;9:39.
    """
    moved = shares[(shares != 0).any(axis=1)]
    far = np.abs(moved.sum(axis=0)) - 1e-9 * np.abs(moved).sum(axis=0)  # sums in a different order differ by rounding
    patients = len(moved)
    if patients <= _EXACT_PATIENTS:
        signs = 1 - 2 * ((np.arange(2**patients)[:, None] >> np.arange(patients)) & 1)
        return np.asarray((np.abs(signs @ moved) >= far).mean(axis=0))
    rng, count = np.random.default_rng(seed), np.zeros(shares.shape[1])
    step = max(1, CHUNK // patients)
    for start in range(0, draws, step):
        drawn = 2.0 * rng.integers(2, size=(min(step, draws - start), patients)) - 1
        count += (np.abs(drawn @ moved) >= far).sum(axis=0)
    return np.asarray((1 + count) / (1 + draws))


def _one_image_each(blocks: Sequence[PairedScores]) -> bool:
    """Whether there is one set with one image per patient: then the tests for independent images are valid."""
    return len(blocks) == 1 and len(np.unique(blocks[0].patients)) == len(blocks[0].patients)


def _auroc_test(blocks: Sequence[PairedScores], m: int) -> _Closed:
    """DeLong's paired test where every patient has one image, else with the covariance over patients of Obuchowski.

    Source: DeLong, DeLong & Clarke-Pearson 1988; Obuchowski 1997.
    """
    method = "delong" if _one_image_each(blocks) else "obuchowski"
    pos, neg, areas = np.zeros(m), np.zeros(m), []
    for block in blocks:
        classes = [c for c in range(block.labels.shape[1]) if 0 < block.labels[:, c].sum() < len(block.labels)]
        for c in classes:
            rocs = [curve(scores[:, c], block.labels[:, c]) for scores in (block.a, block.b)]
            (pos_a, neg_a), (pos_b, neg_b) = (_padded(errors_by_cluster(roc, block.patients), m) for roc in rocs)
            weight = 1 / (len(classes) * len(blocks))
            pos, neg = pos + weight * (pos_a - pos_b), neg + weight * (neg_a - neg_b)
            areas.append(weight * (rocs[0].area - rocs[1].area))
    if len(areas) == 1:
        labels, patients = blocks[0].labels[:, 0], blocks[0].patients
        m_pos, m_neg = (len(np.unique(patients[labels == side])) for side in (True, False))
        if min(m_pos, m_neg) < 2:
            return _Closed(float("nan"), method)
        own = m_pos / (m_pos - 1) * (pos @ pos) + m_neg / (m_neg - 1) * (neg @ neg)
        spread = own + 2 * m / (m - 1) * (pos @ neg)
    else:  # a patient may be positive in one view and negative in another, so only the summed error is meaningful
        spread = m / max(m - 1, 1) * ((pos + neg) @ (pos + neg))
    return _Closed(_normal_p(float(sum(areas)), float(spread)), method)


def _padded(errors: tuple[Floats, Floats], m: int) -> tuple[Floats, Floats]:
    pos, neg = (np.pad(each, (0, m - len(each))) for each in errors)
    return pos, neg


def _accuracy_test(blocks: Sequence[PairedScores], m: int) -> _Closed:
    """McNemar's exact test where every patient has one image, else its clustered form.

    Source: McNemar, Psychometrika 1947;12:153; Obuchowski, Stat Med 1998;17:1495.
    """
    if _one_image_each(blocks):
        only_a, only_b = (int(np.count_nonzero(x & ~y)) for x, y in _both_ways(blocks[0]))
        n = only_a + only_b
        return _Closed(float(binomtest(only_a, n).pvalue) if n else 1.0, "mcnemar, exact")
    error = np.zeros(m)
    for block in blocks:
        sizes = np.bincount(block.patients, minlength=m) / len(block.patients)
        shares = _accuracy_shares(block, m)
        error += (shares - shares.sum() * sizes) / len(blocks)
    difference = float(mean_shares(blocks, "accuracy", m).sum())
    return _Closed(_normal_p(difference, float(m / max(m - 1, 1) * (error @ error))), "mcnemar, clustered")


def _both_ways(block: PairedScores) -> tuple[tuple[Bools, Bools], tuple[Bools, Bools]]:
    return (block.hits_a, block.hits_b), (block.hits_b, block.hits_a)


def _normal_p(difference: float, spread: float) -> float:
    from scipy.special import ndtr

    if spread <= 1e-18:
        return 1.0 if abs(difference) < 1e-12 else float("nan")
    return float(2 * ndtr(-abs(difference) / spread**0.5))


SECOND_TESTS = {"auroc": _auroc_test, "accuracy": _accuracy_test}


def auroc_statistic(scores: Floats, labels: Bools) -> Statistic:
    """Area of weighted images: weights (b, n) -> (b,), NaN where a class has no weight; sorted once for all draws."""
    order, first = tied_runs(scores)
    positive = labels[order].astype(float)

    def statistic(weights: Floats) -> Floats:
        weights = weights[:, order]
        found, passed = (np.add.reduceat(weights * side, first, axis=1) for side in (positive, 1 - positive))
        below = weight_below(passed)
        pairs = found.sum(axis=1) * passed.sum(axis=1)
        return np.where(pairs > 0, (found * below).sum(axis=1) / np.where(pairs > 0, pairs, 1.0), np.nan)

    return statistic


def difference_interval(difference: float, draws: Floats, patients: int, level: float = 0.95) -> Interval:
    """A difference -1..1 and its limits, from its values in bootstrap draws of whole patients (NaN left out).

    Where no draw differs from another, no patient distinguishes the two: then up to 3 of `patients` still might
    (Hanley & Lippman-Hand, JAMA 1983;249:1743).
    """
    draws = draws[np.isfinite(draws)]
    spread = float(draws.std(ddof=1)) if len(draws) > 1 else 0.0
    if spread > 1e-12:
        half, method = t_quantile(level, patients - 1) * spread, "bootstrap/patients (t)"
    else:
        half, method = 1 - (1 - level) ** (1 / max(patients, 1)), "rule of three (no draw differs)"
    return Interval(difference, max(-1.0, difference - half), min(1.0, difference + half), method)
