"""Simulated studies, each judged by the interval that `evaluate` reports or by the closed-form test of `compare`.

Study k of n patients is the beginning of study k of more patients, so that what n is enough for is nearly monotone in n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from plainfilm.base.events import EventCallback, silent
from plainfilm.evaluate.planning.question import Question
from plainfilm.evaluate.stats.auroc_interval import auroc_interval, curve
from plainfilm.evaluate.stats.intervals import Bools, Floats, Ints, proportion
from plainfilm.evaluate.stats.paired_tests import SECOND_TESTS, PairedScores

_SAID_EVERY = 50  # studies between two events


class Study(NamedTuple):
    """The images that the metric counts.

    scores: float (n, models), for auroc higher = more positive, else below the model's cut = right.
    positive: bool (n,). patients: int (n,), 0..m-1, ascending.
    """

    scores: Floats
    positive: Bools
    patients: Ints


@dataclass(frozen=True)
class Simulation:
    """So many studies of one question; equal seeds give equal studies."""

    question: Question
    draws: int
    seed: int
    on_event: EventCallback = silent

    def outcomes(self, patients: int) -> Floats:
        """Of each study of so many patients: the width of the interval or p of the test, float (draws,)."""
        found = np.empty(self.draws)
        for i in range(self.draws):
            found[i] = _outcome(self.question, _draw_study(self.question, patients, (self.seed, i)))
            if (i + 1) % _SAID_EVERY == 0:
                self.on_event("studies", {"done": i + 1, "of": self.draws})
        return found


def _draw_study(question: Question, patients: int, key: tuple[int, int]) -> Study:
    """The study of this key: binormal scores with an effect of each patient, the same in both classes."""
    kinds, people, images = (np.random.default_rng((*key, stream)) for stream in range(3))
    owners, positive = question.design.draw(kinds.random(patients))
    counted = np.array([side in question.sides for side in (0, 1)])[positive.astype(int)]
    owners, positive = owners[counted], positive[counted]
    cuts, icc, correlation = question.scores
    by_patient = people.standard_normal((patients, len(cuts)))[owners]
    scores = icc**0.5 * by_patient + (1 - icc) ** 0.5 * images.standard_normal((len(owners), len(cuts)))
    if len(cuts) == 2:
        scores[:, 1] = correlation * scores[:, 0] + (1 - correlation**2) ** 0.5 * scores[:, 1]
    if question.metric == "auroc":
        scores += 2**0.5 * cuts * positive[:, None]
    return Study(scores, positive, np.cumsum(np.diff(owners, prepend=-1) > 0) - 1)


def _outcome(question: Question, study: Study) -> float:
    """Width or p; infinite and 1 where the study has no image, or one class, and cannot show anything."""
    if not len(study.patients) or (question.metric == "auroc" and len(np.unique(study.positive)) < 2):
        return np.inf if question.other is None else 1.0
    found = _width(question, study) if question.other is None else _p(question, study)
    return float(np.nan_to_num(found, nan=np.inf))


def _width(question: Question, study: Study) -> float:
    scores = study.scores[:, 0]
    if question.metric == "auroc":
        found = auroc_interval([curve(scores, study.positive)], study.patients)
    else:
        found = proportion(scores < question.scores.cuts[0], study.patients)
    return found.high - found.low


def _p(question: Question, study: Study) -> float:
    a, b = study.scores.T
    hits_a, hits_b = (study.scores < question.scores.cuts).T
    block = PairedScores(a[:, None], b[:, None], study.positive[:, None], hits_a, hits_b, study.patients)
    name = "auroc" if question.metric == "auroc" else "accuracy"
    return SECOND_TESTS[name]([block], int(study.patients[-1]) + 1).p
