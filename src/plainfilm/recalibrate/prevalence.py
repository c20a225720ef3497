"""The threshold from a share of positive images and unlabelled scores, and whether such a share alone explains them.

Everything is a function of arrays: scores float (n,) in 0..1, of the positive class of two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plainfilm.evaluate.stats.intervals import Bools, Floats

_GRID = np.linspace(0, 1, 101)  # shares of positive images tried by the mixture check
_POINTS = 200  # scores at which distributions are compared
_DRAWS = 199
REJECTED = 0.05


def threshold_for(scores: Floats, share: float) -> float:
    """The threshold at which the share predicted positive is nearest to `share`, in the middle between two scores.

    Source: near unsupervised prediction alignment, which assumes the prevalence to be the train set's: Roschewitz et al.,
        Nat Commun 2023;14:6608.
    """
    values, counts = np.unique(scores, return_counts=True)
    above = np.concatenate([counts[::-1].cumsum()[::-1], [0]]) / len(scores)  # predicted positive from each value on
    place = int(np.abs(above - share).argmin())
    edges = np.concatenate([[0.0], values, [1.0]])
    middle = float(edges[place] + edges[place + 1]) / 2
    return middle if edges[place] < middle else float(edges[place + 1])


@dataclass(frozen=True)
class _Mixture:
    """The share of positive images whose mixture of the two classes is nearest, and the p of its distance (KS)."""

    share: float
    distance: float
    p: float


def nearest_mixture(scores: Floats, known: Floats, positive: Bools, seed: int = 0) -> _Mixture:
    """Whether the scores can be a mixture of the two classes of labelled scores, and with which share.

    The distance is the largest difference of the distribution functions. Its p comes from draws of the nearest mixture
    and of the labelled scores, both resampled and fitted again (parametric bootstrap).

    Args:
        scores: float (n,), unlabelled. known: float (m,), scores with labels `positive`, bool (m,).
    Source: Gonzalez-Castro, Alaiz-Rodriguez & Alegre, Inf Sci 2013;218:146 (mixture by distance).
    """
    rng, classes = np.random.default_rng(seed), (known[~positive], known[positive])
    share, distance = _fit_mixture(scores, classes)
    farther = 0
    for _ in range(_DRAWS):
        resampled = tuple(rng.choice(side, len(side)) for side in classes)
        n_positive = rng.binomial(len(scores), share)
        drawn = np.concatenate([rng.choice(classes[1], n_positive), rng.choice(classes[0], len(scores) - n_positive)])
        farther += _fit_mixture(drawn, (resampled[0], resampled[1]))[1] >= distance - 1e-12
    return _Mixture(share, distance, (1 + farther) / (1 + _DRAWS))


def _fit_mixture(scores: Floats, classes: tuple[Floats, Floats]) -> tuple[float, float]:
    at = np.unique(np.quantile(np.concatenate([scores, *classes]), np.linspace(0, 1, _POINTS)))
    target, low, high = (np.searchsorted(np.sort(x), at, side="right") / len(x) for x in (scores, *classes))
    apart = np.abs(target - low - _GRID[:, None] * (high - low)).max(axis=1)
    best = int(apart.argmin())
    return float(_GRID[best]), float(apart[best])


def em_share(scores: Floats, share_known: float, *, steps: int = 10_000) -> float:
    """The share of positive images that explains calibrated scores best, by expectation maximisation.

    Args:
        scores: calibrated at a share `share_known` of positive images.
    Source: Saerens, Latinne & Decaestecker, Neural Comput 2002;14:21.
    """
    share = share_known
    for _ in range(steps):
        for_positive = scores * share / share_known
        posterior = for_positive / (for_positive + (1 - scores) * (1 - share) / (1 - share_known))
        moved = float(posterior.mean())
        if abs(moved - share) < 1e-10:
            return moved
        share = moved
    return share


def bbse_share(scores: Floats, known: Floats, positive: Bools, threshold: float) -> float | None:
    """The share of positive images from the share predicted positive and the two rates on labelled images.

    None where the rates are equal. Source: Lipton, Wang & Smola, ICML 2018 (black box shift estimation).
    """
    sensitivity, false = (float((known[side] >= threshold).mean()) for side in (positive, ~positive))
    if sensitivity - false < 1e-9:
        return None
    return float(np.clip(((scores >= threshold).mean() - false) / (sensitivity - false), 0, 1))
