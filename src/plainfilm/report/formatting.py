"""Number formats of the report; text from other sources goes through `plainfilm.base.sanitize`."""

from __future__ import annotations

from plainfilm.runs.metrics_file import Number
from plainfilm.schemas.number_text import limits_text


def number(value: float | None, digits: int = 3) -> str:
    """'0.953'; a dash where there is none. A number that rounds to 0 has no sign."""
    if value is None:
        return "\u2013"
    return f"{value:z.{digits}f}"


def figure(metric: Number) -> str:
    """The value with three decimals, or more where its interval would otherwise collapse to a point."""
    return number(metric.value, _digits(metric))


def between(metric: Number) -> str:
    """'[0.935, 0.966]', or the reason why there is no interval."""
    if metric.value is None:
        return metric.method
    return limits_text(metric.ci_low, metric.ci_high, f"z.{_digits(metric)}f") or "no interval"


def _digits(metric: Number) -> int:
    low, high = metric.ci_low, metric.ci_high
    if low is None or high is None:
        return 3
    return next((digits for digits in (3, 4, 5) if number(low, digits) != number(high, digits)), 6)


def count(n: int | None) -> str:
    """'5,840'; 'unknown' for None."""
    return "unknown" if n is None else f"{n:,}"


def many(n: int, one: str, more: str = "") -> str:
    """'1 image', '5,840 images'."""
    return f"{n:,} {one if n == 1 else more or one + 's'}"
