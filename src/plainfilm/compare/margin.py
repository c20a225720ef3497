"""Equivalence: whether a difference is shown to be smaller than a margin, which "not distinguishable" does not say.

Two one-sided tests at 0.05 are a 90 % interval inside +-margin. Source: Schuirmann, J Pharmacokinet Biopharm
1987;15:657.
"""

from __future__ import annotations

from collections.abc import Sequence

from plainfilm.errors import UsageError
from plainfilm.schemas.compare import Verdict

MARGIN_LEVEL = 0.90  # of the interval: 1 - 2 x 0.05
Limits = tuple[float, float]


def check_margin(margin: float | None) -> None:
    """Refuse a margin that is no difference of two scores of 0..1.

    Raises:
        UsageError: not above 0 and below 1.
    """
    if margin is not None and not 0 < margin < 1:
        raise UsageError(
            f"--margin {margin:g} is no difference of AUROC or accuracy; expected above 0 and below 1, e.g. --margin 0.01."
        )


def verdict(limits: Sequence[Limits], margin: float, *, different: bool) -> Verdict:
    """Equivalent where all 90 % `limits`, over patients and over seeds, are inside +-margin; else what the test says."""
    if all(-margin < low and high < margin for low, high in limits):
        return "equivalent"
    return "different" if different else "undecided"


def margin_text(margin: float) -> str:
    """What a verdict about the margin says."""
    return (
        f"Margin {margin:g}, of AUROC and accuracy alike: equivalent where the 90 % limits over patients, and those "
        f"of the mean of three seeds or more, are inside +-{margin:g} (two one-sided tests at 0.05, not adjusted); else "
        "different where distinguishable; else undecided."
    )
