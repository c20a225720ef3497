"""PPV and NPV at other prevalences, restated from sensitivity and specificity.

Valid where sick and healthy patients resemble those here and only their shares differ.
"""

from __future__ import annotations

import math

import numpy as np

from plainfilm.errors import UsageError
from plainfilm.evaluate.metrics.point_metrics import REASONS
from plainfilm.evaluate.metrics.sample import Sample, metric, missing
from plainfilm.evaluate.stats import intervals
from plainfilm.evaluate.stats.intervals import Interval, interval_of
from plainfilm.runs.metrics_file import AtPrevalence as SavedAtPrevalence
from plainfilm.runs.metrics_file import MetricsDocument, Number
from plainfilm.schemas.evaluate import AtPrevalence

_PREVALENCES = (0.01, 0.05, 0.1, 0.3, 0.5)
_WHY_NOT = {"ppv": "no image predicted positive", "npv": "no image predicted negative"}


def parse_prevalences(text: str) -> list[float]:
    """'0.01,0.1' -> [0.01, 0.1], in the order given, each once.

    Raises:
        UsageError: an entry is not a number strictly between 0 and 1.
    """
    found: list[float] = []
    for part in text.split(","):
        try:
            share = float(part)
        except ValueError:
            share = math.nan
        if not 0 < share < 1:
            raise UsageError(
                f"--prevalence {part.strip()!r} is not a share of positive images; expected numbers above 0 and below 1, "
                "separated by commas: --prevalence 0.01,0.1,0.3."
            )
        found += [] if share in found else [share]
    return found


def restated(sample: Sample, prevalences: list[float], level: float = 0.95) -> list[AtPrevalence]:
    """PPV and NPV of a two-class sample at each prevalence, 0..1, with intervals.

    Both follow from a ratio of two proportions over different images: PPV from (1 - specificity) / sensitivity, NPV
    from (1 - sensitivity) / specificity. Its limits are recovered from those of the two (MOVER), so the interval
    has a width even where no image is misclassified; the rates are assumed independent, as they are where no patient
    has images of both classes.
    Source: Altman & Bland, BMJ 1994;309:102 (the formula); Donner & Zou, Stat Methods Med Res 2012;21:347 (MOVER-R).
    """
    positive = sample.targs == sample.positive
    if positive.all() or not positive.any():
        reason = missing(REASONS["balanced_accuracy"], sample, sample.everyone)
        return [AtPrevalence(prevalence=share, ppv=reason, npv=reason) for share in prevalences]
    predicted = sample.predicted == sample.positive
    rate = {
        (side, outcome): intervals.proportion(
            (predicted == outcome)[positive == side], sample.clusters[positive == side], level
        )
        for side in (True, False)
        for outcome in (True, False)
    }
    ratios = ratio(rate[False, True], rate[True, True]), ratio(rate[True, False], rate[False, False])
    return [
        AtPrevalence(prevalence=share, **{
            name: missing(_WHY_NOT[name], sample, sample.everyone) if found is None else metric(found, sample, sample.everyone)
            for name, found in _predictive_values(share, *ratios).items()
        })
        for share in prevalences
    ]  # fmt: skip


def by_prevalence(document: MetricsDocument, prevalences: tuple[float, ...] = _PREVALENCES) -> list[SavedAtPrevalence]:
    """As restated(), from the saved sensitivity and specificity; the rows that `evaluate` saved, if any.

    Empty if a rate cannot be estimated, and for more than two classes.
    """
    if document.at_prevalence or document.positive is None:
        return document.at_prevalence
    sensitivity, specificity = (interval_of(document.metric(name)) for name in ("sensitivity", "specificity"))
    if sensitivity is None or specificity is None:
        return []
    ratios = ratio(_complement(specificity), sensitivity), ratio(_complement(sensitivity), specificity)
    return [
        SavedAtPrevalence(prevalence=share, **{
            name: Number(value=None, method=f"not estimable: {_WHY_NOT[name]}") if found is None
            else Number(value=found.value, ci_low=found.low, ci_high=found.high, method=found.method)
            for name, found in _predictive_values(share, *ratios).items()
        })
        for share in prevalences
    ]  # fmt: skip


def _complement(share: Interval) -> Interval:
    return Interval(1 - share.value, 1 - share.high, 1 - share.low, share.method)


def ratio(above: Interval, below: Interval) -> Interval | None:
    """above / below of two independent estimates, its limits recovered from theirs; None for 0 / 0.

    The upper limit is infinite where `below` may be 0. Source: Donner & Zou 2012, equation 9.
    """
    (a, a_low, a_high), (b, b_low, b_high) = above[:3], below[:3]
    if a == 0 == b:
        return None
    both = a * b
    # roots of A x^2 - 2 both x + C; the lower as C / (...), which avoids dividing by an A near 0
    c, squared = a_low * (2 * a - a_low), b_high * (2 * b - b_high)
    root = math.sqrt(max(both**2 - squared * c, 0.0))
    low = c / (both + root) if both + root > 0 else 0.0
    c, squared = a_high * (2 * a - a_high), b_low * (2 * b - b_low)
    root = math.sqrt(max(both**2 - squared * c, 0.0))
    high = (both + root) / squared if squared > 0 else math.inf
    return Interval(a / b if b else math.inf, low, high, f"mover-r/{above.method}")


def _predictive_values(
    share: float, false_positives: Interval | None, false_negatives: Interval | None
) -> dict[str, Interval | None]:
    """PPV and NPV at a prevalence, from the ratios of false to true predictions; None where nothing is predicted so."""
    return {
        "ppv": _predictive(false_positives, (1 - share) / share),
        "npv": _predictive(false_negatives, share / (1 - share)),
    }


def _predictive(found: Interval | None, odds: float) -> Interval | None:
    """1 / (1 + odds x ratio): decreases in the ratio, so the limits are swapped."""
    if found is None:
        return None
    value, low, high = (float(1 / (1 + odds * np.float64(x))) for x in (found.value, found.high, found.low))
    return intervals.around(value, low, high, found.method)
