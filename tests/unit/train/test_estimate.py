"""The time of a training: from a timed copy of the network, and from the training's own first steps."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest
import torch
from fastai.callback.core import Callback

from plainfilm.config import ModelConfig, Phase
from plainfilm.train import callbacks, estimate, first_step
from plainfilm.train.callbacks import RunHistory
from plainfilm.train.estimate import TimeSteps, estimate_time
from plainfilm.train.first_step import AfterFirstStep
from plainfilm.train.fit import fit_phases
from plainfilm.train.frozen_features import FeaturePass
from plainfilm.train.machine.other_processes import Load

SIZE = 40
TWO = [Phase(epochs=2, size_px=SIZE, lr=1e-3)]
IMAGES = 40 + 20 / 3  # of the fixture's train and, without gradients, valid


@pytest.fixture
def learn(make_learn):
    return make_learn()


def digest(model):
    return hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.state_dict().values())).hexdigest()


def test_the_estimate_is_a_time_and_leaves_the_weights(learn):
    before, random = digest(learn.model), torch.get_rng_state()
    assert estimate_time(learn, TWO).seconds > 0
    assert digest(learn.model) == before
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(
    ("steps", "median"),
    [
        ([0.4] * 5, 0.4),
        ([0.4, 90.0, 0.4, 0.4, 0.4], 0.4),  # one slow step
        ([0.3] * 4 + [0.02] * 60, 0.02),  # another program starts: four of the first five steps are slow
        ([2.0, 0.5, 0.5, 0.5, 2.0], 0.5),
    ],
)
def test_slow_steps_do_not_mislead_the_estimate(learn, monkeypatch, steps, median):
    timed = iter([7.0, *steps])  # the first is the warm-up
    monkeypatch.setattr(estimate, "_timed_step", lambda *_: next(timed))
    batch = len(learn.dls.train.one_batch()[1])
    assert estimate_time(learn, TWO).seconds == pytest.approx(2 * median * IMAGES / batch)


# from the training's own steps ---------------------------------------------------------------------------------------


class Clock(Callback):
    """Shows a time in which each training step takes what the test says, the last time given again and again."""

    order = 0

    def __init__(self, steps):
        self.steps, self.now, self.made, self.valid = list(steps), 1000.0, 0, 0

    def perf_counter(self):
        return self.now

    def after_batch(self):
        if not self.training:
            self.valid += 1
            return
        self.now += self.steps[min(self.made, len(self.steps) - 1)]
        self.made += 1


@pytest.fixture
def train(make_learn, monkeypatch):
    """train(steps, ...): fits under a simulated clock; returns what was said, at which step and valid batch, and the
    callback."""

    def fit(steps, batch_size=8, phases=TWO, work=None, cbs=(), **more):
        learn, clock, said = make_learn(batch_size=batch_size), Clock(steps), []
        for module in (estimate, callbacks, first_step):
            monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=clock.perf_counter))
        times = TimeSteps(phases, lambda found: said.append((found, clock.made, clock.valid)), **more)
        learn.add_cbs([clock, times])
        if work is not None:
            learn.add_cb(AfterFirstStep(lambda: work(clock)))
        fit_phases(learn, phases, cbs=cbs)
        return said, times

    return fit


def test_an_epoch_of_five_steps_is_estimated_at_its_end_without_the_warm_up(train):
    (said,), times = train([7.0, 0.2, 0.4, 0.6, 0.8, 99.0])
    found, step, valid = said
    assert found.seconds == pytest.approx(2 * 0.5 / 8 * IMAGES)  # 5.8 s
    assert (step, valid) == (5, 0)
    assert times.seconds() == found.seconds  # later steps do not change it


@pytest.mark.parametrize(
    ("steps", "at", "median"),
    [
        ([9.0, 0.01, 0.02, 0.01, 0.03, 0.01, 0.02, 0.02, 0.01, 0.02, 50.0], 10, 0.02),  # less than a second: ten steps
        ([9.0, 0.3, 0.2, 0.3, 0.2, 0.3, 50.0], 6, 0.3),  # five and more than a second
        ([9.0, 0.2, 0.5, 0.2, 0.2, 0.2, 0.2, 3.0, 50.0], 8, 0.2),  # they differ: three seconds
    ],
)
def test_the_estimate_is_said_once_within_ten_steps(train, steps, at, median):
    said, _ = train(steps, batch_size=2)
    assert [(each.seconds, step) for each, step, _ in said] == [(pytest.approx(2 * median / 2 * IMAGES), at)]


def test_an_epoch_of_one_step_has_its_warm_up_only(train):
    (said,), _ = train([6.0, 1.0], batch_size=40)
    assert said[0].seconds == pytest.approx(2 * 6.0 / 40 * IMAGES)
    assert said[1:] == (1, 0)


@pytest.mark.parametrize(("steps", "batch_size", "seconds"), [([6.0, 1.0], 40, 6.0 / 40), ([6.0, 0.5], 8, 0.5 / 8)])
def test_work_after_the_first_step_counts_nowhere(train, steps, batch_size, seconds):
    def work(clock):
        clock.now += 1000.0

    history = RunHistory()
    (said,), _ = train(steps, batch_size=batch_size, work=work, cbs=[history])
    assert said[0].seconds == pytest.approx(2 * seconds * IMAGES)
    first = steps[0] + steps[1] * (40 // batch_size - 1)
    assert history.seconds[0]["train_seconds"] == history.seconds[0]["epoch_seconds"] == pytest.approx(first)


def test_a_frozen_phase_is_estimated_from_the_pass_that_computed_its_features(train, monkeypatch):
    """0.01 s an image without gradients is 0.03 s with them; the frozen phase costs a third of an epoch, however long."""
    whole = TimeSteps._count

    def count(self):
        if self.dls.train.features is not None:
            self.learn.feature_pass = FeaturePass(0.01, Load(1.0, 0.5, 4))
        whole(self)

    monkeypatch.setattr(TimeSteps, "_count", count)
    phases = [Phase(epochs=3, size_px=SIZE, lr=1e-3, freeze=True), *TWO]
    ((found, step, _),), _ = train([5.0], phases=phases)
    assert found.seconds == pytest.approx(0.03 * (60 / 3 + 2 * IMAGES))
    assert (step, str(found.load)) == (1, "other processes use 1.0 of 4 cores")


@pytest.fixture
def read_features(monkeypatch):
    """Frozen phases train on features that were read, not computed."""
    whole = TimeSteps.__call__

    def call(self, event_name):
        self.learn.feature_pass = None
        whole(self, event_name)

    monkeypatch.setattr(TimeSteps, "__call__", call)


def test_where_features_were_read_the_steps_of_the_whole_network_count(train, read_features):
    phases = [Phase(epochs=1, size_px=SIZE, lr=1e-3, freeze=True), *TWO]
    ((found, step, _),), _ = train([0.001] * 5 + [7.0, 0.5], phases=phases)
    assert found.seconds == pytest.approx(0.5 / 8 * (60 / 3 + 2 * IMAGES))
    assert step == 10


def test_a_head_that_trains_alone_on_features_that_were_read_is_estimated_from_its_steps(train, read_features):
    ((found, _, _),), _ = train([7.0, 0.5], phases=[Phase(epochs=3, size_px=SIZE, lr=1e-3, freeze=True)])
    assert found.seconds == pytest.approx(3 * 0.5 / 8 * 40)


def test_steps_on_small_images_are_scaled_to_the_size_of_the_run(make_learn, monkeypatch):
    learn = make_learn(model=ModelConfig(name="compact"))
    said, clock = [], Clock([7.0, 0.5])
    monkeypatch.setattr(estimate, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    phases = [Phase(epochs=1, size_px=SIZE // 2, lr=1e-3), *TWO]
    learn.add_cbs([clock, TimeSteps(phases, said.append)])
    fit_phases(learn, phases)
    train, valid = 40, 20 / 3
    assert said[0].seconds == pytest.approx(4 * 0.5 / 8 * (train * (1 / 4 + 2) + 3 * valid))


def test_the_pass_over_the_features_is_timed_for_each_image(make_learn, monkeypatch):
    from plainfilm.train import frozen_features

    times = iter([100.0, 107.2])
    monkeypatch.setattr(frozen_features, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    learn = make_learn()
    frozen_features.hold_features(learn)
    assert learn.feature_pass.per_image == pytest.approx(0.1)  # 7.2 s for the fixture's 72 images


def test_before_a_step_an_earlier_process_knows_the_time(train):
    assert TimeSteps(TWO, print).seconds() is None
    assert TimeSteps(TWO, print, 12.5).seconds() == 12.5
    _, times = train([6.0, 0.5], earlier=12.5)
    assert times.seconds() == pytest.approx(2 * 0.5 / 8 * IMAGES)
