"""Verdicts on heat maps, from the intervals of the checks: passed, failed, not enough images to tell, or not judged.

A wide interval that holds 0 is no failure. A check fails only where one limit of its 95 % interval (a one-sided bound at
2.5 %) excludes an effect that matters, and passes only where the other excludes that there is none. The gain of deletion
is judged as a share of what removing everything changes: how far a score can fall at all is a matter of the classifier
and its temperature, not of the maps.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from plainfilm.evaluate.stats.intervals import t_quantile
from plainfilm.plots.heatmaps import SAME
from plainfilm.schemas.documents import HEAT_MAPS, Metric

# Half of the smallest gain measured on networks whose maps are right: 0.10 to 0.18 of area, and at least this share of a
# change that cannot exceed 1.
_SHARE_THAT_MATTERS = 0.05
_LEAST_CHANGE = 0.01  # of the score, when everything is removed; below it there is nothing that a map could show
_DECIDED = 1.960 + 0.842  # normal quantiles: an interval of 95 % that decides four times in five
_MOST_NEEDED = 5_000  # beyond it the value is at the limit itself, and no number of images is worth naming


_MISLEAD = f"{HEAT_MAPS} MISLEAD: removing the hottest patches first lowers the score later than random order ({{by}})."
_NOT_SHOWN = (
    f"{HEAT_MAPS} DO NOT SHOW WHAT THE SCORE DEPENDS ON: removing the hottest patches first lowers the score no sooner than "
    f"random order, or by less than {_SHARE_THAT_MATTERS:.0%} of what removing everything changes ({{by}})."
)
_SHOWN = "Removing the hottest patches first lowers the score sooner ({by})."
_HARDLY = (
    "THE SCORE HARDLY DEPENDS ON DETAIL: removing (blurring) the whole image changes the score by {by}, less than "
    f"{_LEAST_CHANGE}, so deletion cannot judge the heat maps."
)
_SIMILAR = f"{HEAT_MAPS} DO NOT DEPEND ON WHAT WAS LEARNED: random weights give nearly the same maps ({{by}})."
_DIFFERENT = f"Random weights give different heat maps ({{by}}; maps count as similar from {SAME})."
_UNDECIDED = "NOT ENOUGH IMAGES TO TELL: "


class HeatVerdict(NamedTuple):
    """`needed`: about how many images would decide, None where that is unknown or not needed; `says`: as a sentence."""

    verdict: Literal["passed", "failed", "not_enough_images", "not_judged"]
    says: str
    needed: int | None = None

    @classmethod
    def of_deletion(cls, gain: Metric, share: Metric, change: Metric, available: int | None = None) -> HeatVerdict:
        """`gain`: area under the score with random order, minus that with the hottest patches removed first.

        `change`: of the score when everything is removed. `share`: gain over change. `available`: how many images there
        are to choose from.
        """
        most = change.value if change.ci_high is None else change.ci_high
        if most is not None and change.n > 1 and most < _LEAST_CHANGE:
            return cls("not_judged", _HARDLY.format(by=_tiny(change)))
        if gain.value is None or gain.ci_low is None or gain.ci_high is None:
            return cls("not_enough_images", f"{_UNDECIDED}too few images with heat for the deletion check.")
        by = f"{_signed(gain)} of area against random order{_of_change(share, change)}"
        if share.ci_high is not None and share.ci_high < _SHARE_THAT_MATTERS:
            return cls("failed", (_MISLEAD if share.ci_high < 0 else _NOT_SHOWN).format(by=by))
        if share.ci_low is not None and share.ci_low > 0:
            return cls("passed", _SHOWN.format(by=by))
        either = f"removing the hottest patches first may or may not lower the score sooner ({by}; {gain.n} images)."
        return cls._undecided(either, _needed_for(share, change), available)

    @classmethod
    def of_randomised(cls, alike: Metric, available: int | None = None) -> HeatVerdict:
        """`alike`: rank correlation of the heat with that of random weights. Equal values in all images decide by themselves."""
        if alike.value is None or alike.n < 2:
            few = "no image" if alike.value is None else f"one image (rank correlation {alike.value:.2f}) is too few"
            return cls("not_enough_images", f"{_UNDECIDED}{few} for the random-weights check.")
        low, high = (alike.value if edge is None else edge for edge in (alike.ci_low, alike.ci_high))
        by = f"rank correlation {alike.value:.2f}" + ("" if alike.ci_low is None else f" [{low:.2f}, {high:.2f}]")
        if low >= SAME:
            return cls("failed", _SIMILAR.format(by=by))
        if high < SAME:
            return cls("passed", _DIFFERENT.format(by=by))
        either = f"random weights may or may not give similar heat maps ({by}; {alike.n} images)."
        return cls._undecided(either, _needed(alike, abs(alike.value - SAME)), available)

    @classmethod
    def _undecided(cls, says: str, needed: int | None, available: int | None) -> HeatVerdict:
        if needed is None:
            return cls("not_enough_images", f"{_UNDECIDED}{says}")
        few = available is not None and needed > available
        do = f"; there are {available} to choose from." if few else f": --heat-maps {needed}."
        about = f"If effect and spread stay as measured, about {needed} images decide it four times in five"
        return cls("not_enough_images", f"{_UNDECIDED}{says} {about}{do}", needed)


def _signed(gain: Metric) -> str:
    """'+0.184 [-0.080, +0.448]'; in powers of ten where the interval would otherwise have no width."""
    form = "+.3f" if f"{gain.ci_low:.3f}" != f"{gain.ci_high:.3f}" else "+.1e"
    value, low, high = (f"{number:{form}}" for number in (gain.value, gain.ci_low, gain.ci_high))
    return f"{value} [{low}, {high}]"


def _tiny(change: Metric) -> str:
    """'3.1e-04 [2.0e-04, 4.2e-04]'; '0' where no image changes at all."""
    if change.ci_low is None or change.ci_high is None:
        return f"{change.value:.1e}" if change.value else "0"
    return f"{change.value:.1e} [{change.ci_low:.1e}, {change.ci_high:.1e}]"


def _of_change(share: Metric, change: Metric) -> str:
    """', 41% [25%, 58%] of the 0.62 that removing everything changes'."""
    if share.value is None:
        return ""
    between = "" if share.ci_low is None else f" [{share.ci_low:.0%}, {share.ci_high:.0%}]"
    return f", {share.value:.0%}{between} of the {change.value:.2g} that removing everything changes"


def _needed_for(share: Metric, change: Metric) -> int | None:
    """Images that would decide the deletion check; where even the change may be 0, those that would exclude this."""
    if share.value is None or share.ci_low is None:
        return _needed(change, change.value or 0.0)
    return _needed(share, max(share.value, _SHARE_THAT_MATTERS - share.value))


def _needed(found: Metric, distance: float) -> int | None:
    """Images with which an interval of this spread ends within `distance` of the value, four times in five."""
    if found.value is None or found.ci_low is None or found.ci_high is None or distance <= 0:
        return None
    half = max(
        found.ci_high - found.value, found.value - found.ci_low
    )  # one side may be cut off at the end of the range
    spread = half / t_quantile(0.95, found.n - 1) * found.n**0.5
    needed = max(math.ceil((_DECIDED * spread / distance) ** 2), found.n + 1)
    return needed if needed <= _MOST_NEEDED else None
