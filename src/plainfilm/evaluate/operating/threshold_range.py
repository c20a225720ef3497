"""A chosen threshold, and how far it would move with other calibrate images: a bootstrap of its rule over patients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plainfilm.evaluate.metrics.calibration import line_statistic
from plainfilm.evaluate.operating.thresholds import (
    bound_of,
    choose_threshold,
    drawn_thresholds,
    even_scores,
    is_fixed,
    rising_line,
    rule_note,
)
from plainfilm.evaluate.stats.intervals import Bools, Floats, Ints, bootstrap, renumbered
from plainfilm.schemas.operating import ThresholdRange

_DRAWS = 1000


@dataclass(frozen=True)
class Threshold:
    """A threshold, how far it would move with other images, and a note on what its rule does not promise ('' = none)."""

    value: float
    range: ThresholdRange | None
    note: str = ""

    @staticmethod
    def chosen(rule: str, scores: Floats, labels: Bools, clusters: Ints, *, has_patients: bool, seed: int) -> Threshold:
        """What a rule chooses on these images; arguments as for `threshold_range`."""
        value = choose_threshold(rule, scores, labels, clusters)
        about = threshold_range(rule, value, scores, labels, clusters, has_patients=has_patients, seed=seed)
        return Threshold(value, about, rule_note(rule, scores, labels, clusters, value))


def threshold_range(
    rule: str, threshold: float, scores: Floats, labels: Bools, clusters: Ints, *, has_patients: bool, seed: int
) -> ThresholdRange | None:
    """The 95 % percentile interval of the threshold over patients, and the rates at its two ends; None for a fixed number.

    Of a rule with a confidence, the interval is that of the rate which its threshold reached on these images.

    Args:
        scores: float (n,), probability of the positive class. labels: bool (n,). clusters: int (n,), patients.
    """
    found = _draws(_plain(rule, threshold, scores, labels), scores, labels, clusters, seed)
    found = found[np.isfinite(found)]
    if len(found) < _DRAWS // 2:
        return None
    low, high = np.percentile(found, [2.5, 97.5])
    low, high = float(min(low, threshold)), float(max(high, threshold))
    return ThresholdRange(
        low=low, high=high, sensitivity=_share(scores[labels], low, high), specificity=_share_below(scores[~labels], low, high),
        images=len(scores), patients=len(np.unique(clusters)) if has_patients else None,
    )  # fmt: skip


def _plain(rule: str, threshold: float, scores: Floats, labels: Bools) -> str:
    """The rule, or, of one with a confidence, the bound that its threshold reached."""
    held, _, confidence = bound_of(rule)
    if not confidence:
        return rule
    rows = scores[labels] >= threshold if held == "sensitivity" else scores[~labels] < threshold
    return f"{held}>={rows.mean():.12g}"


def _draws(rule: str, scores: Floats, labels: Bools, clusters: Ints, seed: int) -> Floats:
    """The thresholds of the draws (b,), NaN where one has none; none at all for a fixed number."""
    unit = renumbered(clusters)
    if is_fixed(rule):
        return np.zeros(0)
    if rule == "smooth":
        line = rising_line(scores, labels)
        if line is None:
            return _draws("accuracy", scores, labels, clusters, seed)
        return even_scores(bootstrap({"line": line_statistic(scores, labels, line)}, unit, _DRAWS, seed)["line"])

    def statistic(weights: Floats) -> Floats:
        return drawn_thresholds(rule, scores, labels, weights)

    return np.asarray(bootstrap({"threshold": statistic}, unit, _DRAWS, seed)["threshold"])


def _share(scores: Floats, low: float, high: float) -> tuple[float, float]:
    return float((scores >= low).mean()), float((scores >= high).mean())


def _share_below(scores: Floats, low: float, high: float) -> tuple[float, float]:
    return float((scores < low).mean()), float((scores < high).mean())
