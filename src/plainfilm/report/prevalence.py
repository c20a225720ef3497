"""What a call would be worth where the class is rarer or more frequent: PPV and NPV from sensitivity and specificity.

It holds where positive and negative images look like those here and only their shares differ.
"""

from __future__ import annotations

import math

from plainfilm.report.answers import Answer, AtPrevalence, Number

PREVALENCES = (0.01, 0.05, 0.1, 0.3, 0.5)
_Limits = tuple[float, float, float]  # value, lower, upper


def by_prevalence(answer: Answer, prevalences: tuple[float, ...] = PREVALENCES) -> list[AtPrevalence]:
    """PPV and NPV at each prevalence, 0..1; those that `evaluate` saved where it was asked for some.

    Both follow from a ratio of two shares among other images, whose limits are recovered from theirs. Empty where
    sensitivity or specificity cannot be estimated, and for more than two classes.
    Source: Altman & Bland, BMJ 1994;309:102 (formula); Donner & Zou, Stat Methods Med Res 2012;21:347 (MOVER-R).
    """
    if answer.at_prevalence or answer.positive is None:
        return answer.at_prevalence
    sensitivity, specificity = (_limits(answer.metric(name)) for name in ("sensitivity", "specificity"))
    if sensitivity is None or specificity is None:
        return []
    false_positives = ratio(_complement(specificity), sensitivity)
    false_negatives = ratio(_complement(sensitivity), specificity)
    return [
        AtPrevalence(
            prevalence=share,
            ppv=_predictive(false_positives, (1 - share) / share, "no image called positive"),
            npv=_predictive(false_negatives, share / (1 - share), "no image called negative"),
        )
        for share in prevalences
    ]


def ratio(above: _Limits, below: _Limits) -> _Limits | None:
    """above / below of two independent estimates with its limits; None for 0 / 0, infinite where `below` may be 0."""
    (a, a_low, a_high), (b, b_low, b_high) = above, below
    if a == 0 == b:
        return None
    both = a * b
    top, squared = a_low * (2 * a - a_low), b_high * (2 * b - b_high)
    root = math.sqrt(max(both**2 - squared * top, 0.0))
    low = top / (both + root) if both + root > 0 else 0.0
    top, squared = a_high * (2 * a - a_high), b_low * (2 * b - b_low)
    root = math.sqrt(max(both**2 - squared * top, 0.0))
    high = (both + root) / squared if squared > 0 else math.inf
    return (a / b if b else math.inf), max(low, 0.0), high


def _limits(metric: Number) -> _Limits | None:
    if metric.value is None or metric.ci_low is None or metric.ci_high is None:
        return None
    return metric.value, metric.ci_low, metric.ci_high


def _complement(share: _Limits) -> _Limits:
    return 1 - share[0], 1 - share[2], 1 - share[1]


def _predictive(found: _Limits | None, odds: float, why_not: str) -> Number:
    """1 / (1 + odds x ratio): falls as the ratio grows, so its limits change places."""
    if found is None:
        return Number(value=None, method=f"not estimable: {why_not}")
    value, low, high = (1 / (1 + odds * x) for x in (found[0], found[2], found[1]))
    return Number(value=value, ci_low=low, ci_high=high, method="mover-r")
