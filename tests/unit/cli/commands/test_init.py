"""`plainfilm init`: a config that trains what DATA alone trains, with what was found beside each key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from plainfilm.cli import app

Draw = Callable[..., Path]


def run(*args: object, code: int = 0) -> Result:
    done = CliRunner(env={"NO_COLOR": "1"}).invoke(app, [*map(str, args)])
    assert done.exit_code == code, f"{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """A folder of 16 images a class, one number and one view in each name."""

    def drawn(*classes: str, colour: bool = False, under: tuple[str, ...] = ("",), side: int = 40) -> Path:
        rng = np.random.default_rng(0)
        for part in under:
            for label in classes:
                folder = tmp_path / "my films" / part / label
                folder.mkdir(parents=True)
                for k in range(16):
                    pixels = rng.integers(0, 255, (side, side + 8, 3) if colour else (side, side + 8), np.uint8)
                    Image.fromarray(pixels).save(folder / f"{part}{label[:1]}p{k // 2:02}_{k % 2}.png")
        return tmp_path / "my films"

    return drawn


@pytest.mark.parametrize("options", [[], ["--patient-pattern", r"p(\d+)_", "--seed", "3"]])
def test_the_config_is_that_of_data_alone(draw: Draw, tmp_path: Path, options: list[str]) -> None:
    data, out = draw("cat", "dog", colour=True), tmp_path / "c.yaml"
    run("init", data, "--out", out, *options)
    plain = run("train", data, *options, "--print-config").stdout
    assert run("train", "--config", out, "--print-config").stdout == plain
    assert "# natural" not in plain and "radiograph" in plain


def test_every_line_says_something(draw: Draw, tmp_path: Path) -> None:
    run("init", draw("normal", "sick"), "--out", tmp_path / "c.yaml")
    lines = (tmp_path / "c.yaml").read_text(encoding="utf-8").splitlines()
    keys = [line for line in lines if line.startswith("  ")]
    assert len(keys) > 12 and all(line.partition("  # ")[2].strip() for line in map(str.lstrip, keys))
    assert "# 32 files found, 32 used. Classes: normal 16, sick 16" in lines


def test_what_was_found_stands_beside_its_key(draw: Draw, tmp_path: Path) -> None:
    done = run("init", draw("dog", "cat", colour=True), "--out", tmp_path / "c.yaml", "--json")
    document = json.loads(done.stdout)
    assert (document["positive"], document["bits"], document["channels"]) == ("dog", None, 3)
    assert document["sides_px"] == [40, 40] and document["data"]["classes"] == {"cat": 16, "dog": 16}
    assert document["config"]["train"]["augment"] == "radiograph"
    proposed = {(found["key"], found["value"]) for found in document["proposals"]}
    assert ("train.augment", "natural") in proposed
    assert {("data.positive", "cat"), ("data.positive", "dog")} <= proposed  # the names do not decide
    assert {value for key, value in proposed if key == "data.patient_pattern"} == {
        found["pattern"] for found in document["patient_patterns"]
    }
    assert document["patient_patterns"]
    text = (tmp_path / "c.yaml").read_text(encoding="utf-8")
    assert "side is 40 px; smaller images are enlarged" in text and "\n  # augment: natural  # 32 of 32" in text


def test_given_folders_are_proposed_not_taken(draw: Draw, tmp_path: Path) -> None:
    document = json.loads(run("init", draw("no", "yes", under=("train", "test")), "--out", tmp_path / "c.yaml", "--json").stdout)  # fmt: skip
    assert document["config"]["data"]["split"] == "patient"
    assert [found["value"] for found in document["proposals"] if found["key"] == "data.split"] == ["official"]


def test_patients_that_are_known_are_counted(draw: Draw, tmp_path: Path) -> None:
    pattern = ["--patient-pattern", r"^(\w+)_"]
    run("init", draw("no", "yes"), "--out", tmp_path / "c.yaml", *pattern)
    text = (tmp_path / "c.yaml").read_text(encoding="utf-8")
    assert "patients are known: 16" in text and "scores are for: yes by the names" in text


def test_nothing_is_overwritten_unless_forced(draw: Draw, tmp_path: Path) -> None:
    data, out = draw("no", "yes"), tmp_path / "c.yaml"
    out.write_text("mine", encoding="utf-8")
    said = run("init", data, "--out", out, code=4).stderr
    assert "is not overwritten" in said and out.read_text(encoding="utf-8") == "mine"
    run("init", data, "--out", out, "--force")
    assert "path: " in out.read_text(encoding="utf-8")
    assert "is a folder" in run("init", data, "--out", tmp_path, "--force", code=2).stderr
    assert "inside DATA" in run("init", data, "--out", data / "c.yaml", code=2).stderr


@pytest.mark.parametrize(
    "options", [[], ["--positive", "maybe"], ["--patient-pattern", "(zzz)"], ["--under", "images"]]
)
def test_what_train_refuses_is_refused_with_the_same_line(draw: Draw, tmp_path: Path, options: list[str]) -> None:
    data, out = draw("no", "yes") if options else tmp_path / "nowhere", tmp_path / "c.yaml"
    said = run("init", data, "--out", out, *options, code=2).stderr.splitlines()[-1]
    assert said == run("train", data, "--out", tmp_path / "run", *options, code=2).stderr.splitlines()[-1]
    assert not out.exists()
