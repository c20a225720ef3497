"""Every network builds, takes a step, exports, and has the parts that the rest of the program asks for."""

from __future__ import annotations

import hashlib

import pytest
import torch

from plainfilm.config import ModelConfig
from plainfilm.models.build import build_model, parameter_groups
from plainfilm.models.registry import MODELS

NAMES = [
    pytest.param(name, marks=[] if spec.installed else pytest.mark.skip(reason=f"{spec.library} is not installed"))
    for name, spec in MODELS.items()
]
BUILT: dict = {}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    BUILT.clear()


def built(name, channels=1, size=None):
    key = (name, channels, size)
    if key not in BUILT:
        BUILT[key] = build_model(ModelConfig(name=name), 3, size or MODELS[name].min_size_px, seed=3, channels=channels)
    return BUILT[key].eval()


@pytest.mark.parametrize("name", NAMES)
def test_features_and_head_make_the_logits(name):
    model = built(name)
    x = torch.rand(2, 1, MODELS[name].min_size_px, MODELS[name].min_size_px)
    with torch.no_grad():
        features, logits = model.features(x), model(x)
        assert features.shape == (2, model.head.in_features)
        assert torch.allclose(model.head(features), logits, atol=1e-6)
    assert logits.shape == (2, 3)


@pytest.mark.parametrize("name", NAMES)
def test_groups_hold_every_parameter_once_from_stem_to_head(name):
    model = built(name)
    groups = parameter_groups(model)
    assert sorted(id(p) for group in groups for p in group) == sorted(id(p) for p in model.parameters())
    assert all(groups) and len(groups) >= 4
    assert {id(p) for p in groups[-1]} == {id(p) for p in model.head.parameters()}
    stem = model.network.get_submodule(model.parts.stems[0]).weight
    assert any(p is stem for p in groups[0])


@pytest.mark.parametrize("name", NAMES)
def test_grey_equals_three_equal_channels_normalised_alike(name):
    grey, colour = built(name, 1), built(name, 3)
    x = torch.rand(2, 1, MODELS[name].min_size_px, MODELS[name].min_size_px)
    mean, std = colour.mean.mean(), colour.std.mean()
    with torch.no_grad():
        # what the three-channel network makes of images normalised with the channel mean, padding included
        same = colour.network(((x - mean) / std).expand(-1, 3, -1, -1).contiguous())
        if MODELS[name].library == "plainfilm" and MODELS[name].channels == "1 or 3":
            pytest.skip("our own networks draw their one-channel stem themselves")
        assert torch.allclose(grey(x), same, atol=1e-5 * max(1.0, float(same.abs().max())))


_LARGE = ("vgg16", "densenet121", "inception_v3")  # seconds each, after make test


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(*each.values, marks=[*each.marks, pytest.mark.campaign]) if each.values[0] in _LARGE else each
        for each in NAMES
    ],
)
def test_it_takes_a_step_and_exports(name):
    size = MODELS[name].min_size_px
    model = build_model(ModelConfig(name=name), 2, size, channels=1).train()
    x, y = torch.rand(2, 1, size, size), torch.tensor([0, 1])
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
    before = model.head.weight.detach().clone()
    loss = torch.nn.functional.cross_entropy(model(x), y)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    optimiser.step()
    assert not torch.equal(before, model.head.weight)
    model.eval()
    program = torch.export.export(model, (x,))
    with torch.no_grad():
        assert torch.allclose(program.module()(x), model(x), atol=1e-5)


def digest(model):
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest()


@pytest.mark.parametrize("name", ["paper-gap", "compact", "mobilenetv3"])
def test_weights_are_a_function_of_the_seed(name):
    size, cfg = MODELS[name].min_size_px, ModelConfig(name=name)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = digest(build_model(cfg, 2, size, seed=5))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert digest(build_model(cfg, 2, size, seed=5)) == first
    assert digest(build_model(cfg, 2, size, seed=6)) != first


@pytest.mark.parametrize("name", [name for name in NAMES if name.values != ("vgg16",)])
def test_the_table_knows_which_networks_take_another_size(name):
    """vgg16 takes one too, but pools it into 7 x 7 places that its dense layers tell apart."""
    model, larger = built(name), MODELS[name].min_size_px + 32
    with torch.no_grad():
        try:
            shape = model(torch.rand(1, 1, larger, larger)).shape
        except (RuntimeError, AssertionError):
            shape = None
    assert shape == ((1, 3) if MODELS[name].any_size else None)


@pytest.mark.parametrize("name", ["paper-gap", "compact"])
def test_our_size_free_networks_take_other_sizes_and_oblongs(name):
    model = built(name)
    with torch.no_grad():
        for shape in ((48, 48), (64, 96)):
            assert model(torch.rand(1, 1, *shape)).shape == (1, 3)


def test_a_grey_backbone_is_normalised_with_the_channel_mean():
    model = built("resnet18")
    assert model.mean.flatten().tolist() == pytest.approx([(0.485 + 0.456 + 0.406) / 3])
    assert model.std.flatten().tolist() == pytest.approx([(0.229 + 0.224 + 0.225) / 3])


def test_the_configs_statistics_override_the_registrys():
    model = build_model(ModelConfig(name="compact", mean=0.1, std=0.2), 2, 32, channels=3)
    assert model.mean.flatten().tolist() == pytest.approx([0.1] * 3)
    assert model.std.flatten().tolist() == pytest.approx([0.2] * 3)


def test_a_standardised_image_does_not_depend_on_its_exposure():
    model = build_model(ModelConfig(name="compact", standardise=True), 2, 32, channels=1).eval()
    x = torch.rand(4, 1, 32, 32)
    with torch.no_grad():
        assert torch.allclose(model(x), model(0.3 + 0.5 * x), atol=1e-4)
        assert not torch.allclose(model(x), model(x.square()), atol=1e-2)
        dark, light = (model(torch.full_like(x, level)) for level in (0.2, 0.9))
        assert torch.allclose(dark, light, atol=1e-4)  # one grey level: zeros


@pytest.mark.parametrize("channels", [1, 3])
def test_standardised_by_hand(channels):
    model = build_model(ModelConfig(name="paper", standardise=True), 2, 36, channels=channels)
    x = torch.rand(3, channels, 36, 36)
    own = torch.stack([(one - one.mean()) / one.std(correction=0) for one in x]).expand(-1, 3, -1, -1)
    assert torch.allclose(model._normalised(x), own, atol=1e-5)
    image = torch.zeros(1, channels, 36, 36)
    image[..., 0] = 1  # 1 column of 36 is white: mean 1/36, variance 1/36 * 35/36
    white, black = model._normalised(image)[0, 0, 0, :2].tolist()
    assert white == pytest.approx(35**0.5, rel=1e-5) and black == pytest.approx(-(35**-0.5), rel=1e-5)
