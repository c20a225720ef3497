"""Weights trained on medical images: torchxrayvision's and RadImageNet's files, built here as they are saved there."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from plainfilm.config import ModelConfig, load_config
from plainfilm.errors import ConfigError, DataError
from plainfilm.export.onnx import differences, export_onnx
from plainfilm.models.build import build_model
from plainfilm.models.find_weights import find_weights
from plainfilm.models.key_maps import numbered_children
from plainfilm.models.load_weights import _read_tensors, _scale_note
from plainfilm.runs.scaling import Scaling
from wording import lacking

XRV = (-1024.0, 1024.0)


def moved(network: nn.Module) -> nn.Module:
    """The network with statistics away from their start, in eval mode."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="module")
def xray() -> nn.Module:
    """torchxrayvision's DenseNet: torchvision's layers and names, one channel, 18 outputs."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.densenet121(num_classes=18)
        network.features.conv0 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        return moved(network)


@pytest.fixture(scope="module")
def xray_file(xray, tmp_path_factory):
    """Its state dict as the conversion writes it; later versions keep their thresholds as a buffer, some NaN."""
    path = tmp_path_factory.mktemp("weights") / "weights.pt"
    torch.save({**xray.state_dict(), "op_threshs": torch.full((18,), torch.nan)}, path)
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_a_converted_file_gives_the_features_that_its_own_library_computes(xray, xray_file, channels):
    cfg = ModelConfig(name="densenet121", weights=str(xray_file), range=XRV)
    model = build_model(cfg, 2, 64, channels=channels).eval()
    report = model.initial_weights["report"]
    assert report["unexpected"] == ["op_threshs"] and report["missing"] == report["mismatched"] == []
    assert sorted(report["fresh"]) == ["classifier.bias", "classifier.weight"]
    assert report["loaded"] == sum(not name.startswith("classifier") for name in xray.state_dict())
    grey = torch.randint(0, 256, (3, 1, 64, 64), generator=torch.Generator().manual_seed(1)) / 255
    with torch.no_grad():
        expected = xray.features(grey * 2048 - 1024).relu().mean((2, 3))
        found = model.features(grey.expand(-1, channels, -1, -1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert float(expected.std()) > 0.1


def test_the_exported_network_scales_as_the_trained_one(tmp_path):
    path = tmp_path / "weights.safetensors"
    state = build_model(ModelConfig(name="compact"), 2, 32, seed=3, channels=1).network.state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    model = build_model(ModelConfig(name="compact", weights=str(path), range=XRV), 2, 32, channels=1).eval()
    assert model.std.item() == 1 / 2048
    pixels = np.random.default_rng(0).integers(0, 256, (8, 1, 32, 32), dtype=np.uint8)
    with torch.no_grad():
        logits = model(torch.from_numpy(pixels).float() / 255)
        model.head.weight.mul_(3 / logits.abs().max())  # logits of -3 to 3, as a trained head gives
    apart = differences(model, Scaling(), export_onnx(model, Scaling(), (1, 32, 32)), pixels)
    assert max(apart["logits"], apart["probs"]) < 1e-4


@pytest.mark.parametrize(("std", "noted"), [(1 / 2048, False), (0.5, True), (0.225, True)])
def test_thresholds_without_the_range_are_noted(std, noted):
    model = SimpleNamespace(std=torch.full((1, 3, 1, 1), std))
    assert bool(_scale_note({"op_threshs": torch.zeros(18)}, model)) == noted
    assert _scale_note({"conv1.weight": torch.zeros(1)}, model) == []


@pytest.fixture
def whole_model(tmp_path, monkeypatch):
    """whole_model(package): a file of torch.save(model) whose class is of `package`, which is not there any more."""

    def write(package: str):
        module = ModuleType(package)
        kind = type("DenseNet", (nn.Linear,), {"__module__": package})
        module.DenseNet = kind
        path = tmp_path / "nih.pt"
        with monkeypatch.context() as there:
            there.setitem(sys.modules, package.partition(".")[0], ModuleType(package.partition(".")[0]))
            there.setitem(sys.modules, package, module)
            torch.save(kind(2, 2), path)
        return path

    return write


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ("torchxrayvision.models", ("torchxrayvision saves whole models", "--range -1024,1024")),
        ("elsewhere.nets", ("(elsewhere.nets.DenseNet)", "it is a whole model")),
    ],
)
def test_a_whole_model_is_refused_with_the_line_that_converts_it(whole_model, refusal, package, said):
    path = whole_model(package)
    message = refusal(lambda: _read_tensors(path), DataError)
    assert lacking(message, *said, "torch.load('FILE', weights_only=False).state_dict()", "none was loaded") == []
    assert "range" not in message or package.startswith("torchxrayvision")


def as_radimagenet(network: nn.Module, **before: nn.Module) -> dict[str, torch.Tensor]:
    """The network's children as RadImageNet saves them: numbered, wrapped in `backbone.`, without the head.

    `before`: children that ours lacks, each in front of the one that it is named for.
    """
    children: list[nn.Module] = []
    for name, child in network.named_children():
        children += [before[name]] if name in before else []
        children += [child] if name not in ("fc", "classifier") else []
    wrapper = nn.Module()
    wrapper.backbone = nn.Sequential(*children)
    return wrapper.state_dict()


@pytest.mark.parametrize(
    ("name", "before"),
    [("resnet50", {}), ("densenet121", {}), ("inception_v3", {}), ("inception_v3", {"Mixed_7a": nn.Linear(2, 2)})],
    ids=["resnet50", "densenet121", "inception_v3", "inception_v3 with its auxiliary classifier"],
)
def test_numbered_children_have_their_names_by_their_place(name, before):
    settings = {"aux_logits": False, "init_weights": False} if name == "inception_v3" else {}
    with torch.device("meta"):  # names alone
        network = torchvision.models.get_model(name, weights=None, **settings)
    given = [tensor.removeprefix("backbone.") for tensor in as_radimagenet(network, **before)]
    own = {tensor for tensor in network.state_dict() if not tensor.startswith(("fc.", "classifier."))}
    ways = numbered_children(given, [child for child, _ in network.named_children()])
    found = max((set(way.values()) for way in ways), key=lambda names: len(names & own))
    assert found == own | ({"AuxLogits.weight", "AuxLogits.bias"} if before else set())


def test_a_number_beyond_the_network_has_no_name():
    assert numbered_children(["1.weight", "2.weight", "layer.weight"], ["conv", "bn"]) == [{"1.weight": "bn.weight"}]


def test_a_file_of_numbered_children_is_loaded_whole(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = moved(torchvision.models.resnet18())
    path = tmp_path / "RadImageNet.pt"
    torch.save(as_radimagenet(network), path)
    model = build_model(ModelConfig(name="resnet18", weights=str(path), range=(-1, 1)), 2, 64)
    report, own = model.initial_weights["report"], network.state_dict()
    assert report["missing"] == report["mismatched"] == report["unexpected"] == []
    body = [tensor for tensor in own if not tensor.startswith("fc.")]
    loaded = model.network.state_dict()
    assert report["loaded"] == len(body) and all(torch.equal(loaded[tensor], own[tensor]) for tensor in body)
    assert model.mean.flatten().tolist() == model.std.flatten().tolist() == [0.5] * 3


def with_range(text: object, **more: object):
    options = {"model.name": "densenet121", "model.weights": "weights.pt", "model.range": text, **more}
    return load_config(options=options).model


def test_a_range_is_read_as_it_is_typed_and_kept():
    cfg = with_range("-1024, 1024")
    assert cfg.range == XRV and cfg.mean is None
    assert cfg.statistics_of_range == ((0.5,) * 3, (1 / 2048,) * 3)
    assert with_range("0,255").statistics_of_range == ((0,) * 3, (1 / 255,) * 3)
    assert with_range([-1, 3]).statistics_of_range == ((0.25,) * 3, (0.25,) * 3)


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("1024,-1024", {}, "the first number must be below the second"),
        ("5,5", {}, "the first number must be below the second"),
        ("1024", {}, "model.range"),
        ("-1,0,1", {}, "model.range"),
        ("low,high", {}, "model.range.0: Input should be a valid number"),
        ("nan,1", {}, "model.range.0: Input should be a finite number"),
        ("-1,1", {"model.mean": 0.2}, "two ways to say the same"),
        ("-1,1", {"model.standardise": True}, "standardise takes no range"),
        ("-1,1", {"model.weights": "imagenet"}, "ImageNet's weights state theirs"),
        ("-1,1", {"model.weights": "none"}, "there are no weights"),
    ],
)
def test_a_range_that_says_nothing_is_one_line(refusal, text, more, said):
    assert said in refusal(lambda: with_range(text, **more), ConfigError)


def test_a_run_states_its_own(tmp_path, refusal):
    cfg = ModelConfig(name="compact", weights=str(tmp_path), range=(-1, 1))
    assert "states its own mean and std" in refusal(lambda: find_weights(cfg), ConfigError)
