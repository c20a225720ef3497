from __future__ import annotations

import hashlib

import pytest
import torch
from torch import nn

from plainfilm.config import ModelConfig, SpeedConfig
from plainfilm.errors import ConfigError
from plainfilm.models.build import Normalised, build_model, parameter_count
from plainfilm.models.paper import PaperNet
from plainfilm.models.registry import MODELS, features_side, get_spec


def test_the_papers_network_has_its_parameters_at_512_px():
    with torch.device("meta"):
        network = PaperNet(2, 512)
    # conv 5x5: 3*16, 16*32, 32*64, each *25 + bias; dense 64*60*60 -> 128 -> 2
    by_hand = 1_216 + 12_832 + 51_264 + (64 * 60 * 60 * 128 + 128) + (128 * 2 + 2)
    assert parameter_count(network) == by_hand == 29_556_898


def test_its_layers_are_in_the_papers_order():
    network = PaperNet(2, 64)
    kinds = [type(layer).__name__.replace("_FirstConv", "Conv2d") for layer in [*network.features, *network.head]]
    block = ["Conv2d", "MaxPool2d", "ReLU", "Dropout"]
    assert kinds == [*block * 3, "Flatten", "Linear", "ReLU", "Dropout", "Linear"]
    convs = [layer for layer in network.features if isinstance(layer, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size, c.padding, c.stride) for c in convs] == [
        (3, 16, (5, 5), (0, 0), (1, 1)), (16, 32, (5, 5), (0, 0), (1, 1)), (32, 64, (5, 5), (0, 0), (1, 1)),
    ]  # fmt: skip
    assert [layer.p for layer in [*network.features, *network.head] if isinstance(layer, nn.Dropout)] == [0.2] * 3 + [
        0.5
    ]


def test_pooling_before_the_relu_is_bit_identical():
    x = torch.randn(2, 16, 20, 20, requires_grad=True)
    pooled_first = torch.relu(nn.functional.max_pool2d(x, 2))
    (grad_first,) = torch.autograd.grad(pooled_first.square().sum(), x)
    relu_first = nn.functional.max_pool2d(torch.relu(x), 2)
    (grad_second,) = torch.autograd.grad(relu_first.square().sum(), x)
    assert torch.equal(pooled_first, relu_first)
    assert torch.equal(grad_first, grad_second)


def test_options_change_the_network():
    network = PaperNet(3, 48, ModelConfig(filters=(4, 8), kernel=3, dense=10))
    assert network(torch.zeros(1, 3, 48, 48)).shape == (1, 3)
    assert features_side(48, 3, 2) == 10  # (48 - 2) / 2 = 23, (23 - 2) // 2 = 10


@pytest.mark.parametrize(("size", "fits"), [(35, False), (36, True)])
def test_the_smallest_image(size, fits):
    if fits:
        assert build_model(ModelConfig(), 2, size)(torch.zeros(1, 1, size, size)).shape == (1, 2)
    else:
        with pytest.raises(ConfigError, match="35 px is too small.*larger --size"):
            build_model(ModelConfig(), 2, size)


def test_grey_and_three_equal_channels_give_the_same_logits():
    model = build_model(ModelConfig(), 2, 40).eval()
    grey = torch.rand(3, 1, 40, 40)
    torch.testing.assert_close(model(grey), model(grey.repeat(1, 3, 1, 1)), rtol=0, atol=1e-6)


def grey_pair(**cfg):
    return [
        build_model(ModelConfig(dropout=0, dense_dropout=0, **cfg), 2, 40, speed=SpeedConfig(grey_first_layer=on))
        for on in (True, False)
    ]


@pytest.mark.parametrize("cfg", [{}, {"standardise": True}], ids=["fixed", "standardised"])
def test_a_grey_image_as_one_channel_gives_the_logits_of_three(cfg):
    one, three = (model.eval() for model in grey_pair(**cfg))
    x = torch.rand(3, 1, 40, 40)
    seen = []
    one.network.features[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    torch.testing.assert_close(one(x), three(x), rtol=0, atol=1e-6)
    assert seen == [1]


def test_the_weights_after_twenty_steps_on_one_channel_are_those_of_three():
    pair = grey_pair()
    steps = [torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01) for model in pair]
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        x, y = torch.rand(8, 1, 40, 40, generator=generator), torch.randint(2, (8,), generator=generator)
        for model, optimiser in zip(pair, steps, strict=True):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimiser.step()
    one, three = (model.network.features[0].weight.detach() for model in pair)
    start = grey_pair()[0].network.features[0].weight.detach()
    assert (one - start).abs().max() > 1e-3
    torch.testing.assert_close(one, three, rtol=0, atol=1e-5)
    # the channels got equal gradients: what sets them apart shrinks with the weight decay alone
    apart, before = one[:, 0] - one[:, 1], start[:, 0] - start[:, 1]
    torch.testing.assert_close(apart, before * (1 - 1e-3 * 0.01) ** 20, rtol=0, atol=1e-6)


def test_channels_that_are_normalised_differently_are_expanded():
    one, three = (model.eval() for model in grey_pair(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3)))
    x = torch.rand(3, 1, 40, 40)
    assert torch.equal(one(x), three(x))


def test_normalisation_is_the_registrys():
    model = Normalised(nn.Identity(), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert torch.equal(model(torch.full((1, 1, 2, 2), 0.75)), torch.ones(1, 3, 2, 2))
    assert "mean" not in model.state_dict()  # it belongs to the card, not to the weights


def digest(model):
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest()


def test_weights_are_a_function_of_the_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = digest(build_model(ModelConfig(), 2, 40, seed=5))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert digest(build_model(ModelConfig(), 2, 40, seed=5)) == first
    assert digest(build_model(ModelConfig(), 2, 40, seed=6)) != first


def test_an_unknown_model_suggests_a_similar_name():
    with pytest.raises(ConfigError, match="no model 'papr'.*Did you mean 'paper'"):
        get_spec("papr")


def test_every_registry_row_says_where_it_comes_from():
    for name, spec in MODELS.items():
        assert spec.name == name
        assert spec.licence
        assert spec.source
