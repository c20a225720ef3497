"""The fewest patients with which enough of the simulated studies succeed."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from plainfilm.errors import UsageError
from plainfilm.evaluate.planning.formula import Z, formula_patients
from plainfilm.evaluate.planning.question import Question
from plainfilm.evaluate.planning.study import Simulation
from plainfilm.evaluate.stats.intervals import Floats

FEWEST, MOST = 10, 100_000  # patients
ALPHA = 0.05  # of the test, two-sided
_FURTHEST = 4.0  # times as many patients in one step


class Patients(NamedTuple):
    """A number of patients, its 95 % Monte Carlo limits where it was searched for, and the outcome of each study."""

    n: int
    low: int | None
    high: int | None
    outcomes: Floats


def fewest_patients(simulation: Simulation) -> Patients:
    """The fewest patients, to 1 %, with which the share `power` of the studies succeeds; at least FEWEST.

    Each step goes where the last outcomes point: a width falls as 1 / sqrt(n), and the distance that a test sees grows as
    sqrt(n). Two to five steps are enough.

    Raises:
        UsageError: MOST patients are too few.
    """
    question = simulation.question
    found: Floats | None = None
    low, high, n = FEWEST - 1, MOST + 1, _begin(question)
    while high - low > max(1, high // 100):
        outcomes = simulation.outcomes(n)
        times = times_needed(question, outcomes, question.power)
        if times <= 1:
            high, found = n, outcomes
        else:
            low = n
        n = _next(n, times, low, high)
    if found is None:
        raise _too_many()
    return Patients(high, *_limits(question, high, found), found)


def times_needed(question: Question, outcomes: Floats, share: float) -> float:
    """How many times as many patients `share` of the studies need, seen from these outcomes; at most 1: they suffice."""
    if question.other is None:
        width = float(np.quantile(outcomes, share, method="inverted_cdf"))
        return (width / (question.width or 1.0)) ** 2
    edge = 0.5 / len(outcomes)
    now, then = (Z + float(ndtri(x)) for x in (min(max(share_met(question, outcomes), edge), 1 - edge), share))
    return (then / now) ** 2 if now > 0 else math.inf


def share_met(question: Question, outcomes: Floats) -> float:
    """Share of the studies that succeed: an interval no wider than `width`, or p of at most 0.05."""
    limit = ALPHA if question.other is not None else question.width or 1.0
    return float((outcomes <= limit).mean())


def _begin(question: Question) -> int:
    expected = formula_patients(question)
    if expected > MOST:
        raise _too_many()
    return max(FEWEST, round(expected))


def _next(n: int, times: float, low: int, high: int) -> int:
    """A number between `low` and `high`, at least 1 % from either where there is room."""
    step = max(1, n // 100)
    if high - low <= 2 * step:
        return (low + high) // 2
    guess = round(n * min(max(times, 1 / _FURTHEST), _FURTHEST))
    return min(max(guess, low + step), high - step)


def _limits(question: Question, n: int, outcomes: Floats) -> tuple[int, int]:
    """Where the number may lie with other draws: from the shares that as many studies cannot distinguish from `power`."""
    spread = Z * (question.power * (1 - question.power) / len(outcomes)) ** 0.5
    shares = max(question.power - spread, 0.01), min(question.power + spread, 0.999)
    low, high = (n * times_needed(question, outcomes, share) for share in shares)
    return max(FEWEST, min(n, math.floor(low))), max(n, math.ceil(min(high, MOST)))


def _too_many() -> UsageError:
    return UsageError(
        f"More than {MOST:,} patients would be needed. Allow a wider interval (--width) or a larger --difference, or see "
        "what a number gives: --patients N."
    )
