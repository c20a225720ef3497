"""The time that a training takes: from timed steps of a copy of the network, or from the training's own first steps."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner

from plainfilm.config import Phase
from plainfilm.train.frozen_features import FeaturePass
from plainfilm.train.machine.other_processes import Load, LoadMeter

if TYPE_CHECKING:
    from plainfilm.train.checkpoint import Checkpoint

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
    is the warm-up. A step of a frozen network shows little: the pass that computed its features counts instead, and
    where they were read, the first steps of the whole network.

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
        per_image = float(np.median(self.per_image[1:] or self.per_image))
        if self.dls.train.features is None:
            size_px = self.phases[-1].size_px
            return _total(self.learn, self.phases, per_image * (size_px / (self.dls.train.size_px or size_px)) ** 2)
        if passed := self._feature_pass():
            return _total(self.learn, self.phases, passed.per_image / _INFERENCE)
        return per_image * len(self.dls.train.dataset) * sum(phase.epochs for phase in self.phases)

    def __call__(self, event_name: str) -> None:
        # not methods named after the events: fastai rewrites the message of an exception raised there
        if self.said is not None or not self.training or self._waits_for_the_whole_network():
            return
        if event_name == "before_batch" and not self.per_image:
            self.meter, self.since = LoadMeter(), time.perf_counter()
        elif event_name == "after_batch":
            self._count()
        elif event_name == "after_train" and self.per_image:
            self._say()

    def _waits_for_the_whole_network(self) -> bool:
        """Whether the network is frozen, its features were read, and the whole network trains later."""
        frozen = self.dls.train.features is not None
        return frozen and self.learn.feature_pass is None and not self.phases[-1].freeze

    def _count(self) -> None:
        if self.yb[0].is_cuda:
            torch.cuda.synchronize()  # a step is only queued until then; at most _FIRST_STEPS times
        now = time.perf_counter()
        self.timed += [now - self.since] if self.per_image else []
        self.per_image.append((now - self.since) / len(self.yb[0]))
        self.since = now
        if self._feature_pass() or _enough(self.timed) or len(self.per_image) >= _FIRST_STEPS:
            self._say()

    def _feature_pass(self) -> FeaturePass | None:
        """The pass that computed the features of a frozen network."""
        return self.learn.feature_pass if self.dls.train.features is not None else None

    def _say(self) -> None:
        passed, self.said = self._feature_pass(), self.seconds()
        load = passed.load if passed else self.meter.read()
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


def work(phase: Phase, size_px: int, valid: float = 0.0) -> float:
    """Cost of a phase in passes over the train images at `size_px`, the size of the run; a pass over images of half the
    side costs a quarter. A frozen phase is a single pass without gradients.

    Args:
        valid: the cost of validation, at `size_px` after every epoch, as a share of a pass over the train images.
    """
    if phase.freeze:
        return _INFERENCE + valid
    return phase.epochs * ((phase.size_px / size_px) ** 2 + valid)


def costs(learn: Learner, phases: Sequence[Phase]) -> list[float]:
    """Cost of each phase, validation included, in passes over the train images at the size of the run."""
    valid = _INFERENCE * len(learn.dls.valid.dataset) / len(learn.dls.train.dataset)
    return [work(phase, phases[-1].size_px, valid) for phase in phases]


def resumed_at(learn: Learner, phases: Sequence[Phase], checkpoint: Checkpoint | None) -> dict[str, Any]:
    """Where a resumed run continues, for display: phases and epochs from 1, number of finished steps, and the share of
    the training that is left."""
    at = checkpoint and checkpoint.state
    phase, epoch, step = (at.phase, at.epoch, at.step) if at else (0, 0, 0)
    epochs = phases[phase].epochs
    cost, steps = costs(learn, phases), len(learn.dls.train)
    done = sum(cost[:phase]) + cost[phase] * (epoch + step / steps) / epochs
    return {
        "found": at is not None, "phase": phase + 1, "phases": len(phases), "epoch": min(epoch + 1, epochs),
        "epochs": epochs, "step": step, "finished": epoch == epochs,
        "share_left": 1 - done / sum(cost),
    }  # fmt: skip


def _total(learn: Learner, phases: Sequence[Phase], per_image: float) -> float:
    """Seconds of all phases; `per_image`: seconds of an image in a step at the size of the run."""
    return per_image * len(learn.dls.train.dataset) * sum(costs(learn, phases))


def _timed_step(model: torch.nn.Module, loss_func: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    start = time.perf_counter()
    loss_func(model(x.as_subclass(torch.Tensor)), y.as_subclass(torch.Tensor)).backward()
    if x.is_cuda:
        torch.cuda.synchronize()
    model.zero_grad()
    return time.perf_counter() - start
