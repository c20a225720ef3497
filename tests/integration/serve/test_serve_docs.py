"""docs/how-to/serve.md: its commands work, its numbers are the program's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served import Served, drawn_png
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.data.synthetic.film import draw_phantom
from plainfilm.serve.limits import MB, Limits
from plainfilm.serve.pages import _EXAMPLES
from plainfilm.serve.token import _SHORTEST

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/how-to/serve.md").read_text(encoding="utf-8")
CONSOLE = [
    line.removeprefix("$ ") for block in re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL) for line in block.splitlines()
]  # fmt: skip


def curl(command: str, port: int, folder: Path, **env: str) -> str:
    """What a command of the page prints, asked of the server that runs."""
    here = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", command)
    done = subprocess.run(
        ["/bin/bash", "-c", here],
        cwd=folder,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_commands_for_curl(served: Served, bundle: Path, tmp_path: Path):
    (tmp_path / "one.png").write_bytes(drawn_png(1))
    (tmp_path / "two.png").write_bytes(drawn_png(2))
    both, shown, health = [json.loads(curl(line, served.port, tmp_path)) for line in CONSOLE[:3]]
    assert [one["index"] for one in both["results"]] == [0, 1]
    assert shown["results"][0]["seen"].startswith("data:image/png") and shown["results"][0]["heat"]
    assert health["status"] == "ok"
    keys = set(both) | set(both["results"][0]) | set(shown["results"][0])
    assert all(f"`{key}`" in PAGE for key in keys)
    token = curl(CONSOLE[3].replace("export ", "") + '; echo "$PLAINFILM_TOKEN"', 0, tmp_path).strip()
    options = CONSOLE[4].partition("bundle ")[2].split()
    server = Served(bundle, tmp_path / "server", *options[:2], "--token", token)
    assert json.loads(curl(CONSOLE[5], server.port, tmp_path, PLAINFILM_TOKEN=token))["status"] == "ok"
    assert server.stop() == 0 and "not encrypted" in server.log()
    assert len(CONSOLE) == 6


def test_the_options_and_numbers_of_the_page_are_the_programs():
    printed = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).stdout
    for option in re.findall(r"`(--[a-z-]+)", PAGE):
        assert option in printed, option
    limits = Limits()
    assert f"{limits.part // MB} by default" in PAGE and f"{limits.queue} by default" in PAGE
    assert limits.request == 4 * limits.part and f"{limits.parts} images" in PAGE
    assert f"less than {limits.least // 1000} kB in {limits.idle:.0f} s, or {limits.total:.0f} s in all" in PAGE
    assert f"{_SHORTEST} characters or more" in PAGE
    assert Limits.for_images_of(32, limits.queue) == limits


@pytest.mark.slow
def test_the_wheel_holds_the_page(tmp_path: Path):
    from hatchling.builders.wheel import WheelBuilder

    with zipfile.ZipFile(next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path)))) as wheel:
        names = set(wheel.namelist())
    static = ("serve.css", "serve.js", "icon.svg", *(f"examples/{i}.png" for i in range(len(_EXAMPLES))))
    assert {f"plainfilm/serve/static/{name}" for name in static} <= names
    assert {f"plainfilm/templates/{name}.html.j2" for name in ("serve", "serve_card")} <= names


def test_the_examples_are_drawn_films_and_nobodys():
    for i, (patient, opacity) in enumerate(_EXAMPLES):
        with Image.open(ROOT / f"src/plainfilm/serve/static/examples/{i}.png") as image:
            kept = np.asarray(image)
        drawn = draw_phantom(256, seed=900_001, patient=patient, k=1, opacity=opacity)
        assert kept.shape == drawn.shape and np.abs(kept.astype(int) - drawn).max() <= 1  # rounding of another machine
