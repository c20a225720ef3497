"""An interval of a sample becomes a Metric: with its n and patients, its method, or the reason that there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from plainfilm.evaluate.metrics.sample import Sample
from plainfilm.evaluate.stats import intervals
from plainfilm.evaluate.stats.intervals import Bools, Interval
from plainfilm.schemas.documents import Metric

WITHOUT = "mean without class"


def basis(sample: Sample) -> dict[str, Any]:
    """How many patients stand behind a mean over all images: in weight, and counted."""
    return {"rarer": intervals.kish_patients(sample.clusters), "patients": len(np.unique(sample.clusters))}


def drawn(found: Interval, sample: Sample) -> Interval:
    """The interval, its method saying what the bootstrap drew: without a patient key it draws images."""
    unit = "images" if sample.patients is None else "patients"
    return found._replace(method=found.method.replace("bootstrap", f"bootstrap/{unit}"))


def noted(found: Interval, left_out: Sequence[int]) -> Interval:
    """The interval, its method naming the classes that could not take part."""
    if not left_out:
        return found
    names = ", ".join(map(str, left_out))
    return found._replace(method=f"{found.method}; {WITHOUT} {names} (undefined)")


def left_out_of(found: Metric) -> str:
    """What `noted` said of the classes that a mean leaves out; '' for none."""
    return found.method.partition(WITHOUT)[2]


def to_metric(found: Interval | None, why_not: str, sample: Sample, rows: Bools) -> Metric:
    """An interval, or the reason that there is none."""
    return missing(why_not, sample, rows) if found is None else metric(found, sample, rows)


def metric(found: Interval, sample: Sample, rows: Bools) -> Metric:
    """An interval over the images in `rows`, bool (n,)."""
    n, people = counts(sample, rows)
    value, low, high, method = found
    return Metric(value=value, ci_low=low, ci_high=high, n=n, n_patients=people, method=method)


def missing(why: str, sample: Sample, rows: Bools) -> Metric:
    """A metric that the images in `rows` cannot answer."""
    n, people = counts(sample, rows)
    return Metric(value=None, ci_low=None, ci_high=None, n=n, n_patients=people, method=f"not estimable: {why}")


def counts(sample: Sample, rows: Bools) -> tuple[int, int | None]:
    """Images in `rows`, and distinct patients among them; None without a patient key."""
    people = None if sample.patients is None else len(np.unique(sample.patients[rows]))
    return int(rows.sum()), people
