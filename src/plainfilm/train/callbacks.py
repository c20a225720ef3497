"""What happens beside the training loop: keyed randomness, history, the best epoch, divergence.

A callback's class name becomes an attribute of the Learner; none here is named after one it already has.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.imports import noop
from safetensors.torch import save

from plainfilm.data.block import CacheDL, plain
from plainfilm.errors import DivergedError
from plainfilm.runs import RunDir, atomic_write
from plainfilm.seeds import DROPOUT, torch_seed


class KeyedRandomness(Callback):
    """Order, augmentation and dropout as functions of (seed, phase, epoch, step); plain tensors in the loop."""

    order = -5  # before the batch reaches any other callback

    def __init__(self, seed: int) -> None:
        self.seed, self.phase = seed, 0

    def before_epoch(self) -> None:
        if isinstance(self.dls.train, CacheDL):
            self.dls.train.phase, self.dls.train.epoch = self.phase, self.epoch

    def before_batch(self) -> None:
        if self.training:
            torch.manual_seed(torch_seed(self.seed, DROPOUT, self.phase, self.epoch, self.iter))
        self.learn.xb = tuple(plain(x) for x in self.xb)
        self.learn.yb = tuple(plain(y) for y in self.yb)


class StopWhenDiverged(Callback):
    """Ends a fit whose loss is no longer a number; fastai alone would go on to a network of NaN."""

    order = 60

    def __call__(self, event_name: str) -> None:
        # not a method named after the event: fastai rewrites the message of what is raised there
        finder = hasattr(self.learn, "lr_finder")  # it looks for the diverging end
        if event_name == "after_batch" and not finder and not torch.isfinite(self.loss_grad).all():
            where = f"step {self.iter + 1}" if self.training else "on valid"
            raise DivergedError(
                f"The loss became {self.loss_grad.mean().item()} in epoch {self.epoch + 1}, {where}. "
                "Train again with a smaller --lr (try a tenth)."
            )


class RunHistory(Callback):
    """One row per epoch to history.csv, seconds to timing.csv.

    Train loss and accuracy are means over the epoch's batches, dropout and augmentation on, as in Keras.
    """

    order = 65

    def __init__(self, run: RunDir) -> None:
        self.run_dir, self.phase = run, 0
        self.rows: list[dict[str, Any]] = []
        self.seconds: list[dict[str, Any]] = []

    def before_epoch(self) -> None:
        self.start, self.seen = time.perf_counter(), 0
        self.loss_sum = torch.zeros((), dtype=torch.float64)
        self.right = torch.zeros((), dtype=torch.int64)

    def after_batch(self) -> None:
        if self.training:
            y = self.yb[0]
            self.seen += len(y)
            self.loss_sum += self.loss_grad.detach().cpu().double() * len(y)
            self.right += (self.pred.argmax(dim=1) == y).sum().cpu()

    def after_train(self) -> None:
        self.trained = time.perf_counter() - self.start

    def after_epoch(self) -> None:
        valid_loss, *metrics = self.recorder.values[-1][1:]
        names = self.recorder.metric_names[3:-1]
        self.rows.append({
            "phase": self.phase, "epoch": self.epoch,
            "train_loss": self.loss_sum.item() / self.seen, "train_accuracy": self.right.item() / self.seen,
            "valid_loss": valid_loss, **{f"valid_{name}": value for name, value in zip(names, metrics, strict=True)},
            "lr": float(self.opt.hypers[-1]["lr"]),
        })  # fmt: skip
        total = time.perf_counter() - self.start
        self.seconds.append({
            "phase": self.phase, "epoch": self.epoch, "images": self.seen,
            "train_seconds": round(self.trained, 3), "epoch_seconds": round(total, 3),
        })  # fmt: skip
        atomic_write(self.run_dir.history, _as_csv(self.rows))
        atomic_write(self.run_dir.timing, _as_csv(self.seconds))


def _as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([[repr(value) if isinstance(value, float) else value for value in row.values()] for row in rows])
    return text.getvalue()


class KeepBest(Callback):
    """Keeps the weights of the epoch with the highest valid AUROC; ties go to the lower valid loss.

    AUROC, not accuracy, since it needs no threshold. The images that choose the epoch are the valid set, and every
    output says so.
    """

    order = 66

    def __init__(self, run: RunDir) -> None:
        self.run_dir, self.phase = run, 0
        self.best: tuple[float, float] | None = None
        self.best_at = (0, 0)

    def after_epoch(self) -> None:
        valid_loss, *metrics = self.recorder.values[-1][1:]
        auroc = metrics[self.recorder.metric_names[3:-1].index("auroc")]
        score = (auroc, -valid_loss)
        if self.best is None or score > self.best:
            self.best, self.best_at = score, (self.phase, self.epoch)
            atomic_write(self.run_dir.checkpoint("best"), weights_bytes(self.model))


def weights_bytes(model: Any) -> bytes:
    """The network's weights as safetensors: tensors sorted by name, contiguous, no metadata; equal weights are
    equal bytes."""
    state = model.network.state_dict()
    return save({name: state[name].detach().cpu().contiguous().clone() for name in sorted(state)})


class TalkProgress(Callback):
    """Tells a listener about the fit instead of drawing fastai's own bars.

    It is called `progress`, fastai's own name for the role, so that `no_bar()` finds and removes it.
    """

    name, order = "progress", 62

    def __init__(self, listener: Callable[[str, dict[str, Any]], None] | None = None) -> None:
        self.listener = listener or (lambda what, facts: None)
        self.silent = True

    def before_fit(self) -> None:
        # validate(), get_preds() and the rate finder run under no_logging()
        self.silent = self.learn.logger is noop
        self.old_logger, self.learn.logger = self.learn.logger, lambda _: None

    def after_batch(self) -> None:
        if self.training and not self.silent:
            self.listener(
                "batch",
                {
                    "epoch": self.epoch,
                    "of": self.n_epoch,
                    "step": self.iter + 1,
                    "steps": self.n_iter,
                    "images": len(self.yb[0]),
                },
            )

    def after_epoch(self) -> None:
        if not self.silent:
            names, values = self.recorder.metric_names[1:-1], self.recorder.values[-1]
            self.listener("epoch", {"epoch": self.epoch, "of": self.n_epoch, **dict(zip(names, values, strict=True))})

    def after_fit(self) -> None:
        self.learn.logger = self.old_logger
