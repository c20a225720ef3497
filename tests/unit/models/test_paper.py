from __future__ import annotations

import hashlib

import pytest
import torch
from torch import nn

from plainfilm.config import ModelConfig
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
    kinds = [type(layer).__name__ for layer in [*network.features, *network.head]]
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
    assert torch.equal(model(grey), model(grey.repeat(1, 3, 1, 1)))


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
