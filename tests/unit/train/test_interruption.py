"""A training that is stopped anywhere and resumed ends bit-identical to one that never stopped."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time

import pytest
import torch
from fastai.callback.core import Callback
from safetensors.torch import load_file

from plainfilm.base.signals import ENDING
from plainfilm.config import ModelConfig, Phase, TrainConfig
from plainfilm.errors import DataError, DivergedError, StoppedError
from plainfilm.runs.folder import Pace, RunDir
from plainfilm.train.checkpoint import read_checkpoint
from plainfilm.train.fit import find_lr, fit_phases
from plainfilm.train.frozen_features import hold_features
from plainfilm.train.interruption import _stop_requests, _StopRequest, fit_with_stops
from wording import lacking

PHASES = (Phase(epochs=2, size_px=40, lr=2e-3), Phase(epochs=1, size_px=40, lr=1e-3))
STEPS, VALID = 5, 3  # batches of train and valid in an epoch
BATCHES = 3 * (STEPS + VALID)
START = "of this run"


class Strike(Callback):
    """Does something at the n-th batch, of train or valid, between its step and what follows it."""

    order = -8

    def __init__(self, n, strike):
        self.n, self.strike, self.count = n, strike, 0

    def after_batch(self):
        self.count += 1
        if self.count == self.n:
            self.strike(self)


def interrupt(_=None):
    signal.raise_signal(signal.SIGINT)


def twice(_):
    interrupt()
    time.sleep(0.35)  # else they are one
    interrupt()


@pytest.fixture
def start(tmp_path, make_learn):
    """start(name, ...): trains from the state in a run folder, or from the beginning; returns the Learner."""

    def train(name, n=0, strike=interrupt, phases=PHASES, pace=None, on_event=lambda what, facts: None, **cfg):
        run = RunDir(tmp_path / name)
        run.root.mkdir(exist_ok=True)
        learn = make_learn(**cfg)
        learn.add_cb(Strike(n, strike))
        pace = pace or Pace(5.0, None, time.perf_counter())
        fit_with_stops(learn, phases, None, run, pace, START, on_event, read_checkpoint(run, START))
        return learn

    return train


@pytest.fixture
def files(tmp_path):
    """files(name): the bytes of a run that must be equal."""

    def read(name):
        root = tmp_path / name
        weights = load_file(next(root.glob("checkpoints/last-*.safetensors")))
        last = {key: value.numpy().tobytes() for key, value in weights.items()}
        return {
            "history": (root / "history.csv").read_bytes(),
            "best": (root / "checkpoints/best.safetensors").read_bytes(),
            **last,
        }

    return read


WHOLE = {}


@pytest.fixture
def whole(start, files):
    """whole(...): the result of a training that is never stopped; trained once."""

    def read(**more):
        key = repr(sorted(more.items()))
        if key not in WHOLE:
            start("whole", **more)
            WHOLE[key] = files("whole")
        return WHOLE[key]

    return read


def stop_and_resume(start, n, **more):
    with pytest.raises(KeyboardInterrupt):
        start("stopped", n, **more)
    start("stopped", **more)


@pytest.mark.parametrize("n", range(1, BATCHES + 1))
def test_stopped_at_any_batch_of_train_or_valid_it_ends_the_same(start, files, whole, n):
    stop_and_resume(start, n)
    assert files("stopped") == whole()


@pytest.mark.parametrize("n", [3, 7, 9, 15, 18])
@pytest.mark.parametrize(
    "phases",
    [
        (Phase(epochs=1, size_px=40, freeze=True), Phase(epochs=2, size_px=40, lr=2e-3)),
        (Phase(epochs=1, size_px=40, lr=2e-3), Phase(epochs=2, size_px=40, freeze=True, lr=3e-3)),
    ],
    ids=["frozen first", "frozen last"],
)
def test_frozen_phases_resume_frozen_and_the_next_unfrozen(start, files, whole, phases, n):
    stop_and_resume(start, n, phases=phases)
    assert files("stopped") == whole(phases=phases)


GAP = ModelConfig(name="paper-gap", filters=(4, 8), kernel=3, dense=8)
GROWING = (Phase(epochs=1, size_px=20, lr=2e-3), Phase(epochs=1, size_px=30, lr=2e-3), Phase(epochs=1, size_px=40))


@pytest.mark.parametrize("n", range(1, BATCHES + 1))
def test_stopped_at_any_batch_of_any_size_it_ends_the_same(start, files, whole, n):
    stop_and_resume(start, n, phases=GROWING, model=GAP)
    assert files("stopped") == whole(phases=GROWING, model=GAP)


def test_a_history_of_growing_sizes_has_the_columns_of_any_other(start, files):
    start("growing", phases=GROWING, model=GAP)
    start("fixed", phases=PHASES)
    growing, fixed = (files(name)["history"].decode().splitlines() for name in ("growing", "fixed"))
    assert growing[0] == fixed[0]
    assert [row.split(",")[0] for row in growing[1:]] == ["0", "1", "2"]


def test_a_phase_is_announced_only_where_sizes_differ(start):
    events = []
    start("growing", phases=GROWING, model=GAP, on_event=lambda what, facts: events.append((what, facts)))
    assert [what for what, _ in events] == ["phase"] * 3
    assert events[1][1] == {"phase": 2, "of": 3, "epochs": 1, "size_px": 30}
    start("fixed", phases=PHASES, on_event=lambda what, facts: events.append((what, facts)))
    assert len(events) == 3


def test_a_frozen_phase_leaves_the_frozen_weights(make_learn):
    learn = make_learn()
    before = {name: value.clone() for name, value in learn.model.state_dict().items()}
    fit_phases(learn, [Phase(epochs=1, size_px=40, freeze=True)])
    for name, value in learn.model.state_dict().items():
        assert torch.equal(value, before[name]) != name.startswith("network.head.4"), name


def test_balanced_sampling_and_class_weights_resume_too(start, files, whole):
    for cfg in ({"balance": "auto"}, {"class_weights": True}):
        name = next(iter(cfg))
        with pytest.raises(KeyboardInterrupt):
            start(f"stopped-{name}", 4, **cfg)
        start(f"stopped-{name}", **cfg)
        assert files(f"stopped-{name}") == whole(**cfg)


@pytest.mark.parametrize("n", [2, 6, 7, 13, 17])
def test_averaged_clipped_and_smoothed_training_resumes_too(start, files, whole, n):
    cfg = {"ema": 0.9, "clip": 0.5, "label_smoothing": 0.1}
    stop_and_resume(start, n, **cfg)
    assert files("stopped") == whole(**cfg)


@pytest.mark.parametrize("n", [3, 8])
def test_rates_that_grow_from_the_first_layers_resume_too(start, files, whole, n):
    phases = (Phase(epochs=1, size_px=40, freeze=True), Phase(epochs=2, size_px=40, lr=2e-3, lr_ratio=0.1))
    stop_and_resume(start, n, phases=phases)
    assert files("stopped") == whole(phases=phases)


def test_a_request_stops_the_rate_finder_and_the_feature_pass(make_learn):
    learn, steps = make_learn(), []
    learn.stop_request = _StopRequest()
    learn.model.network.features.register_forward_hook(lambda *_: steps.append(1))
    learn.stop_request.wanted = True
    with pytest.raises(KeyboardInterrupt):
        find_lr(learn, TrainConfig(size_px=40, batch_size=8), num_it=30)
    assert len(steps) <= 1
    with pytest.raises(KeyboardInterrupt):
        hold_features(learn)
    assert len(steps) <= 1


def test_many_stops_in_a_row_end_the_same(start, files, whole, tmp_path):
    sessions = 0
    while True:
        sessions += 1
        with contextlib.suppress(KeyboardInterrupt):
            start("stopped", VALID + 1)  # fewer would be stopped in valid again and again
            break
    assert sessions == 7  # after 4, 5, 6 steps, as valid starts again each time, and so on
    assert files("stopped") == whole()


def test_the_time_limit_stops_after_a_step_and_never_within_valid(start, files, whole, tmp_path):
    """With a limit of zero each session makes one step, and the one whose step ends an epoch also validates."""
    sessions, messages = 0, []
    while True:
        sessions += 1
        try:
            start("stopped", pace=Pace(5.0, 0.0, time.perf_counter()))
            break
        except StoppedError as error:
            messages.append(str(error))
    assert files("stopped") == whole()
    assert sessions == 3 * STEPS + 2 + 1  # after each step, after each epoch but the last, and the final one
    assert lacking(messages[0], "--max-minutes", "0 minutes", "epoch 1 of 2", "step 1") == []
    assert messages[0].endswith(f": plainfilm resume {tmp_path / 'stopped'}")


def test_the_state_is_written_at_intervals_and_after_each_epoch(start, files, tmp_path):
    def states(name):
        return json.loads((tmp_path / name / "checkpoints" / "last.json").read_text())["state"]["number"]

    start("whole")
    start("often", pace=Pace(0.0, None, time.perf_counter()))
    assert (states("whole"), states("often")) == (3, 3 + 3 * STEPS)
    assert files("often") == files("whole")


def test_a_second_interrupt_stops_at_once_and_the_previous_state_is_kept(start, files, whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        start("stopped", STEPS + VALID + 3, strike=twice)
    at = read_checkpoint(RunDir(tmp_path / "stopped"), START).state
    assert (at.epoch, at.step) == (1, 0)  # the third step of the second epoch is lost
    start("stopped")
    assert files("stopped") == whole()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals of a POSIX system")
def test_a_closed_terminal_that_hangs_up_twice_ends_no_step_in_its_middle(start, files, whole, tmp_path):
    """It and its shell each send one; the step is finished and its state written."""

    def hang_up(_):
        signal.raise_signal(signal.SIGHUP)
        time.sleep(0.05)
        signal.raise_signal(signal.SIGHUP)

    n = STEPS + VALID + 3
    with pytest.raises(KeyboardInterrupt):
        start("stopped", n, strike=hang_up)
    at = read_checkpoint(RunDir(tmp_path / "stopped"), START).state
    assert (at.epoch, at.step) == (1, 3)
    start("stopped")
    assert files("stopped") == whole()


@pytest.mark.parametrize("sent", ENDING[1:])
def test_a_termination_and_a_closed_terminal_are_handled_like_an_interrupt(start, files, whole, sent):
    stop_and_resume(start, 4, strike=lambda _: signal.raise_signal(sent))
    assert files("stopped") == whole()


def test_after_a_resumed_epoch_the_loader_yields_whole_epochs_again(start):
    one = (Phase(epochs=1, size_px=40),)
    with pytest.raises(KeyboardInterrupt):
        start("stopped", 3, phases=one)
    learn = start("stopped", phases=one)
    assert len(list(learn.dls.train)) == STEPS
    assert learn.recorder.values[-1]


def test_a_stop_request_is_acknowledged(start):
    events = []
    with pytest.raises(KeyboardInterrupt):
        start("stopped", 4, on_event=lambda what, facts: events.append(what))
    assert events == ["stopping"]


def test_the_handlers_are_restored_and_a_late_request_is_not_lost():
    before = [signal.getsignal(sent) for sent in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt), _stop_requests(lambda what, facts: None) as request:
        interrupt()
        assert request.wanted
    assert [signal.getsignal(sent) for sent in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _stop_requests(lambda what, facts: None) as request:
            interrupt()
            assert not request.wanted
    finally:
        signal.signal(signal.SIGINT, before)


def test_it_also_trains_in_a_thread_where_no_signal_arrives(start, files, whole):
    thread = threading.Thread(target=start, args=("threaded",))
    thread.start()
    thread.join()
    assert files("threaded") == whole()


def poison(strike):
    strike.learn.loss_grad = strike.learn.loss_grad * float("nan")


def poison_weights(strike):
    with torch.no_grad():
        strike.learn.model.network.head[1].weight[0, 0] = float("nan")


@pytest.mark.parametrize("n", range(1, BATCHES + 1, 3))
@pytest.mark.parametrize("strike", [poison, poison_weights])
def test_nan_stops_training_at_any_batch_and_is_not_written(start, files, whole, tmp_path, n, strike):
    with pytest.raises(DivergedError, match="smaller --lr"):
        start("poisoned", n, strike=strike, pace=Pace(0.0, None, time.perf_counter()))
    for path in (tmp_path / "poisoned").rglob("*.safetensors"):
        assert all(bool(value.isfinite().all()) for value in load_file(path).values()), path.name
    start("poisoned")  # the command refuses that; the state is good all the same
    assert files("poisoned") == whole()


def test_best_weights_not_written_before_a_kill_are_restored_from_the_state(start, files, whole, tmp_path):
    """The state after an epoch is written before that epoch's history and best weights."""

    with pytest.raises(KeyboardInterrupt):
        start("stopped", STEPS + VALID + 1, strike=twice)
    (tmp_path / "stopped" / "checkpoints" / "best.safetensors").unlink()
    (tmp_path / "stopped" / "history.csv").unlink()
    start("stopped")
    assert files("stopped") == whole()


def test_missing_best_weights_of_an_earlier_epoch_are_reported(start, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        start("stopped", STEPS + VALID + 2)
    best = tmp_path / "stopped" / "checkpoints" / "best.safetensors"
    best.write_bytes(best.read_bytes()[:-1] + b"\x01")
    with pytest.raises(DataError, match=r"best\.safetensors is missing or damaged"):
        start("stopped")
