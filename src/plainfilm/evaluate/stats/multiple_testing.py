"""P values of several tests, adjusted for multiple testing."""

from __future__ import annotations

import numpy as np

from plainfilm.evaluate.stats.intervals import Bools, Floats


def holm(p: Floats) -> Floats:
    """p values (k,) adjusted so that the probability of any false rejection (family-wise error) is at most the level.

    Source: Holm, Scand J Stat 1979;6:65.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def at_floor(adjusted: Floats, floor: float) -> Bools:
    """Which of `adjusted` (k,), by `holm`, are the fewest that the draws can show: k times the `floor` of a single p.

    A p above its own floor may be among them: `holm` raises it to the adjusted p of the tests before it.
    """
    return np.asarray(adjusted <= len(adjusted) * floor * (1 + 1e-9))
