"""Number formats of the report; text from other sources goes through `plainfilm.base.sanitize`."""

from __future__ import annotations

from plainfilm.runs.metrics_file import Number


def number(value: float | None, digits: int = 3) -> str:
    """'0.953'; a dash where there is none. A number that rounds to 0 has no sign."""
    if value is None:
        return "\u2013"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def figure(metric: Number) -> str:
    """The value with three decimals, or more where its interval would otherwise collapse to a point."""
    return number(metric.value, _digits(metric))


def between(metric: Number) -> str:
    """'[0.935, 0.966]', or the reason why there is no interval."""
    if metric.value is None:
        return metric.method
    if metric.ci_low is None or metric.ci_high is None:
        return "no interval"
    digits = _digits(metric)
    return f"[{number(metric.ci_low, digits)}, {number(metric.ci_high, digits)}]"


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
