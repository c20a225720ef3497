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
from plainfilm.evaluate.stats.intervals import Interval
from plainfilm.schemas.evaluate import AtPrevalence, Metric


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
    from (1 - sensitivity) / specificity. Its limits are recovered from Wilson's of the two (MOVER), so the interval
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
    false_positives = ratio(rate[False, True], rate[True, True])
    false_negatives = ratio(rate[True, False], rate[False, False])
    return [
        AtPrevalence(
            prevalence=share,
            ppv=_predictive(false_positives, (1 - share) / share, "no image predicted positive", sample),
            npv=_predictive(false_negatives, share / (1 - share), "no image predicted negative", sample),
        )
        for share in prevalences
    ]


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


def _predictive(found: Interval | None, odds: float, why_not: str, sample: Sample) -> Metric:
    """1 / (1 + odds x ratio): decreases in the ratio, so the limits are swapped."""
    if found is None:
        return missing(why_not, sample, sample.everyone)
    value, low, high = (float(1 / (1 + odds * np.float64(x))) for x in (found.value, found.high, found.low))
    return metric(intervals.around(value, low, high, found.method), sample, sample.everyone)
