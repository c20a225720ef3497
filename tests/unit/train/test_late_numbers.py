"""Reading the numbers of several steps together, as on a GPU: the same sums, a divergence at the next reading."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest
import torch
from fastai.callback.core import Callback
from fastai.learner import AvgLoss, AvgMetric
from fastai.metrics import AccumMetric, accuracy
from torch.utils._python_dispatch import TorchDispatchMode

from plainfilm.config import Phase, TrainConfig
from plainfilm.errors import DivergedError
from plainfilm.runs.folder import Pace, RunDir
from plainfilm.train import late_numbers
from plainfilm.train.callbacks import RunHistory
from plainfilm.train.checkpoint import read_checkpoint
from plainfilm.train.fit import find_lr, fit_phases
from plainfilm.train.interruption import fit_with_stops
from plainfilm.train.late_numbers import LateNumbers, recorder
from plainfilm.train.learner import _auroc

EPOCH = [Phase(epochs=1, size_px=40, lr=2e-3)]
TWO = [Phase(epochs=2, size_px=40, lr=2e-3)]  # of 5 steps each


@pytest.fixture
def late(make_learn):
    """late(every, ...): a Learner as it is on a GPU, on the CPU."""

    def make(every, **train):
        learn = make_learn(**train)
        learn.remove_cb(learn.recorder)
        learn.add_cb(recorder(every))
        learn.late_numbers.every = every
        return learn

    return make


def outcome(learn):
    history = RunHistory()
    fit_phases(learn, TWO, cbs=[history])
    weights = torch.cat([value.flatten() for value in learn.model.state_dict().values()])
    values = [[float(value) for value in row] for row in learn.recorder.values]
    return weights, history.rows, learn.recorder.losses, values, learn.recorder.iters


@pytest.mark.parametrize("every", [2, 3, 5, 32])
def test_sums_losses_and_weights_are_those_of_reading_at_every_step(make_learn, late, every):
    weights, *numbers = outcome(make_learn())
    late_weights, *late_numbers = outcome(late(every))
    assert torch.equal(weights, late_weights)
    assert numbers == late_numbers
    assert len(numbers[1]) == 10  # losses: five steps of two epochs


class Poison(Callback):
    """The loss of a train step, counted from 1 over the fit, becomes NaN; counts the steps that were begun."""

    order = -8

    def __init__(self, step, training=True):
        self.step, self.on_train, self.steps = step, training, 0

    def before_batch(self):
        self.steps += self.training

    def after_loss(self):
        if self.training == self.on_train and self.steps == self.step:
            self.learn.loss_grad = self.learn.loss_grad * float("nan")


@pytest.mark.parametrize(("every", "begun"), [(1, 2), (2, 2), (3, 3), (32, 5)])
def test_a_divergence_is_noticed_at_the_next_reading_and_names_its_own_step(late, every, begun):
    learn, history = late(every), RunHistory()
    poison = Poison(2)
    with pytest.raises(DivergedError, match=r"^The loss became nan in epoch 1, step 2\. Train again"):
        fit_phases(learn, TWO, cbs=[history, poison])
    assert poison.steps == begun + (every in (2, 3))  # the reading comes before the batch that follows the last one
    assert history.rows == []


def test_a_divergence_on_valid_is_noticed_before_the_epoch_is_written(late):
    learn, history = late(32), RunHistory()
    with pytest.raises(DivergedError, match="^The loss became nan in epoch 1, on valid"):
        fit_phases(learn, TWO, cbs=[history, Poison(5, training=False)])
    assert history.rows == []


class StopAt(Callback):
    order = 69

    def __init__(self, batch):
        self.batch, self.seen = batch, 0

    def after_batch(self):
        self.seen += 1
        self.learn.stop_request.wanted = self.seen == self.batch


def run_of(learn, folder, stop_at=0):
    """Trains in a run folder, from its state if it has one; returns the files that must be equal."""
    run = RunDir(folder)
    run.root.mkdir(exist_ok=True)
    learn.add_cb(StopAt(stop_at))
    fit_with_stops(
        learn,
        TWO,
        None,
        run,
        Pace(5.0, None, 0.0),
        "this run",
        lambda what, facts: None,
        read_checkpoint(run, "this run"),
    )
    return run.history.read_bytes(), run.checkpoint("best").read_bytes()


@pytest.mark.parametrize("n", [2, 4, 7, 11])  # 5 train and 3 valid batches an epoch
def test_a_state_written_between_two_readings_has_all_sums_and_resumes_to_the_same_bytes(late, make_learn, tmp_path, n):
    whole = run_of(make_learn(), tmp_path / "whole")
    states = []
    for name, learn in (("at_once", make_learn()), ("late", late(3))):
        with pytest.raises(KeyboardInterrupt):
            run_of(learn, tmp_path / name, stop_at=n)
        state = json.loads(RunDir(tmp_path / name).state.read_text())["state"]
        states.append({key: value for key, value in state.items() if "seconds" not in key and key != "timing"})
    assert states[0] == states[1]
    assert n == 7 or states[0]["loss_sum"] > 0
    assert run_of(late(3), tmp_path / "late") == whole


def test_a_state_with_a_loss_that_is_not_finite_is_refused_between_two_readings(late, tmp_path):
    learn = late(32)
    learn.add_cb(Poison(2))
    with pytest.raises(DivergedError, match="epoch 1, step 2"):
        run_of(learn, tmp_path / "run", stop_at=3)
    assert not RunDir(tmp_path / "run").state.exists()


class Reads(TorchDispatchMode):
    """Counts the conversions of a tensor to a number, without those of fastai's schedule, whose tensors are the host's."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            callers = [Path(frame.filename) for frame in traceback.extract_stack()[:-1]]
            self.count += next(path.name for path in reversed(callers) if "torch" not in path.parts) != "schedule.py"
        return func(*args, **(kwargs or {}))


class CountInSteps(Callback):
    """Conversions in the train steps after the first, which builds the optimiser's state."""

    def __init__(self, mode):
        self.mode = mode

    def after_train(self):
        self.in_steps = self.mode.count - self.first

    def before_batch(self):
        if self.training and self.iter == 1:
            self.first = self.mode.count


def test_a_step_reads_nothing_of_the_device_between_two_readings(late):
    found = {}
    for every in (1, 32):
        learn = late(every, ema=0.9, clip=1.0, class_weights=True, augment="strong")
        with Reads() as mode:
            count = CountInSteps(mode)
            count.order = -7  # before the readings at the end of the pass
            fit_phases(learn, EPOCH, cbs=[RunHistory(), count])
        found[every] = count.in_steps
    assert found[32] == 4  # PlainLosses: one a step, of the Recorder's smoothed loss, which is on the host
    assert found[1] == 5 * 4  # and the loss twice, the right answers once, the smoothed loss for the progress line


def test_the_rate_finder_reads_at_every_step(late, monkeypatch):
    learn = late(32)
    monkeypatch.setattr("plainfilm.train.learner.LateNumbers", lambda every: LateNumbers(32))
    curve = find_lr(learn, TrainConfig(size_px=40, batch_size=8), num_it=12)
    monkeypatch.undo()
    assert curve.losses.tolist() == find_lr(learn, TrainConfig(size_px=40, batch_size=8), num_it=12).losses.tolist()


def test_metrics_are_fastais_and_leave_their_parts_on_the_device(make_learn, monkeypatch):
    ours, theirs = make_learn(), make_learn()
    theirs.metrics = [AvgMetric(accuracy), AccumMetric(_auroc, dim_argmax=-1, flatten=False, activation="softmax", name="auroc")]  # fmt: skip
    theirs.recorder.loss = AvgLoss()
    to_detach, moved = late_numbers.to_detach, []
    monkeypatch.setattr(late_numbers, "to_detach", lambda x, cpu=True: moved.append(cpu) or to_detach(x, cpu))
    assert [float(value) for value in ours.validate()] == [float(value) for value in theirs.validate()]
    assert moved == [False] * 12  # three batches: a loss, an accuracy, predictions and targets
    assert ours.recorder.metric_names == theirs.recorder.metric_names


class ByHand(Callback):
    def before_fit(self):
        self.sums = [0.0, 0]

    def after_loss(self):
        if self.training:
            self.sums[0] += float(self.loss_grad.detach()) * len(self.yb[0])
            self.sums[1] += int((self.pred.argmax(1) == self.yb[0]).sum())


@pytest.mark.parametrize("every", [1, 2])
def test_a_smaller_last_batch_counts_by_its_images(late, every):
    learn, history, losses = late(every, batch_size=16), RunHistory(), ByHand()  # 40 images: 16, 16 and 8
    fit_phases(learn, EPOCH, cbs=[history, losses])
    assert history.rows[0]["train_loss"] == pytest.approx(losses.sums[0] / 40, rel=1e-12)
    assert history.rows[0]["train_accuracy"] == losses.sums[1] / 40
