"""Phases of growing sizes: what the network sees in train and valid, and what the time estimate counts."""

import pytest
import torch

from plainfilm.config import ModelConfig, Phase, TrainConfig
from plainfilm.train.estimate import estimate_time, work
from plainfilm.train.fit import as_in_phase, find_lr, fit_phases

GAP = ModelConfig(name="paper-gap", filters=(4, 8), kernel=3, dense=8)
GROWING = [Phase(epochs=2, size_px=20), Phase(epochs=1, size_px=30), Phase(epochs=1, size_px=40)]


def sides_seen(learn):
    """Side of every batch that passes the first convolution, and whether it is of train."""
    seen = []
    first = next(m for m in learn.model.network.modules() if isinstance(m, torch.nn.Conv2d))
    first.register_forward_hook(lambda module, given, made: seen.append((given[0].shape[-1], module.training)))
    return seen


def test_train_grows_and_valid_is_always_at_the_size_of_the_run(make_learn):
    learn = make_learn(model=GAP)
    seen = sides_seen(learn)
    fit_phases(learn, GROWING)
    steps = [side for side, training in seen if training]
    assert steps == [20] * 10 + [30] * 5 + [40] * 5
    assert {side for side, training in seen if not training} == {40}
    assert learn.dls.train.size_px is None
    assert learn.dls.train.one_batch()[0].shape[2:] == (40, 40)


def test_the_rate_finder_works_at_the_size_of_its_phase(make_learn):
    learn = make_learn(model=GAP)
    with as_in_phase(learn, GROWING[0]):
        learn.dls.train.one_batch()
        small = find_lr(learn, TrainConfig(size_px=40, batch_size=8), num_it=12)
        assert learn.dls.train.one_batch()[0].shape[2:] == (20, 20)
    whole = find_lr(learn, TrainConfig(size_px=40, batch_size=8), num_it=12)
    assert small.losses[0] != whole.losses[0]


def test_a_phase_that_fails_leaves_the_loader_as_it_was(make_learn):
    learn = make_learn(model=GAP)
    with pytest.raises(KeyboardInterrupt), as_in_phase(learn, GROWING[0]):
        raise KeyboardInterrupt
    assert learn.dls.train.size_px is None


def test_a_frozen_phase_may_come_first(make_learn):
    learn = make_learn(model=GAP)
    seen = sides_seen(learn)
    fit_phases(learn, [Phase(epochs=2, size_px=40, freeze=True), *GROWING[1:]])
    assert [side for side, training in seen if training] == [30] * 5 + [40] * 5


def test_work_counts_pixels():
    """20 of 40 px: a quarter each for two epochs; validation at 40 px costs its share after every epoch."""
    assert [work(phase, 40) for phase in GROWING] == [0.5, 0.5625, 1]
    assert [work(phase, 40, valid=0.1) for phase in GROWING] == pytest.approx([0.7, 0.6625, 1.1])
    # a frozen phase passes once over train and valid, neither with gradients
    assert work(Phase(epochs=9, size_px=40, freeze=True), 40, valid=0.1) == pytest.approx(1 / 3 + 0.1)


def test_the_estimate_of_growing_sizes_is_smaller_by_the_work(make_learn, monkeypatch):
    learn = make_learn(model=GAP)
    monkeypatch.setattr("plainfilm.train.estimate._timed_step", lambda *args: 0.8)
    growing, fixed = (estimate_time(learn, phases).seconds for phases in (GROWING, [Phase(epochs=4, size_px=40)]))
    assert fixed == pytest.approx(4 * 0.1 * (40 + 20 / 3))  # 0.8 s for 8 images, a third of that for each in valid
    assert growing == pytest.approx(0.1 * ((0.5 + 0.5625 + 1) * 40 + 4 * 20 / 3))
