"""A run in bf16, from `train --precision` to the model card; stopped and resumed, and refused elsewhere.

The machine's word on its own arithmetic is replaced: torch emulates bfloat16 where the processor lacks it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands import plainfilm

from plainfilm.data.synthetic.phantom import write_phantom
from plainfilm.train.machine import precision
from wording import lacking

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
SAME = ("model.safetensors", "history.csv", "predictions/valid.csv", "card.json", "metrics.json")
LACKS = "this processor has no such thing"


@pytest.fixture(scope="module")
def machine() -> dict[str, bool]:
    return {"native": True}


@pytest.fixture(scope="module", autouse=True)
def told(machine) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "bf16_support", lambda device: (machine["native"], "the test says so" if machine["native"] else LACKS))  # fmt: skip
        yield


@pytest.fixture
def lacking_bf16(machine) -> None:
    machine["native"] = False
    yield
    machine["native"] = True


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> list[object]:
    folder = tmp_path_factory.mktemp("data")
    write_phantom(folder / "drawn", images=60, size_px=32, seed=1)
    config = folder / "small.yaml"
    config.write_text(
        f"data: {{path: {json.dumps(str(folder / 'drawn'))}, audit: false}}\nmodel: {{filters: [4, 8], dense: 8}}\n"
        "evaluate: {n_boot: 100}\ntrain: {size_px: 32, batch_size: 8, epochs: 2, lr: 0.01, ema: 0.9}\n"
    )
    return ["--config", config, "--device", "cpu"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def whole(small, runs) -> Path:
    """A run in bf16 that never stopped."""
    plainfilm("train", *small, "--precision", "auto", "--out", runs / "whole", "-q")
    return runs / "whole"


@pytest.fixture(scope="module")
def in_fp32(small, runs) -> Path:
    plainfilm("train", *small, "--out", runs / "fp32", "-q")
    return runs / "fp32"


def differ(run: Path, other: Path) -> list[str]:
    return [name for name in SAME if (run / name).read_bytes() != (other / name).read_bytes()]


def test_a_run_says_what_it_was_trained_in(whole, in_fp32):
    speed = {run: json.loads((run / "environment.json").read_text())["speed"] for run in (whole, in_fp32)}
    assert (speed[whole]["precision"], speed[whole]["precision_reason"]) == ("bf16", "the test says so")
    assert (speed[in_fp32]["precision"], speed[in_fp32]["precision_reason"]) == ("fp32", "")
    cards = {run: json.loads((run / "card.json").read_text())["precision"] for run in (whole, in_fp32)}
    assert cards == {whole: "bf16", in_fp32: "fp32"}
    assert "precision: auto" in (whole / "config.yaml").read_text()
    assert {"model.safetensors", "history.csv"} <= set(differ(whole, in_fp32))


def test_show_report_and_model_card_say_bf16_and_of_another_run_nothing(whole, in_fp32, tmp_path):
    words = ("bf16", "bfloat16")
    for run, says in ((whole, True), (in_fp32, False)):
        page, bundle = tmp_path / f"{run.name}.html", tmp_path / run.name
        plainfilm("report", run, "--out", page, "-q")
        plainfilm("export", run, "--out", bundle, "-q")
        notes = json.loads(plainfilm("show", run, "--json").stdout)["notes"]
        assert [note for note in notes if "bf16" in note] == (
            ["Trained in bf16: the training steps were computed in bfloat16, these scores in fp32."] if says else []
        )
        card = (bundle / "MODEL_CARD.md").read_text()
        assert (
            "- Trained in bf16: the training steps were computed in bfloat16, every score in float32" in card
        ) is says
        html = page.read_text().replace("fp32|bf16|auto", "")
        assert any(word in html for word in words) is says
        assert (
            lacking(html, *(("training steps in bf16", "steps in bfloat16 and scores in float32") if says else ()))
            == []
        )


def test_what_was_taken_is_said_where_it_was_not_the_default(small, tmp_path, lacking_bf16):
    said = plainfilm("train", *small, "--precision", "auto", "--dry-run").stderr
    assert f"Training steps in fp32: {LACKS}; validation and scores are fp32" in said
    assert "Training steps in" not in plainfilm("train", *small, "--dry-run").stderr


def test_bf16_is_refused_without_it_before_a_run_folder_is_made(small, tmp_path, lacking_bf16):
    for command in ("train", "lr-find"):
        done = plainfilm(command, *small, "--precision", "bf16", "--out", tmp_path / "run", "-q", code=3)
        assert done.stderr.strip() == f"plainfilm: --precision bf16: {LACKS}. Use --precision fp32, or auto, which takes bf16 where it is native."  # fmt: skip
        assert not (tmp_path / "run").exists()
    grid = tmp_path / "grid.yaml"
    grid.write_text(Path(small[1]).read_text() + "grid: {train.precision: [fp32, bf16], train.seed: [0]}\n")
    done = plainfilm("experiments", "run", grid, "--out", tmp_path / "grid", "--device", "cpu", "-q", code=3)
    assert (
        lacking(done.stderr, "1 of 2 configurations cannot be trained, and none was started", "precision_bf16", LACKS)
        == []
    )


def stopped_often(small, run: Path, *options: str, before_resume=lambda: None) -> None:
    """A run that stops after its first, second and third step."""
    plainfilm("train", *small, *options, "--out", run, "--max-minutes", 0, "-q", code=130)
    before_resume()
    for _ in range(2):
        plainfilm("resume", run, "--max-minutes", 0, "-q", code=130)
    plainfilm("resume", run, "-q")


def test_stopped_and_resumed_in_bf16_the_bytes_are_those_of_a_run_that_never_stopped(small, whole, tmp_path):
    stopped_often(small, tmp_path / "run", "--precision", "auto")
    assert differ(tmp_path / "run", whole) == []


def test_a_run_that_began_in_bf16_is_refused_where_there_is_none(small, whole, tmp_path, machine):
    run = tmp_path / "run"
    plainfilm("train", *small, "--precision", "auto", "--out", run, "--max-minutes", 0, "-q", code=130)
    before = (run / "status.json").read_bytes()
    machine["native"] = False
    said = plainfilm("resume", run, "-q", code=3).stderr
    machine["native"] = True
    assert lacking(said, f"The run {run} began in bf16 and cannot go on here: {LACKS}", "--precision fp32") == []
    assert len(said.strip().splitlines()) == 1 and (run / "status.json").read_bytes() == before
    plainfilm("resume", run, "-q")
    assert differ(run, whole) == []


def test_auto_that_began_in_fp32_stays_there_on_a_machine_with_bf16(small, in_fp32, tmp_path, machine):
    machine["native"] = False
    stopped_often(small, tmp_path / "run", "--precision", "auto", "--lr", "auto", before_resume=lambda: machine.update(native=True))  # fmt: skip
    assert json.loads((tmp_path / "run" / "card.json").read_text())["precision"] == "fp32"
    plainfilm("train", *small, "--lr", "auto", "--out", tmp_path / "other", "-q")
    assert differ(tmp_path / "run", tmp_path / "other") == ["metrics.json"]  # it has the hash of config.yaml


def test_a_run_of_a_version_without_precision_was_trained_in_fp32(in_fp32, tmp_path, as_older):
    from plainfilm.runs.card import read_card
    from plainfilm.runs.environment import read_environment
    from plainfilm.runs.folder import RunDir

    shutil.copytree(in_fp32, tmp_path / "old")
    as_older(tmp_path / "old")
    for name in ("card.json", "environment.json"):
        path = tmp_path / "old" / name
        found = json.loads(path.read_text())
        found.pop("precision", None)
        found.get("speed", {}).pop("precision", None)
        path.write_text(json.dumps(found))
    run = RunDir(tmp_path / "old")
    assert read_card(run).precision == read_environment(run).precision == "fp32"
