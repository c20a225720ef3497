"""Work after the first step of a training, and the batch that it draws, change nothing of the training."""

from __future__ import annotations

import json
import signal
import time
from types import SimpleNamespace

import pytest
import torch
from fastai.callback.core import Callback

from plainfilm.config import Phase
from plainfilm.runs.folder import Pace, RunDir
from plainfilm.train import first_step, interruption
from plainfilm.train.first_step import AfterFirstStep, first_batch
from plainfilm.train.fit import fit_phases
from plainfilm.train.interruption import _StopRequest, fit_with_stops

FROZEN = Phase(epochs=1, size_px=40, lr=1e-3, freeze=True)
WHOLE = Phase(epochs=2, size_px=40, lr=1e-3)


class Steps(Callback):
    """Lists the batches of a fit."""

    order = 0

    def __init__(self, seen):
        self.seen = seen

    def after_batch(self):
        self.seen.append("step" if self.training else "valid")


@pytest.mark.parametrize("phases", [[WHOLE], [FROZEN, WHOLE]], ids=["whole", "frozen first"])
def test_the_work_follows_the_first_step_alone(make_learn, phases):
    learn, seen = make_learn(), []
    learn.add_cbs([Steps(seen), AfterFirstStep(lambda: seen.append("work"))])
    fit_phases(learn, phases)
    assert seen[:3] == ["step", "work", "step"]
    assert seen.count("work") == 1


def test_a_training_that_is_about_to_stop_does_not_begin_it(make_learn):
    learn, seen = make_learn(), []
    learn.stop_request = SimpleNamespace(wanted=True)
    learn.add_cbs([Steps(seen), AfterFirstStep(lambda: seen.append("work"))])
    learn.fit(1)
    assert "work" not in seen and seen.count("step") == 5


@pytest.mark.parametrize("raised", [None, ImportError("a library made this of it")])
def test_a_signal_ends_the_work_at_once_and_the_step_is_kept(make_learn, tmp_path, raised):
    """Probes and a figure take seconds on a busy machine; the signal waited for their end."""
    went_on, run = [], RunDir(tmp_path / "run")
    run.root.mkdir()

    def work():
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            if raised:
                raise raised from None
            raise
        went_on.append(1)

    learn = make_learn()
    learn.add_cb(AfterFirstStep(work))
    pace = Pace(5.0, None, time.perf_counter())
    with pytest.raises(KeyboardInterrupt):
        fit_with_stops(learn, [WHOLE], None, run, pace, "of this run", lambda what, facts: None)
    assert not went_on and json.loads((run.root / "checkpoints/last.json").read_text())["state"]["step"] == 1


def test_an_error_of_the_work_is_raised(make_learn):
    learn = make_learn()
    learn.stop_request = _StopRequest()
    learn.add_cb(AfterFirstStep(lambda: int("x")))
    with pytest.raises(ValueError, match="invalid literal"):
        learn.fit(1)
    assert not learn.stop_request.at_once


@pytest.mark.parametrize("phases", [[WHOLE], [FROZEN, WHOLE]], ids=["whole", "frozen first"])
def test_the_first_batch_drawn_in_between_is_the_same_and_leaves_the_training(make_learn, phases):
    x, y = make_learn().dls.train.one_batch()
    weights = []
    for draws in (True, False):
        learn, found = make_learn(), []
        learn.dls.train.epoch = 1  # as where a run was resumed
        if draws:
            learn.add_cb(
                AfterFirstStep(lambda learn=learn, found=found: found.append(first_batch(learn.dls.train, 40)))
            )
        fit_phases(learn, phases)
        weights.append(learn.model.state_dict())
        for images, labels in found:
            assert torch.equal(images, x) and torch.equal(labels, y)
        assert len(found) == draws
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


def test_the_first_batch_of_a_later_epoch_is_still_the_first_of_all(make_learn):
    learn = make_learn()
    x, _ = learn.dls.train.one_batch()
    dl = learn.dls.train
    dl.phase, dl.epoch, dl.skip = 1, 3, 2
    assert torch.equal(first_batch(dl, 40)[0], x)
    assert (dl.phase, dl.epoch, dl.skip) == (1, 3, 2)
    assert not torch.equal(dl.one_batch()[0], x)


def test_the_first_batch_of_growing_sizes_is_small_whichever_phase_the_training_is_in(make_learn):
    dl = make_learn().dls.train
    dl.size_px = 40
    x, _ = first_batch(dl, 20)
    assert x.shape[2:] == (20, 20) and dl.size_px == 40


def test_the_time_limit_does_not_count_it(make_learn, tmp_path, monkeypatch):
    now = [1000.0]
    clock = SimpleNamespace(perf_counter=lambda: now[0], monotonic=lambda: now[0])
    monkeypatch.setattr(first_step, "time", clock)
    monkeypatch.setattr(interruption, "time", clock)

    def work():
        now[0] += 600.0

    run = RunDir(tmp_path / "run")
    run.root.mkdir()
    learn = make_learn()
    learn.add_cb(AfterFirstStep(work))
    pace = Pace(5.0, 5.0, time.perf_counter())
    fit_with_stops(learn, [WHOLE], None, run, pace, "of this run", lambda what, facts: None)
    assert len(run.history.read_text().splitlines()) == 3
