"""How far a threshold would move with other calibrate images: a bootstrap of its rule over patients."""

from __future__ import annotations

import numpy as np

from plainfilm.evaluate.metrics.calibration import calibration_line, line_statistic
from plainfilm.evaluate.operating.thresholds import bound_of, drawn_thresholds
from plainfilm.evaluate.stats.intervals import Bools, Floats, Ints, bootstrap
from plainfilm.schemas.operating import ThresholdRange

_DRAWS = 1000


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
    unit = np.unique(clusters, return_inverse=True)[1].astype(np.int64)
    if rule == "smooth":
        line = calibration_line(scores, labels)
        if line is None or line[1] <= 0:
            return _draws("accuracy", scores, labels, clusters, seed)
        lines = bootstrap({"line": line_statistic(scores, labels, line)}, unit, _DRAWS, seed)["line"]
        with np.errstate(invalid="ignore", divide="ignore"):
            even = 1 / (1 + np.exp(np.clip(lines[:, 0] / lines[:, 1], -30, 30)))
        return np.where(lines[:, 1] > 0, even, np.nan)
    if rule not in ("accuracy", "youden") and not bound_of(rule)[0]:
        return np.zeros(0)

    def statistic(weights: Floats) -> Floats:
        return drawn_thresholds(rule, scores, labels, weights)

    return np.asarray(bootstrap({"threshold": statistic}, unit, _DRAWS, seed)["threshold"])


def _share(scores: Floats, low: float, high: float) -> tuple[float, float]:
    return float((scores >= low).mean()), float((scores >= high).mean())


def _share_below(scores: Floats, low: float, high: float) -> tuple[float, float]:
    return float((scores < low).mean()), float((scores < high).mean())
