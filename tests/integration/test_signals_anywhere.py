"""Commands that are ended at random moments: one line, nothing half-written, no run that claims to be running."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plainfilm.base.files import TEMP_PREFIX
from plainfilm.base.signals import ENDING

pytestmark = [
    pytest.mark.slow,
    pytest.mark.campaign,
    pytest.mark.skipif(os.name == "nt", reason="signals of a POSIX system"),
]
MOST = 8.0  # seconds from a signal to the end: 2 on a quiet machine, four times that where others have the cores
SMALL = ["--size", "32", "--epochs", "2", "--device", "cpu", "--model", "compact"]
GRID = """
data: {audit: false}
train: {size_px: 32, epochs: 2}
model: {name: compact}
configurations: [{name: one}]
grid: {train.seed: [0, 1]}
"""


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("signals") / "phantoms"
    subprocess.run(command("phantom", folder, "--images", 80, "--size", 64, "-q"), check=True, timeout=300)
    return folder


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "plainfilm", *map(str, words)]


def words_of(name: str, data: Path, out: Path) -> list[str]:
    return {
        "train": command("train", data, *SMALL, "--out", out / "run"),
        "audit": command("audit", data, "--size", 32, "--out", out / "audit"),
        "predict": command("predict", data.parent / "bundle", data, "--out", out / "rows.csv"),
        "serve": command("serve", data.parent / "bundle", "--port", 0),
        "experiments": command("experiments", "run", data.parent / "grid.yaml", "--data", data, "--out", out / "runs"),
    }[name]


def ended(words: list[str], out: Path, delay: float, how: int) -> tuple[int, str, float]:
    """Exit code, what it said, and the seconds from the signal to its end."""
    env = {**os.environ, "PLAINFILM_CACHE": str(out / "cache")}
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env)
    try:
        running.wait(delay)
    except subprocess.TimeoutExpired:
        running.send_signal(how)
    begun = time.monotonic()
    try:
        said = running.communicate(timeout=60)[1]
    finally:
        running.kill()
    return running.returncode, said, time.monotonic() - begun


@pytest.mark.parametrize("name", ["train", "audit", "experiments", "predict", "serve"])
def test_at_any_moment(name, phantoms, tmp_path):
    if name in ("predict", "serve") and not (phantoms.parent / "bundle").exists():
        run = phantoms.parent / "run"
        subprocess.run(command("train", phantoms, *SMALL, "--no-audit", "--out", run, "-q"), check=True, timeout=300)
        subprocess.run(command("export", run, "--out", phantoms.parent / "bundle", "-q"), check=True, timeout=300)
    (phantoms.parent / "grid.yaml").write_text(GRID)
    draw = random.Random(20)
    for i in range(int(os.environ.get("PLAINFILM_TRIES", "6"))):
        how, delay = ENDING[i % len(ENDING)], 10 ** draw.uniform(-0.3, 1.3)  # from 0.5 to 20 s
        out = tmp_path / str(i)
        out.mkdir()
        code, said, seconds = ended(words_of(name, phantoms, out), out, delay, how)
        at = f"{name}, {how!r} after {delay:.2f} s: exit {code} in {seconds:.2f} s\n{said[-1500:]}"
        early = code == -how and not list(out.rglob("status.json"))  # by the system, before anything was begun
        assert (early or code in (0, 130)) and "Traceback" not in said and "bug" not in said, at
        assert seconds < MOST, at
        assert not list(out.rglob(f"{TEMP_PREFIX}*")), at
        for status in out.rglob("status.json"):
            assert json.loads(status.read_text())["status"] in ("interrupted", "done"), at
