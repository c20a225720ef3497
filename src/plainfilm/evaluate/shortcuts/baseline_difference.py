"""Is the network better than a shortcut probe? The paired difference of their AUROCs on the same images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from plainfilm.data.split.splits import label_index
from plainfilm.evaluate.metrics.point_metrics import REASONS, macro_statistic
from plainfilm.evaluate.stats.auroc_interval import curve, errors_by_cluster
from plainfilm.evaluate.stats.average_precision import MOST_DRAWN
from plainfilm.evaluate.stats.intervals import Floats, Interval, bootstrap, renumbered, t_quantile
from plainfilm.evaluate.stats.paired_tests import (
    PairedScores,
    auroc_statistic,
    difference_interval,
    mean_shares,
    permutation_p,
    smallest_p,
)
from plainfilm.runs.card import Card
from plainfilm.schemas.evaluate import BaselineDifference

_BOOT_DRAWS = 2_000


def baseline_difference(network: Floats, probe: Floats, part: pd.DataFrame, card: Card) -> BaselineDifference:
    """AUROC of the network minus that of the probe: 95 % limits by a bootstrap, p by a permutation, of whole patients.

    Two overlapping intervals cannot say whether two scores of the same images differ. More than two classes: the mean
    over the one-vs-rest views.

    Args:
        network, probe: float (n, k), probabilities of the rows of `part`, which has `label` and `group`.
    """
    scores = _paired(network, probe, part, card)
    m = int(scores.patients.max()) + 1
    facts: dict[str, Any] = {"n": len(part), "n_patients": m if card.has_patients else None}
    if not (scores.labels.any(axis=0) & ~scores.labels.all(axis=0)).any():
        why = f"not estimable: {REASONS['auroc']}"
        return BaselineDifference(**facts, value=None, ci_low=None, ci_high=None, p=None, method=why)
    shares = mean_shares([scores], "auroc", m)[:, None]
    p = float(permutation_p(shares)[0])
    many = scores.labels.shape[1] > 1 and scores.labels.size * _BOOT_DRAWS > MOST_DRAWN
    found = (_linearised if many else _from_draws)(scores, float(shares.sum()), m)
    narrow = "" if card.has_patients else "; likely too narrow"  # each image counts as its own patient
    return BaselineDifference(
        **facts, value=found.value, ci_low=found.low, ci_high=found.high, p=p, p_is_floor=p <= smallest_p(shares),
        method=f"{found.method}; p: paired permutation of whole patients{narrow}",
    )  # fmt: skip


def _paired(network: Floats, probe: Floats, part: pd.DataFrame, card: Card) -> PairedScores:
    views = list(range(len(card.vocab))) if card.positive_index is None else [card.positive_index]
    labels = label_index(part, card.vocab)
    truth, not_used = np.stack([labels == c for c in views], axis=1), np.zeros(len(part), dtype=bool)
    patients = renumbered(part["group"].to_numpy())
    return PairedScores(network[:, views], probe[:, views], truth, not_used, not_used, patients)


def _linearised(scores: PairedScores, difference: float, m: int) -> Interval:
    """The interval from each patient's part in the error of all curves; to draw 1,000 classes would take hours."""
    sides = zip(scores.a.T, scores.b.T, scores.labels.T, strict=True)
    known = [view for view in sides if view[2].any() and not view[2].all()]
    error = np.zeros(m)
    for a, b, labels in known:
        of_a, of_b = (errors_by_cluster(curve(own, labels), scores.patients) for own in (a, b))
        error += (np.add(*of_a) - np.add(*of_b)) / len(known)
    half = t_quantile(0.95, m - 1) * float(m / max(m - 1, 1) * (error @ error)) ** 0.5
    if half < 1e-12:  # no patient distinguishes the two
        return difference_interval(difference, np.zeros(0), m)
    return Interval(difference, max(-1.0, difference - half), min(1.0, difference + half), "linearised/patients (t)")


def _from_draws(scores: PairedScores, difference: float, m: int) -> Interval:
    """The interval from bootstrap draws of whole patients."""
    both = {
        name: macro_statistic([auroc_statistic(*view) for view in zip(own.T, scores.labels.T, strict=True)])
        for name, own in (("network", scores.a), ("probe", scores.b))
    }
    draws = bootstrap(both, scores.patients, _BOOT_DRAWS, seed=0)
    return difference_interval(difference, np.asarray(draws["network"] - draws["probe"]), m)
