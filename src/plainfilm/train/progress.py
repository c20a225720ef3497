"""How a fit is shown: events for a callback, or what fastai shows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.imports import IN_NOTEBOOK, noop

from plainfilm.base.terminal import tell
from plainfilm.train.callbacks import epoch_record


class _EventProgress(Callback):
    """Sends events to a callback instead of drawing fastai's own progress bars.

    It is named `progress`, as fastai's own, so that `no_bar()` finds and removes it.
    """

    name, order = "progress", 62

    def __init__(self, on_event: Callable[[str, dict[str, Any]], None] | None = None) -> None:
        self.on_event = on_event or (lambda what, facts: None)
        self.silent = True

    def before_fit(self) -> None:
        # validate(), get_preds() and the rate finder run under no_logging()
        self.silent = self.learn.logger is noop
        self.old_logger, self.learn.logger = self.learn.logger, lambda _: None

    def after_batch(self) -> None:
        if self.training and not self.silent:
            self.on_event(
                "batch",
                {
                    "epoch": self.epoch,
                    "of": self.n_epoch,
                    "step": self.iter + 1,
                    "steps": self.n_iter,
                    "images": len(self.yb[0]),
                    "loss": self._loss(),
                },
            )

    def _loss(self) -> float | None:
        """The smoothed train loss, None until one was read; it is on the host, so that no device is waited for."""
        smooth = self.recorder.smooth_loss
        return float(smooth.value) if smooth.count else None

    def after_epoch(self) -> None:
        if not self.silent and epoch_record(self.learn):
            names, values = self.recorder.metric_names[1:-1], self.recorder.values[-1]
            self.on_event("epoch", {"epoch": self.epoch, "of": self.n_epoch, **dict(zip(names, values, strict=True))})

    def after_fit(self) -> None:
        self.learn.logger = self.old_logger


class _PlainTable(_EventProgress):
    """fastai's epoch table without its bars: in a pipe or a file they would be block characters."""

    def before_fit(self) -> None:
        super().before_fit()
        if not self.silent:
            self.learn.logger, self.widths = self._print_row, [max(len(name), 8) for name in self.recorder.metric_names]
            self._print_row(self.recorder.metric_names)

    def _print_row(self, cells: Sequence[Any]) -> None:
        shown = [f"{cell:.6f}" if isinstance(cell, float) else str(cell) for cell in cells]
        tell("  ".join(map(str.ljust, shown, self.widths)).rstrip(), sys.stdout)


def progress_of(on_event: Callable[[str, dict[str, Any]], None] | None) -> Callback:
    """Sends events to the callback; without one, what fastai shows of a fit: bars and the epoch table."""
    if on_event is not None:
        return _EventProgress(on_event)
    return ProgressCallback() if IN_NOTEBOOK or sys.stdout.isatty() else _PlainTable()
