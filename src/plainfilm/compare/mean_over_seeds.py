"""Mean and standard deviation of a metric over the runs of one configuration: its seeds, or its folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plainfilm.schemas.compare import MeanSd
from plainfilm.schemas.documents import Metric


def over_seeds(found: Sequence[Metric]) -> MeanSd:
    """Mean and sd of a metric over runs; limits are the means of the runs' limits, n the largest of theirs."""
    values = [metric.value for metric in found if metric.value is not None]
    if not found or len(values) < len(found):
        n, people, method = (found[0].n, found[0].n_patients, found[0].method) if found else (0, None, "no runs")
        return MeanSd(mean=None, sd=None, ci_low=None, ci_high=None, n=n, n_patients=people, method=method)
    low, high = ([limit for m in found if (limit := getattr(m, side)) is not None] for side in ("ci_low", "ci_high"))
    largest = max(found, key=lambda metric: metric.n)
    several = "; mean of the runs' limits" if len(found) > 1 else ""
    return MeanSd(
        mean=float(np.mean(values)), sd=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        ci_low=float(np.mean(low)), ci_high=float(np.mean(high)), n=largest.n, n_patients=largest.n_patients,
        method=found[0].method + several,
    )  # fmt: skip


def mean_of_folds(found: Sequence[Metric]) -> MeanSd:
    """Mean of a metric that each fold has of its own images, without sd and limits: folds are no repeats."""
    mean = over_seeds(found)
    update = {"sd": None, "ci_low": None, "ci_high": None, "n": sum(metric.n for metric in found), "n_patients": None}
    return mean.model_copy(update=update | {"method": f"mean of {len(found)} folds"}) if len(found) > 1 else mean
