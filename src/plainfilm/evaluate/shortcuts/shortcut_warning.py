"""How well a shortcut probe separates the classes: its AUROC with an interval."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from plainfilm.evaluate.metrics.measure import auroc_metric
from plainfilm.evaluate.metrics.sample import make_sample, missing
from plainfilm.runs.metrics_file import Number
from plainfilm.schemas.documents import Metric

LIMIT = 0.6  # an interval entirely above it raises the banner

# Two-sided normal level of 1.96 * sqrt(2) standard errors. On noise, out-of-fold scores use every pair of images
# twice: a helps to score b, and b to score a, by the same chance similarity. So the variance of their AUROC is twice
# that of scores by a classifier fitted on other images (exactly so for a linear score of many features: its terms come
# in equal pairs, whatever the number of folds). Measured over 24 kinds of noise, 45 to 2,000 images: plain 95 %
# intervals covered 0.5 in 0.75-0.93, these in 0.93-1.00. With a strong shortcut (AUROC above 0.75, 1,000 images) the
# plain ones suffice: there they cover 0.95, these 1.00.
_CROSSED_LEVEL = 0.99442540


def shortcut_metric(
    probs: ArrayLike, labels: ArrayLike, groups: Any, patients: Any = None, *, positive: int | None, crossed: bool
) -> Metric:
    """AUROC of a probe with a 95 % interval over groups; None, with the reason, where it is not estimable.

    Args:
        probs: float (n, k), rows sum to 1.
        labels: int (n,), 0..k-1.
        groups: (n,) int or str, the sampling unit: a patient, or a group of identical images.
        patients: (n,) int or str, to be counted; None: no patient key.
        positive: index of the positive class of two; None for more, where it is the one-vs-rest mean.
        crossed: the scores are from cross-validation, not from a classifier fitted on other images.
    Raises:
        DataError: lengths differ, a value is missing, or `probs` are not probabilities.
    """
    sample = make_sample(probs, labels, groups, patients, positive=positive, threshold=None)
    if not len(sample.targs):
        return missing("no images", sample, sample.everyone)
    found = auroc_metric(sample.classes, sample, _CROSSED_LEVEL if crossed else 0.95)
    if found.value is None:
        return found
    how = "; cross-validated, variance doubled" if crossed else ""
    narrow = "; likely too narrow" if patients is None else ""  # each image counts as its own patient
    return found.model_copy(update={"method": f"{found.method}{how}{narrow}"})


def not_estimable(why: str, n: int) -> Metric:
    """The metric of a probe that could not be fitted on `n` images."""
    return Metric(value=None, ci_low=None, ci_high=None, n=n, n_patients=None, method=f"not estimable: {why}")


def raises_banner(metric: Metric | Number) -> bool:
    """Whether the whole interval of the probe is above LIMIT."""
    return metric.ci_low is not None and metric.ci_low > LIMIT
