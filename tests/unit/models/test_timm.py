"""Our side of the contract with timm, on a stand-in with the attributes that timm documents; and timm itself where it is
installed (the parametrised tests of test_build and test_registry)."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from plainfilm.config import ModelConfig
from plainfilm.errors import ConfigError
from plainfilm.models.build import build_model, parameter_groups
from plainfilm.models.registry import get_spec
from plainfilm.models.weight_files import at_hand


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
    module.calls = []

    def create_model(name, pretrained, **options):
        module.calls.append((name, pretrained, options))
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
    assert at_hand(spec) is None


def test_it_is_built_without_a_download_and_has_its_parts(timm):
    model = build_model(ModelConfig(name="timm/tiny"), 2, 64, channels=1)
    assert timm.calls == [("tiny", False, {"num_classes": 2, "in_chans": 3})]
    assert model.network.stem.conv.weight.shape == (4, 1, 3, 3)
    groups = parameter_groups(model)
    assert [len(group) for group in groups] == [3, 2, 2]  # the token goes with the stem
    assert any(p is model.network.cls_token for p in groups[0])
    x = torch.rand(2, 1, 64, 64)
    assert torch.allclose(model.head(model.features(x)), model(x))
    assert model.training


def test_near_names_come_from_timm_too(timm, refusal):
    assert "'resnetv2_50'" in refusal(lambda: get_spec("timm/resnetv2_5"), ConfigError)


def test_a_network_that_does_not_fit_is_one_line(timm, refusal):
    assert "shape (1, 4)" in refusal(lambda: build_model(ModelConfig(name="twoheads"), 2, 64), ConfigError)
    timm.create_model = lambda name, **_: (_ for _ in ()).throw(RuntimeError("bad size\nmore"))
    assert "cannot be used with 64 px pictures (bad size)" in refusal(lambda: build_model(ModelConfig(name="tiny"), 2, 64), ConfigError)  # fmt: skip


def test_a_patch_network_is_told_its_size(timm):
    build_model(ModelConfig(name="vit_tiny"), 2, 64)
    assert timm.calls[0] == ("vit_tiny_patch16_224", False, {"num_classes": 2, "in_chans": 3, "img_size": 64})
