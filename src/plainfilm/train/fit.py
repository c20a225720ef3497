"""One-cycle training in phases, and the learning-rate finder."""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.callback.schedule import LRFinder, minimum, slide, steep, valley
from fastai.learner import Learner

from plainfilm.base.events import EventCallback, silent
from plainfilm.config import Phase, TrainConfig
from plainfilm.data.loaders.block import CacheDL
from plainfilm.errors import TrainingError
from plainfilm.models.build import parameter_groups
from plainfilm.train.callbacks import MeetRequest
from plainfilm.train.frozen_features import hold_features, release_features
from plainfilm.train.l2_head import L2Head
from plainfilm.train.learner import make_learner

_SUGGESTIONS = ("valley", "slide", "minimum", "steep")
_FALLBACK_LR = 1e-3
_SMOOTHING = 0.98  # of the losses that fastai's Recorder keeps
_RISEN = 0.1  # of the loss: so much above its lowest value, it rises
_CLEAR, _NOTICEABLE = 3.0, 0.02  # a fall of fewer standard errors, or of a smaller share of the loss, counts as flat
FLAT = (
    "FLAT CURVE: at no rate did the loss of the learning-rate finder fall by more than its noise and 2 %, so no rate "
    f"is suggested; --lr auto takes {_FALLBACK_LR:g}, or a tenth of the rate at which the loss rises. A smaller "
    "--batch-size gives more steps."
)
FIRST_LR, LAST_LR = 1e-7, 10.0  # of the finder
_LR_FIND_PHASE = 1_000_000  # its own stream of keyed randomness, distinct from every training phase


def fit_phases(
    learn: Learner,
    phases: Sequence[Phase],
    find: Callable[[Phase], float] | None = None,
    cbs: Sequence[Callback] = (),
    *,
    first: int = 0,
    found: float | None = None,
    on_resume: Callable[[], Sequence[Callback]] = tuple,
    on_event: EventCallback = silent,
) -> None:
    """Train the phases one after the other, each with its own one-cycle schedule.

    Args:
        find: finds the rate of a phase whose lr is 'auto', with the network frozen as in that phase; None leaves the
            choice to fastai's default. The result is in `learn.found_lr`.
        cbs: callbacks with a `phase` attribute, which is set to the current phase.
        first: the phase to start in; earlier ones are done. `found`: the rate that `find` returned for it.
        on_resume: runs after that phase's parameters are frozen or unfrozen and before it trains; returns extra
            callbacks for this phase.
        on_event: gets an event for each phase that begins, where their sizes differ.
    """
    for number, phase in enumerate(phases):
        if number < first:
            continue
        for cb in (learn.keyed_randomness, *cbs):
            cb.phase = number
        if len({each.size_px for each in phases}) > 1:
            place = {"phase": number + 1, "of": len(phases)}
            on_event("phase", {**place, "epochs": phase.epochs, "size_px": phase.size_px})
        learn.found_lr = found if number == first else None
        with _memory_estimate(), as_in_phase(learn, phase, on_resume if number == first else tuple) as extra:
            if phase.lr == "auto" and learn.found_lr is None and find is not None:
                learn.found_lr = find(phase)
            if phase.head == "l2":  # at rate 0 the epoch changes nothing: it measures the head that was fitted
                learn.fit_one_cycle(1, lr_max=0.0, cbs=[*cbs, *extra, L2Head(on_event)])
                continue
            lr = phase.lr if isinstance(phase.lr, float) else learn.found_lr
            learn.fit_one_cycle(phase.epochs, lr_max=_rates(lr, phase.lr_ratio), cbs=[*cbs, *extra])


@contextmanager
def as_in_phase(
    learn: Learner, phase: Phase, on_resume: Callable[[], Sequence[Callback]] = tuple
) -> Iterator[Sequence[Callback]]:
    """Inside, the network is frozen or not as in the phase, and the train images have its size; a frozen network is
    trained on its precomputed features.

    `on_resume` runs before the features are computed, since it may restore other weights.
    """
    frozen = not all(parameter.requires_grad for parameter in learn.model.parameters())
    if phase.freeze and not frozen:
        learn.freeze()
    elif frozen and not phase.freeze:
        learn.unfreeze()  # only if needed: it makes fastai discard the optimiser's moments
    extra = on_resume()
    if phase.freeze:
        hold_features(learn)
    try:
        with _train_size(learn, phase.size_px):
            yield extra
    finally:
        release_features(learn)


@contextmanager
def _train_size(learn: Learner, size_px: int) -> Iterator[None]:
    """Inside, the train loader reduces its images to this size; valid keeps the size that the network is used at."""
    train = learn.dls.train
    if not isinstance(train, CacheDL):
        yield
        return
    train.size_px = size_px
    try:
        yield
    finally:
        train.size_px = None


def _rates(lr: float | None, ratio: float) -> float | slice | None:
    """The peak rates of the parameter groups: `ratio` of `lr` for the first layers, growing to `lr` for the head."""
    return lr if lr is None or ratio == 1 else slice(lr * ratio, lr)


@contextmanager
def _memory_estimate() -> Iterator[None]:
    """Turns an out-of-memory error into our own.

    Raises:
        TrainingError: says what to reduce.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError):
        raise TrainingError("Training ran out of memory. Train again with a smaller --batch-size or --size.") from None


@dataclass(frozen=True)
class _LrCurve:
    """Smoothed loss against the increasing learning rate; both float (n,). A flat curve has no suggestions."""

    lrs: np.ndarray
    losses: np.ndarray
    suggestions: dict[str, float | None]
    flat: bool = False

    @property
    def lr(self) -> float:
        """The rate to use: valley, else the next suggestion that exists, else 1e-3 or a tenth of where the loss rises."""
        found = next((value for name in _SUGGESTIONS if (value := self.suggestions.get(name))), None)
        return found or min(_FALLBACK_LR, _rising_rate(self.lrs, self.losses) / 10)


def found_rate(learn: Learner, phase: Phase, cfg: TrainConfig, on_event: EventCallback) -> float:
    """The rate that `--lr auto` takes for a phase."""
    curve = find_lr(learn, cfg, ratio=phase.lr_ratio)
    if curve.flat:
        on_event("note", {"text": FLAT})
    on_event("lr", {"lr": curve.lr})
    return curve.lr


def find_lr(learn: Learner, cfg: TrainConfig, num_it: int = 100, ratio: float = 1.0) -> _LrCurve:
    """Train a copy of the network with an increasing rate; `learn`, its weights and its files are not changed.

    fastai's finder saves and restores weights through a .pth beside the data; here it works on a deep copy in a
    temporary folder. The rates are the head's; the first layers get `ratio` of them, as in training.
    """
    place = learn.dls.train.phase, learn.dls.train.epoch
    with tempfile.TemporaryDirectory() as folder:
        trial = make_learner(learn.dls, copy.deepcopy(learn.model), cfg, path=Path(folder), on_event=silent)
        trial.late_numbers.every = 1  # the finder needs the loss of each step at once
        trial.remove_cb(trial.stop_when_diverged)  # the finder trains until the loss diverges
        trial.keyed_randomness.phase = _LR_FIND_PHASE
        finder = LRFinder(num_it=num_it)
        shares = np.geomspace(ratio, 1, len(parameter_groups(trial.model))).tolist()
        finder.scheds = {"lr": lambda done: [FIRST_LR * (LAST_LR / FIRST_LR) ** done * share for share in shares]}
        try:
            with trial.no_logging():
                trial.fit(num_it // len(learn.dls.train) + 1, cbs=[finder, MeetRequest(learn)])
        finally:
            if hasattr(finder, "tmp_d"):  # fastai's own temporary folder, left behind when a fit is interrupted
                finder.tmp_d.cleanup()
    learn.dls.train.phase, learn.dls.train.epoch = place
    lrs = np.array([float(lr) for lr in trial.recorder.lrs])
    losses = np.array([float(loss) for loss in trial.recorder.losses])
    if len(losses) == 0:
        raise TrainingError("The learning-rate finder made no step. Are there fewer images than one batch?")
    if _is_flat(losses):
        return _LrCurve(lrs, losses, dict.fromkeys(_SUGGESTIONS), flat=True)
    return _LrCurve(lrs, losses, _suggest(lrs, losses))


def _is_flat(losses: np.ndarray) -> bool:
    """Whether the loss falls at no rate: its lowest stretch of a tenth of the steps is no lower than noise makes it.

    The steps' own losses are compared, since smoothing turns their noise into a trend. Of 4,000 curves of pure
    noise 3.5 % have a stretch that is 3 standard errors lower.

    Args:
        losses: smoothed, float (n,).
    """
    own = _unsmoothed(losses)
    own = own[: len(own) if np.isfinite(own).all() else int(np.argmin(np.isfinite(own)))]
    m = max(3, len(own) // 10)
    if len(own) < 3 * m:
        return False  # too short to tell
    means = np.convolve(own, np.ones(m) / m, "valid")
    at = m + int(means[m:].argmin())
    noise = float(np.sqrt(np.mean(np.diff(own[: at + m]) ** 2) / 2))
    return bool(means[0] - means[at] < max(_CLEAR * noise * (2 / m) ** 0.5, _NOTICEABLE * abs(means[0])))


def _rising_rate(lrs: np.ndarray, losses: np.ndarray) -> float:
    """The rate from which the smoothed loss stays clearly above its lowest value so far; inf if it does not rise."""
    finite = np.where(np.isfinite(losses), losses, np.inf)
    high = finite > (1 + _RISEN) * np.minimum.accumulate(finite)
    stays = int(np.argmin(high[::-1])) if not high.all() else len(high)  # steps at the end that are all high
    return float(lrs[len(lrs) - stays]) if stays else float("inf")


def _unsmoothed(losses: np.ndarray) -> np.ndarray:
    """The loss of each step, from the running mean without bias that the Recorder keeps."""
    sums = losses * (1 - _SMOOTHING ** np.arange(1, len(losses) + 1))
    own: np.ndarray = (sums - _SMOOTHING * np.concatenate([[0.0], sums[:-1]])) / (1 - _SMOOTHING)
    return own


def _suggest(lrs: np.ndarray, losses: np.ndarray) -> dict[str, float | None]:
    """fastai's four suggestions from a curve; None where the curve is too short or flat for one.

    fastai always cuts the first tenth and the last five points and then indexes, which fails on short curves;
    here the cuts shrink with the curve, and everything from the first loss that is not finite is left out.
    """
    finite = np.isfinite(losses)
    end = len(losses) if finite.all() else int(np.argmin(finite))
    lrs, losses = lrs[:end], losses[:end]
    head, tail = min(10, end // 10), min(5, end // 5)
    cut_lrs, cut_losses = torch.tensor(lrs[head : end - tail]), torch.tensor(losses[head : end - tail])
    found: dict[str, float | None] = {}
    for name, rule in zip(_SUGGESTIONS, (valley, slide, minimum, steep), strict=True):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # slide() passes tensors to numpy functions
                value = float(rule(cut_lrs, cut_losses, len(cut_lrs))[0])
        except (IndexError, ValueError, RuntimeError):
            value = float("nan")
        found[name] = value if np.isfinite(value) and value > 0 else None
    return found
