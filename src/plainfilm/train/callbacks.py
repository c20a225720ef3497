"""Callbacks of the training loop: keyed randomness, history, the best epoch, divergence.

Nothing here writes a file; `train.interruption` does, in an order that survives a kill at any moment.

fastai makes each callback's class name an attribute of the Learner; none here clashes with an existing one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from fastai.callback.core import Callback
from safetensors.torch import save

from plainfilm.base.seeds import DROPOUT, torch_seed
from plainfilm.data.loaders.block import CacheDL, plain
from plainfilm.errors import DivergedError, UsageError
from plainfilm.train.ema import weights_of
from plainfilm.train.late_numbers import when_read
from plainfilm.train.machine.speed import full_fp32_products


class KeyedRandomness(Callback):
    """Makes order, augmentation and dropout functions of (seed, phase, epoch, step); keeps plain tensors in the loop.

    `iter` counts from the epoch's first batch even if a resumed epoch starts later.
    """

    order = -5  # before the batch reaches any other callback

    def __init__(self, seed: int, *, plain_tensors: bool = True) -> None:
        self.seed, self.phase, self.plain_tensors = seed, 0, plain_tensors

    def before_epoch(self) -> None:
        if isinstance(self.dls.train, CacheDL):
            self.dls.train.phase, self.dls.train.epoch, self.dls.train.skip = self.phase, self.epoch, 0

    def after_train(self) -> None:
        if isinstance(self.dls.train, CacheDL):
            self.dls.train.skip = 0  # later readers of the loader get whole epochs

    def before_batch(self) -> None:
        if self.training:
            self.learn.iter += getattr(self.dls.train, "skip", 0)
            torch.manual_seed(torch_seed(self.seed, DROPOUT, self.phase, self.epoch, self.iter))
        if self.plain_tensors:
            self.learn.xb = tuple(plain(x) for x in self.xb)
            self.learn.yb = tuple(plain(y) for y in self.yb)


class NoSlowdown(Callback):
    """Refuses on a CPU what gains nothing there: fastai's mixed precision and torch.compile.

    fastai's to_fp16() and to_bf16() enter the autocast of CUDA, whatever the device; `train.precision` enters that of
    the device. torch.compile took 1.1 to 1.5 times as long per step, after a minute of compiling.
    """

    order = -100

    def __call__(self, event_name: str) -> None:
        if event_name != "before_fit" or (self.dls.device or torch.device("cpu")).type != "cpu":
            return
        if hasattr(self.learn, "mixed_precision"):
            raise UsageError(
                "fastai's mixed precision is for a GPU and gains nothing on a CPU. Remove to_fp16() and to_bf16(); where "
                "the processor has bfloat16 arithmetic, --precision bf16 (train.precision) is faster."
            )
        if hasattr(self.model, "_orig_mod"):
            raise UsageError(
                "torch.compile on a CPU compiles for a minute and trains no faster. Pass the model itself."
            )


def is_stop_requested(learn: Any) -> bool:
    """Whether fit_with_stops() has received Ctrl-C; False outside of it."""
    request = getattr(learn, "stop_request", None)
    return request is not None and request.wanted


def raise_if_stop_requested(learn: Any) -> None:
    """Stop where there is no state to write: a resumed run repeats this work.

    Raises:
        KeyboardInterrupt: fit_with_stops() has received Ctrl-C.
    """
    if is_stop_requested(learn):
        raise KeyboardInterrupt


def until_stop_requested(learn: Any, work: Callable[[], None]) -> None:
    """Do work that writes nothing by halves; a request to stop ends it at once, whatever error a library makes of that."""
    request = getattr(learn, "stop_request", None)
    if request is None:
        work()
        return
    request.at_once = True
    try:
        raise_if_stop_requested(learn)  # it came just before
        work()
    except BaseException:
        if not request.wanted:
            raise
    finally:
        request.at_once = False


class MeetRequest(Callback):
    """Stops the rate finder's own Learner when `source`, the Learner in training, is asked to stop."""

    order = 61

    def __init__(self, source: Any) -> None:
        self.source = source

    def after_batch(self) -> None:
        raise_if_stop_requested(self.source)


class HoldNorm(Callback):
    """Keeps the running statistics of every BatchNorm as loaded with the weights: few images give bad estimates.

    Scale and shift are still trained.
    """

    order = -9  # after fastai's TrainEval has switched the network to training mode

    def before_train(self) -> None:
        for module in self.model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()


class ValidateInFullFp32(Callback):
    """Computes a validation pass on a GPU in float32, however products are rounded in training: it chooses the epoch."""

    def __init__(self) -> None:
        self.inside = ExitStack()

    def before_validate(self) -> None:
        self.inside.enter_context(full_fp32_products(str(self.dls.device)))

    def after_validate(self) -> None:
        self.inside.close()


class StopWhenDiverged(Callback):
    """Stops a fit whose loss is NaN or has become uselessly large; fastai alone would train on to a network of NaN.

    With a rate 1,000 times the default the largest loss was 968 nats and the network never recovered; at 10,000
    times it was 5e7. A loss of 1,000 means a probability of e**-1000 for the true class.
    """

    order, limit = 60, 1000.0

    def __call__(self, event_name: str) -> None:
        # not a method named after the event: fastai rewrites the message of an exception raised there
        finder = hasattr(self.learn, "lr_finder")  # it searches for the rate that diverges
        if event_name != "after_batch" or finder:
            return
        where = f"step {self.iter + 1}" if self.training else "on valid"
        when_read(self.learn, self.loss_grad.detach().mean(), partial(self._check, self.epoch + 1, where))

    def _check(self, epoch: int, where: str, loss: float) -> None:
        if not abs(loss) <= self.limit:
            raise DivergedError(
                f"The loss became {loss:.4g} in epoch {epoch}, {where}. Train again with a smaller --lr (try a tenth)."
            )


@dataclass(frozen=True)
class Partial:
    """Sums over the current epoch's train batches so far, and the seconds it has taken."""

    seen: int = 0
    right: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0


class RunHistory(Callback):
    """One row per epoch for history.csv, seconds for timing.csv.

    Train loss and accuracy are means over the epoch's batches with dropout and augmentation on, as in Keras.
    """

    order = 65

    def __init__(self) -> None:
        self.phase = 0
        self.rows: list[dict[str, Any]] = []
        self.seconds: list[dict[str, Any]] = []
        self.continue_from(Partial())

    def continue_from(self, so_far: Partial) -> None:
        """Continue the current epoch's sums from `so_far`."""
        self.start = time.perf_counter() - so_far.seconds
        self.seen, self.right, self.loss_sum = so_far.seen, so_far.right, so_far.loss_sum

    def so_far(self) -> Partial:
        """The argument that continue_from() needs after a stop."""
        return Partial(self.seen, self.right, self.loss_sum, time.perf_counter() - self.start)

    def leave_out(self, seconds: float) -> None:
        """Do not count the last `seconds`, in which no step was made."""
        self.start += seconds

    def before_epoch(self) -> None:
        self.continue_from(Partial())

    def after_batch(self) -> None:
        if self.training:
            y = self.yb[0]
            self.seen += len(y)
            when_read(self.learn, self.loss_grad, partial(self._add_loss, len(y)))
            when_read(self.learn, (self.pred.argmax(dim=1) == y).sum(), self._add_right)

    def _add_loss(self, images: int, loss: float) -> None:
        self.loss_sum += loss * images

    def _add_right(self, right: float) -> None:
        self.right += int(right)

    def after_train(self) -> None:
        self.trained = time.perf_counter() - self.start

    def after_epoch(self) -> None:
        record = epoch_record(self.learn)
        if not record:
            return
        self.rows.append({
            "phase": self.phase, "epoch": self.epoch,
            "train_loss": self.loss_sum / self.seen, "train_accuracy": self.right / self.seen,
            **{name if name.startswith("valid_") else f"valid_{name}": value for name, value in record.items()},
            "lr": float(self.opt.hypers[-1]["lr"]),
        })  # fmt: skip
        total = time.perf_counter() - self.start
        self.seconds.append({
            "phase": self.phase, "epoch": self.epoch, "images": self.seen,
            "train_seconds": round(self.trained, 3), "epoch_seconds": round(total, 3),
        })  # fmt: skip


def epoch_record(learn: Any) -> dict[str, float]:
    """valid_loss and the metrics of the epoch that ends; empty for an epoch that a resumed run skips."""
    values = learn.recorder.values[-1]
    return dict(zip(learn.recorder.metric_names[2:-1], values[1:], strict=True)) if values else {}


class KeepBest(Callback):
    """Finds the epoch with the highest valid AUROC; ties go to the lower valid loss.

    AUROC, not accuracy, since it needs no threshold. The epoch is chosen on the valid set, and every output says so.
    `weights`: the best epoch's, from its end until they are written.
    """

    order = 66

    def __init__(self) -> None:
        self.phase = 0
        self.best: tuple[float, float] | None = None
        self.best_at = (0, 0)
        self.sha256 = ""
        self.weights: bytes | None = None

    def after_epoch(self) -> None:
        record = epoch_record(self.learn)
        if not record:
            return
        score = (record["auroc"], -record["valid_loss"])
        if self.best is None or score > self.best:
            self.best, self.best_at = score, (self.phase, self.epoch)
            with weights_of(self.learn, averaged=True):
                self.weights = weights_bytes(self.model)
            self.sha256 = hashlib.sha256(self.weights).hexdigest()


def weights_bytes(model: Any) -> bytes:
    """The network's weights as safetensors: tensors sorted by name, contiguous, no metadata; equal weights are
    equal bytes."""
    state = model.network.state_dict()
    return save({name: state[name].detach().cpu().contiguous().clone() for name in sorted(state)})
