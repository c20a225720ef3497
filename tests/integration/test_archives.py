"""A run on a .zip or .npz is a run on the folder in it: the same bytes, and each command finds the images again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import plainfilm

pytestmark = [pytest.mark.slow, pytest.mark.campaign, pytest.mark.usefixtures("one_thread", "fresh_cache")]
SMALL = ["--size", 32, "--batch-size", 16, "--epochs", 1, "--no-audit", "--model", "compact", "-q"]
KEPT = ("model.safetensors", "predictions/valid.csv", "history.csv")


@pytest.fixture
def folder(tmp_path) -> Path:
    plainfilm("phantom", tmp_path / "data", "--images", 48, "--size", 32, "-q")
    return tmp_path / "data"


def test_a_zip_gives_the_run_of_its_folder_and_survives_a_cleared_cache(folder, tmp_path, monkeypatch):
    archive = Path(shutil.make_archive(str(tmp_path / "set"), "zip", folder))
    by_folder, by_zip, stopped = (tmp_path / name for name in ("folder run", "zip run", "stopped run"))
    plainfilm("train", folder, *SMALL, "--out", by_folder)
    plainfilm("train", archive, *SMALL, "--out", by_zip)
    assert {name for name in KEPT if (by_zip / name).read_bytes() != (by_folder / name).read_bytes()} <= {KEPT[1]}
    assert f"path: {archive}" in (by_zip / "config.yaml").read_text()
    plainfilm("train", archive, *SMALL, "--out", stopped, "--max-minutes", 0, code=130)
    shutil.rmtree(folder)
    plainfilm("cache", "clear", "-q")
    plainfilm("resume", stopped, "-q")
    assert (stopped / KEPT[0]).read_bytes() == (by_zip / KEPT[0]).read_bytes()
    plainfilm("cache", "clear", "-q")
    document = json.loads(plainfilm("evaluate", by_zip, "--split", "test", "--by", "mode", "--json").stdout)
    assert document["split"] == "test" and document["metrics"]["auroc"]["n"] > 0
    said = plainfilm("evaluate", by_zip, "--external", archive, code=2).stderr
    assert f"{archive} holds" in said and "sealed test set" in said
    moved = archive.rename(tmp_path / "moved.zip")
    plainfilm("cache", "clear", "-q")
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "another cache"))
    plainfilm("evaluate", by_zip, "--split", "test", "--again", code=2)
    plainfilm("evaluate", by_zip, "--split", "test", "--again", "--data", moved, "-q")


def test_a_medmnist_file_is_split_as_it_says_and_tested_once(tmp_path):
    random = np.random.default_rng(0)
    arrays = {}
    for name, n in (("train", 60), ("val", 30), ("test", 30)):
        labels = random.integers(0, 2, n)
        arrays[f"{name}_images"] = (random.integers(0, 90, (n, 28, 28)) + 90 * labels[:, None, None]).astype(np.uint8)
        arrays[f"{name}_labels"] = labels[:, None].astype(np.uint8)
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    done = plainfilm("train", tmp_path / "x.npz", *SMALL, "--split", "given", "--out", tmp_path / "run")
    assert "numbers 0, 1 of the .npz" in done.stdout + done.stderr
    document = json.loads(plainfilm("evaluate", tmp_path / "run", "--split", "test", "--json").stdout)
    assert document["metrics"]["auroc"]["n"] == 30
