"""benchmarks/gpu.py, where no GPU is: its parts on the CPU, how it judges them, and the wheels that it brings along."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture
def gpu(monkeypatch):
    spec = importlib.util.spec_from_file_location("gpu_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_script", module)  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.campaign
def test_every_part_runs_on_a_cpu_and_is_right():
    done = subprocess.run([sys.executable, str(SCRIPT), "--device", "cpu", "--quick"], capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert found["ok"] is True
    parts = found["parts"]
    assert {name: part["ended"] for name, part in parts.items()} == dict.fromkeys(parts, "done")
    checks = {each["name"]: each["ok"] for each in parts["correctness"]["results"]}
    assert checks.pop("no_waiting") is None  # only a GPU can tell
    assert checks.pop("bf16_steps") in (True, None)  # None where bfloat16 is not native
    assert checks == dict.fromkeys(
        ["same_scores", "same_steps", "same_batches", "same_augmentation", "noise_of_the_device", "divergence"], True
    )
    assert parts["resume"]["results"][0]["equal_weights"] == {"again": True, "stopped": True}
    assert {"fastai notebook", "ours"} <= {each["name"] for each in parts["bench"]["results"]}
    assert all(each["img_per_s"] > 0 for each in parts["bench"]["results"] if "error" not in each)
    assert "right" in done.stderr.splitlines()


def test_a_part_is_right_only_if_it_ended_and_no_check_failed(gpu):
    def part(ended, *oks):
        return {"ended": ended, "results": [{"name": "x", "ok": ok} for ok in oks]}

    assert gpu.is_right("correctness", part("done", True, None))
    assert not gpu.is_right("correctness", part("done", True, False))
    assert not gpu.is_right("correctness", part("time limit", True))
    assert not gpu.is_right("correctness", part("failed", True))
    assert not gpu.is_right("correctness", part("done"))


def test_a_check_that_raises_is_wrong_and_the_others_run(gpu, monkeypatch, tmp_path):
    checks = ("same_scores", "same_steps", "bf16_steps", "same_batches", "same_augmentation", "noise_of_the_device", "no_waiting", "divergence")  # fmt: skip
    for name in checks:
        monkeypatch.setattr(gpu, name, lambda at: {"ok": True})

    def broken(at):
        raise ValueError("no kernel")

    broken.__name__ = "same_steps"
    monkeypatch.setattr(gpu, "same_steps", broken)
    found = list(gpu.correctness(gpu.Setting("cpu", tmp_path, True)))
    assert len(found) == 8
    assert [each for each in found if not each["ok"]] == [{"name": "same_steps", "ok": False, "error": "ValueError: no kernel"}]  # fmt: skip


def test_a_part_is_stopped_at_its_limit(gpu, monkeypatch, tmp_path):
    monkeypatch.setitem(gpu.LIMITS_S, "bench", 0.05)
    args = argparse.Namespace(device="cpu", quick=True)
    found = gpu.run_part("bench", args, tmp_path, dict(os.environ))
    assert (found["ended"], found["results"]) == ("time limit", [])
    assert found["seconds"] < 20


def test_eight_minutes_are_enough_for_all_parts(gpu):
    assert sum(gpu.LIMITS_S.values()) <= 480
    assert set(gpu.LIMITS_S) == set(gpu.PARTS)


def test_what_is_missing_has_the_versions_of_the_lock_and_never_replaces_torch(gpu, monkeypatch):
    assert [need for need in gpu.missing() if need.startswith(("fastai", "torch", "numpy"))] == []  # all are here
    monkeypatch.setattr(gpu, "_is_old", lambda name, least: True)  # as if nothing else were
    names = [need.split("==")[0] for need in gpu.missing()]
    lock = (SCRIPT.parents[1] / "requirements.lock").read_text()
    assert {"fastai", "fastcore", "captum", "pydicom", "timm", "pandas", "plum-dispatch"} <= set(names)
    assert all(f"{need} " in lock for need in gpu.missing())
    assert [name for name in names if name.startswith(("torch", "nvidia", "cuda", "triton")) or name in ("sympy", "numpy", "spacy")] == []  # fmt: skip


def test_a_version_below_the_least_is_missing(gpu, monkeypatch):
    monkeypatch.setattr(gpu.metadata, "version", lambda name: "2.9.1")
    assert gpu._is_old("pandas", "2.10")
    assert not gpu._is_old("pandas", "2.9")


def test_wheels_are_installed_beside_the_environment_and_absent_ones_are_named(gpu, monkeypatch, tmp_path, capsys):
    pytest.importorskip("pip")
    (tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(tmp_path / "wheels" / "tiny_thing-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_thing.py", "there = True\n")
        about = "tiny_thing-1.0.dist-info/"
        wheel.writestr(
            f"{about}METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\nRequires-Dist: torch\n"
        )
        wheel.writestr(
            f"{about}WHEEL", "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}RECORD", "")
    monkeypatch.setattr(gpu, "missing", lambda: ["tiny-thing==1.0", "nowhere==2.0"])
    gpu.install(tmp_path / "wheels", tmp_path / "packages")
    assert {path.name for path in (tmp_path / "packages").iterdir()} >= {"tiny_thing.py"}
    assert not (tmp_path / "packages" / "torch").exists()
    assert "No wheel in" in (said := capsys.readouterr().err) and "nowhere" in said
