"""A number with its 95 % interval as text: one form for the terminal, tables, pages and cards."""

from __future__ import annotations

from typing import Protocol

THREE = "z.3f"  # z: a number that rounds to 0 has no sign


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
