"""How far heat maps can be trusted: three checks on arrays; the network is passed as a function.

Deletion: does the score fall sooner when the hottest patches are removed first? (Petsiuk et al., BMVC 2018)
Randomised weights: do the heat maps differ from those of untrained networks? (Adebayo et al., NeurIPS 2018)
Central field: how much of the heat is in the part of the image where an image mostly shows its object?
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from plainfilm.base.seeds import HEAT, uniform
from plainfilm.evaluate.stats.intervals import Floats, t_quantile
from plainfilm.plots.heatmaps import MARGIN, ORDERS, SHARES
from plainfilm.schemas.documents import Metric

_CELLS = 16  # an image is divided into 16 x 16 patches: removing single pixels would add noise, a change of its own
FORWARD_PASSES = len(SHARES) + (len(ORDERS) - 1) * (len(SHARES) - 2)  # per image; the orders share both end points
_Score = Callable[[np.ndarray], Floats]  # uint8 images (n, h, w[, 3]) -> probabilities (n, k)


class _Correlation(NamedTuple):
    """Per image: rank correlation of two heat maps, 0 if either is flat; and whether either is flat."""

    ranks: Floats
    flat: np.ndarray


def _in_cells(heat: np.ndarray, cells: int = _CELLS) -> np.ndarray:
    """Mean heat of each patch, float64 (n, cells, cells), from heat (n, h, w) of at least `cells` pixels a side."""
    for axis in (1, 2):
        edges = np.linspace(0, heat.shape[axis], cells + 1).astype(int)
        sums = np.add.reduceat(heat.astype(np.float64), edges[:-1], axis=axis)
        heat = sums / np.expand_dims(np.diff(edges), (0, 2) if axis == 1 else (0, 1))
    return heat


def deletion(images: np.ndarray, heat: np.ndarray, classes: np.ndarray, keys: np.ndarray, score: _Score) -> Floats:
    """Score of each image's class as a growing share of the image is removed, float64 (3 ORDERS, n, 11 SHARES).

    Removed patches show a strongly blurred copy of the image: grey squares would be features of their own.

    Args:
        images: uint8 (n, h, w) or (n, h, w, 3). heat: float (n, h, w).
        classes: int (n,), the classes whose score is tracked.
        keys: int (n,), derived from the image content; they seed the random order and break ties between equal heat.
    """
    n, cells = len(images), min(_CELLS, *images.shape[1:3])
    number = np.arange(cells * cells)
    chance = uniform(HEAT, keys[:, None], number)
    hot = _in_cells(heat, cells).reshape(n, -1)
    ranks = [np.lexsort((chance, values)).argsort(axis=1) for values in (-hot, chance, hot)]
    blurred, out = _blur(images), np.empty((len(ORDERS), n, len(SHARES)))
    for j, share in enumerate(SHARES):
        for i, rank in enumerate(ranks):
            if i and share in (0, 1):  # none or all removed: the same in every order
                out[i, :, j] = out[0, :, j]
                continue
            removed = _on_pixels((rank < round(share * cells * cells)).reshape(n, cells, cells), images)
            out[i, :, j] = score(np.where(removed, blurred, images))[np.arange(n), classes]
    return out


def _blur(images: np.ndarray) -> np.ndarray:
    """uint8 copies blurred by a Gaussian with sigma of an eighth of the side: large shapes and brightness stay."""
    from scipy.ndimage import gaussian_filter

    sides = images.shape[1:3]
    sigma = (0, sides[0] / 8, sides[1] / 8, *(0,) * (images.ndim - 3))
    soft: np.ndarray = gaussian_filter(images.astype(np.float32), sigma, mode="nearest")
    whole: np.ndarray = np.rint(soft).astype(np.uint8)
    return whole


def _on_pixels(cells: np.ndarray, images: np.ndarray) -> np.ndarray:
    """A mask (n, cells, cells) enlarged to the size of the images, with their number of axes."""
    rows, columns = (np.searchsorted(np.linspace(0, side, cells.shape[1] + 1).astype(int)[1:], np.arange(side), side="right")
                     for side in images.shape[1:3])  # fmt: skip
    mask = cells[:, rows][:, :, columns]
    return mask if images.ndim == 3 else mask[..., None]


def rank_correlation(one: np.ndarray, two: np.ndarray) -> _Correlation:
    """Spearman's rank correlation over the patches of two sets of heat maps, (n, h, w) each, image by image."""
    from scipy.stats import rankdata

    ranked = []
    for heat in (one, two):
        ranks = rankdata(_in_cells(heat, min(_CELLS, *heat.shape[1:])).reshape(len(heat), -1), axis=1)
        ranks = ranks - ranks.mean(axis=1, keepdims=True)
        ranked.append((ranks, np.sqrt((ranks**2).sum(axis=1))))
    (a, a_norm), (b, b_norm) = ranked
    flat = (a_norm == 0) | (b_norm == 0)
    return _Correlation((a * b).sum(axis=1) / np.where(flat, 1, a_norm * b_norm), flat)


def central_share(heat: np.ndarray) -> tuple[Floats, float]:
    """Share of each image's heat in the central field, float (n,), NaN for a map of zeros; and its share of the area."""
    inside = np.zeros(heat.shape[1:], bool)
    rows, columns = (slice(round(MARGIN * side), side - round(MARGIN * side)) for side in heat.shape[1:])
    inside[rows, columns] = True
    total = heat.sum(axis=(1, 2), dtype=np.float64)
    shares = (heat * inside).sum(axis=(1, 2), dtype=np.float64) / np.where(total > 0, total, np.nan)
    return shares, float(inside.mean())


def mean_metric(values: Floats, *, has_patients: bool, within: tuple[float, float] = (0.0, 1.0)) -> Metric:
    """Mean of one value per image with Student's t interval; each image is of a different patient.

    NaN values are left out. There is no interval for a single value or for values that are all equal.
    """
    values = values[np.isfinite(values)]
    n = len(values)
    shared = {"n": n, "n_patients": n if has_patients else None}
    unit = "t, one image per patient" if has_patients else "t, images; likely too narrow"
    if not n:
        return Metric(value=None, ci_low=None, ci_high=None, method="not estimable: no image with heat", **shared)
    value, low, high, method = float(values.mean()), None, None, "not estimable: fewer than two different values"
    if n > 1 and np.ptp(values) > 0:
        half = t_quantile(0.95, n - 1) * float(values.std(ddof=1)) / n**0.5
        low, high, method = max(within[0], value - half), min(within[1], value + half), unit
    return Metric(value=value, ci_low=low, ci_high=high, method=method, **shared)


def ratio_metric(above: Floats, below: Floats, *, has_patients: bool) -> Metric:
    """Mean of `above` over mean of `below`, one value of each per image, with Fieller's interval.

    It holds the ratios r for which a t test on above - r * below finds no difference from 0, so it excludes 0 where the t
    interval of `above` does. Images whose `below` is near 0 need no special case, as they would in a mean of ratios.
    Where `below` may have a mean of 0 any ratio is possible, and there is no interval.
    Source: Fieller, J R Stat Soc B 1954;16:175.
    """
    n = len(above)
    shared = {"n": n, "n_patients": n if has_patients else None}
    if not n or below.mean() == 0:
        return Metric(value=None, ci_low=None, ci_high=None, method="not estimable: nothing to divide by", **shared)
    a, b = float(above.mean()), float(below.mean())
    spread = np.cov(above, below) / n * t_quantile(0.95, n - 1) ** 2 if n > 1 else np.full((2, 2), np.inf)
    if b**2 <= spread[1, 1]:
        return Metric(value=a / b, ci_low=None, ci_high=None, method="not estimable: the divisor may be 0", **shared)
    outer, mixed, inner = b**2 - spread[1, 1], a * b - spread[0, 1], a**2 - spread[0, 0]
    half = max(float(mixed**2 - outer * inner), 0.0) ** 0.5
    unit = "fieller, one image per patient" if has_patients else "fieller, images; likely too narrow"
    low, high = (float(mixed - half) / float(outer), float(mixed + half) / float(outer))
    return Metric(value=a / b, ci_low=low, ci_high=high, method=unit, **shared)
