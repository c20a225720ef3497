from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from plainfilm.config import ModelConfig, SpeedConfig
from plainfilm.models.build import build_model
from plainfilm.models.dropout import _PackedDropout, pack_masks

P = 0.2
ROUNDED = 13_107 / 65_536  # 0.2 in sixteen bits


def kept(shape, p=P, seed=0, kind=_PackedDropout):
    torch.manual_seed(seed)
    return kind(p).train()(torch.ones(shape)) > 0


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_each_of_the_four_units_of_a_draw_is_dropped_at_the_rate(p):
    n = 400_000
    rates = 1 - kept((n, 4), p).double().mean(0)
    assert ((rates - p).abs() < 4.5 * (p * (1 - p) / n) ** 0.5).all(), rates  # one run in 30,000 by chance


def test_kept_units_are_scaled_so_that_the_mean_is_exact():
    x = torch.linspace(1, 2, 999).view(3, 333)
    torch.manual_seed(1)
    y = _PackedDropout(P).train()(x)
    scale = torch.tensor(1 / (1 - ROUNDED))
    torch.testing.assert_close(y, torch.where(y != 0, x * scale, torch.zeros(())), rtol=1e-6, atol=0)
    assert 0 < (y == 0).sum() < y.numel()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 1001])
def test_any_number_of_units(n):
    drawn = torch.stack([kept((n,), 0.5, seed) for seed in range(300)])
    assert drawn.shape == (300, n)
    assert 0.25 < drawn[:, -1].double().mean() < 0.75  # the last unit too


def test_units_layers_and_steps_are_independent():
    torch.manual_seed(0)
    layer = _PackedDropout(0.5).train()
    first, second, other_step = [(layer(torch.ones(200_000)) > 0).double() for _ in range(3)]
    limit = 5 / 200_000**0.5
    for other in (second, other_step, *(first.roll(lag) for lag in (1, 2, 3, 4, 5, 8))):
        assert abs(float(torch.corrcoef(torch.stack([first, other]))[0, 1])) < limit


@pytest.mark.parametrize("kind", [_PackedDropout, nn.Dropout], ids=["packed", "torch"])
def test_the_number_kept_of_sixteen_follows_the_binomial_law_as_torchs_does(kind):
    counts = kept((40_000, 16), kind=kind).sum(1).numpy()
    seen = np.bincount(counts, minlength=17)
    law = stats.binom(16, 1 - P).pmf(np.arange(17)) * len(counts)
    rare = law < 5
    seen, law = (np.append(v[~rare], v[rare].sum()) for v in (seen, law))
    assert stats.chisquare(seen, law).pvalue > 1e-4


def test_the_gradient_is_that_of_the_drawn_mask():
    x = torch.rand(5, 7, requires_grad=True)
    y = _PackedDropout(0.5).train()(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, (y != 0).float() * 2)


def test_a_mask_is_a_function_of_torchs_seed():
    assert torch.equal(kept((9, 9), seed=3), kept((9, 9), seed=3))
    assert not torch.equal(kept((9, 9), seed=3), kept((9, 9), seed=4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_type_and_memory_format_are_those_of_the_input(dtype):
    x = torch.ones(2, 3, 5, 7, dtype=dtype).to(memory_format=torch.channels_last)
    y = _PackedDropout(0.5).train()(x)
    assert (y.dtype, y.stride()) == (dtype, x.stride())
    assert set(y.flatten().tolist()) == {0, 2}
    odd = torch.ones(4, 6).t()
    assert _PackedDropout(0.5).train()(odd).shape == odd.shape


def test_inference_and_the_rates_0_and_1_are_torchs():
    x = torch.rand(4, 4)
    assert _PackedDropout(0.5).eval()(x) is x
    assert torch.equal(_PackedDropout(0.0).train()(x), x)
    assert torch.equal(_PackedDropout(1.0).train()(x), torch.zeros(4, 4))


@pytest.mark.parametrize("name", ["paper", "paper-gap", "compact"])
def test_our_networks_have_packed_masks_and_the_same_weights(name):
    packed, torchs = (
        build_model(ModelConfig(name=name), 2, 40, speed=SpeedConfig(packed_masks=on)) for on in (True, False)
    )
    assert {type(m) for m in packed.modules() if isinstance(m, nn.Dropout)} == {_PackedDropout}
    assert {type(m) for m in torchs.modules() if isinstance(m, nn.Dropout)} == {nn.Dropout}
    assert list(packed.state_dict()) == list(torchs.state_dict())
    x = torch.rand(2, 1, 40, 40)
    assert torch.equal(packed.eval()(x), torchs.eval()(x))


def test_backbones_have_packed_masks_only_on_request():
    for how, kind in (("torch", nn.Dropout), ("packed", _PackedDropout)):
        model = build_model(ModelConfig(name="mobilenetv3"), 2, 64, speed=SpeedConfig(backbone_masks=how))
        assert {type(m) for m in model.modules() if isinstance(m, nn.Dropout)} == {kind}


def test_only_nn_dropout_itself_is_replaced():
    network = nn.Sequential(nn.Dropout(0.3), nn.Sequential(nn.Dropout2d(0.3), nn.AlphaDropout(0.3)))
    pack_masks(network)
    assert type(network[0]) is _PackedDropout
    assert network[0].p == 0.3
    assert [type(m) for m in network[1]] == [nn.Dropout2d, nn.AlphaDropout]
