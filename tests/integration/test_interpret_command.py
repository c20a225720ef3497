"""`plainfilm interpret` as a user types it: every figure, no test image, folds together, and a list that train obeys."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import commands
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from plainfilm.data.cache import rows
from plainfilm.data.synthetic.phantom import write_phantom
from wording import lacking

pytestmark = [pytest.mark.slow, pytest.mark.campaign]  # .ci/run asks for this file
plainfilm = partial(commands.plainfilm, COLUMNS="80")
SMALL = ["--model", "compact", "--size", "48", "--batch-size", "16", "--epochs", "2", "--device", "cpu", "--no-audit"]
DRAWN = {"history", "confusion", "scores", "roc", "precision_recall", "reliability", "top_losses", "confused"}
CHECKS = {"heat_deletion", "heat_randomised", "heat_field"}


def interpret(run: Path, *args: object, **env: str) -> dict:
    return json.loads(plainfilm("interpret", run, *args, "--json", **env).stdout)


def figures_of(split: str) -> set[str]:
    return {name if name == "history" else f"{name}_{split}" for name in DRAWN}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "drawn"
    write_phantom(out, images=120, size_px=48, seed=1)
    return out


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "one"
    plainfilm("train", data, *SMALL, "--seed", 7, "--out", out)
    plainfilm("evaluate", out, "--split", "test")
    return out


def test_every_figure_is_named_drawn_and_the_same_each_time(run: Path):
    found = interpret(run, "--split", "valid", "--heat-maps", 8)
    assert set(found["figures"]) == figures_of("valid") | CHECKS
    first = {name: Path(path).read_bytes() for name, path in found["figures"].items()}
    for path in found["figures"].values():
        image = np.asarray(Image.open(path).convert("L"))
        assert image.shape[1] == 630 and image.std() > 5  # 4.2 inches; not an empty page
    assert interpret(run, "--split", "valid", "--heat-maps", 8) == found
    assert {name: Path(path).read_bytes() for name, path in found["figures"].items()} == first


def test_the_document_has_the_number_of_images_and_the_findings(run: Path):
    heat = interpret(run, "--split", "valid", "--heat-maps", 8)["heat"]
    assert (heat["pictures"], heat["method"], heat["layer"]) == (8, "hires-cam", "stage3")
    assert set(heat["deletion"]) == {"heat first", "at random", "heat last"}
    assert heat["deletion"]["heat first"]["n"] == heat["deletion"]["heat first"]["n_patients"] == 8
    assert len(heat["says"]) == 3 and heat["central_area"] == pytest.approx(0.49, abs=0.03)
    assert interpret(run, "--split", "valid", "--heat-maps", 8, "--heat", "grad-cam")["heat"]["method"] == "grad-cam"
    shown = plainfilm("interpret", run, "--split", "valid", "--heat-maps", 8).stdout
    assert lacking(shown, "not evidence of location", "on 8 valid", "one of each patient") == []
    assert all(len(line) <= 80 or "/" in line for line in shown.splitlines())


def test_the_report_says_what_the_checks_of_the_heat_maps_found(run: Path, tmp_path: Path):
    heat = interpret(run, "--split", "test", "--heat-maps", 2)["heat"]
    assert heat["verdicts"]["deletion"] == "not_enough_images" and heat["available"] > 2
    assert heat["says"][0].startswith("NOT ENOUGH IMAGES TO TELL: ")
    page = tmp_path / "report.html"
    plainfilm("report", run, "--out", page)
    assert "Not enough images to tell whether these heat maps can be trusted" in page.read_text(encoding="utf-8")
    assert "on 2 valid images, one of each patient: not enough images to tell." in page.read_text(encoding="utf-8")
    interpret(run, "--split", "valid", "--heat-maps", 0)  # takes the maps away, and the verdict with them
    plainfilm("report", run, "--out", page)
    assert "Not enough images" not in page.read_text(encoding="utf-8")
    assert "Heat maps were not made" in page.read_text(encoding="utf-8")


def test_without_heat_maps_no_network_runs(run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("plainfilm.pipeline.interpret.kept_network", lambda *_: pytest.fail("the network was built"))
    found = interpret(run, "--split", "valid", "--heat-maps", 0)
    assert found["heat"] is None and set(found["figures"]) == figures_of("valid")
    # the report takes a heat figure that lies there for one of the sheets beside it
    assert not {path.stem for path in (run / "figures").iterdir()} & CHECKS


def test_of_test_only_saved_images_are_shown_and_no_access_is_made(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    opened: list[str] = []
    read = rows.read_bytes
    monkeypatch.setattr(rows, "read_bytes", lambda path, *most: opened.append(str(path)) or read(path, *most))
    looks = (run / "test_ledger.jsonl").read_bytes()
    found = interpret(run, "--heat-maps", 8, PLAINFILM_CACHE=str(tmp_path / "empty"))
    assert found["split"] == "test" and set(found["figures"]) == figures_of("test") | CHECKS
    table = pd.read_csv(run / "table.csv", dtype=str, keep_default_na=False).set_index("path")["split"]
    assert {table[path] for path in opened} == {"valid"} and len(opened) == 8
    assert (run / "test_ledger.jsonl").read_bytes() == looks


def test_without_the_images_the_saved_largest_losses_are_checked(run: Path, data: Path, tmp_path: Path):
    moved = data.rename(data.parent / "gone")
    try:
        done = plainfilm(
            "interpret", run, "--split", "valid", "--heat-maps", 3, "--json", PLAINFILM_CACHE=str(tmp_path / "empty")
        )
    finally:
        moved.rename(data)
    assert lacking(done.stderr, "valid", "cannot be read", "the saved largest losses") == []
    heat = json.loads(done.stdout)["heat"]
    assert heat["chosen"] == "valid images of the largest losses" and heat["pictures"] == 3
    scores = pd.read_csv(run / "predictions" / "valid.csv")
    saved = len(np.load(run / "predictions" / "valid_top.npy"))
    assert 3 < heat["available"] <= min(saved, len(scores))  # those that could have been taken, not those that were


@pytest.mark.parametrize("args", [("--split", "train"), ("--heat", "lime"), ("--heat-maps", "-1")])
def test_what_is_not_offered_is_refused(run: Path, args: tuple[str, str]):
    assert plainfilm("interpret", run, *args, code=2).stdout == ""


def test_a_run_made_before_there_were_lists_is_read(run: Path, tmp_path: Path, as_older):
    old = tmp_path / "old"
    shutil.copytree(run, old)
    as_older(old)
    config = (old / "config.yaml").read_text()
    assert "  exclude: null\n" in config
    (old / "config.yaml").write_text(config.replace("  exclude: null\n", ""))
    history = pd.read_csv(old / "history.csv").drop(columns="lr")
    history.to_csv(old / "history.csv", index=False)
    assert interpret(old, "--heat-maps", 0)["split"] == "test"


@pytest.fixture(scope="module")
def folds(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three folds of one experiment, and beside them one of another seed."""
    folder = tmp_path_factory.mktemp("folds")
    runs = [folder / f"fold{i}" for i in range(3)]
    short = [*SMALL[:6], "--epochs", "1", *SMALL[8:], "--split", "kfold", "--folds", "3"]
    for i, out in enumerate(runs):
        plainfilm("train", data, *short, "--fold", i, "--out", out)
    plainfilm("train", data, *short, "--fold", 1, "--seed", 5, "--out", folder / "another")
    return runs


@pytest.mark.campaign  # in .ci/run
def test_folds_beside_a_run_are_asked_about_all_images(folds: list[Path], tmp_path: Path):
    found = interpret(folds[1], "--heat-maps", 0)["suspects"]
    assert (found["images"], found["folds"], found["of_folds"]) == (120, 3, 3)
    assert "of 3 of 3 folds" in plainfilm("interpret", folds[1], "--heat-maps", 0).stdout
    alone = tmp_path / "alone"
    shutil.copytree(folds[1], alone)
    found = interpret(alone, "--heat-maps", 0)["suspects"]
    valid = len(pd.read_csv(alone / "predictions" / "valid.csv"))
    assert (found["images"], found["folds"], found["of_folds"]) == (valid, 1, 3)


def test_train_leaves_out_what_a_list_names_and_says_so(run: Path, data: Path, tmp_path: Path):
    table = pd.read_csv(run / "table.csv", dtype=str, keep_default_na=False)
    names = [
        *table.loc[table["split"] == "train", "relative"][:3],
        *table.loc[table["split"] == "test", "relative"][:1],
    ]
    listed = tmp_path / "suspects.csv"
    pd.DataFrame({"path": names, "label": "", "score": "", "why": ""}).to_csv(listed, index=False)
    out = tmp_path / "run"
    done = plainfilm(
        "train", data, *SMALL[:6], "--epochs", 1, *SMALL[8:], "--seed", 7, "--exclude", listed, "--out", out
    )
    assert (
        "LEFT OUT: 3 of train, named by exclude." in done.stdout
        and "1 image named by exclude is in test" in done.stdout
    )
    counts = json.loads((out / "data.json").read_text())
    assert (counts["found"], counts["used"], counts["ignored"]) == (120, 117, 3)
    left = pd.read_csv(out / "table.csv", dtype=str, keep_default_na=False).set_index("relative")["split"]
    pd.testing.assert_series_equal(left, table.set_index("relative")["split"].drop(names[:3]))
    excluded = pd.read_csv(out / "excluded.csv", dtype=str, keep_default_na=False)
    assert sorted(excluded["relative"]) == sorted(names[:3]) and set(excluded["code"]) == {"named by exclude"}
    assert str(listed) not in (out / "card.json").read_text() + (out / "log.txt").read_text()
    listed.write_text("path\nNORMAL/nobody.png\n")
    refused = plainfilm("train", data, *SMALL, "--exclude", listed, "--out", tmp_path / "no", code=2).stderr
    assert lacking(refused, "1 of 1 images", "not in DATA", "'NORMAL/nobody.png'") == []
    assert not (tmp_path / "no").exists()


def test_a_split_file_is_the_same_with_and_without_a_list(run: Path, data: Path, tmp_path: Path):
    table = pd.read_csv(run / "table.csv", dtype=str, keep_default_na=False)
    listed, config = tmp_path / "list.csv", tmp_path / "c.yaml"
    listed.write_text("path\n" + table.loc[table["split"] == "train", "relative"].iloc[0] + "\n")
    config.write_text(f"data: {{exclude: {listed}}}\n")
    for out, args in (("with.csv", ["--config", config]), ("without.csv", [])):
        plainfilm("split", data, *args, "--out", tmp_path / out)
    assert (tmp_path / "with.csv").read_bytes() == (tmp_path / "without.csv").read_bytes()
