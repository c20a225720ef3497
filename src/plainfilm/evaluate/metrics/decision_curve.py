"""Does acting on the score do more good than treating everybody, or nobody? Net benefit over thresholds.

Predicting positive from a probability t on implies that one missed positive is as bad as (1 - t) / t false positives,
so the net benefit is true positives minus false positives x t / (1 - t), per image.
Source: Vickers & Elkin, Med Decis Making 2006;26:565.
"""

from __future__ import annotations

import numpy as np

from plainfilm.evaluate.metrics.sample import Sample, counts
from plainfilm.evaluate.stats.intervals import Floats, bootstrap
from plainfilm.schemas.evaluate import DecisionCurve

_THRESHOLDS = np.arange(1, 100) / 100
_DIGITS = 6


def _contributions(scores: Floats, positive: np.ndarray, thresholds: Floats) -> Floats:
    """Contribution of each image at each threshold: float (n, t); the mean over the images is the net benefit.

    Args:
        scores: float (n,), probability of the positive class. positive: bool (n,). thresholds: float (t,), in 0..1,
            without 1.
    """
    if_positive = np.where(positive[:, None], 1.0, -thresholds / (1 - thresholds))
    return np.asarray(np.where(scores[:, None] >= thresholds, if_positive, 0.0))


def decision_curve(sample: Sample, *, n_boot: int = 2000, seed: int = 0, level: float = 0.95) -> DecisionCurve | None:
    """The curve of a two-class sample at 0.01 ... 0.99 with a pointwise bootstrap band over whole clusters.

    None for more classes or without images. Where the threshold is above all scores, the curve and its band are 0 by
    definition.
    """
    if sample.positive is None or not len(sample.targs):
        return None
    positive = sample.targs == sample.positive
    model = _contributions(sample.probs[:, sample.positive], positive, _THRESHOLDS)
    treat_all = _contributions(np.ones(len(positive)), positive, _THRESHOLDS)
    draws = bootstrap(
        {"model": lambda w: w @ model / w.sum(axis=1, keepdims=True),
         "all": lambda w: w @ treat_all / w.sum(axis=1, keepdims=True)},
        sample.clusters, n_boot, seed,
    )  # fmt: skip
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(draws["model"], tails, axis=0)
    # the better alternative is an estimate too, so the maximum is taken in each draw
    gain = np.quantile(draws["model"] - np.maximum(draws["all"], 0.0), tails[0], axis=0)
    unit = "images" if sample.patients is None else "patients"
    return DecisionCurve(
        thresholds=_THRESHOLDS.tolist(), net_benefit=_rounded(model.mean(axis=0)), ci_low=_rounded(low),
        ci_high=_rounded(high), treat_all=_rounded(treat_all.mean(axis=0)),
        useful=_THRESHOLDS[gain > 0].tolist(), n=len(positive),
        n_patients=counts(sample, sample.everyone)[1],
        method=f"bootstrap/{unit} (pointwise percentiles)",
    )  # fmt: skip


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), _DIGITS) for value in values]
