"""Which classes a mean over classes leaves out, why, and the mean with 0 for them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from plainfilm.evaluate.metrics.point_metrics import RATES
from plainfilm.evaluate.metrics.sample import Sample
from plainfilm.schemas.evaluate import Metric
from plainfilm.schemas.macro_mean import WITHOUT, MacroMean


def macro_means(metrics: Mapping[str, Metric], sample: Sample, vocab: list[str]) -> dict[str, MacroMean]:
    """For each of `metrics` that leaves classes out of its mean, their names and reasons; empty with two classes."""
    found: dict[str, MacroMean] = {}
    for name, metric in metrics.items() if sample.positive is None else ():
        left_out = _left_out_of(metric)
        if left_out:
            without = {vocab[c]: _reason(name, c, sample) for c in left_out}
            found[name] = MacroMean(classes=len(vocab), without=without, zero_division=_with_zero(name, sample))
    return found


def _left_out_of(metric: Metric) -> list[int]:
    """The indices in 'mean without class 1, 3 (undefined)', as `measure` writes them."""
    listed = metric.method.partition(f"{WITHOUT} ")[2].partition(" (")[0]
    return [int(c) for c in listed.split(", ")] if listed else []


def _reason(name: str, c: int, sample: Sample) -> str:
    """Why a metric is undefined for class `c` against the rest."""
    if not (sample.targs == c).any():
        return "no image"
    if (sample.targs == c).all():
        return "all images"
    return "never predicted" if name == "ppv" else "always predicted"


def _with_zero(name: str, sample: Sample) -> float | None:
    """Mean of a rate over all classes with 0 where it has no denominator; None for a metric that is no rate."""
    if name not in RATES:
        return None
    return float(np.mean([_rate(name, sample.predicted == c, sample.targs == c) for c in sample.all_classes]))


def _rate(name: str, predicted: np.ndarray, truth: np.ndarray) -> float:
    """One class against the rest."""
    among, hits = RATES[name](predicted, truth)
    if not among.any():
        return 0.0
    share = float(hits[among].mean())
    return 2 * share / (1 + share) if name == "f1" else share
