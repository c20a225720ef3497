"""Likelihood ratios of the predicted class: how many times as likely it is on a positive image as on a negative one.

LR+ is sensitivity / (1 - specificity), LR- is (1 - sensitivity) / specificity; the odds of the positive class before
the prediction times this ratio are those after it.
Source: Simel, Samsa & Matchar, J Clin Epidemiol 1991;44:763 (limits from the logarithm); here over patients.
"""

from __future__ import annotations

import numpy as np

from plainfilm.evaluate.metrics.point_metrics import REASONS
from plainfilm.evaluate.metrics.sample import Sample, metric, missing
from plainfilm.evaluate.stats.intervals import Bools, Interval, cluster_residuals, t_quantile
from plainfilm.schemas.evaluate import Metric

_EMPTY = {  # which predicted class, and of which images none has it
    ("positive", True): "no true positive", ("positive", False): "no false positive",
    ("negative", True): "no false negative", ("negative", False): "no true negative",
}  # fmt: skip


def likelihood_ratios(sample: Sample, level: float = 0.95) -> dict[str, Metric]:
    """`positive` (LR+) and `negative` (LR-) of a two-class sample; empty for more classes and without images."""
    if sample.positive is None or not len(sample.targs):
        return {}
    predicted = np.asarray(sample.predicted == sample.positive)
    return {
        "positive": _metric("positive", predicted, sample, level),
        "negative": _metric("negative", ~predicted, sample, level),
    }


def _metric(name: str, named: Bools, sample: Sample, level: float) -> Metric:
    truth = np.asarray(sample.targs == sample.positive)
    why = _why_not(name, named, truth, sample)
    if why is not None:
        return missing(why, sample, sample.everyone)
    return metric(_ratio(named, truth, sample, level), sample, sample.everyone)


def _why_not(name: str, named: Bools, truth: Bools, sample: Sample) -> str | None:
    if truth.all() or not truth.any():
        return REASONS["balanced_accuracy"]
    for side in (True, False):
        if not named[truth == side].any():
            return _EMPTY[name, side]
    return "fewer than 2 patients" if len(np.unique(sample.clusters)) < 2 else None


def _ratio(named: Bools, truth: Bools, sample: Sample, level: float) -> Interval:
    """Share of `named` among the positive images over that among the others; limits symmetric for its logarithm.

    The variance is that of independent images or the one over patients, whichever is larger.
    """
    above, below = float(named[truth].mean()), float(named[~truth].mean())
    errors = (
        cluster_residuals(named, truth, sample.clusters) / above
        - cluster_residuals(named, ~truth, sample.clusters) / below
    )
    patients = len(np.unique(sample.clusters))
    clustered = patients / (patients - 1) * float((errors**2).sum())
    independent = (1 - above) / (above * truth.sum()) + (1 - below) / (below * (~truth).sum())
    half = t_quantile(level, patients - 1) * max(clustered, float(independent)) ** 0.5
    value = above / below
    return Interval(value, value * float(np.exp(-half)), value * float(np.exp(half)), "log, linearised/clusters (t)")
