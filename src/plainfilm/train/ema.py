"""An exponential moving average of the weights, which is what each epoch is validated with and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from fastai.callback.core import Callback
from torch.optim.swa_utils import get_ema_multi_avg_fn

PREFIX, STEPS = "average.", "average_steps"  # names of the average in a checkpoint


class AverageWeights(Callback):
    """Averages the weights with a decay per step; validation and get_preds use the average, training the weights.

    In the first steps the decay is (1 + step) / (10 + step) where that is smaller, so that the random initial weights
    do not linger in the average. Running statistics of BatchNorm are averaged too; counters are copied.
    """

    order = 45  # the average is in place when other callbacks cancel or read a validation

    def __init__(self, decay: float) -> None:
        self.decay, self.steps, self.in_use, self.validating = decay, 0, False, False
        self.average: dict[str, torch.Tensor] = {}

    def before_fit(self) -> None:
        if not self.average:
            self.average = {name: value.clone() for name, value in self.model.state_dict().items()}

    def before_train(self) -> None:
        if self.in_use:  # an exception ended validation, or the average was kept: train the raw weights
            self.swap()

    def after_step(self) -> None:
        self.steps += 1
        live = self.model.state_dict()
        follow = get_ema_multi_avg_fn(min(self.decay, (1 + self.steps) / (10 + self.steps)))
        floats = [name for name, value in live.items() if value.is_floating_point()]
        follow([self.average[name] for name in floats], [live[name] for name in floats], None)
        for name in live.keys() - floats:
            self.average[name].copy_(live[name])

    def before_validate(self) -> None:
        self.validating = bool(self.average) and not self.in_use
        if self.validating:
            self.swap()

    def after_validate(self) -> None:
        if self.validating:  # not where the average was already in place
            self.swap()
        self.validating = False

    def swap(self) -> None:
        """Exchange the network's weights and the average."""
        for name, value in self.model.state_dict().items():
            other = self.average[name].clone()
            self.average[name].copy_(value)
            value.copy_(other)
        self.in_use = not self.in_use

    def tensors(self) -> dict[str, torch.Tensor]:
        """Its tensors for a checkpoint, while the average is not in use."""
        named = {PREFIX + name: value for name, value in self.average.items()}
        return {**named, STEPS: torch.tensor(self.steps)}

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Restore tensors() from a checkpoint."""
        live = self.model.state_dict()
        self.average = {name: torch.empty_like(value).copy_(tensors[PREFIX + name]) for name, value in live.items()}
        self.steps, self.in_use = int(tensors[STEPS]), False


@contextmanager
def weights_of(learn: Any, *, averaged: bool) -> Iterator[None]:
    """Inside, the network has the averaged weights or the trained ones; without an average both are the same."""
    average: AverageWeights | None = getattr(learn, "average_weights", None)
    if average is None or not average.average or average.in_use == averaged:
        yield
        return
    average.swap()
    try:
        yield
    finally:
        average.swap()
