"""A frozen network's head trains on features that are computed once; BatchNorm can keep its loaded statistics."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from plainfilm.config import ModelConfig, Phase, TrainConfig
from plainfilm.data.loaders.block import CacheDL
from plainfilm.errors import ConfigError
from plainfilm.models.build import build_model, parameter_groups
from plainfilm.train.fit import _rates, as_in_phase, find_lr, fit_phases
from plainfilm.train.frozen_features import hold_features, release_features
from plainfilm.train.learner import make_learner

FROZEN = Phase(epochs=3, size_px=40, freeze=True, lr=1e-2)


def count_forward(learn):
    """Batch sizes of the images that pass the first convolution."""
    seen = []
    first = next(m for m in learn.model.network.modules() if isinstance(m, torch.nn.Conv2d))
    first.register_forward_hook(lambda module, given, made: seen.append(len(made)))
    return seen


def test_the_loaders_yield_the_networks_features_of_their_own_rows(make_learn):
    learn = make_learn()
    hold_features(learn)
    learn.model.eval()
    for dl in learn.dls.loaders[:2]:
        features, targets = next(iter(dl))
        images = torch.from_numpy(learn.dls.train.pixels[dl.batch_rows])[:, None].float().div_(255)
        with torch.no_grad():
            torch.testing.assert_close(features, learn.model.features(images))
            torch.testing.assert_close(learn.model(features), learn.model(images))
        assert len(targets) == len(features)
    release_features(learn)
    assert learn.dls.train.one_batch()[0].shape[1:] == (1, 40, 40)


def test_each_image_passes_a_frozen_network_once_however_many_epochs(make_learn):
    learn = make_learn()
    seen = count_forward(learn)
    before = {name: value.clone() for name, value in learn.model.state_dict().items()}
    fit_phases(learn, [FROZEN])
    assert sum(seen) == 72  # 40 train, 20 valid and 12 test images of the fixture
    changed = {name for name, value in learn.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"network.head.4.weight", "network.head.4.bias"}


def test_a_long_frozen_phase_comes_close_to_a_logistic_regression(make_learn):
    learn = make_learn(wd=0.0)
    hold_features(learn)
    features, labels = [], []
    for x, y in learn.dls.train:
        features.append(x.numpy())
        labels.append(y.numpy())
    release_features(learn)
    x, y = np.concatenate(features), np.concatenate(labels)
    best = LogisticRegression(C=1e4, max_iter=5000).fit(x, y)
    expected = -np.log(best.predict_proba(x)[np.arange(len(y)), y]).mean()
    fit_phases(learn, [Phase(epochs=150, size_px=40, freeze=True, lr=0.1)])
    with torch.no_grad():
        reached = torch.nn.functional.cross_entropy(learn.model(torch.from_numpy(x)), torch.from_numpy(y))
    assert expected - 1e-3 < float(reached) < expected + 0.05


def test_the_rate_finder_works_on_the_frozen_head_and_on_the_whole(make_learn):
    learn = make_learn()
    cfg = TrainConfig(size_px=40, batch_size=8)
    before = {name: value.clone() for name, value in learn.model.state_dict().items()}
    with as_in_phase(learn, FROZEN):
        seen = count_forward(learn)
        frozen = find_lr(learn, cfg, num_it=30)
        assert not seen
    whole = find_lr(learn, cfg, num_it=30)
    assert frozen.lr > 0
    assert whole.lr > 0
    assert not np.array_equal(frozen.losses[:5], whole.losses[:5])
    assert all(torch.equal(value, before[name]) for name, value in learn.model.state_dict().items())


def test_each_automatic_rate_is_found_as_its_phase_trains(make_learn):
    learn, asked = make_learn(), []

    def find(phase):
        asked.append((phase.freeze, all(p.requires_grad for p in learn.model.parameters())))
        return 1e-3

    fit_phases(
        learn, [Phase(epochs=1, size_px=40, freeze=True, lr="auto"), Phase(epochs=1, size_px=40, lr="auto")], find
    )
    assert asked == [(True, False), (False, True)]
    assert learn.found_lr == 1e-3


def test_first_layers_learn_at_the_given_share_of_the_heads_rate(make_learn):
    learn = make_learn()
    fit_phases(learn, [Phase(epochs=1, size_px=40, lr=1e-2, lr_ratio=0.01)])
    lrs = [group["lr"] for group in learn.opt.hypers]
    assert len(lrs) == len(parameter_groups(learn.model))
    assert lrs == sorted(lrs)
    assert lrs[0] / lrs[-1] == pytest.approx(0.01, rel=1e-6)
    assert 0.8e-2 < max(learn.recorder.hps["lr"]) <= 1e-2  # five steps need not meet the peak itself
    assert _rates(None, 0.1) is None
    assert _rates(1e-3, 1) == 1e-3


def gap_learner(make_learn, tmp_path, **train):
    learn = make_learn()
    model = build_model(ModelConfig(name="paper-gap", filters=(4, 8), kernel=3, dense=8), 2, 40)
    cfg = TrainConfig(size_px=40, batch_size=8, **train)
    return make_learner(learn.dls, model, cfg, path=tmp_path)


def statistics(learn):
    return {n: v.clone() for n, v in learn.model.state_dict().items() if "running" in n}


def test_statistics_cannot_be_held_where_there_are_none(make_learn):
    with pytest.raises(ConfigError, match=r"^train.norm: hold .* this network has none"):
        make_learn(norm="hold")


def test_held_statistics_stay_and_others_move(make_learn, tmp_path):
    held, moving = (gap_learner(make_learn, tmp_path, norm=norm) for norm in ("hold", "batch"))
    for learn, same in ((held, True), (moving, False)):
        before = statistics(learn)
        scale = next(p for n, p in learn.model.named_parameters() if n.endswith("1.weight") or ".2.weight" in n).clone()
        fit_phases(learn, [Phase(epochs=1, size_px=40, lr=2e-3)])
        assert all(torch.equal(value, before[name]) for name, value in statistics(learn).items()) == same
        after = next(p for n, p in learn.model.named_parameters() if n.endswith("1.weight") or ".2.weight" in n)
        assert not torch.equal(scale, after)


@pytest.mark.parametrize(
    ("bs", "sizes"), [(13, [13, 13, 14]), (8, [8] * 5), (39, [40]), (40, [40]), (3, [3] * 12 + [4])]
)
def test_no_train_batch_holds_a_single_image(make_learn, bs, sizes):
    dl = make_learn(batch_size=bs).dls.train
    assert isinstance(dl, CacheDL)
    seen, rows = [], []
    for _, y in dl:
        seen.append(len(y))
        rows += dl.batch_rows.tolist()
    assert seen == sizes
    assert sorted(rows) == list(range(40))
    assert len(dl) == len(sizes)
