"""Numbers of a step that are read from the device: at once on a CPU, every few steps on a GPU.

Each reading waits until the GPU has done all that is queued. In between the host may queue further steps, so what is
wanted of a step (loss, images right) stays on the device until the next reading, and is then used in the order of the
steps: sums are those of reading at every step, and a divergence is seen later.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.learner import AvgLoss, AvgMetric, AvgSmoothLoss, Recorder
from fastai.metrics import AccumMetric
from fastai.torch_core import to_detach


class LateNumbers(Callback):
    """Reads the numbers of `every` batches together, and what is left at the end of each pass; 1 reads at once."""

    order = -6  # before any callback of the batch or the event after it

    def __init__(self, every: int = 1) -> None:
        self.every, self.batches = every, 0
        self.waiting: list[tuple[torch.Tensor, Callable[[Any], None]]] = []

    def __call__(self, event_name: str) -> None:
        # not methods named after the events: fastai rewrites the message of an exception raised there
        if event_name == "before_epoch":
            self.waiting.clear()  # of an epoch that was left in the middle
        elif event_name == "before_batch":
            self._count_batch()
        elif event_name in ("after_train", "after_validate"):
            self.read()

    def _count_batch(self) -> None:
        if self.batches >= self.every:
            self.read()
        self.batches += 1

    def read(self) -> None:
        """Use all numbers that wait, in the order of the steps.

        Raises:
            DivergedError: a loss was NaN or too large.
        """
        waiting, self.waiting, self.batches = self.waiting, [], 0
        if waiting:
            numbers = torch.stack([value.double() for value, _ in waiting]).tolist()
            for number, (_, use) in zip(numbers, waiting, strict=True):
                use(number)


def when_read(learn: Any, value: torch.Tensor, use: Callable[[Any], None]) -> None:
    """Call `use` with the number in `value`, a tensor without dimensions: now, or at the next reading."""
    late: LateNumbers | None = getattr(learn, "late_numbers", None)
    if late is None or late.every == 1:
        use(value.item())
    else:
        late.waiting.append((value.detach(), use))


class _SmoothLoss(AvgSmoothLoss):
    """fastai's smoothed loss, from losses that may be read later; the Recorder's list is then corrected."""

    val: torch.Tensor

    def accumulate(self, learn: Any) -> None:
        losses = learn.recorder.losses
        when_read(learn, learn.loss.mean(), partial(self._take, losses, len(losses)))

    def _take(self, losses: list[float], step: int, loss: float) -> None:
        self.count += 1
        self.val = torch.lerp(torch.tensor(loss), self.val, self.beta)
        if step < len(losses):
            losses[step] = float(self.value)


class _OnDevice:
    """A metric of fastai's whose sums stay on the device until its value is read, at the end of a pass."""

    def accumulate(self, learn: Any) -> None:
        stay = partial(to_detach, cpu=False)
        seen = SimpleNamespace(loss=learn.loss, pred=learn.pred, yb=learn.yb, y=learn.y, to_detach=stay)
        super().accumulate(seen)  # type: ignore[misc]


class _MeanLoss(_OnDevice, AvgLoss):
    pass


class MeanMetric(_OnDevice, AvgMetric):
    """fastai's AvgMetric: the mean over images of a function of (pred, *yb)."""


class WholeMetric(_OnDevice, AccumMetric):
    """fastai's AccumMetric: a function of the predictions and targets of a whole pass."""


def recorder(every: int) -> Recorder:
    """fastai's Recorder, which waits for the device only where its losses are read at every step."""
    made = Recorder()
    made.loss = _MeanLoss()
    if every > 1:
        made.smooth_loss = _SmoothLoss(beta=made.smooth_loss.beta)
    return made
