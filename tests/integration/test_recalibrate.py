"""recalibrate from the command line: a new version of a run and of a bundle for images of another place."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import plainfilm
from PIL import Image

from plainfilm.config import load_config
from plainfilm.data.synthetic.phantom import write_phantom
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.export.bundle import export_run
from plainfilm.export.manifest import ONNX
from plainfilm.export.scorer import open_bundle
from plainfilm.pipeline.train import train_run
from plainfilm.recalibrate.new_version import Version, _rescored
from plainfilm.runs.card import read_card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import write_file


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A trained run, its bundle, and images of a place whose films are darker and flatter."""
    root = tmp_path_factory.mktemp("recalibrate")
    write_phantom(root / "data", images=400, size_px=32, seed=4)
    train_run(load_config(options={
        "data.path": str(root / "data"), "data.audit": False, "train.size_px": 32, "train.epochs": 3, "train.batch_size": 32,
        "train.lr": 3e-3, "train.keep": "last", "model.filters": [8, 16], "model.kernel": 3, "model.dense": 16,
        "evaluate.n_boot": 100, "data.cache": False,
    }), root / "run", device="cpu")  # fmt: skip
    export_run(root / "run", root / "bundle")
    export_run(root / "run", root / "bundle.zip")
    write_phantom(root / "local", images=160, size_px=32, seed=9)
    for path in sorted((root / "local").rglob("*.png")):
        Image.fromarray((np.asarray(Image.open(path)) * 0.7).astype(np.uint8)).save(path)
        path.rename(path.with_name(path.name.replace("phantom-", "phantom-9")))  # other patients than the run's
    return root


def recalibrated(place, name, *words, parent="run", on="local"):
    out = place / name
    shutil.rmtree(out, ignore_errors=True)
    out.unlink(missing_ok=True)
    done = plainfilm("recalibrate", place / parent, "--on", place / on, "--out", out, "--json", *words)
    return json.loads(done.stdout), out


def test_a_run_gets_a_version_beside_it(place):
    before = {path: path.read_bytes() for path in (place / "run").rglob("*") if path.is_file() and path.name != ".lock"}
    found, out = recalibrated(place, "version")
    assert {path: path.read_bytes() for path in before} == before  # the parent stays as it is
    card, parent = read_card(RunDir(out)), read_card(RunDir(place / "run"))
    about = card.recalibration
    assert (card.weights_sha256, card.seal) == (parent.weights_sha256, parent.seal)
    assert about.parent_sha256 == hashlib.sha256((place / "run" / "card.json").read_bytes()).hexdigest()
    assert about.parent.threshold == parent.threshold and card.threshold == found["threshold"] != parent.threshold
    assert found["n_images"] == 160 and found["fitted_patients"] == about.fitted_patients < found["n_patients"]
    assert found["method"] == "intercept" and found["slope"] == 1.0
    assert card.temperature == pytest.approx(parent.temperature)
    assert card.bias["PNEUMONIA"] - parent.bias.get("PNEUMONIA", 0) == pytest.approx(found["intercept"])
    for name in ("brier", "accuracy"):
        change = found["after"][name]["value"] - found["before"][name]["value"]
        assert found["difference"][name]["value"] == pytest.approx(change)
    assert found["difference"]["accuracy"]["n"] == found["n_images"] - found["fitted_images"]
    assert found["learning_curve"][0]["patients"] == 0
    shown = json.loads(plainfilm("show", out, "--json").stdout)
    assert any(note.startswith("RECALIBRATED: on ") for note in shown["notes"])
    assert "RECALIBRATED" in plainfilm("evaluate", out).stdout
    plainfilm("report", out, "-q")
    assert "Recalibrated" in (out / "report.html").read_text()


def test_its_scores_are_the_networks_with_the_new_line(place):
    found, out = recalibrated(place, "version")
    mine, theirs = (pd.read_csv(folder / "predictions" / "valid.csv") for folder in (out, place / "run"))
    assert (mine["logit_NORMAL"] == theirs["logit_NORMAL"]).all()
    odds = [np.log(each["prob_PNEUMONIA"] / (1 - each["prob_PNEUMONIA"])) for each in (mine, theirs)]
    inside = theirs["prob_PNEUMONIA"].between(1e-4, 1 - 1e-4) & mine["prob_PNEUMONIA"].between(1e-4, 1 - 1e-4)
    assert (odds[0] - odds[1])[inside].to_numpy() == pytest.approx(np.full(inside.sum(), found["intercept"]), abs=1e-3)


def test_the_images_that_fitted_are_known_to_the_version_and_the_others_judge_it(place):
    found, out = recalibrated(place, "version")
    refused = plainfilm("evaluate", out, "--external", place / "local", code=2).stderr
    assert (
        f"{found['fitted_images']} of 160 external images are in the local images that this run was recalibrated on"
        in refused
    )
    judged = json.loads(plainfilm("evaluate", out, "--external", place / "local", "--drop-known", "--json").stdout)
    assert judged["metrics"]["accuracy"]["n"] == 160 - found["fitted_images"]
    for name in ("accuracy", "brier", "sensitivity"):
        assert judged["metrics"][name]["value"] == pytest.approx(found["after"][name]["value"], abs=1e-6)
        assert judged["unadapted"][name]["value"] == pytest.approx(found["before"][name]["value"], abs=1e-6)
    again = plainfilm("recalibrate", out, "--on", place / "local", "--out", place / "twice", code=2).stderr
    assert "recalibrated on" in again and not (place / "twice").exists()


@pytest.mark.parametrize("parent", ["bundle", "bundle.zip"])
def test_a_bundle_gets_the_same_numbers_and_keeps_its_network(place, parent):
    of_run, _ = recalibrated(place, "version")
    found, out = recalibrated(place, f"version-{parent}", parent=parent)
    for name in ("threshold", "intercept", "method", "fitted_patients"):
        assert (
            found[name] == pytest.approx(of_run[name], rel=1e-4)
            if name in ("threshold", "intercept")
            else found[name] == of_run[name]
        )
    assert onnx_of(out) == onnx_of(place / parent)
    bundle = open_bundle(out)
    assert bundle.card.recalibration.fingerprint and "## Recalibrated for another place" in bundle.card_markdown()
    path = next((place / "local").rglob("*.png"))
    assert str(place) not in bundle.card.model_dump_json() and path.stem not in bundle.card.model_dump_json()
    logits, _ = bundle.outputs(bundle.pixels(path)[None])
    assert bundle.predict_path(path).score == pytest.approx(bundle.card.scaling.probs(logits)[0, 1])
    assert bundle.predict_path(path).score != pytest.approx(open_bundle(place / parent).predict_path(path).score)
    said = plainfilm("predict", out, path)
    assert "RECALIBRATED: on " in said.stderr


def test_a_version_exports_to_a_bundle_with_its_scores(place):
    _, out = recalibrated(place, "version")
    plainfilm("export", out, "--out", place / "exported", "-q")
    path = next((place / "local").rglob("*.png"))
    _, direct = recalibrated(place, "version-bundle", parent="bundle")
    assert open_bundle(place / "exported").predict_path(path).score == pytest.approx(
        open_bundle(direct).predict_path(path).score, abs=1e-5
    )
    shutil.rmtree(place / "exported")


def test_cross_fitting_uses_all_patients(place):
    found, out = recalibrated(place, "crossed", "--cross-fit")
    assert found["fitted_images"] == found["n_images"] == found["after"]["accuracy"]["n"] == 160
    assert plainfilm("evaluate", out, "--external", place / "local", "--drop-known", code=2).stderr.count(
        "knows every external image"
    )


def test_a_prevalence_sets_the_threshold_alone(place):
    found, out = recalibrated(place, "by-share", "--prevalence-threshold", "0.4")
    card, parent = read_card(RunDir(out)), read_card(RunDir(place / "run"))
    assert (found["method"], found["before"], card.bias, card.temperature) == (
        "prevalence",
        {},
        parent.bias,
        parent.temperature,
    )
    assert [row["prevalence"] for row in found["other_prevalences"]] == [0.3, 0.5]
    assert found["prevalence_check"]["says"]
    tested = json.loads(plainfilm("evaluate", out, "--external", place / "local", "--json").stdout)
    (mark,) = [note for note in tested["notes"] if note.startswith("TRANSDUCTIVE")]
    assert mark.startswith("TRANSDUCTIVE: 160 of these 160 images")
    assert sum(row[1] for row in tested["confusion"]["rows"]) / 160 == pytest.approx(0.4, abs=0.01)
    assert tested["unadapted"]["auroc"] == tested["metrics"]["auroc"]
    assert tested["unadapted"]["specificity"] != tested["metrics"]["specificity"]


def test_the_gate_is_opened_only_where_it_was_asked_for(place):
    found, out = recalibrated(place, "version")
    assert (out / "gate.safetensors").read_bytes() == (place / "run" / "gate.safetensors").read_bytes()
    assert 0 <= found["ood_marked"] <= 1
    assert "--refit-gate needs 200 local patients" in plainfilm(
        "recalibrate", place / "run", "--on", place / "local", "--out", place / "x", "--refit-gate", code=2
    ).stderr  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--on", "nowhere"), 2, "nowhere"),
        (("--on", "local", "--prevalence-threshold", "1.5"), 2, "is outside 0..1"),
        (("--on", "local", "--prevalence-threshold", "0.3", "--cross-fit"), 2, "--cross-fit need labels"),
        (("--on", "local", "--method", "magic"), 2, "expected auto, intercept, platt"),
        (("--on", "data"), 2, "sealed test set"),
        (("--on", "data", "--prevalence-threshold", "0.3"), 2, "sealed test set"),
        (("--on", "run"), 2, "holds no image"),
    ],
    ids=["no-such-folder", "share", "labels-and-none", "method", "own", "own-unlabelled", "not-images"],
)
def test_mistakes_write_nothing(place, monkeypatch, words, code, said):
    monkeypatch.chdir(place)
    error = plainfilm("recalibrate", "run", *words, "--out", "wrong", code=code).stderr.strip().splitlines()[-1]
    assert said in error and error.startswith("plainfilm: ")
    assert not (place / "wrong").exists()


def test_a_place_that_is_taken_and_a_folder_that_is_no_model_are_refused(place):
    assert (
        "never overwritten"
        in plainfilm("recalibrate", place / "run", "--on", place / "local", "--out", place / "data", code=4).stderr
    )
    assert (
        "not a run folder"
        in plainfilm("recalibrate", place / "data", "--on", place / "local", "--out", place / "x", code=2).stderr
    )


def onnx_of(path: Path) -> bytes:
    if path.is_dir():
        return (path / ONNX).read_bytes()
    with zipfile.ZipFile(path) as archive:
        return archive.read(ONNX)


def test_the_table_fits_80_columns_and_names_what_is_best(place):
    shutil.rmtree(place / "seen", ignore_errors=True)
    lines = plainfilm(
        "recalibrate", place / "run", "--on", place / "local", "--out", place / "seen", COLUMNS="80"
    ).stdout.splitlines()
    (header,) = [line for line in lines if line.split() == ["before", "after", "difference"]]
    (accuracy,) = [line for line in lines if line.startswith("accuracy ")]
    assert len(accuracy) <= 80 and accuracy.count("[") == 3
    assert accuracy.index("[") > header.index("before")
    assert any(line.startswith("Best: Brier, ECE") for line in lines)


def test_a_rule_that_would_be_chosen_on_valid_is_refused_and_a_number_is_taken(place):
    _, out = recalibrated(place, "version")
    error = plainfilm("evaluate", out, "--threshold", "youden", code=2).stderr
    assert "would be chosen on valid" in error
    assert json.loads(plainfilm("evaluate", out, "--threshold", "0.4", "--json").stdout)["threshold"] == 0.4


def test_notes_on_the_operating_point_before_are_not_kept_and_new_ones_are(place):
    card = RunDir(place / "run").card
    before = card.read_text()
    try:
        old = json.loads(before)
        write_file(
            RunDir(place / "run"),
            card,
            json.dumps(
                {
                    **old,
                    "threshold_rule": "sensitivity>=0.95@0.9",
                    "notes": ["TEMPERATURE 10 is at its limit: x.", *old["notes"]],
                }
            ),
        )
        _, out = recalibrated(place, "noted")
    finally:
        write_file(RunDir(place / "run"), card, before)
    notes = read_card(RunDir(out)).notes
    assert not any(note.startswith("TEMPERATURE") for note in notes)
    (bound,) = [
        note for note in notes if note.startswith("BOUND NOT REACHED")
    ]  # 40 positive patients fitted, 45 needed
    assert "not 0.95" in bound


def test_a_version_of_a_version_remembers_the_first_point(place):
    _, out = recalibrated(place, "by-share", "--prevalence-threshold", "0.4")
    shutil.rmtree(place / "again", ignore_errors=True)
    done = plainfilm("recalibrate", out, "--on", place / "local", "--out", place / "again", "--json")
    first, last = (read_card(RunDir(place / name)) for name in ("run", "again"))
    assert last.recalibration.parent.threshold == first.threshold and last.recalibration.parent.bias == first.bias
    assert json.loads(done.stdout)["threshold_before"] == read_card(RunDir(out)).threshold


def test_train_images_without_labels_are_refused_and_a_bundle_says_what_it_cannot_check(place):
    rows = pd.read_csv(place / "run" / "table.csv")
    known = place / "known"
    known.mkdir(exist_ok=True)
    for path in rows.loc[rows["split"] == "train", "path"][:3]:
        shutil.copy(path, known)
    words = ("--on", known, "--prevalence-threshold", "0.5", "--out", place / "x")
    assert "train or valid set" in plainfilm("recalibrate", place / "run", *words, code=2).stderr
    found, _ = recalibrated(place, "version-unchecked", parent="bundle")
    assert any(note.startswith("NOT CHECKED") for note in found["notes"])


def test_saved_ood_scores_follow_the_limit_of_the_gate(place):
    finished = FinishedRun.open(place / "run")
    version = Version(finished.card, b"", pd.DataFrame(), ood_factor=0.5)
    before = finished.predictions("valid").frame["unlike"].to_numpy()
    assert _rescored(finished.predictions("valid"), version).frame["unlike"].to_numpy() == pytest.approx(before / 2)


def test_scores_of_test_at_the_new_point_need_an_access_of_the_version(place):
    """The version has its parent's access and rescored test scores; figures of these would be an access that nobody counts."""
    plainfilm("evaluate", place / "run", "--split", "test")
    _, out = recalibrated(place, "tested")
    ledger = (out / "test_ledger.jsonl").read_bytes()
    assert ledger.count(b"\n") == 1 and read_card(RunDir(out)).recalibration.test_accesses == 1

    for words in (("interpret", out, "--split", "test"), ("compare", place / "run", out, "--split", "test")):
        refused = plainfilm(*words, code=2).stderr
        assert "recalibrated operating point" in refused and f"plainfilm evaluate {out} --split test" in refused
    done = plainfilm("interpret", out, "--heat-maps", "0", "--json")
    assert json.loads(done.stdout)["split"] == "valid" and "The figures are of valid." in done.stderr
    abroad = json.loads(plainfilm("evaluate", out, "--external", place / "local", "--drop-known", "--json").stdout)
    assert list(abroad["external"]["drops"]) == ["valid"]
    assert len([line for line in ledger_of(out) if line["seal"] == read_card(RunDir(out)).seal]) == 1

    opened = json.loads(plainfilm("evaluate", out, "--split", "test", "--json").stdout)["opened"]
    assert opened == 2 == len([line for line in ledger_of(out) if line["seal"] == read_card(RunDir(out)).seal])
    assert json.loads(plainfilm("interpret", out, "--heat-maps", "0", "--json").stdout)["split"] == "test"
    plainfilm("compare", place / "run", out, "--split", "test")


def ledger_of(root):
    return [json.loads(line) for line in (root / "test_ledger.jsonl").read_text().splitlines()]


def test_a_version_compares_with_its_parent_as_a_configuration_of_its_own(place):
    recalibrated(place, "version")
    done = plainfilm("compare", place / "run", place / "version", "--json")
    found = json.loads(done.stdout)
    assert sorted(row["name"] for row in found["rows"]) == ["run", "version"]
