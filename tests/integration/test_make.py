"""make hands its variables on as single words, and finds the newest run; plainfilm itself is a script that says its words."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ODD = ("my films", "it's mine", 'say "x"', "a $HOME b", "$(touch gone)", "a,b (c)")
pytestmark = pytest.mark.skipif(sys.platform == "win32" or not shutil.which("make"), reason="needs make and a shell")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with our Makefile, where setup is done and the command only writes down its words."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shim = tmp_path / ".venv" / "bin" / "plainfilm"
    shim.parent.mkdir(parents=True)
    shim.write_text(
        f"#!{sys.executable}\nimport json, sys\nopen('words', 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
    )
    shim.chmod(0o755)
    (tmp_path / ".venv" / ".ready").touch()
    return tmp_path


def make(place: Path, *words: str, code: int = 0) -> tuple[list[list[str]], str]:
    """The words of each command that make runs, and what it says on stderr."""
    (place / "words").unlink(missing_ok=True)
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "DATA", "CONFIG", "RUN", "ARGS")}
    done = subprocess.run(["make", *words], cwd=place, env=env, capture_output=True, text=True, check=False)  # noqa: S607
    assert done.returncode == code, done.stderr
    said = (place / "words").read_text().splitlines() if (place / "words").is_file() else []
    return [json.loads(line) for line in said], done.stderr


def finished(root: Path, at: int, status: str = "done") -> None:
    root.mkdir(parents=True)
    (root / "status.json").write_text(json.dumps({"status": status}))
    os.utime(root / "status.json", (at, at))


@pytest.mark.parametrize("odd", ODD)
def test_data_and_config_are_single_words(place: Path, odd: str):
    variables = [f"DATA={odd}", f"CONFIG={odd}.yaml", "ARGS=--epochs 5"]
    assert make(place, "lr-find", *variables)[0] == [["lr-find", odd, "--config", f"{odd}.yaml", "--epochs", "5"]]
    (trained,) = make(place, "train", *variables)[0]
    assert trained[:6] == ["train", odd, "--config", f"{odd}.yaml", "--epochs", "5"] and trained[6] == "--out"
    grid = ["experiments", f"CONFIG=my grids/{odd}.yaml", f"DATA={odd}"]
    run = ["experiments", "run", f"my grids/{odd}.yaml", "--data", odd]
    assert make(place, *grid)[0] == [run]  # a dry run leaves nothing for a table
    (place / "runs" / "experiments" / odd).mkdir(parents=True)
    assert make(place, *grid)[0] == [run, ["experiments", "table", f"runs/experiments/{odd}", f"my grids/{odd}.yaml"]]
    assert not (place / "gone").exists()


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("target", ["evaluate", "interpret", "report", "export"])
def test_a_run_is_a_single_word(place: Path, target: str, odd: str):
    assert make(place, target, f"RUN=runs/{odd}", "ARGS=-q")[0] == [[target, f"runs/{odd}", "-q"]]


def test_the_demo_can_be_put_into_a_folder_with_a_space(place: Path):
    words = make(place, "demo", "DEMO=my demo")[0]
    assert [line[0] for line in words] == ["phantom", "train", "evaluate", "interpret", "report", "export", "predict"]
    assert words[0][1] == "my demo/phantoms" and words[-1][1:3] == ["my demo/bundle", "my demo/phantoms"]


def test_the_newest_finished_run_is_taken_the_demos_too(place: Path):
    finished(place / "runs" / "older run", 1_000_000_000)
    finished(place / "runs" / "demo" / "run", 1_000_000_100)
    finished(place / "runs" / "stopped", 1_000_000_200, "interrupted")
    assert make(place, "evaluate")[0] == [["evaluate", "runs/demo/run"]]
    finished(place / "runs" / "a new run", 1_000_000_300)
    assert make(place, "report")[0] == [["report", "runs/a new run"]]


def test_without_a_run_it_says_which_folder_it_searched(place: Path):
    words, said = make(place, "evaluate", code=2)
    assert words == [] and "No finished run in runs/*/ or runs/*/*/" in said and "make evaluate RUN=runs/NAME" in said


@pytest.mark.parametrize("target", ["test", "test-all"])
def test_the_tests_keep_what_they_compile_whatever_the_shell_says(place: Path, target: str, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    python = place / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "[\\"$PYTHONDONTWRITEBYTECODE\\"]" > words\n')
    python.chmod(0o755)
    assert make(place, target)[0] == [[""]]
