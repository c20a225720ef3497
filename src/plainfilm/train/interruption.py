"""Stop and resume training: the state is written at intervals and after each epoch; Ctrl-C and a time limit take effect
at the next batch; a resumed fit skips to where it stopped.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastai.callback.core import Callback, CancelEpochException
from fastai.learner import Learner
from fastcore.foundation import L

from plainfilm.base.files import atomic_write, sha256_of
from plainfilm.base.signals import Interrupted, handled
from plainfilm.config import Phase
from plainfilm.data.loaders.block import CacheDL
from plainfilm.errors import DataError, StoppedError
from plainfilm.runs.folder import Pace, RunDir
from plainfilm.train.callbacks import KeepBest, Partial, RunHistory, weights_bytes
from plainfilm.train.checkpoint import Best, Checkpoint, State, restore, tensors_of, write_checkpoint
from plainfilm.train.ema import weights_of
from plainfilm.train.fit import fit_phases

_OnEvent = Callable[[str, dict[str, Any]], None]


class _StopRequest:
    """Whether the user asked to stop, and whether that ends what is done now at once."""

    wanted = at_once = False


@contextmanager
def _stop_requests(on_event: _OnEvent) -> Iterator[_StopRequest]:
    """The first Ctrl-C (or SIGTERM, or SIGHUP) becomes a request, the second stops at once; a closed terminal sends two.

    An exception in the middle of an optimiser step would leave inconsistent weights.

    Raises:
        KeyboardInterrupt: at the end, when the request came too late to take effect inside.
    """
    request, came = _StopRequest(), Interrupted()

    def handle(number: int, frame: Any) -> None:
        if not came.is_first():
            if came.is_same():
                return
            raise KeyboardInterrupt
        request.wanted = True
        with contextlib.suppress(RuntimeError, OSError):  # in the middle of a print, or the terminal was closed
            on_event("stopping", {})
        if request.at_once:
            raise KeyboardInterrupt

    with handled(handle, lambda now: now is not signal.SIG_IGN):  # a background job must ignore Ctrl-C
        yield request
    if request.wanted:
        raise KeyboardInterrupt


@dataclass
class _Epochs:
    """The epochs so far, as the callbacks of a fit collect them: their history, and the best of them."""

    history: RunHistory = field(default_factory=RunHistory)
    best: KeepBest = field(default_factory=KeepBest)

    def write(self, run: RunDir) -> None:
        """Write history.csv, and timing.csv, which no comparison reads."""
        atomic_write(run.history, _as_csv(self.history.rows))
        atomic_write(run.timing, _as_csv(self.history.seconds))

    def restore(self, run: RunDir, learn: Learner, state: State) -> None:
        """Take over the finished epochs of a state; `learn` has its weights.

        Raises:
            DataError: the best weights are not those that the state describes.
        """
        self.history.rows = [dict(row) for row in state.history]
        self.history.seconds = [dict(row) for row in state.timing]
        if self.history.rows:
            self.write(run)
        if state.best is None:
            return
        self.best.best = (state.best.auroc, -state.best.valid_loss)
        self.best.best_at, self.best.sha256 = (state.best.phase, state.best.epoch), state.best.sha256
        if sha256_of(run.checkpoint("best")) != state.best.sha256:
            _restore_best(run, learn, state.best.sha256)


def _restore_best(run: RunDir, learn: Learner, sha256: str) -> None:
    """Write the best weights again: after a kill between last.json and best.safetensors they are the state's own."""
    path = run.checkpoint("best")
    with weights_of(learn, averaged=True):
        weights = weights_bytes(learn.model)
    if hashlib.sha256(weights).hexdigest() != sha256:
        raise DataError(
            f"{path} is missing or damaged; it is the best epoch so far. Restore it from a backup, or train again."
        )
    atomic_write(path, weights)


class _WriteState(Callback):
    """Writes the state, the history and the best weights, in an order that survives a kill at any moment.

    The state is written first and holds the history and the hash of the best weights; after a kill in between, the
    other two files are restored from it.
    """

    order = 70  # after every callback that counts a batch or an epoch

    def __init__(
        self, run: RunDir, epochs: _Epochs, *, pace: Pace, request: _StopRequest, last_phase: int, start_sha256: str,
        number: int,
    ) -> None:  # fmt: skip
        self.run_dir, self.epochs, self.history, self.keeper = run, epochs, epochs.history, epochs.best
        self.pace, self.request, self.last_phase = pace, request, last_phase
        self.start_sha256, self.number = start_sha256, number
        self.phase = 0
        self.begun = self.written = time.monotonic()

    def leave_out(self, seconds: float) -> None:
        """Do not count the last `seconds` towards the time limit: they were no training."""
        self.begun += seconds

    def __call__(self, event_name: str) -> None:
        # not methods named after the events: fastai rewrites the message of an exception raised there
        if event_name == "after_batch":
            self._at_batch()
        elif event_name == "after_epoch" and self.recorder.values[-1]:
            self._at_epoch()

    def _at_batch(self) -> None:
        step = self.iter + 1 if self.training else len(self.dls.train)
        if self.request.wanted:
            self._write(self.epoch, step)
            raise KeyboardInterrupt
        if not self.training:  # with a limit here a long valid pass would never finish
            return
        if self._is_time_up():
            self._write(self.epoch, step)
            raise self._stopped(f"in epoch {self.epoch + 1} of {self.n_epoch}, after step {step}")
        if time.monotonic() - self.written >= 60 * self.pace.checkpoint_minutes:
            self._write(self.epoch, step)

    def _at_epoch(self) -> None:
        self._write(self.epoch + 1, 0)
        self.epochs.write(self.run_dir)
        if self.keeper.weights is not None:
            atomic_write(self.run_dir.checkpoint("best"), self.keeper.weights)
            self.keeper.weights = None
        if self.request.wanted:
            raise KeyboardInterrupt
        at_end = self.phase == self.last_phase and self.epoch + 1 == self.n_epoch
        if self._is_time_up() and not at_end:
            raise self._stopped(f"after epoch {self.epoch + 1} of {self.n_epoch}")

    def _is_time_up(self) -> bool:
        limit = self.pace.max_minutes
        return limit is not None and time.monotonic() - self.begun >= 60 * limit

    def _stopped(self, where: str) -> StoppedError:
        minutes = "1 minute" if self.pace.max_minutes == 1 else f"{self.pace.max_minutes:g} minutes"
        return StoppedError(
            f"Stopped by --max-minutes after {minutes}, {where}. Resume with: {self.run_dir.resume_command}"
        )

    def _write(self, epoch: int, step: int) -> None:
        self.learn.late_numbers.read()  # a state has all sums up to its step, and no loss that is not finite
        self.number += 1
        score, so_far = self.keeper.best, self.history.so_far() if step else Partial()
        best = score and Best(
            phase=self.keeper.best_at[0], epoch=self.keeper.best_at[1], auroc=score[0], valid_loss=-score[1],
            sha256=self.keeper.sha256,
        )  # fmt: skip
        smooth, times = self.recorder.smooth_loss, getattr(self.learn, "time_steps", None)
        write_checkpoint(self.run_dir, {
            "number": self.number, "start_sha256": self.start_sha256, "lr": self.learn.found_lr,
            "seconds": time.perf_counter() - self.pace.began, "estimate_seconds": times and times.seconds(),
            "phase": self.phase, "epoch": epoch, "step": step,
            "pct_train": float(self.pct_train), "train_iter": int(self.train_iter),
            "hypers": [{name: float(group[name]) for name in ("lr", "mom")} for group in self.opt.hypers],
            "smooth_count": smooth.count, "smooth_value": float(smooth.val),
            "seen": so_far.seen, "right": so_far.right, "loss_sum": so_far.loss_sum, "epoch_seconds": so_far.seconds,
            "history": self.history.rows, "timing": self.history.seconds, "best": best,
        }, tensors_of(self.learn))  # fmt: skip
        self.written = time.monotonic()


class _ResumeCallback(Callback):
    """Continues the first fit after restore(): finished epochs are skipped, and the current one continues after its
    last step.
    """

    order = 52  # after the Recorder (50) has started the epoch's record, which a skipped epoch needs too

    def __init__(self, state: State, history: RunHistory) -> None:
        self.state, self.history = state, history

    def before_epoch(self) -> None:
        if self.epoch < self.state.epoch:
            raise CancelEpochException

    def before_train(self) -> None:
        state = self.state
        if self.epoch != state.epoch:
            return
        self.learn.train_iter = state.train_iter
        smooth = self.recorder.smooth_loss
        smooth.count, smooth.val = state.smooth_count, smooth.val.new_tensor(state.smooth_value)
        if state.step == 0:
            return
        self.learn.pct_train = state.pct_train
        for name in ("lr", "mom"):
            self.opt.set_hyper(name, L(group[name] for group in state.hypers))
        self.history.continue_from(Partial(state.seen, state.right, state.loss_sum, state.epoch_seconds))
        if isinstance(self.dls.train, CacheDL):
            self.dls.train.skip = state.step


def fit_with_stops(
    learn: Learner, phases: Sequence[Phase], find: Callable[[Phase], float] | None, run: RunDir, pace: Pace, start_sha256: str, on_event: _OnEvent,
    checkpoint: Checkpoint | None = None,
) -> tuple[int, int]:  # fmt: skip
    """fit_phases() that writes history.csv, the best weights and its state, stops on request, and resumes from
    `checkpoint`. Returns the (phase, epoch) of the best weights.

    Raises:
        KeyboardInterrupt: Ctrl-C. StoppedError: the time limit. DivergedError: the loss or the weights diverged.
        DataError: the checkpoint does not fit.
    """
    epochs = _Epochs()
    state = checkpoint.state if checkpoint else None

    def on_resume() -> list[Callback]:
        if checkpoint is None:
            return []
        restore(learn, checkpoint.tensors, run)
        epochs.restore(run, learn, checkpoint.state)
        return [_ResumeCallback(checkpoint.state, epochs.history)]

    with _stop_requests(on_event) as request:
        learn.stop_request = request
        keeper = _WriteState(
            run, epochs, pace=pace, request=request, last_phase=len(phases) - 1,
            start_sha256=start_sha256, number=state.number if state else 0,
        )  # fmt: skip
        fit_phases(
            learn, phases, find, [epochs.history, epochs.best, keeper], first=state.phase if state else 0,
            found=state.lr if state else None, on_resume=on_resume, on_event=on_event,
        )  # fmt: skip
    return epochs.best.best_at


def _as_csv(rows: list[dict[str, Any]]) -> str:
    """The rows as CSV; equal rows give equal bytes, as floats are written by repr."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([[repr(value) if isinstance(value, float) else value for value in row.values()] for row in rows])
    return text.getvalue()
