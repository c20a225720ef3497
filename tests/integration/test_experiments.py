"""A grid as a user runs it: trained, stopped and gone on, tabulated, compared; two configurations, two seeds."""

from __future__ import annotations

import csv
import json
import shutil
from functools import partial
from pathlib import Path

import commands
import pytest
import torch
import torchvision

from plainfilm.config import load_config
from plainfilm.pipeline.train import train_run
from plainfilm.runs.folder import RunDir

pytestmark = [pytest.mark.slow, pytest.mark.campaign]  # .ci/run asks for this file
plainfilm = partial(commands.plainfilm, COLUMNS="200")
GRID = """about: {title: small and smaller, command: plainfilm experiments run experiments/tiny.yaml}
data: {phantom: {images: 60, size_px: 32, seed: 3}}
model: {kernel: 3}
train: {size_px: 32, epochs: 1, batch_size: 8}
configurations:
  - {name: small, model.filters: [4, 8, 8]}
  - {name: smaller, model.filters: [2, 4, 4]}
grid: {train.seed: [0, 1]}
"""
FOUR = ["small-seed0", "small-seed1", "smaller-seed0", "smaller-seed1"]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("grid")
    (folder / "experiments").mkdir()
    (folder / "experiments" / "tiny.yaml").write_text(GRID)
    return folder


@pytest.fixture(scope="module")
def grid(place) -> Path:
    """The runs, finished in two goes: the third was stopped in its first epoch."""
    file, out = place / "experiments" / "tiny.yaml", place / "runs"
    real = train_run

    def stopped(cfg, root, **options):
        if root.name == FOUR[2]:
            options["max_minutes"] = 1e-6  # as Ctrl-C: the state is written and StoppedError raised
        return real(cfg, root, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plainfilm.pipeline.train.train_run", stopped)
        last = plainfilm("experiments", "run", file, "--out", out, "--device", "cpu", code=130).stderr.splitlines()[-1]
    assert "Interrupted with 2 of 4 runs done" in last and f"experiments run {file} --out {out}" in last
    assert RunDir(out / "tiny" / FOUR[2]).read_status()["status"] == "interrupted"
    weights = {name: (out / "tiny" / name / "model.safetensors").stat().st_mtime_ns for name in FOUR[:2]}
    document = json.loads(plainfilm("experiments", "run", file, "--out", out, "--device", "cpu", "--json").stdout)
    assert [run["outcome"] for run in document["runs"]] == ["skipped", "skipped", "resumed", "trained"]
    assert weights == {name: (out / "tiny" / name / "model.safetensors").stat().st_mtime_ns for name in FOUR[:2]}
    return out / "tiny"


def test_a_grid_that_starts_from_weights_is_gone_on_with_and_then_skipped(grid, tmp_path, monkeypatch):
    """The runs hold an absolute path and the weights' mean and std; the file holds neither."""
    source, file, out = grid / FOUR[0], tmp_path / "started.yaml", tmp_path / "runs"
    monkeypatch.chdir(grid)
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "w.pth")
    text = GRID.replace("  - {name: smaller, model.filters: [2, 4, 4]}\n", "").replace("model: {kernel: 3}\n", "")
    small, frozen = f"name: small, model.kernel: 3, model.weights: {source.name}", "train.freeze: true"
    text = text.replace("name: small", small).replace("[0, 1]", "[0]").replace(
        "configurations:\n", f"configurations:\n  - {{name: file, model.name: resnet18, model.weights: {tmp_path / 'w.pth'}, {frozen}, train.size_px: 64}}\n"
    )  # fmt: skip
    file.write_text(text)
    real = train_run

    def stopped(cfg, root, **options):
        return real(cfg, root, **options, **({"max_minutes": 1e-6} if root.name == "small-seed0" else {}))

    command = ["experiments", "run", file, "--out", out, "--device", "cpu", "--json"]
    with monkeypatch.context() as patch:
        patch.setattr("plainfilm.pipeline.train.train_run", stopped)
        plainfilm(*command, code=130)
    for expected in (["skipped", "resumed"], ["skipped", "skipped"]):
        assert [run["outcome"] for run in json.loads(plainfilm(*command).stdout)["runs"]] == expected
    resolved = load_config(out / "started" / "small-seed0" / "config.yaml").model
    assert resolved.weights == str(source) and resolved.mean is not None
    file.write_text(text.replace("model.kernel: 3", "model.kernel: 3, model.mean: 0.1"))
    assert "model.mean:" in plainfilm(*command, code=4).stderr


def test_every_run_is_finished_and_no_test_image_was_accessed(grid):
    for name in FOUR:
        run = RunDir(grid / name)
        assert run.read_status()["status"] == "done"
        assert not run.ledger.exists() and not run.predictions("test").exists()
    assert not (grid / ".looks").exists()


def test_the_cost_of_each_run_is_kept_and_latency_once_per_configuration(grid):
    costs = [json.loads((grid / name / "cost.json").read_text()) for name in FOUR]
    assert all(cost["seconds"] > 0 and cost["train_img_per_s"] > 0 for cost in costs)
    assert [cost["latency"] is not None for cost in costs] == [True, False, True, False]
    # conv 3*3*3*4+4, 3*3*4*8+8, 3*3*8*8+8; 32 px -> 15 -> 6 -> 2 px; dense 8*2*2*128+128; 128*2+2
    assert costs[0]["parameters"] == 112 + 296 + 584 + 4224 + 258


def test_a_resumed_run_is_the_one_that_was_never_stopped(grid, tmp_path):
    config = grid / FOUR[2] / "config.yaml"
    plainfilm("train", "--config", config, "--device", "cpu", "--out", tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (
        grid / FOUR[2] / "model.safetensors"
    ).read_bytes()


def test_the_table_ranks_both_configurations_and_names_the_probe(grid, place):
    plainfilm("experiments", "table", grid, "--out", place / "experiments")
    rows = list(csv.DictReader((place / "experiments" / "results.csv").read_text().splitlines()))
    assert {row["configuration"] for row in rows[:2]} == {"small", "smaller"}
    assert all(row["seeds"] == "0 1" and float(row["latency_ms"]) > 0 for row in rows[:2])
    assert rows[2]["status"] == "probe"
    assert "small and smaller" in (place / "experiments" / "RESULTS.md").read_text()
    assert (place / "experiments" / "figures" / "tiny.png").stat().st_size > 5000


def test_compare_sees_the_four_runs_as_two_rows(grid):
    document = json.loads(plainfilm("compare", *(grid / name for name in FOUR), "--json").stdout)
    assert [len(row["runs"]) for row in document["rows"]] == [2, 2]
    assert document["rows"][1]["differences"]["auroc"]["pairs"] == 2


def test_the_test_set_opens_once_per_run_when_asked(grid, place, tmp_path):
    copy = tmp_path / "runs" / "tiny"
    shutil.copytree(grid, copy)
    file = tmp_path / "tiny.yaml"
    shutil.copy(place / "experiments" / "tiny.yaml", file)
    for _ in range(2):
        plainfilm("experiments", "run", file, "--out", copy.parent, "--device", "cpu", "--open-test")
    assert [len((copy / name / "test_ledger.jsonl").read_text().splitlines()) for name in FOUR] == [1] * 4
    looks = [json.loads(line) for line in (tmp_path / "looks.jsonl").read_text().splitlines()]
    assert [(look["what"], look["seed"]) for look in looks] == [
        ("experiments/tiny.yaml, small", 0), ("experiments/tiny.yaml, small", 1),
        ("experiments/tiny.yaml, smaller", 0), ("experiments/tiny.yaml, smaller", 1),
    ]  # fmt: skip
    printed = plainfilm("experiments", "table", copy, "--out", tmp_path / "results")
    assert "### Test set" in (tmp_path / "results" / "RESULTS.md").read_text(), printed.stdout
    plainfilm("compare", *(copy / name for name in FOUR), "--split", "test")


def test_two_at_a_time_train_in_processes_of_their_own(place, tmp_path):
    """One configuration that can be trained and one whose loss ends as no number."""
    file = tmp_path / "pair.yaml"
    file.write_text(GRID.replace("model.filters: [2, 4, 4]", "train.lr: 1e8").replace("[0, 1]", "[0]"))
    done = plainfilm(
        "experiments", "run", file, "--out", tmp_path / "runs", "--jobs", "2", "--device", "cpu", "--json", code=5
    )
    runs = {run["configuration"]: run for run in json.loads(done.stdout)["runs"]}
    assert (runs["small"]["outcome"], runs["smaller"]["outcome"]) == ("trained", "failed")
    assert "The loss became" in runs["smaller"]["message"]
    plainfilm("experiments", "table", tmp_path / "runs" / "pair", "--out", tmp_path)
    assert "failed: The loss became" in (tmp_path / "RESULTS.md").read_text()
    cost = json.loads((tmp_path / "runs" / "pair" / "small-seed0" / "cost.json").read_text())
    assert cost["peak_rss_exact"] is True and cost["latency"]["n"] >= 10
