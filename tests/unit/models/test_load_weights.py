"""Weights from any source: what fits is loaded and reported, what does not is one clear error, and no code runs."""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torchvision
from safetensors.torch import save_file

import plainfilm
from plainfilm.config import ModelConfig
from plainfilm.errors import MissingError
from plainfilm.models import build, registry
from plainfilm.models import find_weights as weight_files
from plainfilm.models.build import build_model, fresh_model
from plainfilm.models.find_weights import FoundWeights, _file_sha256, find_weights
from plainfilm.models.load_weights import _read_tensors, load_initial
from plainfilm.models.registry import MODELS
from plainfilm.models.weights_sources import WeightsFile

VOCAB = ["NORMAL", "PNEUMONIA"]


@pytest.fixture(scope="module")
def original():
    """torchvision's own resnet18 with 1,000 classes, as in its weight file; statistics away from their start."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.resnet18(num_classes=1000)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def from_file(path, name="resnet18", n=2, size=64, channels=3, seed=1):
    model = build_model(ModelConfig(name=name), n, size, seed, channels=channels)
    return model, load_initial(model, MODELS[name], FoundWeights("file", path, _file_sha256(path)), VOCAB[:n])


def normalised(x):
    mean, std = torch.tensor(registry.IMAGENET_MEAN), torch.tensor(registry.IMAGENET_STD)
    return (x - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)


def body_of(network, x):
    """torchvision's forward pass without its last layer, written out."""
    x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
    x = network.layer4(network.layer3(network.layer2(network.layer1(x))))
    return network.avgpool(x).flatten(1)


SAVERS = {
    "safetensors": lambda state, path: save_file(state, path),
    "zip": lambda state, path: torch.save(state, path),
    "legacy": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    "wrapped": lambda state, path: torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, path),
    "twice wrapped": lambda state, path: torch.save({"model": {f"module.backbone.{k}": v for k, v in state.items()}}, path),
}  # fmt: skip


@pytest.mark.parametrize("form", SAVERS)
def test_a_file_of_any_form_gives_the_features_of_the_original(form, original, tmp_path):
    path = tmp_path / "weights.any"  # the name says nothing
    SAVERS[form](original.state_dict(), path)
    model, report = from_file(path)
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(model.eval().features(x), body_of(original, normalised(x)), atol=1e-5)
    assert report.loaded == len(original.state_dict()) - 2
    assert report.fresh == ("fc.weight", "fc.bias")
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
    assert model.initial_weights == {"kind": "file", "sha256": _file_sha256(path), "report": report.as_dict()}


@pytest.mark.parametrize("channels", [1, 3])
def test_the_public_build_model_loads_what_the_config_names(channels, original, tmp_path):
    path = tmp_path / "resnet18.pth"
    torch.save(original.state_dict(), path)
    cfg = ModelConfig(name="resnet18", weights=str(path), mean=0.4, std=0.3)
    model = plainfilm.build_model(cfg, 2, 64, seed=3, channels=channels).eval()
    x = torch.rand(2, channels, 64, 64)
    with torch.no_grad():
        assert torch.allclose(model.features(x), body_of(original, (x.expand(-1, 3, -1, -1) - 0.4) / 0.3), atol=1e-5)
    assert model.initial_weights["sha256"] == _file_sha256(path) and model.initial_weights["report"]["loaded"] == 120
    fresh = fresh_model(cfg, 2, 64, seed=3, channels=channels)  # the head is the seed's
    assert torch.equal(model.head.weight, fresh.head.weight)


def test_the_public_build_model_refuses_what_train_refuses(original, tmp_path, refusal):
    gone = ModelConfig(name="resnet18", weights=str(tmp_path / "nowhere.pth"))
    assert "no such file" in refusal(lambda: plainfilm.build_model(gone, 2, 64), MissingError)
    save_file(original.state_dict(), tmp_path / "w")
    other = ModelConfig(name="resnet34", weights=str(tmp_path / "w"))
    assert "another architecture" in refusal(lambda: plainfilm.build_model(other, 2, 64))
    assert plainfilm.build_model(ModelConfig(name="resnet18"), 2, 64).initial_weights is None


@pytest.mark.parametrize(("classes", "kept"), [(VOCAB, True), (["a", "b"], False), (2, False)])
def test_the_public_build_model_keeps_a_runs_head_for_the_same_classes(classes, kept, tmp_path, monkeypatch):
    source = build_model(ModelConfig(name="compact"), 2, 32, seed=8)
    save_file({name: value.contiguous() for name, value in source.network.state_dict().items()}, tmp_path / "w")
    card = SimpleNamespace(vocab=VOCAB, mean=(0.4,) * 3, std=(0.3,) * 3, model=ModelConfig(name="compact"))
    monkeypatch.setattr(build, "find_weights", lambda *_, **__: FoundWeights("run", tmp_path / "w", "x", card))
    model = plainfilm.build_model(ModelConfig(name="compact", weights="run"), classes, 32, seed=1)
    assert torch.equal(model.head.weight, source.head.weight) is kept
    assert torch.equal(model.network.stem[0].weight, source.network.stem[0].weight)
    assert model.mean.flatten().tolist() == pytest.approx([0.4] * 3)


def test_with_the_same_number_of_classes_the_logits_are_the_originals(original, tmp_path):
    save_file(original.state_dict(), tmp_path / "w")
    model = build_model(ModelConfig(name="resnet18"), 1000, 64)
    report = load_initial(
        model, MODELS["resnet18"], FoundWeights("file", tmp_path / "w", "0"), [str(i) for i in range(1000)]
    )
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(model.eval()(x), original(normalised(x)), atol=1e-5)
    assert report.fresh == ()


def test_three_channels_are_summed_for_grey_and_grey_is_spread_over_three(original, tmp_path):
    save_file(original.state_dict(), tmp_path / "rgb")
    grey, report = from_file(tmp_path / "rgb", channels=1)
    x = torch.rand(2, 1, 64, 64)
    mean, std = sum(registry.IMAGENET_MEAN) / 3, sum(registry.IMAGENET_STD) / 3
    with torch.no_grad():
        expected = body_of(original, ((x - mean) / std).expand(-1, 3, -1, -1))
        assert torch.allclose(grey.eval().features(x), expected, atol=1e-5)
    assert any("summed over its three channels" in note for note in report.notes)
    save_file({k: v.contiguous() for k, v in grey.network.state_dict().items()}, tmp_path / "grey")
    colour, report = from_file(tmp_path / "grey", channels=3)
    with torch.no_grad():
        kernel = colour.network.conv1.weight
        assert torch.allclose(kernel.sum(1, keepdim=True), grey.network.conv1.weight, atol=1e-6)
        assert torch.equal(kernel[:, 0], kernel[:, 2])
    assert any("equal thirds" in note for note in report.notes)


def test_old_densenet_names_are_understood(tmp_path):
    network = torchvision.models.densenet121(num_classes=1000)
    old = {
        name.replace(".norm1.", ".norm.1.").replace(".norm2.", ".norm.2.").replace(".conv1.", ".conv.1.").replace(".conv2.", ".conv.2."): tensor
        for name, tensor in network.state_dict().items()
    }  # fmt: skip
    assert old.keys() != network.state_dict().keys()
    torch.save(old, tmp_path / "w")
    _, report = from_file(tmp_path / "w", name="densenet121")
    assert (report.missing, report.unexpected) == ((), ())


def test_the_papers_convolutions_go_to_another_size_and_the_dense_layers_are_initialised_again(tmp_path):
    old = build_model(ModelConfig(), 2, 64, seed=9)
    save_file({k: v.contiguous() for k, v in old.network.state_dict().items()}, tmp_path / "w")
    model, report = from_file(tmp_path / "w", name="paper", size=48)
    assert torch.equal(model.network.features[0].weight, old.network.features[0].weight)
    untouched = build_model(ModelConfig(), 2, 48, seed=1)
    assert torch.equal(model.network.head[4].weight, untouched.network.head[4].weight)
    assert (report.loaded, len(report.fresh)) == (6, 4)
    assert any("another image size" in note for note in report.notes)


def test_position_embeddings_keep_what_a_grid_of_another_size_can_keep():
    from plainfilm.models.load_weights import _resized_grid

    ramp = torch.cat((torch.full((1, 1, 1), 7.0), torch.arange(4.0).repeat_interleave(4).view(1, 16, 1)), dim=1)
    new = _resized_grid(ramp, torch.Size((1, 65, 1)))
    assert new is not None and new.shape == (1, 65, 1)
    assert new[0, 0, 0] == 7.0  # the class token
    grid = new[0, 1:, 0].view(8, 8)
    assert torch.allclose(grid, grid[:, :1].expand(8, 8), atol=1e-5)  # still the same along rows
    assert (grid[1:, 0] > grid[:-1, 0] - 1e-5).all()  # still rising down
    assert _resized_grid(ramp, torch.Size((1, 65, 2))) is None


# what is refused ---------------------------------------------------------------------------------------------------


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def bomb_zip(path, target):
    torch.save({"state_dict": Bomb(target)}, path)


def bomb_raw(path, target):
    path.write_bytes(pickle.dumps({"conv1.weight": Bomb(target)}, protocol=2))


@pytest.mark.parametrize("make", [bomb_zip, bomb_raw])
def test_a_pickle_with_code_is_refused_and_not_run(make, tmp_path, refusal):
    path, target = tmp_path / "model.safetensors", tmp_path / "was-run"
    make(path, target)
    message = refusal(lambda: _read_tensors(path))
    assert not target.exists()
    assert "could run code" in message


def test_the_bomb_would_go_off(tmp_path):
    """Without this, the test above could pass with a dud."""
    bomb_raw(tmp_path / "w", tmp_path / "was-run")
    pickle.loads((tmp_path / "w").read_bytes())  # noqa: S301 - ours
    assert (tmp_path / "was-run").exists()


def test_a_file_without_weights_is_one_clear_error(tmp_path, original, refusal):
    save_file(original.state_dict(), tmp_path / "good")
    torch.save(original.state_dict(), tmp_path / "good.pth")
    cases = {
        "empty": (b"", "is empty"),
        "page": (b"<!DOCTYPE html><html>", "begins with b'<!DOCTYPE"),
        "image": (b"\x89PNG\r\n\x1a\n" + bytes(99), "not a weights file"),
        "short safetensors": ((tmp_path / "good").read_bytes()[:5000], "damaged safetensors"),
        "short zip": ((tmp_path / "good.pth").read_bytes()[:5000], "damaged"),
        "other zip": (None, "damaged"),
        "pickled text": (pickle.dumps("hello"), "objects besides tensors"),
        "pickled list": (pickle.dumps([1, 2], protocol=2), "damaged"),
    }
    for name, (content, says) in cases.items():
        path = tmp_path / name
        if content is None:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("a.txt", "b")
        else:
            path.write_bytes(content)
        assert any(word in refusal(lambda path=path: _read_tensors(path)) for word in says.split("|")), name


@pytest.mark.parametrize(("made", "wanted"), [("resnet34", "resnet18"), ("resnet18", "resnet34"), ("mobilenet_v3_large", "resnet18"), ("resnet50", "resnet18")])  # fmt: skip
def test_weights_of_another_architecture_are_refused_with_counts(made, wanted, tmp_path, refusal):
    save_file(torchvision.models.get_model(made, num_classes=1000).state_dict(), tmp_path / "w")
    message = refusal(lambda: from_file(tmp_path / "w", name=wanted))
    assert "another architecture" in message
    body = len([k for k in torchvision.models.get_model(wanted).state_dict() if "num_batches" not in k]) - 2
    assert f"of the network's {body} tensors fit" in message


def test_a_head_alone_is_refused(tmp_path, refusal):
    save_file({"fc.weight": torch.zeros(2, 512), "fc.bias": torch.zeros(2)}, tmp_path / "w")
    assert "0 of the network's 100 tensors fit" in refusal(lambda: from_file(tmp_path / "w"))


def test_values_that_are_not_finite_are_refused(original, tmp_path, refusal):
    state = {k: v.clone() for k, v in original.state_dict().items()}
    state["layer2.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    save_file(state, tmp_path / "w")
    assert "layer2.0.conv1.weight" in refusal(lambda: from_file(tmp_path / "w"))


def test_one_wrong_shape_and_one_stranger_are_reported(original, tmp_path):
    state = {**original.state_dict(), "projector.weight": torch.zeros(3), "bn1.bias": torch.zeros(3)}
    del state["bn1.weight"]
    save_file(state, tmp_path / "w")
    _, report = from_file(tmp_path / "w")
    assert report.mismatched == ("bn1.bias",)
    assert report.missing == ("bn1.weight",)
    assert report.unexpected == ("projector.weight",)


def test_imagenet_weights_from_either_cache_load(original, tmp_path, monkeypatch):
    """The files are where torchvision's and timm's users have them; names and keys are the libraries'."""
    hub = tmp_path / "torch" / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    torch.save(original.state_dict(), hub / "new.pth")
    name = f"resnet18-{_file_sha256(hub / 'new.pth')[:8]}.pth"
    (hub / "new.pth").rename(hub / name)
    spec = replace(MODELS["resnet18"], imagenet=(WeightsFile(1, name), *MODELS["resnet18"].imagenet[1:]))
    monkeypatch.setitem(registry.MODELS, "resnet18", spec)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    cfg = ModelConfig(name="resnet18", weights="imagenet")
    for form in ("torch hub", "hugging face"):
        found = find_weights(cfg, offline=True)
        assert found is not None and found.kind == "imagenet"
        assert ("hub/checkpoints" in found.path.as_posix()) == (form == "torch hub")
        model = build_model(cfg, 2, 64)
        assert load_initial(model, spec, found, VOCAB).loaded == 120
        x = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            assert torch.allclose(model.eval().features(x), body_of(original, normalised(x)), atol=1e-5)
        (hub / name).unlink(missing_ok=True)
        snapshot = tmp_path / "hf" / "hub" / "models--timm--resnet18.tv_in1k" / "snapshots" / "abc"
        snapshot.mkdir(parents=True, exist_ok=True)
        save_file(original.state_dict(), snapshot / "model.safetensors")
    assert weight_files.imagenet_on_disk(spec) is not None
