"""The split valid-shifted: made of valid alone, the same each time, and a place to take the threshold from."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.config import load_config
from plainfilm.data.synthetic.corruptions import CORRUPTIONS
from plainfilm.data.synthetic.phantom import write_phantom
from plainfilm.evaluate.operating.thresholds import choose_threshold
from plainfilm.pipeline.evaluate import evaluate_run
from plainfilm.pipeline.train import train_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shifted")
    write_phantom(folder / "data", images=60, size_px=32, seed=2)
    for name, lr in (("run", 1e-3), ("other", 1e-5)):
        cfg = load_config(options={
            "data.path": str(folder / "data"), "data.audit": False, "train.size_px": 32, "train.epochs": 2,
            "train.batch_size": 16, "train.lr": lr, "model.filters": [4, 8], "model.kernel": 3, "model.dense": 8,
            "evaluate.n_boot": 100, "evaluate.threshold_on": "valid-shifted",
        })  # fmt: skip
        train_run(cfg, folder / name, device="cpu")
    return folder / "run"


@pytest.fixture(scope="module")
def frame(run):
    return pd.read_csv(run / "predictions/valid-shifted.csv")


def test_each_valid_image_comes_once_unchanged_and_once_under_each_change(run, frame):
    valid = pd.read_csv(run / "predictions/valid.csv")
    assert list(frame["change"].unique()) == ["none", *CORRUPTIONS]
    as_it_is = frame[frame["change"] == "none"].drop(columns="change").reset_index(drop=True)
    pd.testing.assert_frame_equal(as_it_is, valid)
    for _, part in frame.groupby("change"):
        assert list(part["path"]) == list(valid["path"])
        assert list(part["label"]) == list(valid["label"])


def test_the_threshold_is_the_one_its_rule_finds_there(run, frame):
    card = json.loads((run / "card.json").read_text())
    assert card["threshold_chosen_on"] == "valid-shifted"
    expected = choose_threshold(
        "smooth", frame["prob_PNEUMONIA"].to_numpy(), (frame["label"] == "PNEUMONIA").to_numpy()
    )
    assert card["threshold"] == pytest.approx(expected, rel=1e-6)


def test_its_scores_are_given_with_patients_as_the_unit_and_per_change(run, frame):
    found = evaluate_run(run, split="valid-shifted")
    one = evaluate_run(run, split="valid")
    assert found.metrics["accuracy"].n == 15 * one.metrics["accuracy"].n
    assert found.metrics["accuracy"].n_patients == one.metrics["accuracy"].n_patients
    assert [row.change for row in found.changes] == ["none", *CORRUPTIONS]
    assert found.changes[0].auroc.value == pytest.approx(one.metrics["auroc"].value)
    blurred = frame[frame["change"] == "blur"]
    truth = np.where(blurred["label"] == "PNEUMONIA", blurred["prob_PNEUMONIA"], blurred["prob_NORMAL"])
    assert found.changes[1].log_loss == pytest.approx(-np.log(truth).mean(), rel=1e-5)
    assert any("the threshold were chosen on the valid images" in note for note in found.notes)
    assert not (run / "test_ledger.jsonl").exists()


def test_it_is_made_when_asked_for_and_is_the_same_then(run, frame):
    path = run / "predictions/valid-shifted.csv"
    before = path.read_bytes()
    path.unlink()
    evaluate_run(run, split="valid-shifted")
    assert path.read_bytes() == before


def test_the_command_shows_each_change_and_another_split_is_refused(run):
    done = CliRunner().invoke(app, ["evaluate", str(run), "--split", "valid-shifted"])
    assert done.exit_code == 0, done.output
    assert all(name in done.stdout for name in CORRUPTIONS)
    assert CliRunner().invoke(app, ["evaluate", str(run), "--split", "shifted"]).exit_code == 2


def test_runs_are_compared_on_it_and_a_table_ranks_by_it(run, tmp_path):
    done = CliRunner().invoke(
        app, ["compare", str(run), str(run.parent / "other"), "--split", "valid-shifted", "--json"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["split"] == "valid-shifted"
    assert found["n"] == 15 * evaluate_run(run, split="valid").metrics["accuracy"].n
    made = CliRunner().invoke(app, ["experiments", "table", str(run.parent), "--out", str(tmp_path)])
    assert made.exit_code == 0, made.output
    page = (tmp_path / "RESULTS.md").read_text()
    assert "### Scores on valid-shifted" in page
    assert "ranked on valid-shifted" in page
