"""`evaluate --external`, `--by` and `--prevalence` as a user types them, on one small run."""

from __future__ import annotations

import json
import re
import shutil
import sys
from functools import partial
from pathlib import Path

import commands
import pandas as pd
import pytest
from PIL import Image, ImageOps

from plainfilm.data.synthetic.phantom import write_phantom
from wording import lacking

pytestmark = [pytest.mark.slow, pytest.mark.campaign]  # .ci/run asks for this file
plainfilm = partial(commands.plainfilm, COLUMNS="80")


def as_json(*args: object) -> dict:
    return json.loads(plainfilm("evaluate", *args, "--json").stdout)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("drawn")
    write_phantom(root / "inside", images=90, size_px=48, seed=1)
    write_phantom(root / "outside", images=40, size_px=48, seed=2)
    return root


@pytest.fixture(scope="module")
def trained(drawn, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "one"
    plainfilm(
        "train", drawn / "inside", "--size", 48, "--batch-size", 16, "--epochs", 1, "--device", "cpu", "--out", run
    )
    return run


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy, so that accesses of one test are not those of another."""
    shutil.copytree(trained, tmp_path / "runs" / "one")
    return tmp_path / "runs" / "one"


@pytest.fixture(scope="module")
def first(trained, drawn, tmp_path_factory) -> tuple[Path, dict]:
    """A run that was scored on the external set once, and what it said; read only."""
    run = tmp_path_factory.mktemp("scored") / "one"
    shutil.copytree(trained, run)
    return run, as_json(run, "--external", drawn / "outside")


@pytest.fixture
def scored(first, tmp_path) -> Path:
    """A copy of it."""
    shutil.copytree(first[0], tmp_path / "runs" / "one")
    return tmp_path / "runs" / "one"


def widest(text: str, run: Path) -> int:
    """Of the lines that name no path: those are not broken."""
    return max(len(line) for line in text.splitlines() if str(run) not in line)


def ledger(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "test_ledger.jsonl").read_text().splitlines()]


def test_an_external_set_is_scored_by_its_content_and_counted_once(first):
    run, found = first
    assert re.fullmatch(r"external-[0-9a-f]{8}", found["split"])
    assert (found["opened"], found["opened_set"]) == (1, 1)
    assert found["metrics"]["accuracy"]["n"] == found["external"]["used"] == 40
    assert [access["inference"] for access in ledger(run)] == [True]


def test_what_was_scored_is_saved(first):
    run, found = first
    name = found["split"]
    assert len(pd.read_csv(run / "predictions" / f"{name}.csv", dtype=str)) == 40
    assert (run / "figures" / f"decision_curve_{name}.png").is_file()
    assert json.loads((run / "metrics.json").read_text())[name]["metrics"] == found["metrics"]


def test_the_change_from_valid_comes_with_an_interval_and_test_stays_sealed(first, scored):
    found = first[1]
    assert set(found["external"]["drops"]) == {"valid"}  # test was never opened
    drop = found["external"]["drops"]["valid"]["auroc"]
    valid = as_json(scored)["metrics"]["auroc"]["value"]
    assert drop["value"] == pytest.approx(found["metrics"]["auroc"]["value"] - valid)
    assert drop["ci_low"] < drop["value"] < drop["ci_high"]
    assert 0 <= found["external"]["drift"]["auroc"]["value"] <= 1
    assert not any("chosen on the valid images" in note for note in found["notes"])


def test_patients_of_both_sets_are_told_before_any_number(first, scored, drawn):
    """Drawn patients are numbered from 1 in each set."""
    name = first[1]["split"]
    assert any(note.startswith("KNOWN PATIENTS") for note in first[1]["notes"])
    assert plainfilm("evaluate", scored, "--external", drawn / "outside").stdout.startswith(
        f"DRAWN IMAGES, KNOWN PATIENTS: {name}"
    )


def test_asked_again_the_saved_scores_are_read_and_the_access_is_counted(first, scored, drawn):
    again = as_json(scored, "--external", drawn / "outside")
    assert again["opened"] == 2
    assert (again["metrics"], again["external"]) == (first[1]["metrics"], first[1]["external"])
    assert [access["inference"] for access in ledger(scored)] == [True, False]


def test_an_external_set_and_the_test_set_are_counted_apart(scored, drawn):
    test = as_json(scored, "--split", "test")
    assert (test["opened"], test["opened_set"]) == (1, 1)
    external = as_json(scored, "--external", drawn / "outside")
    assert external["opened"] == 2
    assert set(external["external"]["drops"]) == {"valid", "test"}


def test_a_run_beside_it_counts_the_accesses_of_both(first, scored, drawn):
    as_json(scored, "--external", drawn / "outside")
    other = scored.parent / "two"
    shutil.copytree(scored, other)
    for name in ("test_ledger.jsonl", f"predictions/{first[1]['split']}.csv"):
        (other / name).unlink()
    status = json.loads((other / "status.json").read_text())
    (other / "status.json").write_text(json.dumps({**status, "ledger_head": None}))
    fresh = as_json(other, "--external", drawn / "outside")
    assert (fresh["opened"], fresh["opened_set"], fresh["metrics"]) == (1, 3, first[1]["metrics"])


def test_names_are_mapped_and_a_renamed_folder_of_other_order_gives_the_same_numbers(run, drawn, tmp_path):
    """zz-well sorts after sick: the order of their folders is the other one."""
    shutil.copytree(drawn / "outside", tmp_path / "theirs")
    (tmp_path / "theirs" / "NORMAL").rename(tmp_path / "theirs" / "zz-well")
    (tmp_path / "theirs" / "PNEUMONIA").rename(tmp_path / "theirs" / "sick")
    refused = plainfilm("evaluate", run, "--external", tmp_path / "theirs", code=2)
    assert "which the run does not know" in refused.stderr and refused.stdout == ""
    assert not (run / "test_ledger.jsonl").exists()
    mapped = as_json(run, "--external", tmp_path / "theirs", "--map", "zz-well=NORMAL", "--map", "sick=PNEUMONIA")
    plain = as_json(run, "--external", drawn / "outside")
    assert mapped["split"] == plain["split"] and mapped["metrics"] == plain["metrics"]
    assert plain["opened"] == 2  # the same set by its content


@pytest.mark.parametrize("kept", [("NORMAL", 9), ("both", 1)])
def test_one_class_or_one_image_of_each_is_scored_as_far_as_it_goes(run, drawn, tmp_path, kept):
    name, n = kept
    for label in ("NORMAL", "PNEUMONIA") if name == "both" else (name,):
        for path in sorted((drawn / "outside" / label).iterdir())[:n]:
            (tmp_path / "few" / label).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "few" / label / path.name)
    found = as_json(run, "--external", tmp_path / "few", "--prevalence", "0.1")
    assert found["metrics"]["specificity"]["n"] == n
    if name == "NORMAL":
        for metric in ("auroc", "sensitivity", "mcc", "balanced_accuracy"):
            assert found["metrics"][metric]["value"] is None
            assert found["metrics"][metric]["method"].startswith("not estimable: ")
        assert found["external"]["drops"]["valid"]["auroc"]["value"] is None
        assert found["at_prevalence"][0]["ppv"]["method"] == "not estimable: one class only"
        assert any("No external image is of class PNEUMONIA" in note for note in found["notes"])
    else:
        auroc = found["metrics"]["auroc"]
        assert auroc["n"] == 2 and auroc["value"] is None  # of one patient a class nothing is known of others
        assert auroc["method"].startswith("not estimable: ")
    text = plainfilm("evaluate", run, "--external", tmp_path / "few").stdout
    assert "External minus valid" in text and widest(text, run) <= 80


def test_the_test_files_are_no_external_set_and_none_is_opened(run, drawn):
    refused = plainfilm("evaluate", run, "--external", drawn / "inside", code=2)
    assert "sealed test set; they are not external" in refused.stderr
    assert not (run / "test_ledger.jsonl").exists()


def test_what_was_left_out_is_in_the_document_and_every_title(run, drawn, tmp_path):
    """Drawn patients are numbered from 1 in each set: here all images of a key that train or valid has are left out."""
    theirs = tmp_path / "theirs"
    shutil.copytree(drawn / "outside", theirs)
    table = pd.read_csv(run / "table.csv", dtype=str)
    mine = table[table["split"] == "valid"].iloc[0]
    shutil.copy(mine["path"], theirs / mine["label"] / "copy.png")
    (theirs / "OTHER").mkdir()
    with Image.open(next((theirs / "NORMAL").iterdir())) as image:
        ImageOps.invert(image.convert("L")).save(theirs / "OTHER" / "x.png")
    refused = plainfilm("evaluate", run, "--external", theirs, "--leave-out", "OTHER", code=2).stderr
    assert lacking(refused, "of 41 external images", "train or valid set", "--drop-known") == []
    options = ("--external", theirs, "--leave-out", "OTHER", "--drop-known")
    found = as_json(run, *options)
    left_out, external = found["external"]["left_out"], found["external"]
    assert (left_out["images"], left_out["classes"]) == (1, {"OTHER": 1})
    gone = left_out["images"] + left_out["patient_images"] + 1
    assert (
        external["used"] + external["ignored"] + external["quarantined"] == external["found"]
        and external["ignored"] == gone
    )
    assert external["used"] == found["metrics"]["accuracy"]["n"] and left_out["patients"] > 0
    said = f"without 1 known image, {left_out['patient_images']} images of {left_out['patients']} known patients, 1 image of 1 class"
    lines = plainfilm("evaluate", run, *options, COLUMNS="200").stdout.splitlines()
    assert lines[0].startswith(f"DRAWN IMAGES: {found['split']}, {said}, at threshold")
    assert any("Left out by --drop-known: 1 external images" in line for line in lines)
    plainfilm("report", run)
    assert f"External set 1, {said}: " in (run / "report.html").read_text()
    assert "OTHER" not in (run / "report.html").read_text()


OPENED: list[str] = []
WATCHING = [False]


def watch(event: str, args: tuple[object, ...]) -> None:
    """An audit hook cannot be removed; it listens while WATCHING."""
    if WATCHING[0] and event == "open":
        OPENED.append(str(args[0]))


def test_nothing_but_evaluate_on_test_reads_a_test_image(run, drawn, fresh_cache):
    """Every other command on a run, under an audit hook on open()."""
    sys.addaudithook(watch)
    rows = pd.read_csv(run / "table.csv", dtype=str, keep_default_na=False)
    sealed = set(rows.loc[rows["split"] == "test", "path"])
    WATCHING[0] = True
    try:
        for args in (["evaluate", run], ["evaluate", run, "--by", "mode", "--prevalence", "0.1"], ["interpret", run],
                     ["evaluate", run, "--split", "valid-shifted"], ["evaluate", run, "--external", drawn / "outside"]):  # fmt: skip
            plainfilm(*args)
        plainfilm("evaluate", run, "--external", drawn / "inside", code=2)
        assert OPENED and not sealed & set(OPENED)
        OPENED.clear()
        plainfilm("evaluate", run, "--split", "test")
        assert sealed <= set(OPENED)  # the hook would have heard
    finally:
        WATCHING[0] = False


def test_no_access_is_counted_when_the_options_are_wrong(run, drawn):
    for wrong in (["--by", "nonsense"], ["--prevalence", "0"], ["--threshold", "best"]):
        plainfilm("evaluate", run, "--split", "test", *wrong, code=2)
        plainfilm("evaluate", run, "--external", drawn / "outside", *wrong, code=2)
    plainfilm("evaluate", run, "--split", "test", "--external", drawn / "outside", code=2)
    plainfilm("evaluate", run, "--map", "a=b", code=2)
    assert not (run / "test_ledger.jsonl").exists()


def test_what_taught_the_weights_that_a_run_started_from_is_not_external_to_it(trained, drawn, tmp_path):
    run = tmp_path / "second"
    plainfilm("train", drawn / "outside", "--weights", trained, "--size", 48, "--batch-size", 16, "--epochs", 1, "--device", "cpu", "--allow-leak", "--out", run)  # fmt: skip  # drawn patients have the same keys
    refused = plainfilm("evaluate", run, "--external", drawn / "inside", code=2).stderr
    assert lacking(refused, "external images", "weights that this run started from") == []
    assert refused.count("\n") == 1
    assert not (run / "test_ledger.jsonl").exists()


def test_patients_prevalences_and_subgroups_are_in_one_document(run, drawn, tmp_path):
    rows = pd.read_csv(run / "table.csv", dtype=str, keep_default_na=False)
    found = as_json(run, "--prevalence", "0.01,0.5", "--by", "quantisation")
    valid = rows[rows["split"] == "valid"]
    people = found["per_patient"]
    assert people["patients"] == people["metrics"]["accuracy"]["n"] == valid["patient"].nunique()
    assert [row["prevalence"] for row in found["at_prevalence"]] == [0.01, 0.5]
    assert found["at_prevalence"][0]["ppv"]["value"] < found["at_prevalence"][1]["ppv"]["value"]
    assert [(group["name"], group["images"]) for group in found["subgroups"]["groups"]] == [("0", len(valid))]
    assert len(found["decision_curve"]["net_benefit"]) == 99
    assert "mcc" in found["metrics"] and "mcc" in people["metrics"]


def test_a_column_of_the_csv_makes_subgroups(drawn, tmp_path):
    names = sorted(path.relative_to(drawn / "inside").as_posix() for path in (drawn / "inside").rglob("*.png"))
    site = ["east" if int(name.split("-")[1]) % 2 else "west" for name in names]
    csv = drawn / "inside" / "list.csv"
    pd.DataFrame({"path": names, "label": [name.split("/")[0] for name in names], "site": site}).to_csv(
        csv, index=False
    )
    run = tmp_path / "csv-run"
    plainfilm("train", csv, "--size", 48, "--batch-size", 16, "--epochs", 1, "--device", "cpu", "--out", run)
    found = as_json(run, "--by", "site")["subgroups"]
    assert [group["name"] for group in found["groups"]] == ["east", "west"]
    assert {gap["metric"] for gap in found["gaps"]} == {"auroc", "sensitivity", "specificity"}
    text = plainfilm("evaluate", run, "--by", "site").stdout
    assert "By site:" in text and "Gaps, first minus second" in text and widest(text, run) <= 80
