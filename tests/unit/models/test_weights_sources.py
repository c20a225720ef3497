"""ImageNet weights that come as a package: found without importing it, refused when changed, each tensor in its place."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import torch

from plainfilm.config import ModelConfig
from plainfilm.errors import MissingError
from plainfilm.models import find_weights as weight_files
from plainfilm.models.build import build_model
from plainfilm.models.find_weights import FoundWeights, find_weights
from plainfilm.models.key_maps import timm_efficientnet
from plainfilm.models.load_weights import load_initial
from plainfilm.models.registry import MODELS
from plainfilm.models.weights_sources import WeightsPackage
from plainfilm.pipeline.housekeeping import list_models

LITE = [name for name in MODELS if name.startswith("efficientnet_lite")]


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a package with one file on sys.path, as pip lays it down; importing it would fail."""

    def install(package: WeightsPackage, content: bytes, *, version: str = "", listed: bool = True) -> Path:
        site = tmp_path / "site"
        code = site / package.name.replace("-", "_")
        (code / "models").mkdir(parents=True)
        (code / "__init__.py").write_text("raise AssertionError('the package was imported')\n")
        path = code / "models" / package.file
        path.write_bytes(content)
        info = site / f"{code.name}-{version or package.version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package.name}\nVersion: {version or package.version}\n"
        )
        (info / "RECORD").write_text(f"{path.relative_to(site).as_posix()},,\n" if listed else "")
        monkeypatch.syspath_prepend(str(site))
        return path

    return install


@pytest.fixture
def spec(monkeypatch):
    """efficientnet_lite0 whose package nobody has, with the hash of b'weights'."""
    digest = hashlib.sha256(b"weights").hexdigest()
    package = WeightsPackage("nobody-has-this-model", "0.1.0", f"lite-{digest[:8]}.pth", digest)
    changed = replace(MODELS["efficientnet_lite0"], package=package)
    monkeypatch.setitem(MODELS, "efficientnet_lite0", changed)
    return changed


CFG = ModelConfig(name="efficientnet_lite0", weights="imagenet")


def test_the_installed_package_is_found_and_not_imported(spec, install):
    assert spec.package.path() is None
    path = install(spec.package, b"weights")
    found = find_weights(CFG, offline=True)
    assert found == FoundWeights("imagenet", path, spec.package.sha256)
    assert path.parent.parent.name not in sys.modules
    row = next(row for row in list_models().models if row.name == "efficientnet_lite0")
    assert (row.imagenet, row.in_package, row.package) == ("here", True, "nobody-has-this-model")


def test_the_package_comes_before_the_caches(spec, install, tmp_path):
    hub = tmp_path / "hf" / "hub" / "models--timm--tf_efficientnet_lite0.in1k" / "snapshots" / "1" / "model.safetensors"
    hub.parent.mkdir(parents=True)
    hub.write_bytes(b"others")
    assert find_weights(CFG, offline=True).path == hub
    assert find_weights(CFG, offline=True).path != install(spec.package, b"weights")
    assert find_weights(CFG, offline=True).sha256 == spec.package.sha256


def test_changed_bytes_another_version_and_a_lost_file_are_one_line_each(spec, install, refusal):
    path = install(spec.package, b"weight!")
    assert f"{path} is damaged" in refusal(lambda: find_weights(CFG, offline=True))
    path.unlink()
    message = refusal(lambda: find_weights(CFG, offline=True))
    assert "nobody-has-this-model 0.1.0 is expected, found none of its lite-" in message
    assert "pip install nobody-has-this-model==0.1.0 --force-reinstall" in message


@pytest.mark.parametrize(("version", "listed", "found"), [("0.2.0", True, "version 0.2.0"), ("", False, "none of its")])
def test_a_package_that_is_not_the_pinned_one(version, listed, found, spec, install, refusal):
    install(spec.package, b"weights", version=version, listed=listed)
    assert f"found {found}" in refusal(lambda: find_weights(CFG, offline=True))
    row = next(row for row in list_models().models if row.name == "efficientnet_lite0")
    assert (row.imagenet, row.in_package) == ("can be fetched", False)


def test_missing_weights_name_the_package_first(spec, refusal):
    message = refusal(lambda: find_weights(CFG, offline=True), MissingError)
    assert "Get them: pip install nobody-has-this-model==0.1.0; or hf download" in message


# Names of tensors --------------------------------------------------------------------------------------------------


def as_published(names: list[str]) -> dict[str, str]:
    """timm's name -> efficientnet_pytorch's, by position: both list a block's layers in the order of computation."""
    blocks = list(dict.fromkeys(".".join(name.split(".")[:3]) for name in names if name.startswith("blocks.")))
    outside = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    new = {}
    for name in names:
        block = ".".join(name.split(".")[:3])
        if block not in blocks:
            layer, rest = name.split(".", 1)
            new[name] = f"{outside[layer]}.{rest}"
            continue
        layers = list(dict.fromkeys(n.split(".")[3] for n in names if n.startswith(f"{block}.")))
        whole = ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
        theirs = dict(zip(layers, whole[-len(layers) :], strict=True))
        new[name] = f"_blocks.{blocks.index(block)}.{theirs[name.split('.')[3]]}.{name.split('.', 4)[4]}"
    return new


@pytest.mark.parametrize("name", LITE)
def test_every_tensor_has_its_name(name):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        names = list(timm.create_model(MODELS[name].builder, pretrained=False).state_dict())
    published = as_published(names)
    assert timm_efficientnet(published.values(), names) == {theirs: ours for ours, theirs in published.items()}


def test_names_of_other_networks_are_left_alone():
    assert timm_efficientnet(["layer1.0.conv1.weight", "_blocks.99._bn1.weight", "_fcs.weight"], ["conv1.weight"]) == {}


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_in_the_published_names_gives_timms_features(channels, tmp_path):
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        original = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
        for module in original.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        x = torch.rand(2, 1, 65, 65)  # odd: the padding depends on the size
    published = as_published(list(original.state_dict()))
    path = tmp_path / "lite.pth"
    torch.save({published[name]: value for name, value in original.state_dict().items()}, path)
    cfg, spec = ModelConfig(name="efficientnet_lite0"), MODELS["efficientnet_lite0"]
    model = build_model(cfg, 2, 65, seed=5, channels=channels).eval()
    report = load_initial(model, spec, FoundWeights("file", path, ""), ["a", "b"])
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
    assert report.fresh == ("classifier.weight", "classifier.bias")
    with torch.no_grad():
        theirs = original.forward_head(original.forward_features((x.expand(-1, 3, -1, -1) - 0.5) / 0.5), pre_logits=True)  # fmt: skip
        ours = model.features(x.expand(-1, channels, -1, -1))
    assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4)


# The packages themselves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LITE)
def test_the_real_package_fills_every_tensor(name):
    spec = MODELS[name]
    try:
        distribution(spec.package.name)
    except PackageNotFoundError:
        pytest.skip(f"{spec.package.name} is not installed; pip install '.[imagenet]'")
    found = find_weights(ModelConfig(name=name, weights="imagenet"), offline=True)
    assert found.sha256 == spec.package.sha256 == weight_files._file_sha256(found.path)
    model = build_model(ModelConfig(name=name), 2, 64)
    report = load_initial(model, spec, found, ["a", "b"])
    assert (report.missing, report.unexpected, report.mismatched, len(report.fresh)) == ((), (), (), 2)
