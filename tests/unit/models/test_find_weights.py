"""Where weights are searched for, and what is reported at once when they are missing."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.config import ModelConfig
from plainfilm.errors import ConfigError, DataError, MissingError
from plainfilm.models import find_weights as weight_files
from plainfilm.models.find_weights import find_again, find_weights, imagenet_on_disk, with_statistics
from plainfilm.models.registry import MODELS
from plainfilm.models.weights_sources import WeightsFile

RESNET = ModelConfig(name="resnet18", weights="imagenet")


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "XDG_CACHE_HOME", "HTTPS_PROXY", "https_proxy"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


def place(path: Path, content: bytes = b"weights") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("variable", "below"),
    [("TORCH_HOME", "hub/checkpoints/resnet18-f37072fd.pth"),
     ("XDG_CACHE_HOME", "torch/hub/checkpoints/resnet18-f37072fd.pth"),
     ("HF_HOME", "hub/models--timm--resnet18.tv_in1k/snapshots/1/model.safetensors"),
     ("HF_HUB_CACHE", "models--timm--resnet18.tv_in1k/snapshots/1/pytorch_model.bin"),
     ("XDG_CACHE_HOME", "huggingface/hub/models--timm--resnet18.tv_in1k/snapshots/1/model.safetensors")],
)  # fmt: skip
def test_the_places_of_both_libraries_are_searched(variable, below, tmp_path, monkeypatch):
    if variable == "XDG_CACHE_HOME":
        monkeypatch.delenv("TORCH_HOME")
        monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv(variable, str(tmp_path / "own"))
    assert imagenet_on_disk(MODELS["resnet18"]) is None
    path = place(tmp_path / "own" / below)
    assert imagenet_on_disk(MODELS["resnet18"]) == path
    row = next(r for r in json.loads(CliRunner().invoke(app, ["models", "--json"]).stdout)["models"] if r["name"] == "resnet18")  # fmt: skip
    assert row["imagenet"] == "here"


def test_the_snapshot_of_the_main_branch_comes_first(tmp_path):
    root = tmp_path / "hf" / "hub" / "models--timm--resnet18.tv_in1k"
    place(root / "snapshots" / "aaa" / "model.safetensors")
    main = place(root / "snapshots" / "bbb" / "model.safetensors")
    place(root / "refs" / "main", b"bbb\n")
    assert imagenet_on_disk(MODELS["resnet18"]) == main


@pytest.mark.parametrize("how", ["option", "variable"])
def test_offline_says_at_once_what_is_missing_and_both_ways_to_get_it(how, monkeypatch, refusal):
    def forbidden(*_):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "create_connection", forbidden)
    if how == "variable":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = refusal(lambda: find_weights(RESNET, offline=how == "option"), MissingError)
    for word in ("resnet18-f37072fd.pth", "https://download.pytorch.org/models/", "--weights FILE", "checkpoints"):
        assert word in message


def test_an_unreachable_server_costs_one_second(monkeypatch, refusal):
    def silence(*_):
        time.sleep(4)
        raise OSError

    monkeypatch.setattr(socket, "create_connection", silence)
    heard = []
    started = time.perf_counter()
    message = refusal(
        lambda: find_weights(RESNET, on_event=lambda what, facts: heard.append((what, facts))), MissingError
    )
    assert time.perf_counter() - started < 2
    assert "not reached within 1 s" in message
    assert heard == [("download", {"host": "download.pytorch.org", "name": "resnet18-f37072fd.pth", "mb": 44.7})]


def test_the_command_ends_with_3_before_torch_is_imported(tmp_path):
    code = (
        "import sys, time\nfrom plainfilm.cli import app\nt = time.perf_counter()\ntry:\n"
        "    app(['train', sys.argv[1], '--model', 'resnet18', '--weights', 'imagenet', '--offline', '--out', sys.argv[2]])\n"
        "except SystemExit as end:\n    assert end.code == 3, end.code\n"
        "assert time.perf_counter() - t < 8\nassert 'torch' not in sys.modules and 'timm' not in sys.modules\n"
    )
    (tmp_path / "data").mkdir()
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "data"), str(tmp_path / "out")], capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "out").exists()
    assert len([line for line in done.stderr.splitlines() if line]) == 1


def test_a_file_whose_hash_is_not_its_names_is_damaged(tmp_path, refusal):
    place(tmp_path / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth")
    assert "is damaged" in refusal(lambda: find_weights(RESNET, offline=True))


def test_a_blob_of_the_hub_whose_hash_is_not_its_name_is_damaged(tmp_path, refusal):
    root = tmp_path / "hf" / "hub" / "models--timm--resnet18.tv_in1k"
    blob = place(root / "blobs" / ("0" * 64))
    link = root / "snapshots" / "a" / "model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    assert "is damaged" in refusal(lambda: find_weights(RESNET, offline=True))


def test_networks_from_scratch_have_no_imagenet_weights(refusal):
    for name in ("paper", "paper-gap", "compact"):
        message = refusal(lambda name=name: find_weights(ModelConfig(name=name, weights="imagenet")), ConfigError)
        assert "resnet18" in message


def test_none_gives_no_weights():
    assert find_weights(ModelConfig()) is None
    assert with_statistics(ModelConfig(), None) == ModelConfig()


def test_a_missing_path_and_a_folder_that_is_not_a_run(tmp_path, refusal):
    assert "no such file" in refusal(lambda: find_weights(ModelConfig(weights=str(tmp_path / "no.pth"))), MissingError)
    assert "no card.json" in refusal(lambda: find_weights(ModelConfig(weights=str(tmp_path))))


def test_statistics_come_from_the_option_then_from_the_registry(tmp_path):
    path = str(place(tmp_path / "w"))
    cfg = ModelConfig(name="resnet18", weights=path)
    filled = with_statistics(cfg, find_weights(cfg))
    assert (filled.mean, filled.std) == (MODELS["resnet18"].mean, MODELS["resnet18"].std)
    own = cfg.model_copy(update={"mean": (0.1, 0.1, 0.1)})
    assert with_statistics(own, find_weights(own)).mean == (0.1, 0.1, 0.1)


def test_a_resume_refuses_other_weights(tmp_path, refusal):
    path = place(tmp_path / "w")
    cfg = ModelConfig(name="resnet18", weights=str(path))
    initial = {"kind": "file", "sha256": find_weights(cfg).sha256}
    assert find_again(cfg, initial) is not None
    assert find_again(cfg, None) is None
    path.write_bytes(b"others")
    assert "weights it started from has changed" in refusal(lambda: find_again(cfg, initial))


def test_the_download_goes_into_torch_hubs_folder(tmp_path, monkeypatch):
    import torch

    def fetch(url, target, prefix, progress):
        assert url == MODELS["resnet18"].imagenet[0].url and prefix == "f37072fd"
        Path(target).write_bytes(b"x")

    monkeypatch.setattr(weight_files, "_reachable", lambda host: True)
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    with pytest.raises(DataError, match="is damaged"):  # the hash is checked again
        find_weights(RESNET)
    assert (tmp_path / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth").is_file()


def test_a_broken_download_is_one_line(monkeypatch, refusal):
    import torch

    def fail(*_, **__):
        raise OSError("HTTP Error 403: Forbidden")

    monkeypatch.setattr(weight_files, "_reachable", lambda host: True)
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    assert "403" in refusal(lambda: find_weights(RESNET), MissingError)


def test_the_size_of_an_unregistered_networks_file_comes_from_the_hub(tmp_path, monkeypatch, refusal):
    import huggingface_hub

    asked: list[tuple[str, float]] = []

    def metadata(url, *, timeout):
        asked.append((url, timeout))
        return SimpleNamespace(size=64_100_000)

    def fetch(*_, **__):
        raise OSError("stop here")

    spec = replace(MODELS["resnet18"], name="timm/x", imagenet=(WeightsFile(0.0, hugging_face="timm/x.in1k"),))
    monkeypatch.setattr(weight_files, "check_options", lambda cfg: spec)
    monkeypatch.setattr(weight_files, "_reachable", lambda host: True)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", metadata)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    heard = []
    refusal(lambda: find_weights(RESNET, on_event=lambda what, facts: heard.append(facts)), MissingError)
    assert heard == [{"host": "huggingface.co", "name": "timm/x.in1k/model.safetensors", "mb": 64.1}]
    assert asked == [("https://huggingface.co/timm/x.in1k/resolve/main/model.safetensors", 1.0)]
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", fetch)
    refusal(lambda: find_weights(RESNET, on_event=lambda what, facts: heard.append(facts)), MissingError)
    assert heard[1]["mb"] == 0.0
