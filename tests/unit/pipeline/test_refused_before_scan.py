"""What this machine cannot do is refused before an image is read: a GPU, bf16, weights and networks that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.models import registry
from plainfilm.pipeline import prepare as preparing
from plainfilm.pipeline import weights_overlap
from plainfilm.train.machine import precision


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder whose scan fails the test."""

    def read(*_: object, **__: object) -> None:
        pytest.fail("the images were read first")

    monkeypatch.setattr(preparing, "build_table", read)
    monkeypatch.setattr(weights_overlap, "prepare", read)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "bf16_support", lambda device: (False, "no bfloat16 here"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("command", ["train", "lr-find"])
@pytest.mark.parametrize(
    ("wish", "code", "said"),
    [
        (["--device", "cuda"], 3, "cuda"),
        (["--precision", "bf16"], 3, "--precision bf16: no bfloat16 here"),
        (["--model", "resnet18", "--weights", "imagenet"], 3, "The ImageNet weights of 'resnet18'"),
        (["--weights", "nowhere.pth"], 3, "there is no such file or run folder"),
        (["--model", "convnext_atto", "--size", "64"], 3, "needs timm, which is not installed"),
        (["--model", "resnet19"], 2, "Did you mean"),
    ],
)
def test_impossible_wishes_are_refused_before_the_scan(
    unread: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, wish: list[str], code: int, said: str
) -> None:
    if "timm" in said:
        there = registry.importlib.util.find_spec
        monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None if name == "timm" else there(name))
    done = CliRunner().invoke(app, [command, str(unread), "--out", str(tmp_path / "out"), *wish])
    assert done.exit_code == code, done.output
    assert said in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
