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


class _Tried(NamedTuple):
    """A number of patients, and how many times as many are needed as its outcomes say."""

    n: int
    times: float


def fewest_patients(simulation: Simulation) -> Patients:
    """The fewest patients, to 1 %, with which the share `power` of the studies succeeds; at least FEWEST.

    Raises:
        UsageError: MOST patients are too few.
    """
    question = simulation.question
    low, high, n = _Tried(FEWEST - 1, _FURTHEST), _Tried(MOST + 1, 1.0), _begin(question)
    found: Floats | None = None
    while high.n - low.n > max(1, high.n // 100):
        outcomes = simulation.outcomes(n)
        tried = _Tried(n, min(max(_times_needed(question, outcomes, question.power), 1 / _FURTHEST), _FURTHEST))
        if tried.times <= 1:
            high, found = tried, outcomes
        else:
            low = tried
        n = _next(tried, low, high)
    if found is None:
        raise _too_many()
    return Patients(high.n, *_limits(question, high.n, found), found)


def _next(tried: _Tried, low: _Tried, high: _Tried) -> int:
    """A number between `low` and `high`, at least 1 % from either where there is room.

    A width falls as 1 / sqrt(n), and the distance that a test sees grows as sqrt(n): so the outcomes of one number say where
    to go. Once it is enclosed, those of both ends do.
    """
    step = max(1, tried.n // 100)
    if high.n - low.n <= 2 * step:
        return (low.n + high.n) // 2
    if low.n < FEWEST or high.n > MOST:
        guess = tried.n * tried.times
    else:
        guess = low.n * (high.n / low.n) ** (math.log(low.times) / math.log(low.times / high.times))
    return min(max(round(guess), low.n + step), high.n - step)


def _times_needed(question: Question, outcomes: Floats, share: float) -> float:
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


def _limits(question: Question, n: int, outcomes: Floats) -> tuple[int, int]:
    """Where the number may lie with other draws: from the shares that as many studies cannot distinguish from `power`."""
    spread = Z * (question.power * (1 - question.power) / len(outcomes)) ** 0.5
    shares = max(question.power - spread, 0.01), min(question.power + spread, 0.999)
    low, high = (n * _times_needed(question, outcomes, share) for share in shares)
    return max(FEWEST, min(n, math.floor(low))), max(n, math.ceil(min(high, MOST)))


def _too_many() -> UsageError:
    return UsageError(
        f"More than {MOST:,} patients would be needed. Allow a wider interval (--width) or a larger --difference, or see "
        "what a number gives: --patients N."
    )
