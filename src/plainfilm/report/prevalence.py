"""PPV and NPV at other prevalences, from sensitivity and specificity.

Valid where positive and negative images are like those here and only their shares differ.
"""

from __future__ import annotations

from plainfilm.evaluate.metrics.prevalence import ratio
from plainfilm.evaluate.stats.intervals import Interval
from plainfilm.runs.metrics_file import AtPrevalence, MetricsDocument, Number

_PREVALENCES = (0.01, 0.05, 0.1, 0.3, 0.5)


def by_prevalence(document: MetricsDocument, prevalences: tuple[float, ...] = _PREVALENCES) -> list[AtPrevalence]:
    """PPV and NPV at each prevalence, 0..1, or those that `evaluate` saved, if any.

    Both follow from a ratio of two independent proportions, whose limits are recovered from those of the proportions.
    Empty if sensitivity or specificity cannot be estimated, and for more than two classes.
    Source: Altman & Bland, BMJ 1994;309:102 (formula); Donner & Zou, Stat Methods Med Res 2012;21:347 (MOVER-R).
    """
    if document.at_prevalence or document.positive is None:
        return document.at_prevalence
    sensitivity, specificity = (_limits(document.metric(name)) for name in ("sensitivity", "specificity"))
    if sensitivity is None or specificity is None:
        return []
    false_positives = ratio(_complement(specificity), sensitivity)
    false_negatives = ratio(_complement(sensitivity), specificity)
    return [
        AtPrevalence(
            prevalence=share,
            ppv=_predictive(false_positives, (1 - share) / share, "no image predicted positive"),
            npv=_predictive(false_negatives, share / (1 - share), "no image predicted negative"),
        )
        for share in prevalences
    ]


def _limits(metric: Number) -> Interval | None:
    if metric.value is None or metric.ci_low is None or metric.ci_high is None:
        return None
    return Interval(metric.value, metric.ci_low, metric.ci_high, metric.method)


def _complement(share: Interval) -> Interval:
    return Interval(1 - share.value, 1 - share.high, 1 - share.low, share.method)


def _predictive(found: Interval | None, odds: float, why_not: str) -> Number:
    """1 / (1 + odds x ratio); it falls as the ratio grows, so the limits swap."""
    if found is None:
        return Number(value=None, method=f"not estimable: {why_not}")
    value, low, high = (1 / (1 + odds * x) for x in (found.value, found.high, found.low))
    return Number(value=value, ci_low=low, ci_high=high, method=found.method)
