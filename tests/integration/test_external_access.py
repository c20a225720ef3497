"""`evaluate --external`, `--by` and `--prevalence` as a user types them, on one small run."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from plainfilm.cli import app
from plainfilm.data.synthetic.phantom import write_phantom

pytestmark = pytest.mark.slow


def plainfilm(*args: object, code: int = 0) -> Result:
    done = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "80"}).invoke(app, [str(arg) for arg in args])
    assert done.exit_code == code, f"exit {done.exit_code}, expected {code}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


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


def test_an_external_set_is_scored_saved_and_its_accesses_are_counted(run, drawn):
    first = as_json(run, "--external", drawn / "outside")
    name = first["split"]
    assert name.startswith("external-") and len(name) == len("external-") + 8
    assert (first["opened"], first["opened_set"]) == (1, 1)
    assert first["metrics"]["accuracy"]["n"] == first["external"]["used"] == 40
    saved = pd.read_csv(run / "predictions" / f"{name}.csv", dtype=str)
    assert len(saved) == 40 and (run / "figures" / f"decision_curve_{name}.png").is_file()
    assert json.loads((run / "metrics.json").read_text())[name]["metrics"] == first["metrics"]
    assert set(first["external"]["drops"]) == {"valid"}  # never evaluated on test
    drop = first["external"]["drops"]["valid"]["auroc"]
    inside = as_json(run)["metrics"]["auroc"]["value"]
    assert drop["value"] == pytest.approx(first["metrics"]["auroc"]["value"] - inside)
    assert drop["ci_low"] < drop["value"] < drop["ci_high"]
    assert 0 <= first["external"]["drift"]["auroc"]["value"] <= 1
    assert any(note.startswith("KNOWN PATIENTS") for note in first["notes"])  # phantoms are numbered from 1 in each set
    assert plainfilm("evaluate", run, "--external", drawn / "outside").stdout.startswith(f"KNOWN PATIENTS: {name}")
    assert not any("chosen on the valid images" in note for note in first["notes"])

    second = as_json(run, "--external", drawn / "outside")
    assert (second["opened"], second["metrics"], second["external"]) == (3, first["metrics"], first["external"])
    ledger = [json.loads(line) for line in (run / "test_ledger.jsonl").read_text().splitlines()]
    assert [look["inference"] for look in ledger] == [True, False, False]

    test = as_json(run, "--split", "test")
    assert (test["opened"], test["opened_set"]) == (1, 1)  # external accesses do not count for the test set
    third = as_json(run, "--external", drawn / "outside")
    assert set(third["external"]["drops"]) == {"valid", "test"}
    assert third["opened"] == 4
    other = run.parent / "two"
    shutil.copytree(run, other)
    for name in ("test_ledger.jsonl", f"predictions/{first['split']}.csv"):
        (other / name).unlink()
    status = json.loads((other / "status.json").read_text())
    (other / "status.json").write_text(json.dumps({**status, "ledger_head": None}))
    fresh = as_json(other, "--external", drawn / "outside")
    assert (fresh["opened"], fresh["opened_set"], fresh["metrics"]) == (1, 5, first["metrics"])


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
        assert auroc["n"] == 2 and auroc["ci_high"] - auroc["ci_low"] > 0.5
    text = plainfilm("evaluate", run, "--external", tmp_path / "few").stdout
    assert "External minus valid" in text and max(map(len, text.splitlines())) <= 80


def test_the_test_files_are_no_external_set_and_none_is_opened(run, drawn):
    refused = plainfilm("evaluate", run, "--external", drawn / "inside", code=2)
    assert "sealed test set; they are not external" in refused.stderr
    assert not (run / "test_ledger.jsonl").exists()


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
    assert "external images shaped the weights that this run started from" in refused and refused.count("\n") == 1
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
    assert "By site:" in text and "Gaps, first minus second" in text and max(map(len, text.splitlines())) <= 80
