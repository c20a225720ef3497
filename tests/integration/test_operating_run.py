"""A trained run of drawn images: valid is cut, each half does its own work, and what is stored is what is used."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score
from typer.testing import CliRunner

from foreign_pictures import CHOSEN_LAST, DESIGNED_WITH, foreign
from plainfilm.cli import app
from plainfilm.config import load_config
from plainfilm.data.cache.rows import decode_rows
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.data.synthetic.phantom import write_phantom
from plainfilm.data.table.saved_table import read_table
from plainfilm.evaluate.metrics.calibration import fit_scaling
from plainfilm.evaluate.ood.ood_gate import read_gate
from plainfilm.evaluate.operating.thresholds import choose_threshold
from plainfilm.evaluate.predictions import predict
from plainfilm.models.from_card import kept_network
from plainfilm.pipeline.evaluate import evaluate_run
from plainfilm.pipeline.train import train_run
from plainfilm.runs.card import read_card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.scaling import Scaling

pytestmark = [pytest.mark.slow, pytest.mark.campaign]  # .ci/run asks for this file
LOGITS = ["logit_NORMAL", "logit_PNEUMONIA"]


def options(data, **more):
    return load_config(options={
        "data.path": str(data), "data.audit": False, "train.size_px": 32, "train.epochs": 3, "train.batch_size": 32,
        "train.lr": 3e-3, "train.keep": "last", "model.filters": [8, 16], "model.kernel": 3, "model.dense": 16,
        "evaluate.n_boot": 100, **more,
    })  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("operating")
    write_phantom(folder / "data", images=1200, size_px=32, seed=4)
    train_run(options(folder / "data"), folder / "run", device="cpu")
    return RunDir(folder / "run")


@pytest.fixture(scope="module")
def valid(run):
    """The valid rows with their scores."""
    rows = read_table(run)
    rows = rows[rows["split"] == "valid"].reset_index(drop=True)
    return rows.join(pd.read_csv(run.predictions("valid")).drop(columns=["path", "patient", "label"]))


def test_valid_is_cut_by_patient_and_history_tells_of_those_who_select(run, valid):
    assert set(valid["role"]) == {"select", "calibrate"}
    assert (valid.groupby("group")["role"].nunique() == 1).all()
    select = valid[valid["role"] == "select"]
    truth = (select["label"] == "PNEUMONIA").to_numpy()
    last = pd.read_csv(run.history).iloc[-1]
    probs = Scaling().probs(select[LOGITS].to_numpy())
    assert last["valid_auroc"] == pytest.approx(roc_auc_score(truth, probs[:, 1]), abs=1e-6)
    assert last["valid_loss"] == pytest.approx(log_loss(truth, probs), rel=1e-5)


def test_the_card_holds_what_calibrate_gives(run, valid):
    card = read_card(run)
    mine = valid[valid["role"] == "calibrate"]
    truth = (mine["label"] == "PNEUMONIA").to_numpy()
    fitted = fit_scaling(mine[LOGITS].to_numpy(), truth.astype(int), mine["group"].to_numpy()).scaling
    assert card.scaling == fitted and card.temperature != 1 and card.bias["PNEUMONIA"] != 0
    probs = fitted.probs(valid[LOGITS].to_numpy())
    assert valid["prob_PNEUMONIA"].to_numpy() == pytest.approx(probs[:, 1], rel=1e-8)
    found = choose_threshold("smooth", mine["prob_PNEUMONIA"].to_numpy(), truth)
    assert card.threshold == pytest.approx(found, rel=1e-6) == pytest.approx(0.5, abs=1e-4)
    assert card.threshold_range.low < card.threshold < card.threshold_range.high
    assert (card.threshold_range.images, card.threshold_range.patients) == (len(mine), mine["group"].nunique())
    by_class = mine.groupby("label")["group"].nunique()
    assert card.band.patients == {name: by_class[name] for name in card.vocab}
    text = run.card.read_text() + run.log.read_text()
    assert not any(name in text for name in ("phantom-", str(run.root.parent / "data")))


def test_valid_is_judged_on_those_who_set_nothing_and_the_test_images_on_all(run, valid):
    found = evaluate_run(run.root)
    select = valid[valid["role"] == "select"]
    assert found.gate.marked.n == found.band.kept.n == len(select)
    assert found.gate.marked.n_patients == select["patient"].nunique()
    assert found.gate.marked.value == pytest.approx((select["unlike"] > 1).mean())
    lowest = found.band.lowest
    for name, metric in found.band.coverage.items():
        mine = select[select["label"] == name]
        assert metric.value == pytest.approx((mine[f"prob_{name}"] >= lowest[name]).mean())
    assert any(
        "The epoch" not in note and "the temperature and bias and the threshold" in note.lower() for note in found.notes
    )
    tested = evaluate_run(run.root, split="test")
    rows = read_table(run)
    assert tested.gate.marked.n == (rows["split"] == "test").sum()
    assert tested.gate.marked.ci_low <= 0.05
    assert [len(points) for points in (tested.reliability.before, tested.reliability.after)] == [15, 15]


def test_the_run_marks_each_kind_of_foreign_image(run):
    card, rows = read_card(run), read_table(run)
    films = decode_rows(rows[rows["split"] == "valid"], DecodeSpec(**card.decode))[:]
    gate, (model, device) = read_gate(run, card), kept_network(run, card, "cpu")
    for kind in (*DESIGNED_WITH, *CHOSEN_LAST):
        pictures = foreign(kind, films)
        unlike, _ = gate.score(pictures, predict(model, pictures, device)[1])
        assert (unlike > 1).mean() >= 0.95, kind


def test_the_output_fits_80_columns_and_says_for_whom_it_holds(run):
    done = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"}).invoke(app, ["evaluate", str(run.root), "-v"])
    assert done.exit_code == 0, done.output
    lines = [line for line in done.stdout.splitlines() if str(run.root) not in line]  # no path is broken
    assert max(map(len, lines)) <= 80
    for words in (
        "Abstain band for 90 %",
        "not abstained",
        "images like the valid images only",
        "Out of distribution:",
    ):
        assert words in done.stdout


def test_an_older_run_without_cut_band_and_gate_is_evaluated(run, tmp_path, as_older):
    old = RunDir(tmp_path / "old")
    shutil.copytree(run.root, old.root)
    as_older(old.root)
    card = json.loads(old.card.read_text())
    for key in ("band", "gate_sha256", "bias", "threshold_range"):
        del card[key]
    old.card.write_text(json.dumps({**card, "temperature": 1.0}))
    old.gate.unlink()
    for path, column in ((old.table, "role"), (old.predictions("valid"), "unlike")):
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        frame.drop(columns=column).to_csv(path, index=False)
    found = evaluate_run(old.root)
    assert (found.band, found.gate, found.temperature, found.reliability.before) == (None, None, 1.0, [])
    other = evaluate_run(old.root, threshold="youden")
    scores = pd.read_csv(old.predictions("valid"))
    truth = (scores["label"] == "PNEUMONIA").to_numpy()
    assert other.threshold == pytest.approx(choose_threshold("youden", scores["prob_PNEUMONIA"].to_numpy(), truth))


def test_a_damaged_gate_costs_no_access(run, tmp_path, refusal):
    broken = RunDir(tmp_path / "broken")
    shutil.copytree(run.root, broken.root)
    shutil.rmtree(broken.root / "predictions")
    broken.ledger.unlink(missing_ok=True)
    broken.write_status("done", ledger_head=None)
    broken.gate.write_bytes(b"")
    assert "gate.safetensors is missing or not the file" in refusal(lambda: evaluate_run(broken.root, split="test"))
    assert not broken.ledger.exists()


def test_permuted_test_labels_change_neither_temperature_nor_threshold(tmp_path):
    """The same files under given folders, those of the test folder with their classes exchanged."""
    write_phantom(tmp_path / "drawn", images=80, size_px=32, seed=6)
    rng = np.random.default_rng(0)
    found = []
    for name in ("one", "other"):
        for path in sorted((tmp_path / "drawn").rglob("*.png")):
            label, patient = path.parent.name, int(path.name.split("-")[1])
            given = "test" if patient % 4 == 0 else "train"
            if given == "test" and name == "other" and rng.random() < 0.5:
                label = {"NORMAL": "PNEUMONIA", "PNEUMONIA": "NORMAL"}[label]
            target = tmp_path / name / given / label / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        train_run(options(tmp_path / name, **{"data.split": "official"}), tmp_path / f"run-{name}", device="cpu")
        found.append(read_card(RunDir(tmp_path / f"run-{name}")))
    assert found[0].seal != found[1].seal  # the labels did change
    kept = ("temperature", "threshold", "band", "gate_sha256", "weights_sha256")
    assert [getattr(found[0], key) for key in kept] == [getattr(found[1], key) for key in kept]
