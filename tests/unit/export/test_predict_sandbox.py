"""predict beside files made to harm: a row for each, and no process is left, however it ends."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from PIL import Image
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.data.image import sandbox
from plainfilm.data.table.saved_table import read_table


def progressive(scans: int, side: int) -> bytes:
    """A JPEG whose last scan is repeated."""
    file = io.BytesIO()
    Image.fromarray(np.full((side, side), 77, np.uint8)).save(file, "JPEG", progressive=True)
    jpeg = file.getvalue()
    last = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + last * scans + jpeg[-2:]


@pytest.fixture
def image(exported) -> str:
    return str(read_table(exported[0])["path"][0])


def test_a_bomb_is_a_row_and_the_next_image_is_scored(exported, image, tmp_path):
    bomb = tmp_path / "bomb.jpg"
    bomb.write_bytes(progressive(300, 64))
    out = tmp_path / "rows.csv"
    done = CliRunner().invoke(app, ["predict", str(exported[1]), image, str(bomb), image, "--out", str(out)])
    assert done.exit_code == 1
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert [bool(row["score"]) for row in rows] == [True, False, True] and rows[0]["score"] == rows[2]["score"]
    assert rows[1]["error"] == "E_LIMIT: a JPEG of more than 256 scans"


@pytest.mark.parametrize("mode", ["on", "off"])
def test_the_rows_do_not_depend_on_where_images_are_decoded(exported, image, tmp_path, mode):
    sandbox.kill_children()
    found = []
    for given in ("auto", mode):
        out = tmp_path / f"{given}.csv"
        words = ["predict", str(exported[1]), image, str(exported[0].root), "--sandbox", given, "--out", str(out)]
        assert CliRunner().invoke(app, words).exit_code in (0, 1)
        found.append(out.read_bytes())
    assert found[0] == found[1]
    assert bool(psutil.Process().children()) is (mode == "on")


def test_another_mode_is_refused_in_one_line(exported, image):
    done = CliRunner().invoke(app, ["predict", str(exported[1]), image, "--sandbox", "maybe"])
    assert done.exit_code == 2 and "--sandbox 'maybe' is not known; expected auto, on or off." in done.stderr


def test_a_script_without_a_main_guard_on_stdin_decodes_in_a_child(exported, image, tmp_path):
    """A child that imported the script would start it again; one that read its stdin would take the script's lines."""
    large = tmp_path / "large.png"
    Image.fromarray(np.zeros((2100, 2000), np.uint8)).save(large)
    script = f"""
from plainfilm import open_bundle
print("once")
bundle = open_bundle({str(exported[1])!r})
one, two = bundle.predict_path({str(large)!r}), bundle.predict_path({image!r})
print(one.error or "scored", two.error or "scored")
import sys
print(sorted(set(sys.modules) & {{"torch", "pandas"}}))
"""
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.splitlines() == ["once", "scored scored", "[]"], done.stderr


def processor_seconds(pid: int) -> float:
    """Of a process and those that it started, so far."""
    one = psutil.Process(pid)
    return sum(sum(other.cpu_times()[:2]) for other in (one, *one.children()))


def reaped_seconds() -> float:
    """Processor time of all processes that this one waited for, and of those that they waited for."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.campaign
@pytest.mark.skipif(os.name == "nt", reason="signals of a POSIX system")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("command", ["predict", "audit"])
def test_a_signal_ends_the_command_and_the_child_that_decodes(exported, tmp_path, how, command):
    data = tmp_path / "data"
    for label in "ab":
        for i in range(4):
            (data / label).mkdir(parents=True, exist_ok=True)
            (data / label / f"{i}.jpg").write_bytes(progressive(240, 7000))
    words = [command, exported[1], data] if command == "predict" else [command, data, "--out", tmp_path / "out"]
    running = subprocess.Popen(
        [sys.executable, "-m", "plainfilm", *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        env={**os.environ, "PLAINFILM_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    until, children = time.monotonic() + 60, []
    while not children and time.monotonic() < until:
        time.sleep(0.05)
        children = psutil.Process(running.pid).children()
    time.sleep(0.5)
    used, reaped = processor_seconds(running.pid), reaped_seconds()
    running.send_signal(how)
    said = running.communicate(timeout=60)[1].decode()
    assert reaped_seconds() - reaped - used < 2  # to wait for the images at hand would take 3 s more for each
    assert children and "Traceback" not in said
    assert running.returncode in (130, -how)
    psutil.wait_procs(children, timeout=30)
    assert not any(child.is_running() for child in children)
