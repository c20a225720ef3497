"""The commands as a user types them, on a small drawn set: train, evaluate, interpret, lr-find, split."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import plainfilm
from PIL import Image
from safetensors.numpy import load_file
from typer.testing import Result

from plainfilm.data.synthetic.phantom import write_phantom
from plainfilm.evaluate.test_ledger import images_of, seal_of
from plainfilm.export.scorer import open_bundle
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import write_file
from plainfilm.serve.limits import Limits
from plainfilm.serve.pages import Pages
from plainfilm.serve.predictor import Predictor
from wording import lacking

pytestmark = pytest.mark.slow
SMALL = ["--size", "48", "--batch-size", "16", "--epochs", "2", "--device", "cpu"]


def in_a_process(*args: object, code: int = 0, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """The command as a shell starts it."""
    command = [sys.executable, "-m", "plainfilm", *map(str, args)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=280,
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120", **env},
    )
    assert done.returncode == code, f"exit {done.returncode}, expected {code}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def as_json(done: Result | subprocess.CompletedProcess[str]) -> dict:
    found = json.loads(done.stdout)  # fails when anything else is on stdout
    assert found["schema_version"] == 1
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("data") / "drawn"
    write_phantom(out, images=120, size_px=48, seed=1)
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def trained(data, runs) -> tuple[Path, dict]:
    run = runs / "one"
    return run, as_json(plainfilm("train", data, *SMALL, "--seed", 7, "--out", run, "--json"))


@pytest.fixture(scope="module")
def evaluated(trained) -> tuple[Path, dict]:
    return trained[0], as_json(plainfilm("evaluate", trained[0], "--split", "test", "--json"))


def test_train_reports_its_data_metrics_and_timing(trained):
    run, found = trained
    data = found["data"]
    assert data["found"] == 120 == data["used"] + data["quarantined"] + data["duplicates"] + data["ignored"]
    assert sum(split["images"] for split in data["splits"].values()) == 120
    assert data["classes"] == {"NORMAL": 60, "PNEUMONIA": 60}
    assert Path(found["run"]) == run
    assert found["positive"] == "PNEUMONIA"
    timing = found["timing"]
    assert set(timing) == {"seconds", "epochs_seconds", "train_img_per_s", "peak_rss_mb"}
    assert 0 < timing["epochs_seconds"] < timing["seconds"]  # the estimate is for the epochs alone
    for metric in found["metrics"]["valid"].values():
        assert set(metric) == {"value", "ci_low", "ci_high", "n", "n_patients", "method"}
        if metric["value"] is not None:
            assert metric["ci_low"] <= metric["value"] <= metric["ci_high"]
            assert metric["ci_low"] < metric["ci_high"]


def test_a_run_folder_holds_what_it_promises(trained):
    run, _ = trained
    promised = [
        "config.yaml", "environment.json", "table.csv", "history.csv", "timing.csv", "status.json", "model.safetensors", "card.json",
        "predictions/valid.csv", "metrics.json", "figures/batch.png", "log.txt", "checkpoints/best.safetensors",
    ]  # fmt: skip
    assert [name for name in promised if not (run / name).is_file()] == []
    assert json.loads((run / "status.json").read_text())["status"] == "done"
    assert not (run / "predictions" / "test.csv").exists() or (run / "test_ledger.jsonl").exists()
    assert not list(run.rglob(".partial-*"))


def test_no_patient_is_in_two_splits(trained):
    table = pd.read_csv(trained[0] / "table.csv", dtype=str, keep_default_na=False)
    assert set(table["split"]) == {"train", "valid", "test"}
    for key in ("patient", "group", "sha256"):
        assert (table.groupby(key)["split"].nunique() == 1).all()


def test_the_weights_are_plain_tensors_in_name_order(trained):
    raw = (trained[0] / "model.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert "__metadata__" not in header
    assert len(load_file(trained[0] / "model.safetensors")) == 10
    assert list(header) == sorted(header)


def test_card_and_log_name_no_path_file_or_patient(trained, data):
    for name in ("card.json", "log.txt"):
        text = (trained[0] / name).read_text()
        assert "phantom-" not in text
        assert str(data) not in text


def test_the_same_command_twice_gives_the_same_bytes(trained, data, runs):
    """Another process, another thread count for the scan, another folder: weights and history are equal."""
    again = runs / "again"
    in_a_process("train", data, *SMALL, "--seed", 7, "--out", again)
    for name in ("model.safetensors", "history.csv", "predictions/valid.csv", "table.csv", "card.json"):
        assert (again / name).read_bytes() == (trained[0] / name).read_bytes(), name


@pytest.mark.campaign
def test_the_saved_config_repeats_the_run_and_another_seed_does_not(trained, runs):
    again, other = runs / "from-config", runs / "other-seed"
    plainfilm("train", "--config", trained[0] / "config.yaml", "--out", again)
    assert (again / "model.safetensors").read_bytes() == (trained[0] / "model.safetensors").read_bytes()
    plainfilm("train", "--config", trained[0] / "config.yaml", "--seed", 8, "--epochs", 1, "--out", other)
    assert (other / "model.safetensors").read_bytes() != (trained[0] / "model.safetensors").read_bytes()


def test_the_test_set_is_scored_and_the_access_is_counted(evaluated):
    run, found = evaluated
    assert (found["opened"], found["opened_set"], found["split"]) == (1, 1, "test")
    table = pd.read_csv(run / "table.csv", dtype=str, keep_default_na=False)
    test = table[table["split"] == "test"]
    status, line = json.loads((run / "status.json").read_text()), run.parent / ".looks" / f"{seal_of(test)}.jsonl"
    assert status["seal"] == seal_of(test)
    assert status["images"] == images_of(test) == json.loads(line.read_text())["images"]
    assert sum(map(sum, found["confusion"]["rows"])) == len(test) == found["metrics"]["accuracy"]["n"]
    predictions = pd.read_csv(run / "predictions" / "test.csv")
    assert list(predictions["path"]) == list(test["path"])
    predicted = np.where(predictions["prob_PNEUMONIA"] >= found["threshold"], "PNEUMONIA", "NORMAL")
    assert (predicted == predictions["label"]).mean() == pytest.approx(found["metrics"]["accuracy"]["value"])
    positive = predictions["label"] == "PNEUMONIA"
    assert found["metrics"]["sensitivity"]["n"] == positive.sum()
    assert (predicted == "PNEUMONIA")[positive].mean() == pytest.approx(found["metrics"]["sensitivity"]["value"])
    assert found["metrics_at_half"]["accuracy"]["value"] == pytest.approx(
        ((predictions["prob_PNEUMONIA"] >= 0.5) == positive).mean()
    )


def everything_in(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time stamp of each file."""
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def accesses(run: Path) -> list[bool]:
    """For each recorded access, whether the network ran."""
    return [json.loads(line)["inference"] for line in (run / "test_ledger.jsonl").read_text().splitlines()]


@pytest.fixture
def copied(evaluated, tmp_path) -> Path:
    """A copy of the evaluated run, alone in its folder of runs."""
    return Path(shutil.copytree(evaluated[0], tmp_path / "runs" / "copied"))


def test_a_second_access_opens_no_file_is_counted_and_gives_the_same_numbers(evaluated, copied, data):
    moved = data.rename(data.parent / "away")
    try:
        again = as_json(plainfilm("evaluate", copied, "--split", "test", "--prevalence", "0.1", "--json"))
    finally:
        moved.rename(data)
    assert again["opened"] == evaluated[1]["opened"] + 1 and accesses(copied) == [True, False]
    assert again["metrics"] == evaluated[1]["metrics"]


def test_again_scores_the_images_as_they_are_now(evaluated, copied, data):
    """Edited scores are refused until they are made again; where the images cannot be scored, nothing is counted."""
    scores = copied / "predictions" / "test.csv"
    right = scores.read_bytes()
    table = pd.read_csv(scores, dtype=str, keep_default_na=False)
    table["prob_NORMAL"], table["prob_PNEUMONIA"] = table["prob_PNEUMONIA"], table["prob_NORMAL"]
    for edited in (True, False):
        if edited:
            table.to_csv(scores, index=False)
            refusal = plainfilm("evaluate", copied, "--split", "test", code=2).stderr
            assert lacking(refusal, "predictions/test.csv of", "not the file that was written", "--again") == []
        moved = data.rename(data.parent / "away")
        try:
            plainfilm("evaluate", copied, "--split", "test", "--again", code=2)
        finally:
            moved.rename(data)
        assert accesses(copied) == [True] * (1 if edited else 2)
        again = plainfilm("evaluate", copied, "--split", "test", "--again", "--json")
        assert as_json(again)["metrics"] == evaluated[1]["metrics"] and scores.read_bytes() == right
        assert accesses(copied) == [True] * (2 if edited else 3)


def test_edited_numbers_are_no_saved_numbers(evaluated, copied):
    saved = json.loads((copied / "metrics.json").read_text())
    for split in ("test", "valid"):
        saved[split]["metrics"]["auroc"]["value"] = 0.999
    (copied / "metrics.json").write_text(json.dumps(saved))
    for command in ("show", "evaluate"):
        for split in ("test", "valid"):
            refusal = plainfilm(command, copied, "--split", split, code=2).stderr
            assert lacking(refusal, "metrics.json of", "not the file that was written", "--again") == []
    assert accesses(copied) == [True]
    for split in ("test", "valid"):
        done = plainfilm("evaluate", copied, "--split", split, "--again", "--json")
        assert as_json(done)["metrics"]["auroc"]["value"] < 0.999
    assert as_json(plainfilm("show", copied, "--json"))["metrics"] == evaluated[1]["metrics"]
    assert accesses(copied) == [True, True]


def test_lost_test_numbers_cost_an_access_with_a_word(copied):
    (copied / "metrics.json").unlink()
    done = plainfilm("evaluate", copied, "--split", "test")
    assert lacking(done.stderr, "no numbers of test that can be read", "is a test-set access") == []
    assert accesses(copied) == [True, False]


@pytest.mark.parametrize("split", ["test", "valid", "valid-shifted"])
def test_the_same_question_again_shows_the_saved_numbers_and_writes_nothing(copied, data, split):
    first = as_json(plainfilm("evaluate", copied, "--split", split, "--json"))
    before = everything_in(copied.parent)
    moved = data.rename(data.parent / "away")
    try:
        again = plainfilm("evaluate", copied, "--split", split, "--json", "--fail-under", "accuracy=1", code=1)
        shown = as_json(plainfilm("show", copied, "--split", split, "--json"))
    finally:
        moved.rename(data)
    assert everything_in(copied.parent) == before
    assert as_json(again) == shown == {**first, "written": []}
    assert lacking(again.stderr, "Saved numbers", "files have not changed since", "--again", "below 1") == []
    assert ("no test-set access" in again.stderr) == (split == "test")
    assert accesses(copied) == [True]


def test_the_first_evaluation_of_a_split_names_the_files_it_wrote(trained, tmp_path):
    run = shutil.copytree(trained[0], tmp_path / "run", ignore=shutil.ignore_patterns("test_ledger.jsonl", "*test*"))
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "ledger_head": None}))
    before = everything_in(run)
    done = plainfilm("evaluate", run, "--split", "test", "--json")
    now = everything_in(run)
    changed = {Path(path).relative_to(run).as_posix() for path in now if now[path] != before.get(path)}
    unnamed = {"test_ledger.jsonl", "status.json", ".lock", "run_manifest.json"}
    assert set(as_json(done)["written"]) == changed - unnamed
    assert "predictions/test.csv" in changed and "Written: " not in plainfilm("show", run).stdout


@pytest.mark.parametrize(
    "question", [["--threshold", "0.5"], ["--by", "grey"], ["--prevalence", "0.1"], ["--again"]], ids=" ".join
)
def test_on_test_only_a_new_question_is_an_access(copied, question):
    plainfilm("evaluate", copied, "--split", "test", *question)
    assert accesses(copied) == [True, question == ["--again"]]
    plainfilm("evaluate", copied, "--split", "test")
    assert len(accesses(copied)) == 2


def test_blocks_of_earlier_questions_stay_and_are_no_access_again(copied):
    first = as_json(plainfilm("evaluate", copied, "--split", "test", "--prevalence", "0.1,0.3", "--json"))
    both = as_json(plainfilm("evaluate", copied, "--split", "test", "--by", "grey", "--json"))
    assert both["at_prevalence"] == first["at_prevalence"] and both["subgroups"]["column"] == "grey"
    for question in ([], ["--prevalence", "0.3"], ["--by", "grey"], ["--by", "grey", "--prevalence", "0.1"]):
        again = as_json(plainfilm("evaluate", copied, "--split", "test", *question, "--json"))
        assert again == {**both, "written": []}
    assert accesses(copied) == [True, False, False]
    computed = as_json(plainfilm("evaluate", copied, "--split", "test", "--again", "--json"))
    assert computed["at_prevalence"] == first["at_prevalence"] and accesses(copied)[3:] == [True]


def test_an_old_prevalence_question_is_no_new_access(copied):
    for share in ("0.3", "0.1", "0.3", "0.1"):
        found = as_json(plainfilm("evaluate", copied, "--split", "test", "--prevalence", share, "--json"))
    assert [row["prevalence"] for row in found["at_prevalence"]] == [0.1, 0.3]
    assert accesses(copied) == [True, False, False]


def test_the_subgroups_of_one_column_are_kept(copied):
    for column in ("grey", "mode", "mode", "grey"):
        found = as_json(plainfilm("evaluate", copied, "--split", "test", "--by", column, "--json"))
        assert found["subgroups"]["column"] == column
    assert accesses(copied) == [True, False, False, False]


def test_an_edited_threshold_is_refused(copied):
    card = json.loads((copied / "card.json").read_text())
    (copied / "card.json").write_text(json.dumps({**card, "threshold": 0.123}))
    for words in (["show"], ["evaluate"], ["evaluate", "--split", "test"]):
        refusal = plainfilm(words[0], copied, *words[1:], code=2).stderr
        assert lacking(refusal, "card.json of", "not the file that was written") == []
    assert accesses(copied) == [True]


def test_saved_numbers_of_changed_files_are_computed_again(copied):
    """Another text of the same probes, as another process might write it."""
    plainfilm("evaluate", copied)
    path = copied / "probes" / "probes.json"
    write_file(RunDir(copied), path, json.dumps(json.loads(path.read_text())))
    changed = "Changed or gone since these numbers were computed: probes/probes.json."
    assert changed in plainfilm("show", copied).stdout
    assert changed in as_json(plainfilm("show", copied, "--json"))["notes"]
    assert as_json(plainfilm("evaluate", copied, "--json"))["written"]
    done = plainfilm("evaluate", copied, "--split", "test", "--json")
    assert as_json(done)["opened"] == 2
    assert (
        lacking(done.stderr, "Changed or gone since the numbers were saved: probes/probes.json", "test-set access")
        == []
    )


def test_another_card_than_that_of_the_accesses_is_refused_although_the_manifest_has_it(copied):
    card = json.loads((copied / "card.json").read_text())
    write_file(RunDir(copied), copied / "card.json", json.dumps({**card, "threshold": 0.123}))
    for words in (["show"], ["evaluate", "--split", "test"], ["report"]):
        refusal = plainfilm(words[0], copied, *words[1:], code=2).stderr
        assert lacking(refusal, "card.json of", "not the file of its test-set accesses") == []
    assert accesses(copied) == [True]


def test_show_says_that_the_weights_are_others(copied):
    """Their hash is in the card, which still is what it was."""
    weights = bytearray((copied / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copied / "model.safetensors").write_bytes(weights)
    changed = "Changed or gone since these numbers were computed: model.safetensors."
    assert changed in plainfilm("show", copied).stdout
    assert changed in as_json(plainfilm("show", copied, "--split", "valid", "--json"))["notes"]
    assert "model.safetensors" in plainfilm("evaluate", copied, "--split", "test", code=2).stderr


def test_another_version_is_no_access_to_test_and_is_named(copied):
    """Valid, which costs nothing, is computed again; a changed file is still an access."""
    plainfilm("evaluate", copied, "--split", "test", "--prevalence", "0.1")
    saved = json.loads((copied / "metrics.json").read_text())
    for split in ("test", "valid"):
        saved[split]["inputs"]["plainfilm"] = "0.0.9"
    write_file(RunDir(copied), copied / "metrics.json", json.dumps(saved))
    shown = as_json(plainfilm("evaluate", copied, "--split", "test", "--json"))
    assert (shown["metrics"], shown["written"]) == (saved["test"]["metrics"], [])
    for command in (["evaluate", copied, "--split", "test"], ["show", copied]):
        printed = " ".join(plainfilm(*command).stdout.split())
        note = printed.partition("NOTE: These numbers were ")[2]
        assert lacking(note, "computed by plainfilm 0.0.9", "--again", "a test-set access") == []
        assert printed.count("0.0.9") == 1
    assert accesses(copied) == [True, False]
    valid = as_json(plainfilm("evaluate", copied, "--json"))
    assert "metrics.json" in valid["written"] and not any("0.0.9" in note for note in valid["notes"])
    computed = as_json(plainfilm("evaluate", copied, "--split", "test", "--again", "--json"))
    assert not any("0.0.9" in note for note in computed["notes"]) and accesses(copied) == [True, False, True]
    assert computed["at_prevalence"] == []  # computed by the other version


def test_show_names_the_other_splits_and_refuses_what_is_not_saved(copied, trained):
    plainfilm("evaluate", copied)
    shown = plainfilm("show", copied).stdout
    assert shown.startswith("DRAWN IMAGES: test at threshold") and "Also saved: valid. " in shown.splitlines()[-1]
    assert plainfilm("show", copied, "--split", "valid").stdout.startswith("DRAWN IMAGES: valid at threshold")
    assert lacking(plainfilm("show", copied, "--split", "trial", code=2).stderr, "'trial'", "valid", "test") == []
    (copied / "metrics.json").write_text("[1]")
    assert "not the file that was written" in plainfilm("show", copied, code=2).stderr


def test_show_gives_no_test_numbers_without_their_ledger(copied):
    (copied / "test_ledger.jsonl").unlink()
    for command in (["show", copied], ["evaluate", copied, "--split", "test"]):
        done = plainfilm(*command, code=2)
        assert "removed or replaced" in done.stderr and done.stdout == ""


def test_show_loads_no_network_library(evaluated):
    code = (
        "import sys\nfrom plainfilm.cli import app\ntry:\n    app(['show', sys.argv[1]])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'fastai'}), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, evaluated[0]], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.split() == []


@pytest.mark.campaign
def test_every_printed_command_can_be_pasted(trained, data, tmp_path, monkeypatch):
    """In a folder whose name has a space, a quote and a letter beyond ASCII; `sh` says what each word is."""
    place = tmp_path / "o'b dir é"
    (place / "IMAGES").mkdir(parents=True)
    shutil.copy(next((data / "NORMAL").iterdir()), place / "IMAGES")
    monkeypatch.chdir(place)
    run = place / "-run $HOME;x"
    plainfilm("train", data, *SMALL, "--epochs", 1, "--no-audit", "--out", run.name)
    said = [plainfilm("evaluate", run).stdout, plainfilm("interpret", run, "--heat-maps", 0).stdout]
    said += [
        plainfilm("interpret", run, "--split", "test", code=2).stderr,
        plainfilm("predict", run, data, code=2).stderr,
    ]
    said += [plainfilm("compare", run, run, "--split", "test", code=2).stderr]
    shutil.copytree(run, place / "two")
    said += [plainfilm("compare", run, "two", "--split", "test", code=2).stderr]
    (place / "two" / "metrics.json").unlink()
    said += [plainfilm("report", "two", code=2).stderr, plainfilm("export", "two", code=2).stderr]
    said += [plainfilm("evaluate", run, "--split", "test").stdout, plainfilm("show", run).stdout]
    said += [plainfilm("report", run).stdout, plainfilm("export", run, "--out", run.name + "/b").stdout]
    printed = {line for text in said for line in re.findall(r"(?m)plainfilm [a-z]+ .*/.*$", text)}
    assert {line.split()[1] for line in printed} == {
        "evaluate",
        "interpret",
        "report",
        "card",
        "export",
        "predict",
        "serve",
        "show",
    }
    for line in sorted(printed):
        shell = f"plainfilm() {{ printf '%s\\0' \"$@\"; }}\n{line}"
        words = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=True).stdout.split("\0")[
            :-1
        ]
        assert Path(words[1]).is_dir(), line
        if words[0] != "serve":
            plainfilm(*words, *(["--heat-maps", "0"] if words[0] == "interpret" else []))


def test_saved_numbers_come_with_the_accesses_as_they_are_counted_now(copied):
    """The second was made for another threshold, whose numbers are not saved."""
    plainfilm("evaluate", copied, "--split", "test", "--threshold", "0.4")
    assert as_json(plainfilm("show", copied, "--json"))["opened"] == 2


@pytest.mark.parametrize("change", ["changed since it was scanned", "cannot be read any more"])
@pytest.mark.parametrize("split", ["test", "valid-shifted"])
def test_a_changed_or_absent_image_stops_a_scoring_although_the_cache_has_its_pixels(
    evaluated, tmp_path, split, change
):
    """Refused before the access is recorded; the pixels in the cache are those of the scan."""
    run = shutil.copytree(evaluated[0], tmp_path / "warm")
    plainfilm("evaluate", run, "--split", "valid-shifted")  # valid is in the cache from the training
    (run / "predictions" / f"{split}.csv").unlink()
    table = pd.read_csv(run / "table.csv", dtype=str, keep_default_na=False)
    file = Path(table.loc[table["split"] == split.partition("-")[0], "path"].iloc[-1])
    kept, ledger = file.read_bytes(), (run / "test_ledger.jsonl").read_bytes()
    if "changed" in change:
        Image.fromarray(np.zeros((48, 48), np.uint8)).save(file)
    else:
        file.unlink()
    try:
        said = plainfilm("evaluate", run, "--split", split, code=2).stderr
    finally:
        file.write_bytes(kept)
    assert file.name in said and change in said
    assert (run / "test_ledger.jsonl").read_bytes() == ledger
    plainfilm("evaluate", run, "--split", split)


def test_a_gate_that_says_no_is_exit_1_after_the_result_is_printed(trained):
    run, found = trained
    value = found["metrics"]["valid"]["accuracy"]["value"]
    passed = plainfilm("evaluate", run, "--json", "--fail-under", f"accuracy={value:.4f}"[:-1])
    stopped = plainfilm("evaluate", run, "--json", "--fail-under", "auroc=0", "--fail-under", "accuracy=1", code=1)
    assert as_json(stopped)["metrics"] == as_json(passed)["metrics"]
    assert f"accuracy is {value:.4f}, below 1" in stopped.stderr
    for wrong in ("acuracy=0.9", "auroc=high", "auroc=90", "brier=0.1"):  # of the last, less is better
        assert "expected METRIC=X" in plainfilm("evaluate", run, "--fail-under", wrong, code=2).stderr


def test_the_stored_threshold_is_the_one_that_valid_chooses(trained):
    run, found = trained
    valid = pd.read_csv(run / "predictions" / "valid.csv")
    scores, labels = valid["prob_PNEUMONIA"].to_numpy(), (valid["label"] == "PNEUMONIA").to_numpy()
    right = [((scores >= cut) == labels).mean() for cut in [0, *scores, 1]]
    assert ((scores >= found["threshold"]) == labels).mean() == max(right)
    assert found["threshold"] == json.loads((run / "card.json").read_text())["threshold"]
    history = pd.read_csv(run / "history.csv")
    assert found["best_epoch"] == 1 + history["valid_auroc"].idxmax()


@pytest.mark.campaign
def test_what_was_not_chosen_on_valid_is_not_said_to_be(data, runs):
    run = runs / "fixed"
    done = plainfilm(
        "train", data, *SMALL, "--threshold", "0.5", "--keep", "last", "--balance", "auto", "--out", run, "--json"
    )
    found = as_json(done)
    assert (found["threshold"], found["best_epoch"], found["threshold_rule"]) == (0.5, 2, "0.5")
    told = [note for note in found["notes"] if "chosen" in note]  # the temperature is, where it is fitted
    assert len(told) <= 1 and not any(lacking(note, "temperature", "valid", "optimistic") for note in told)
    assert not any("threshold" in note or "epoch" in note for note in told)
    assert (run / "model.safetensors").read_bytes() != b""


def test_an_edited_ledger_stops_the_evaluation(evaluated, runs):
    copy = runs / "edited"
    shutil.copytree(evaluated[0], copy)
    ledger = copy / "test_ledger.jsonl"
    ledger.write_text(ledger.read_text().replace('"look": 1', '"look": 2', 1))
    done = plainfilm("evaluate", copy, "--split", "test", code=2)
    assert "edited" in done.stderr
    assert done.stdout == ""


def test_interpret_shows_no_test_result_without_its_ledger(evaluated, runs):
    copy = runs / "no-ledger"
    shutil.copytree(evaluated[0], copy)
    (copy / "test_ledger.jsonl").unlink()
    assert "removed or replaced" in plainfilm("interpret", copy, "--split", "test", code=2).stderr


@pytest.mark.parametrize("name", ["table.csv", "status.json", "card.json", "predictions/valid.csv", "config.yaml"])
@pytest.mark.parametrize("damage", [b"", b"\x00broken{", None])
def test_a_damaged_run_is_refused_in_one_line(trained, runs, tmp_path, name, damage):
    copy = tmp_path / "damaged"
    shutil.copytree(trained[0], copy)
    if damage is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(damage)
    done = plainfilm("evaluate", copy, code=2)
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_changed_weights_are_refused(trained, runs):
    copy = runs / "changed"
    shutil.copytree(trained[0], copy)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert "not the file its card describes" in plainfilm("evaluate", copy, code=2).stderr


@pytest.mark.campaign
def test_train_reads_no_test_file_after_the_split(data, runs, tmp_path):
    """An audit hook on open() counts: the scan reads each image once, and after it no test image is opened."""
    code = (
        "import sys, collections\nopened = collections.Counter()\n"
        "sys.addaudithook(lambda event, args: opened.update([str(args[0])]) if event == 'open' else None)\n"
        "from plainfilm.cli import app\ntry:\n    app(sys.argv[2:])\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "open(sys.argv[1], 'w').write('\\n'.join(f'{n}\\t{p}' for p, n in opened.items() if p.endswith('.png')))\n"
    )
    run, log = runs / "watched", tmp_path / "opened.txt"
    subprocess.run(
        [sys.executable, "-c", code, log, "train", data, *SMALL[:-4], "--epochs", "1", "--seed", "7", "--out", run],
        check=True, capture_output=True, timeout=280, env={**os.environ, "PLAINFILM_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    opened = {path: int(n) for n, path in (line.split("\t") for line in log.read_text().splitlines())}
    table = pd.read_csv(run / "table.csv", dtype=str, keep_default_na=False)
    times = table["path"].map(opened)
    assert set(times[table["split"] == "test"]) == {1}  # the scan, before the split existed
    assert set(times[table["split"] != "test"]) == {2}  # the scan and the decoding; no epoch opens a file


@pytest.mark.campaign
def test_interpret_draws_from_saved_predictions_without_the_images(evaluated, data):
    moved = data.rename(data.parent / "gone")
    try:
        found = as_json(plainfilm("interpret", evaluated[0], "--split", "test", "--json"))
        plainfilm("interpret", evaluated[0], "--split", "valid")
    finally:
        moved.rename(data)
    assert {"history", "confusion_test", "top_losses_test", "scores_test"} < set(found["figures"])
    for path in found["figures"].values():
        image = np.asarray(Image.open(path).convert("L"))
        assert min(image.shape) > 300
        assert image.std() > 5  # not an empty page


def test_report_tells_the_test_score_without_the_images_and_without_their_names(evaluated, data):
    run, found = evaluated
    moved = data.rename(data.parent / "gone")
    try:
        told = as_json(plainfilm("report", run, "--json"))
    finally:
        moved.rename(data)
    page = Path(told["out"]).read_text(encoding="utf-8")
    auroc = found["metrics"]["auroc"]
    assert f"{auroc['value']:.3f}</b>" in page and f"[{auroc['ci_low']:.3f}, {auroc['ci_high']:.3f}]" in page
    assert told["split"] == "test" and any("Evaluated on the test set" in caveat for caveat in told["caveats"])
    for word in ("phantom-", str(data), str(run)):
        assert word not in page, word
    plainfilm("report", run, "--names", "--out", run.parent / "n.html")
    assert "phantom-" in (run.parent / "n.html").read_text(encoding="utf-8")


def test_drawn_images_in_a_folder_of_the_user_are_named_as_drawn_in_every_output(evaluated, data, tmp_path):
    run, found = evaluated
    said = "DRAWN IMAGES: all images are phantoms drawn by plainfilm"
    assert any(note.startswith(said) for note in found["notes"])
    assert lacking(plainfilm("evaluate", run).stdout.replace("\n", " "), said) == []
    page, bundle = tmp_path / "report.html", tmp_path / "bundle"
    plainfilm("report", run, "--out", page)
    assert "<b>Drawn images.</b> All images are phantoms" in page.read_text(encoding="utf-8")
    plainfilm("export", run, "--out", bundle)
    assert f"**{said}" in (bundle / "MODEL_CARD.md").read_text(encoding="utf-8").partition("## ")[0]
    done = plainfilm("predict", bundle, sorted(data.rglob("*.png"))[0], "--out", tmp_path / "rows.csv")
    assert said in done.stderr.replace("\n", " ")
    predictor = Predictor(open_bundle(bundle), None)
    html = Pages(predictor, Limits(), port=8000, token=False)._made["/"][0].decode()
    assert f'<p class="flag stop">{said}' in html


@pytest.mark.campaign
def test_lr_find_writes_its_own_folder_and_its_rate_can_be_used(data, runs):
    out = runs / "finder"
    found = as_json(
        plainfilm("lr-find", data, "--size", 48, "--batch-size", 16, "--iterations", 20, "--out", out, "--json")
    )
    assert sorted(path.name for path in out.iterdir()) == ["lr_find.csv", "lr_find.png"]
    assert set(found["suggestions"]) == {"valley", "slide", "minimum", "steep"}
    assert 1e-7 < found["lr"] < 10
    plainfilm("train", data, *SMALL[:4], "--epochs", 1, "--lr", found["lr"], "--out", runs / "with-found-rate")


@pytest.mark.campaign
def test_a_flat_curve_is_said_to_be_flat_and_gives_no_rate(runs, tmp_path, write_image):
    """Blank images that differ in one pixel: the loss is ln 2 at every rate, and 2.8e-04 was suggested all the same."""
    for i in range(60):
        pixels = np.full((48, 48), 128, np.uint8)
        pixels.flat[i] += 1
        write_image(tmp_path / "blank" / "AB"[i % 2] / f"{i}.png", pixels)
    small = ("--size", 48, "--batch-size", 8)
    finder = ("lr-find", tmp_path / "blank", *small, "--iterations", 60)
    found = as_json(plainfilm(*finder, "--out", tmp_path / "a", "--json"))
    assert set(found["suggestions"].values()) == {None} and found["flat"] and found["lr"] == 1e-3
    said = plainfilm(*finder, "--out", tmp_path / "b", "-q").stdout
    assert "--lr 1.0e-03" not in said and "curve is flat" in said
    done = plainfilm("train", tmp_path / "blank", *small, "--epochs", 1, "--lr", "auto", "--out", runs / "flat")
    assert "FLAT CURVE" in done.stderr and "lr=0.001" in (runs / "flat" / "log.txt").read_text()


@pytest.mark.campaign
def test_lr_auto_and_class_weights_and_balance_train(data, runs):
    plainfilm("train", data, *SMALL[:4], "--epochs", 1, "--lr", "auto", "--class-weights", "--out", runs / "auto")
    assert "lr lr=" in (runs / "auto" / "log.txt").read_text()


def test_a_split_file_is_written_and_obeyed(data, runs, tmp_path):
    out = tmp_path / "split.csv"
    found = as_json(plainfilm("split", data, "--seed", 3, "--out", out, "--json"))
    plainfilm("train", data, *SMALL[:4], "--epochs", 1, "--split", out, "--out", runs / "by-file")
    told = pd.read_csv(out, dtype=str).set_index("path")["split"]
    table = pd.read_csv(runs / "by-file" / "table.csv", dtype=str, keep_default_na=False).set_index("relative")["split"]
    assert told.to_dict() == table.to_dict()
    assert found["seal"] == json.loads((runs / "by-file" / "status.json").read_text())["seal"]


@pytest.mark.campaign
def test_an_image_level_split_is_marked_leaky_everywhere(data, runs):
    run = runs / "leaky"
    done = plainfilm("train", data, *SMALL[:4], "--epochs", 1, "--split", "image", "--out", run)
    assert "LEAKY SPLIT" in done.stdout
    assert "LEAKY SPLIT" in done.stderr
    assert "LEAKY SPLIT" in plainfilm("evaluate", run, "--split", "test").stdout
    assert any("LEAKY SPLIT" in note for note in as_json(plainfilm("evaluate", run, "--json"))["notes"])
    assert "LEAKY SPLIT" in (run / "card.json").read_text()
    assert "LEAKY SPLIT" in plainfilm("interpret", run).stdout
    assert any("LEAKY SPLIT" in note for note in as_json(plainfilm("interpret", run, "--json"))["notes"])
    assert "Leaky split: " in plainfilm("report", run).stdout
    assert "LEAKY SPLIT" in (run / "report.html").read_text(encoding="utf-8")
    assert "LEAKY SPLIT" in plainfilm("split", data, "--split", "image", "--out", runs / "leaky.csv", "-q").stdout


@pytest.mark.campaign
def test_without_a_test_folder_everything_is_titled_validation_only(data, runs, tmp_path):
    folder = tmp_path / "given"
    shutil.copytree(data, folder / "train")
    run = runs / "no-test"
    done = plainfilm("train", folder, *SMALL[:4], "--epochs", 1, "--split", "official", "--out", run)
    assert done.stdout.startswith("DRAWN IMAGES, VALIDATION ONLY: valid")
    assert plainfilm("evaluate", run).stdout.startswith("DRAWN IMAGES, VALIDATION ONLY: valid")
    assert "VALIDATION ONLY" in plainfilm("interpret", run).stdout
    assert "No test score: The data has no test set" in " ".join(plainfilm("report", run).stdout.split())
    assert "no test set" in plainfilm("evaluate", run, "--split", "test", code=2).stderr


@pytest.mark.campaign
def test_three_classes_work_everywhere(data, runs, tmp_path):
    folder = tmp_path / "three"
    shutil.copytree(data, folder)
    (folder / "VIRUS").mkdir()
    for path in sorted((folder / "PNEUMONIA").iterdir())[::2]:
        path.rename(folder / "VIRUS" / path.name.replace("phantom-", "phantom-9"))
    run = runs / "three"
    plainfilm("train", folder, *SMALL, "--out", run)
    found = as_json(plainfilm("evaluate", run, "--split", "test", "--json"))
    assert found["threshold"] is None
    assert found["positive"] is None
    assert set(found["per_class"]) == {"NORMAL", "PNEUMONIA", "VIRUS"}
    assert len(found["confusion"]["rows"]) == 3
    plainfilm("evaluate", run)
    plainfilm("interpret", run)
    assert "Scores for 3 classes" in Path(as_json(plainfilm("report", run, "--json"))["out"]).read_text(
        encoding="utf-8"
    )


def test_a_dry_run_writes_nothing(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = plainfilm("train", data, *SMALL, "--dry-run", "--json")
    found = as_json(done)
    assert found["run"] is None
    assert found["estimate_seconds"] > 0
    assert list(tmp_path.iterdir()) == []


def test_without_data_the_phantom_set_is_drawn_once_and_named(tmp_path):
    config = tmp_path / "small.yaml"
    config.write_text("data: {phantom: {images: 60, size_px: 48}}\ntrain: {size_px: 48, epochs: 1, batch_size: 16}\n")
    first = plainfilm("train", "--config", config, "--out", tmp_path / "a", PLAINFILM_CACHE=str(tmp_path / "cache"))
    second = plainfilm(
        "lr-find",
        "--config",
        config,
        "--iterations",
        6,
        "--out",
        tmp_path / "b",
        PLAINFILM_CACHE=str(tmp_path / "cache"),
    )
    assert lacking(first.stderr, "No DATA given", "60 drawn phantom radiographs", "drawing them once") == []
    assert lacking(second.stderr, "No DATA given", "already drawn") == []


@pytest.mark.campaign
def test_without_a_terminal_there_is_one_line_per_epoch(data, runs):
    done = in_a_process("train", data, *SMALL, "--out", runs / "piped")
    assert len([line for line in done.stderr.splitlines() if line.startswith("epoch ")]) == 2
    assert not set("█▏▎▍▌▋▊▉━╸\r\x1b") & set(done.stderr + done.stdout)
    for needed in ("accuracy", "AUROC", "95 % interval", "Run:", "Next: plainfilm interpret", "plainfilm report"):
        assert needed in done.stdout
    *_, end, last = done.stdout.splitlines()
    assert end.startswith("At the end, once") and last.strip() == f"plainfilm evaluate {runs / 'piped'} --split test"
    for needed in ("Positive class: PNEUMONIA", "parameters", "on cpu", "patients", "epochs will take about"):
        assert needed in done.stderr
    assert plainfilm("evaluate", runs / "piped", "-q").stderr == ""
