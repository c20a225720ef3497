"""How timm is used, on a stand-in with known results, and the same with timm itself."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from plainfilm.config import ModelConfig
from plainfilm.errors import ConfigError
from plainfilm.models.build import build_model, parameter_groups
from plainfilm.models.find_weights import find_weights, imagenet_on_disk
from plainfilm.models.load_weights import _resized_grid, load_initial
from plainfilm.models.registry import get_spec


class Tiny(nn.Module):
    def __init__(self, num_classes, in_chans, outputs=1):
        super().__init__()
        self.default_cfg = {"classifier": "fc", "first_conv": "stem.conv"}
        self.cls_token = nn.Parameter(torch.zeros(1))
        self.stem = nn.Sequential()
        self.stem.add_module("conv", nn.Conv2d(in_chans, 4, 3, padding=1))
        self.body = nn.Conv2d(4, 4, 8)
        self.fc = nn.Linear(4, num_classes * outputs)

    def forward_features(self, x):
        return self.body(self.stem(x) + self.cls_token)

    def forward_head(self, x, pre_logits=False):
        x = x.mean((2, 3))
        return x if pre_logits else self.fc(x)

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


@pytest.fixture
def timm(monkeypatch):
    module = ModuleType("timm")
    module.__spec__ = ModuleSpec("timm", None)
    module.created = []

    def create_model(name, pretrained, **options):
        module.created.append((name, pretrained, options))
        return Tiny(options["num_classes"], options["in_chans"], outputs=2 if name == "twoheads" else 1)

    facts = SimpleNamespace(
        input_size=(3, 160, 160), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), hf_hub_id="timm/", architecture="tiny", tag="a1_in1k",
        license="apache-2.0", fixed_input_size=False,
    )  # fmt: skip
    module.create_model = create_model
    module.is_model = lambda name: name in ("tiny", "twoheads")
    module.list_models = lambda: ["tiny", "twoheads", "resnetv2_50"]
    module.get_pretrained_cfg = lambda name: facts
    monkeypatch.setitem(sys.modules, "timm", module)
    return module


@pytest.mark.parametrize("name", ["tiny", "timm/tiny"])
def test_a_name_of_timm_brings_its_facts(name, timm, tmp_path, monkeypatch):
    spec = get_spec(name)
    assert (spec.name, spec.size_px, spec.mean) == ("timm/tiny", 160, (0.5, 0.4, 0.3))
    assert [file.hugging_face for file in spec.imagenet] == ["timm/tiny.a1_in1k"]
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert imagenet_on_disk(spec) is None


def test_it_is_built_without_a_download_and_has_its_parts(timm):
    model = build_model(ModelConfig(name="timm/tiny"), 2, 64, channels=1)
    assert timm.created == [("tiny", False, {"num_classes": 2, "in_chans": 3})]
    assert model.network.stem.conv.weight.shape == (4, 1, 3, 3)
    groups = parameter_groups(model)
    assert [len(group) for group in groups] == [3, 2, 2]  # the token goes with the stem
    assert any(p is model.network.cls_token for p in groups[0])
    x = torch.rand(2, 1, 64, 64)
    assert torch.allclose(model.head(model.features(x)), model(x))
    assert model.training


def test_near_names_come_from_timm_too(timm, refusal):
    assert "'resnetv2_50'" in refusal(lambda: get_spec("timm/resnetv2_5"), ConfigError)


def test_a_network_that_does_not_fit_is_a_one_line_error(timm, refusal):
    assert "shape (1, 4)" in refusal(lambda: build_model(ModelConfig(name="twoheads"), 2, 64), ConfigError)
    timm.create_model = lambda name, **_: (_ for _ in ()).throw(RuntimeError("bad size\nmore"))
    assert "cannot be used with 64 px images (bad size)" in refusal(lambda: build_model(ModelConfig(name="tiny"), 2, 64), ConfigError)  # fmt: skip


def test_a_patch_network_is_given_its_size(timm):
    build_model(ModelConfig(name="vit_tiny"), 2, 64)
    assert timm.created[0] == ("vit_tiny_patch16_224", False, {"num_classes": 2, "in_chans": 3, "img_size": 64})


# timm itself -------------------------------------------------------------------------------------------------------


def cached(folder, repo, network):
    """The network's weights where timm's users have them."""
    snapshot = folder / f"models--timm--{repo}" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    save_file(network.state_dict(), snapshot / "model.safetensors")


@pytest.mark.parametrize(
    ("name", "of_timm", "repo", "size"),
    [
        ("resnet18", "resnet18", "resnet18.tv_in1k", 64),
        ("densenet121", "densenet121", "densenet121.tv_in1k", 64),
        ("inception_v3", "inception_v3", "inception_v3.tv_in1k", 107),
        ("xception", "legacy_xception", "legacy_xception.tf_in1k", 71),
        ("convnext_atto", "convnext_atto", "convnext_atto.d2_in1k", 64),
        ("vit_tiny", "vit_tiny_patch16_224", "vit_tiny_patch16_224.augreg_in21k_ft_in1k", 224),
        ("timm/resnet10t", "resnet10t", "resnet10t.c3_in1k", 64),
    ],
)
def test_timms_weights_in_the_hubs_cache_give_timms_features(name, of_timm, repo, size, tmp_path, monkeypatch):
    timm = pytest.importorskip("timm")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        original = timm.create_model(of_timm, pretrained=False).eval()
        x = torch.rand(2, 3, size, size)
    cached(tmp_path, repo, original)
    cfg = ModelConfig(name=name, weights="imagenet")
    found = find_weights(cfg, offline=True)
    assert found is not None
    model, spec = build_model(cfg, 2, size, seed=5).eval(), get_spec(name)
    report = load_initial(model, spec, found, ["a", "b"])
    assert (report.missing, report.unexpected, report.mismatched, len(report.fresh)) == ((), (), (), 2)
    pretrained = timm.get_pretrained_cfg(repo)
    assert (pretrained.mean, pretrained.std) == (spec.mean, spec.std)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (pretrained.mean, pretrained.std))
    with torch.no_grad():
        features = original.forward_head(original.forward_features((x - mean) / std), pre_logits=True)
        # of their largest: inception's own initialisation gives features of 3e8 before BatchNorm has seen anything
        assert (model.features(x) - features).abs().max() < 1e-5 * features.abs().max()


def test_positions_go_to_another_grid_as_timm_takes_them_there(tmp_path):
    layers = pytest.importorskip("timm.layers")
    old = torch.randn(1, 1 + 14 * 14, 8)
    new = _resized_grid(old, torch.Size((1, 1 + 6 * 6, 8)))
    assert new is not None
    assert torch.allclose(new, layers.resample_abs_pos_embed(old, [6, 6], num_prefix_tokens=1), atol=1e-5)


def test_no_part_of_the_image_is_dropped_silently(refusal):
    pytest.importorskip("timm")
    name = "timm/vit_tiny_patch16_224"
    assert "Choose --size 96" in refusal(lambda: build_model(ModelConfig(name=name), 2, 100), ConfigError)


def test_a_network_of_timm_with_two_heads_is_refused(refusal):
    pytest.importorskip("timm")
    name = "timm/deit_tiny_distilled_patch16_224"
    assert "one linear layer" in refusal(lambda: build_model(ModelConfig(name=name), 2, 224), ConfigError)


@pytest.mark.parametrize(
    "name",
    ["timm/resnet10t", "timm/swin_tiny_patch4_window7_224", pytest.param("timm/vgg11", marks=pytest.mark.campaign)],
)
def test_groups_of_any_network_are_whole_and_none_is_empty(name):
    pytest.importorskip("timm")
    model = build_model(ModelConfig(name=name), 2, 64)
    groups = parameter_groups(model)
    assert sorted(id(p) for group in groups for p in group) == sorted(id(p) for p in model.parameters())
    assert all(groups) and {id(p) for p in groups[-1]} == {id(p) for p in model.head.parameters()}
