"""The time that a training takes: from timed steps of a copy of the network, or from the training's own first steps."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner

from plainfilm.config import Phase
from plainfilm.train.other_processes import Load, LoadMeter

_INFERENCE = 1 / 3  # approximate cost of a pass without gradients, as a share of one with them
_FIRST_STEPS = 10  # the estimate is said by then


class Estimate(NamedTuple):
    """Seconds that all phases take, and the load of the machine while steps were timed."""

    seconds: float
    load: Load


def estimate_time(learn: Learner, phases: Sequence[Phase]) -> Estimate:
    """The time of the phases, from timed steps of a copy of the network after one warm-up step."""
    model, train = copy.deepcopy(learn.model).train(), learn.dls.train
    with torch.random.fork_rng(devices=[]):
        x, y = train.one_batch()
        _timed_step(model, learn.loss_func, x, y)
        meter, seconds = LoadMeter(), list[float]()
        while not (_enough(seconds) or len(seconds) >= 50):
            seconds.append(_timed_step(model, learn.loss_func, x, y))
    return Estimate(_total(learn, phases, float(np.median(seconds)) / len(y)), meter.read())


class TimeSteps(Callback):
    """Estimates the time of all phases from the first steps of this process, and says it once with `say`.

    A step lasts from the end of the one before: its batch and a state that was written in between count. The first step
    is the warm-up. A step of a frozen network shows little; the pass that computed its features counts instead.

    Args:
        earlier: seconds by an earlier process of the same run, in effect until this one has made a step.
    """

    order = 69  # after the work that follows the first step, before a state is written

    def __init__(self, phases: Sequence[Phase], say: Callable[[Estimate], None], earlier: float | None = None) -> None:
        self.phases, self.say, self.earlier = phases, say, earlier
        self.per_image: list[float] = []  # seconds per image of each step, the warm-up too
        self.timed: list[float] = []  # seconds of each step after it
        self.said: float | None = None
        self.meter, self.since = LoadMeter(), time.perf_counter()

    def leave_out(self, seconds: float) -> None:
        """Do not count the last `seconds`, in which no step was made."""
        self.meter, self.since = LoadMeter(), self.since + seconds

    def seconds(self) -> float | None:
        """The time of all phases as far as it is known; None before the first step of all."""
        if self.said is not None or not self.per_image:
            return self.earlier if self.said is None else self.said
        held = self.learn.feature_pass if self.dls.train.features is not None else None
        per_image = held.per_image / _INFERENCE if held else float(np.median(self.per_image[1:] or self.per_image))
        return _total(self.learn, self.phases, per_image)

    def __call__(self, event_name: str) -> None:
        # not methods named after the events: fastai rewrites the message of an exception raised there
        if self.said is not None or not self.training:
            return
        if event_name == "before_batch" and not self.per_image:
            self.meter, self.since = LoadMeter(), time.perf_counter()
        elif event_name == "after_batch":
            self._count()
        elif event_name == "after_train" and self.per_image:
            self._say()

    def _count(self) -> None:
        now = time.perf_counter()
        self.timed += [now - self.since] if self.per_image else []
        self.per_image.append((now - self.since) / len(self.yb[0]))
        self.since = now
        frozen = self.dls.train.features is not None
        if frozen or _enough(self.timed) or len(self.per_image) >= _FIRST_STEPS:
            self._say()

    def _say(self) -> None:
        load = self.learn.feature_pass.load if self.dls.train.features is not None else self.meter.read()
        self.said = self.seconds()
        if self.said is not None:
            self.say(Estimate(self.said, load))


def _enough(seconds: Sequence[float]) -> bool:
    """Whether these timed steps give an estimate: five, and a second of them, three if they differ.

    Five steps of a small network take less time than the pause that another program's start causes.
    """
    if len(seconds) < 5:
        return False
    differ = max(seconds) > 2 * min(seconds)
    return sum(seconds) >= (3 if differ else 1)


def work(phase: Phase) -> float:
    """Cost of a phase in epochs of the whole network; a frozen one is a single pass without gradients."""
    return _INFERENCE if phase.freeze else float(phase.epochs)


def _total(learn: Learner, phases: Sequence[Phase], per_image: float) -> float:
    """Seconds of all phases; `per_image`: seconds of an image in a step."""
    images = len(learn.dls.train.dataset) + len(learn.dls.valid.dataset) * _INFERENCE
    return per_image * images * sum(work(phase) for phase in phases)


def _timed_step(model: torch.nn.Module, loss_func: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    start = time.perf_counter()
    loss_func(model(x.as_subclass(torch.Tensor)), y.as_subclass(torch.Tensor)).backward()
    if x.is_cuda:
        torch.cuda.synchronize()
    model.zero_grad()
    return time.perf_counter() - start
