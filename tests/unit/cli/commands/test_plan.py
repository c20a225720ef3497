"""`plainfilm plan`: what it prints, what it refuses, and that it loads no torch."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner, Result

from plainfilm.cli import app
from plainfilm.pipeline import plan as planning


@pytest.fixture
def few(monkeypatch):
    """A few studies."""
    monkeypatch.setattr(planning, "_FEWEST_DRAWS", 60)
    monkeypatch.setattr(planning, "_MOST_DRAWS", 60)


def plan(*args: object, code: int = 0) -> Result:
    done = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "80"}).invoke(app, ["plan", *map(str, args)])
    assert done.exit_code == code, f"{done.stdout}\n{done.stderr}"
    return done


def document(*args: object) -> dict:
    found = json.loads(plan(*args, "--json").stdout)
    assert found["schema_version"] == 1
    return found


def refused(*args: object) -> str:
    lines = plan(*args, code=2).stderr.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


WIDTH = ("--metric", "sensitivity", "--value", 0.95, "--width", 0.06)


@pytest.mark.usefixtures("few")
def test_the_number_comes_first_and_what_was_assumed_below():
    found = document(*WIDTH, "--prevalence", 0.3, "--images-per-patient", "1-4")
    shown = plan(*WIDTH, "--prevalence", 0.3, "--images-per-patient", "1-4").stdout.splitlines()
    images, positive = round(found["images"]), round(found["positive_images"])
    assert shown[0] == f"{found['patients']:,} patients (about {images:,} images, {positive:,} of the positive class)"
    assert shown[1] == "95 % interval of sensitivity no wider than 0.06 in 80 % of such studies"
    rest = "\n".join(shown[2:])
    assert (
        f"{found['draws']:,} studies, seed 0: {found['patients_low']:,} to {found['patients_high']:,} patients" in rest
    )
    assert "sensitivity 0.95, prevalence 0.3" in rest and "1 to 4, mean 2.5" in rest
    assert "correlated by 0.3 (being right); design effect 1.60" in rest  # 1 + (30 / 10 - 1) 0.3
    assert shown[-1].startswith("Research use only")
    assert max(map(len, shown)) <= 80


@pytest.mark.usefixtures("few")
def test_the_document_holds_the_simple_formula_and_what_the_number_gives():
    """202.74 positive images / (0.3 x 2.5) = 270.3 patients."""
    found = document(*WIDTH, "--prevalence", 0.3, "--images-per-patient", "1-4")
    assert found["formula_patients"] == 271
    assert 1.2 < found["patients"] / found["formula_patients"] < 2.5
    assert found["met"] >= 0.8 and found["met_low"] < found["met"] < found["met_high"]
    assert found["width_median"] < found["width_at_power"] <= 0.06
    assert found["other"] is None and found["correlation"] is None and found["test"] is None
    back = document(*WIDTH, "--prevalence", 0.3, "--images-per-patient", "1-4", "--patients", found["patients"])
    assert {key: back[key] for key in ("met", "width_median", "draws")} == {
        key: found[key] for key in ("met", "width_median", "draws")
    }
    assert back["patients_low"] is None


@pytest.mark.usefixtures("few")
def test_two_models_are_compared():
    words = ("--value", 0.97, "--difference", 0.07, "--images-per-patient", "2")
    found = document(*words)
    assert (found["value"], found["other"], found["correlation"]) == pytest.approx((0.97, 0.9, 0.5))
    assert found["width_median"] is None and "DeLong" in found["test"]
    shown = plan(*words).stdout
    assert "AUROC 0.97 against 0.9: p <= 0.05 in 80 % of such studies" in shown
    assert "correlated by 0.5 on an image (scores within a class)" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "McNemar" in document("--metric", "accuracy", "--value", 0.9, "--difference", 0.1, "--patients", 20)["test"]


@pytest.mark.usefixtures("few")
def test_what_a_number_of_patients_gives():
    found = document("--value", 0.95, "--patients", 120)
    assert found["patients"] == 120 and found["met"] is None and found["formula_patients"] is None
    assert 0.03 < found["width_median"] < found["width_at_power"] < 0.2
    shown = plan("--value", 0.95, "--patients", 120).stdout
    assert f"95 % interval of AUROC no wider than {found['width_at_power']:.3f} in 80 % of such studies" in shown
    narrow = plan("--value", 0.95, "--patients", 120, "--width", round(found["width_median"], 4)).stdout
    share = float(re.search(r"in ([\d.]+) % of such studies", narrow)[1])
    assert 35 < share < 65
    compared = plan("--value", 0.95, "--patients", 120, "--difference", 0.1).stdout
    assert float(re.search(r"in ([\d.]+) % of such studies", compared)[1]) == pytest.approx(
        100 * document("--value", 0.95, "--patients", 120, "--difference", 0.1)["met"], abs=0.1
    )


@pytest.mark.usefixtures("few")
def test_the_images_that_the_metric_counts_are_named():
    words = ("--value", 0.9, "--patients", 100, "--prevalence", 0.3, "--images-per-patient", 2)
    for metric, counted in (
        ("specificity", ", 140 of the negative class"),
        ("auroc", ", 60 of the positive class"),
        ("accuracy", ""),
    ):
        first = plan("--metric", metric, *words).stdout.splitlines()[0]
        assert first == f"100 patients (about 200 images{counted})"


@pytest.mark.usefixtures("few")
def test_too_few_patients_for_any_interval_are_said_to_be():
    found = plan("--metric", "sensitivity", "--value", 0.9, "--patients", 10, "--prevalence", 0.01).stdout
    assert "too few for an interval of sensitivity in 80 % of such studies" in found
    assert "Infinity" not in plan("--metric", "sensitivity", "--value", 0.9, "--patients", 10, "--prevalence", 0.01, "--json").stdout  # fmt: skip


@pytest.mark.usefixtures("few")
def test_patients_like_those_of_a_run(save_run):
    run = save_run("a", patients=40, images=3, skill=2.0)
    found = document("--like", run.root, "--metric", "accuracy", "--width", 0.1)
    saved = json.loads(run.metrics.read_text())["valid"]["metrics"]["accuracy"]["value"]
    assert found["value"] == pytest.approx(saved) and found["like"] == str(run.root)
    assert (found["images_fewest"], found["images_most"], found["prevalence"]) == (3, 3, pytest.approx(0.5))
    assert len(found["notes"]) == 1 and "likely too high" in found["notes"][0]
    assert f"patients like    {run.root}" in plan("--like", run.root, "--width", 0.1).stdout
    rarer = document("--like", run.root, "--value", 0.9, "--prevalence", 0.1, "--width", 0.1)
    assert (rarer["prevalence"], rarer["images_most"], rarer["notes"]) == (pytest.approx(0.1), 3, [])


@pytest.mark.usefixtures("few")
def test_patients_like_those_of_a_table_need_a_value(tmp_path):
    table = tmp_path / "images.csv"
    table.write_text("path,label,patient\na.png,NORMAL,1\nb.png,NORMAL,1\nc.png,PNEUMONIA,2\n")
    assert "--value is missing" in refused("--like", table, "--width", 0.1)
    found = document("--like", table, "--value", 0.9, "--width", 0.1)
    assert (found["images_mean"], found["images_most"]) == (1.5, 2)
    assert found["prevalence"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--width 0.06, --difference 0.02, or --patients N"),
        (("--width", 0.06), "--value is missing: the auroc"),
        (("--value", 1.2, "--width", 0.06), "--value 1.2 is not possible; expected above 0.5 and below 1"),
        (("--value", 0.4, "--width", 0.06), "--value 0.4 is not possible"),
        (("--value", "nan", "--width", 0.06), "--value nan is not possible"),
        (("--metric", "accuracy", "--value", 0, "--width", 0.06), "--value 0 is not possible; expected above 0 and below 1"),
        (("--value", 0.9, "--width", 1.5), "--width 1.5 is not possible; expected above 0 and below 1"),
        (("--value", 0.9, "--width", 0), "--width 0 is not possible"),
        (("--value", 0.9, "--width", 0.1, "--difference", 0.1), "Give one of them"),
        (("--value", 0.9, "--width", 0.1, "--prevalence", 0), "--prevalence 0 is not possible; expected above 0 and below 1"),
        (("--value", 0.9, "--width", 0.1, "--images-per-patient", 0), "--images-per-patient '0' is not possible"),
        (("--value", 0.9, "--width", 0.1, "--images-per-patient", "8-1"), "--images-per-patient '8-1' is not possible"),
        (("--value", 0.9, "--width", 0.1, "--images-per-patient", "2.5"), "--images-per-patient '2.5' is not possible"),
        (("--value", 0.9, "--width", 0.1, "--power", 1), "--power 1 is not possible"),
        (("--value", 0.9, "--width", 0.1, "--icc", 1), "--icc 1 is not possible; expected 0 to 0.99"),
        (("--value", 0.9, "--difference", 0.1, "--correlation", -0.1), "--correlation -0.1 is not possible"),
        (("--value", 0.9, "--difference", 0.5), "gives the other model 0.4; expected another number, above 0.5"),
        (("--value", 0.9, "--difference", -0.1), "gives the other model 1;"),
        (("--value", 0.9, "--difference", 0), "--difference 0 from 0.9"),
        (("--value", 0.9, "--patients", 3), "--patients 3 is not possible; expected 10 to 100,000"),
        (("--metric", "f1", "--value", 0.9, "--width", 0.1), "--metric 'f1' cannot be planned; expected auroc, accuracy"),
        (("--metric", "accuracy", "--value", 0.97, "--difference", 0.02, "--correlation", 0.9), "it is at most 0.76"),
        (("--value", 0.9, "--width", 0.0001), "More than 100,000 patients"),
        (("--value", 0.9, "--width", 0.1, "--like", "none", "--images-per-patient", 1), "Leave --images-per-patient out"),
        (("--value", 0.9, "--width", 0.1, "--like", "none"), "none cannot be read"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in refused(*words)


def test_no_torch_is_loaded():
    code = (
        "import sys\nfrom plainfilm.cli import app\ntry:\n    app(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'fastai', 'torchvision', 'matplotlib'} & set(sys.modules)\nassert not heavy, heavy"
    )
    words = ["plan", "--metric", "accuracy", "--value", "0.9", "--patients", "20"]
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True, timeout=120)
