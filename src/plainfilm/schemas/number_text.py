"""A number with its 95 % interval, and a p value, as text: one form for the terminal, tables, pages and cards."""

from __future__ import annotations

from math import ceil
from typing import Protocol

THREE = "z.3f"  # z: a number that rounds to 0 has no sign
TOP_3 = "Top-3 accuracy (the true class is among the three highest scores)"
FEWEST = "the fewest these draws can show"


class Estimate(Protocol):
    """A value with its interval: Metric, and every document like it."""

    @property
    def value(self) -> float | None: ...
    @property
    def ci_low(self) -> float | None: ...
    @property
    def ci_high(self) -> float | None: ...


def limits_text(low: float | None, high: float | None, form: str = THREE) -> str:
    """'[0.935, 0.966]'; '' without limits."""
    return "" if low is None or high is None else f"[{low:{form}}, {high:{form}}]"


def estimate_text(found: Estimate, form: str = THREE) -> str:
    """'0.953 [0.935, 0.966]'; the value alone where there are no limits, '-' without a value."""
    if found.value is None:
        return "-"
    return f"{found.value:{form}} {limits_text(found.ci_low, found.ci_high, form)}".rstrip()


def p_text(p: float, *, is_floor: bool = False) -> str:
    """'0.012', '<0.0001'; '<= 0.014' at the floor of its draws, rounded up: a bound must not shrink."""
    digits = 3 if p >= 0.001 else 4
    if is_floor:
        return f"<= {ceil(p * 10**digits - 1e-9) / 10**digits:.{digits}f}"
    return f"{p:.{digits}f}" if p >= 0.0001 else "<0.0001"


def p_said(p: float, *, is_floor: bool = False) -> str:
    """'p 0.012', 'p <= 0.014 (the fewest these draws can show)'."""
    return f"p {p_text(p, is_floor=is_floor)}" + (f" ({FEWEST})" if is_floor else "")


def unadjusted_text(comparisons: int) -> str:
    """'Limits are not adjusted for the 3 comparisons; p is.'; '' for one, where there is nothing to adjust."""
    return f"Limits are not adjusted for the {comparisons} comparisons; p is." if comparisons > 1 else ""


def beside_p(comparisons: int, *, floors: bool) -> list[str]:
    """What a table of adjusted p and limits needs below it, a sentence each; `floors`: whether a p of it is one."""
    return [line for line in (unadjusted_text(comparisons), f"p <=: {FEWEST}." if floors else "") if line]
