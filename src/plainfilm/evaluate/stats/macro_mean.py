"""The unweighted mean of a rate over classes, with limits that hold for two classes as for forty.

Limits recovered from those of each class (MOVER, Zou & Donner, Stat Med 2008;27:1693) were used before: of 40 classes
with 5 images each they covered 0.83, and nearly all misses were above. A class whose images are all right has no room
upwards, so it added nothing to the upper limit, although its true rate is below 1; the mean of many such classes varies
evenly in both directions. So the mean is treated as one proportion of as many images as give its variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from plainfilm.evaluate.stats.intervals import (
    Bools,
    Effective,
    Floats,
    Interval,
    Ints,
    around,
    clopper_pearson,
    cluster_residuals,
    dice,
    effective,
    exact,
)


class Part(NamedTuple):
    """The rate of one class: its interval, the independent images it is worth, its linearised error by cluster (m,)."""

    interval: Interval
    worth: Effective
    residuals: Floats


def rate_of(hits: Bools, among: Bools, clusters: Ints, level: float) -> Part:
    """The share hits / among of one class, bool (n,) each with at least one image in `among`."""
    rows = hits[among]
    worth = effective(rows, clusters[among])
    return Part(exact(float(rows.mean()), worth.at(level), level), worth, cluster_residuals(hits, among, clusters))


def f1_of(jaccard: Part) -> Part:
    """F1 of one class from its Jaccard proportion J; worth n (1 + J)^2 / 2 images, by the slope 2 / (1 + J)^2 of F1."""
    images = jaccard.worth.images * (1 + jaccard.interval.value) ** 2 / 2
    return jaccard._replace(interval=dice(jaccard.interval), worth=jaccard.worth._replace(images=images))


def mean_of(parts: Sequence[Part], level: float = 0.95) -> Interval:
    """Unweighted mean of the parts, which are all by the same method, with exact limits at its effective images.

    The limits are never further out than the mean of the parts' limits, which holds however the parts are correlated.
    """
    value, low, high = (float(np.mean([part.interval[i] for part in parts])) for i in range(3))
    exact = clopper_pearson(value, _worth(parts, value).at(level), level)
    return around(value, max(low, exact[0]), min(high, exact[1]), f"mean/{parts[0].interval.method}")


def _worth(parts: Sequence[Part], mean: float) -> Effective:
    """Images n for which mean (1 - mean) / n is the variance of the mean of the parts.

    It is the smaller of two numbers: with one rate in all classes, which needs no rate of a single class, and with each
    class at its own rate, which shows that a class of few images has the worse one. The degrees of freedom are those of
    a sum of variances. Source: Satterthwaite, Biometrics Bull 1946;2:110.
    """
    images, df = (np.array([part.worth[i] for part in parts]) for i in range(2))
    rates = np.array([part.interval.value for part in parts])
    together = np.clip(_correlation(np.stack([part.residuals for part in parts])), 0, 1)
    alike, own = (sd @ together @ sd / len(parts) ** 2 for sd in (images**-0.5, (rates * (1 - rates) / images) ** 0.5))
    n = min(1 / alike, mean * (1 - mean) / own) if own > 0 else 1 / alike
    estimated = float((images**-2 / np.maximum(df, 1)).sum())
    return Effective(float(n), float((1 / images).sum() ** 2) / estimated if estimated > 0 else np.inf)


def _correlation(residuals: Floats) -> Floats:
    """Correlation (k, k) of the rows of `residuals` (k, m); a row of zeros correlates only with itself.

    The mean takes a negative one as 0, since a noisy estimate would narrow its interval.
    """
    norm = np.sqrt((residuals**2).sum(axis=1))
    scaled = residuals / np.where(norm > 0, norm, 1.0)[:, None]
    corr = scaled @ scaled.T
    np.fill_diagonal(corr, 1.0)
    return np.asarray(corr)
