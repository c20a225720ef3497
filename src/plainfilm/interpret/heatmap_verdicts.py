"""Verdicts on heat maps, from the intervals of the checks: passed, failed, or not enough images to tell.

A wide interval that holds 0 is no failure. A check fails only where its interval excludes an effect that matters
(two one-sided tests at 2.5 %; Schuirmann, J Pharmacokinet Biopharm 1987;15:657), and passes only where it excludes 0.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from plainfilm.evaluate.stats.intervals import t_quantile
from plainfilm.plots.heatmaps import SAME
from plainfilm.schemas.documents import Metric

# Smallest deletion gain that matters: half of the smallest one measured on networks whose maps are right. There it was
# 0.10 to 0.18 of area; where it was known to be wrong (Grad-CAM before a dense layer) -0.005 [-0.017, 0.007].
GAIN_THAT_MATTERS = 0.05
_DECIDED = 1.960 + 0.842  # normal quantiles: an interval of 95 % that decides four times in five
_MOST_NEEDED = 5_000  # beyond it the value is at the limit itself, and no number of images is worth naming


_MISLEAD = "HEAT MAPS MISLEAD: removing the hottest patches first lowers the score later than random order ({by})."
_NOT_SHOWN = (
    "HEAT MAPS DO NOT SHOW WHAT THE SCORE DEPENDS ON: removing the hottest patches first lowers the score no sooner than "
    f"random order, or by less than {GAIN_THAT_MATTERS} ({{by}})."
)
_SHOWN = "Removing the hottest patches first lowers the score sooner ({by})."
_SIMILAR = "HEAT MAPS DO NOT DEPEND ON WHAT WAS LEARNED: random weights give nearly the same maps ({by})."
_DIFFERENT = f"Random weights give different heat maps ({{by}}; maps count as similar from {SAME})."
_UNDECIDED = "NOT ENOUGH IMAGES TO TELL: "


class HeatVerdict(NamedTuple):
    """`needed`: about how many images would decide, None where that is unknown or not needed; `says`: as a sentence."""

    verdict: Literal["passed", "failed", "not_enough_images"]
    says: str
    needed: int | None = None

    @classmethod
    def of_deletion(cls, gain: Metric, available: int | None = None) -> HeatVerdict:
        """`gain`: area under the score with random order, minus that with the hottest patches removed first.

        `available`: how many images there are to choose from.
        """
        if gain.value is None or gain.ci_low is None or gain.ci_high is None:
            return cls("not_enough_images", f"{_UNDECIDED}too few images with heat for the deletion check.")
        by = f"{_signed(gain)} of area against random order"
        if gain.ci_high < GAIN_THAT_MATTERS:
            return cls("failed", (_MISLEAD if gain.ci_high < 0 else _NOT_SHOWN).format(by=by))
        if gain.ci_low > 0:
            return cls("passed", _SHOWN.format(by=by))
        either = f"removing the hottest patches first may or may not lower the score sooner ({by}; {gain.n} images)."
        return cls._undecided(either, _needed(gain, max(gain.value, GAIN_THAT_MATTERS - gain.value)), available)

    @classmethod
    def of_randomised(cls, alike: Metric, available: int | None = None) -> HeatVerdict:
        """`alike`: rank correlation of the heat with that of random weights. Equal values in all images decide by themselves."""
        if alike.value is None:
            return cls("not_enough_images", f"{_UNDECIDED}no image for the random-weights check.")
        low, high = (alike.value if edge is None else edge for edge in (alike.ci_low, alike.ci_high))
        by = f"rank correlation {alike.value:.2f}" + ("" if alike.ci_low is None else f" [{low:.2f}, {high:.2f}]")
        if low >= SAME:
            return cls("failed", _SIMILAR.format(by=by))
        if high < SAME and alike.n > 1:
            return cls("passed", _DIFFERENT.format(by=by))
        either = f"random weights may or may not give similar heat maps ({by}; {alike.n} images)."
        return cls._undecided(either, _needed(alike, abs(alike.value - SAME)), available)

    @classmethod
    def _undecided(cls, says: str, needed: int | None, available: int | None) -> HeatVerdict:
        if needed is None:
            return cls("not_enough_images", f"{_UNDECIDED}{says}")
        few = available is not None and needed > available
        do = f", and valid has {available} to choose from." if few else f": --heat-maps {needed}."
        return cls("not_enough_images", f"{_UNDECIDED}{says} By their spread about {needed} are needed{do}", needed)


def _signed(gain: Metric) -> str:
    """'+0.184 [-0.080, +0.448]'; in powers of ten where the interval would otherwise have no width."""
    form = "+.3f" if f"{gain.ci_low:.3f}" != f"{gain.ci_high:.3f}" else "+.1e"
    value, low, high = (f"{number:{form}}" for number in (gain.value, gain.ci_low, gain.ci_high))
    return f"{value} [{low}, {high}]"


def _needed(found: Metric, distance: float) -> int | None:
    """Images with which an interval of this spread has a good chance of ending within `distance` of the value."""
    if found.value is None or found.ci_low is None or found.ci_high is None or distance <= 0:
        return None
    half = max(
        found.ci_high - found.value, found.value - found.ci_low
    )  # one side may be cut off at the end of the range
    spread = half / t_quantile(0.95, found.n - 1) * found.n**0.5
    needed = max(math.ceil((_DECIDED * spread / distance) ** 2), found.n + 1)
    return needed if needed <= _MOST_NEEDED else None
