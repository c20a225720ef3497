"""Work that waits for the first step of a training, so that the step is seen soon."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from fastai.callback.core import Callback

from plainfilm.data.loaders.block import CacheDL
from plainfilm.train.callbacks import is_stop_requested, until_stop_requested


class AfterFirstStep(Callback):
    """Runs `work` after the first training step of this process.

    Its time belongs to no epoch: every callback that counts time leaves it out. A training that is about to stop does
    not begin it, and one that is asked to stop meanwhile ends it: the work is done after the resumed training's first step.
    """

    order = 68  # after the step is counted, before its state is written or the time is up

    def __init__(self, work: Callable[[], None]) -> None:
        self.work, self.waits = work, True

    def __call__(self, event_name: str) -> None:
        # not a method named after the event: fastai rewrites the message of an exception raised there
        if event_name != "after_batch" or not (self.waits and self.training) or is_stop_requested(self.learn):
            return
        self.waits = False
        began = time.perf_counter()
        until_stop_requested(self.learn, self.work)
        for cb in self.learn.cbs:
            if hasattr(type(cb), "leave_out"):
                cb.leave_out(time.perf_counter() - began)


def first_batch(dl: CacheDL, size_px: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels of the first batch of a training, at its size and augmented, whichever batch the loader is at.

    The loader stays at its own batch and yields features again if it did.
    """
    place = {
        name: getattr(dl, name)
        for name in ("phase", "epoch", "skip", "features", "size_px", "batch_rows", "batch_times")
    }
    dl.phase, dl.epoch, dl.skip, dl.features, dl.size_px = 0, 0, 0, None, size_px
    try:
        x, y = dl.one_batch()
    finally:
        for name, value in place.items():
            setattr(dl, name, value)
    return x, y
