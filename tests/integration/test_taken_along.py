"""A trained run taken along: its bundle says what evaluate said, and needs no more than requirements-predict.txt."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pandas as pd
import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.config import load_config
from plainfilm.data.synthetic.phantom import write_phantom
from plainfilm.pipeline.evaluate import evaluate_run
from plainfilm.pipeline.train import train_run

ROOT = Path(__file__).parents[2]
LINES = [
    line
    for line in (ROOT / "requirements-predict.txt").read_text(encoding="utf-8").splitlines()
    if line and line[0] != "#"
]


def test_the_light_set_is_part_of_the_whole_and_holds_no_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {str(Requirement(line)) for line in LINES} <= {str(Requirement(one)) for one in project["dependencies"]}
    names = {Requirement(line).name for line in LINES}
    assert {"onnxruntime", "numpy", "pillow"} <= names
    assert not names & {"torch", "torchvision", "fastai", "timm", "pandas", "scipy", "onnx"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, a run on them whose test set was opened, and its bundle."""
    folder = tmp_path_factory.mktemp("taken")
    write_phantom(folder / "pictures", images=400, size_px=48, seed=2)
    options = {
        "data.path": str(folder / "pictures"), "data.audit": False, "train.size_px": 32, "train.epochs": 2, "train.lr": 3e-3,
        "train.keep": "last", "model.filters": [8, 16], "model.kernel": 3, "model.dense": 16, "evaluate.n_boot": 100,
    }  # fmt: skip
    train_run(load_config(options=options), folder / "run", device="cpu")
    evaluate_run(folder / "run", split="test")
    done = CliRunner().invoke(app, ["export", str(folder / "run"), "--out", str(folder / "bundle"), "-q"])
    assert done.exit_code == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("split", ["valid", "test"])
def test_predictions_equal_those_of_evaluate(trained: Path, tmp_path: Path, split: str) -> None:
    saved = pd.read_csv(trained / "run" / "predictions" / f"{split}.csv")
    listed = "".join(f"{path}\n" for path in saved["path"]).encode()
    done = CliRunner().invoke(
        app, ["predict", str(trained / "bundle"), "-", "--out", str(tmp_path / "rows.csv")], input=listed
    )
    assert done.exit_code == 0, done.stderr
    found = pd.read_csv(tmp_path / "rows.csv", keep_default_na=False)
    assert list(found["path"]) == list(saved["path"]) and len(found) >= 60
    for name in ("prob_NORMAL", "prob_PNEUMONIA"):
        assert (found[name] - saved[name]).abs().max() < 1e-5
        assert saved[name].std() > 0.01
    marked = found["flag"].str.contains("out of distribution")
    sharp = (saved["unlike"] - 1).abs() > 1e-4  # the limit itself is one of these images
    assert (marked == (saved["unlike"] > 1))[sharp].all()


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of a fresh environment with the light set; skipped where no index can be reached."""
    folder = tmp_path_factory.mktemp("light") / "venv"
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    command = [
        python,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--quiet",
        "--retries",
        "1",
        "--timeout",
        "10",
    ]
    done = subprocess.run([*command, *LINES], capture_output=True, text=True, timeout=280)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no message"])[-1]
        pytest.skip(f"pip cannot install requirements-predict.txt here: {why}")
    return python


@pytest.mark.slow
@pytest.mark.campaign  # it installs: .ci/run asks for it by name
def test_a_bundle_predicts_in_a_fresh_environment(light: Path, trained: Path, tmp_path: Path) -> None:
    bundle, pictures = trained / "bundle", trained / "pictures" / "NORMAL"
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    rows = {}
    for python in (light, Path(sys.executable)):
        done = subprocess.run(
            [python, "-m", "plainfilm", "predict", bundle, pictures, "-q"],
            capture_output=True,
            text=True,
            env=env,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        rows[python] = done.stdout
    assert rows[light] == rows[Path(sys.executable)] and rows[light].count("\n") == 201
    done = subprocess.run(
        [light, "-m", "plainfilm", "predict", bundle, pictures, "--heatmaps", tmp_path / "heat"], capture_output=True, text=True,
        env=env, timeout=120,
    )  # fmt: skip
    assert done.returncode == 3 and re.search(r"Heat maps need torch.*pip install", done.stderr)
    done = subprocess.run([light, "-c", "import torch"], capture_output=True, check=False)
    assert done.returncode == 1  # the environment is as bare as it says
