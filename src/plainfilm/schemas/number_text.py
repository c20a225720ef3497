"""A number with its 95 % interval, and a p value, as text: one form for the terminal, tables, pages and cards.

Where there is none, a table has a short cell, and each reason once below.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Protocol

from plainfilm.base.listing import some

THREE = "z.3f"  # z: a number that rounds to 0 has no sign
TOP_3 = "Top-3 accuracy (the true class is among the three highest scores)"
FEWEST = "the fewest these draws can show"
NOT_ESTIMABLE = "n/e"
_FULL, _MOST = "not estimable: ", 5


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


def ratio_text(found: Estimate) -> str:
    """'0.96 [0.38, 2.40]'; of few images '1.20 [< 0.01, > 100]', where the digits of a limit would say nothing."""
    if found.value is None or found.ci_low is None or found.ci_high is None:
        return estimate_text(found, "z.2f")
    value, low, high = (_ratio(each) for each in (found.value, found.ci_low, found.ci_high))
    return f"{value} [{low}, {high}]"


def _ratio(value: float) -> str:
    if value > 100:
        return "> 100"
    return "< 0.01" if 0 < value < 0.005 else f"{value:z.2f}"


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


class _Reasoned(Protocol):
    @property
    def value(self) -> float | None: ...
    @property
    def method(self) -> str: ...


def reasons(named: Iterable[tuple[str, _Reasoned]]) -> list[str]:
    """A line for each reason why cells of a table have no value, with the names of those cells where there are several.

    'n/e: not estimable: 1 patient with images of a class, at least 2 are needed'
    """
    found: dict[str, dict[str, None]] = {}
    for name, metric in named:
        if metric.value is None:
            found.setdefault(metric.method.removeprefix(_FULL), {})[name] = None
    lines = [
        f"{NOT_ESTIMABLE}{f' ({some([*names])})' if len(found) > 1 else ''}: {_FULL}{why}"
        for why, names in found.items()
    ]
    more = len(lines) - _MOST
    return lines[:_MOST] + ([f"{NOT_ESTIMABLE}: {more:,} more reasons are in --json"] if more > 0 else [])
