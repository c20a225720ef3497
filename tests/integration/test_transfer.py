"""Trainings that start from weights: a file, ImageNet's, an earlier run; evaluated, stopped and resumed like any other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
import torchvision
from commands import plainfilm
from safetensors.torch import load_file, save_file

from plainfilm.config import load_config
from plainfilm.data.synthetic.phantom import write_phantom
from plainfilm.data.table.saved_table import read_table
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import write_file
from wording import lacking

pytestmark = [pytest.mark.slow, pytest.mark.campaign, pytest.mark.usefixtures("one_thread")]
SAME = ("model.safetensors", "history.csv", "predictions/valid.csv", "card.json", "metrics.json")


def refused(*args: object, code: int = 2) -> str:
    done = plainfilm("train", *args, "-q", code=code)
    assert done.stdout == "" and len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("data") / "drawn"
    write_phantom(out, images=48, size_px=64, seed=1)
    return out


@pytest.fixture(scope="module")
def other_classes(tmp_path_factory, data) -> Path:
    out = tmp_path_factory.mktemp("other") / "drawn"
    shutil.copytree(data, out)
    (out / "PNEUMONIA").rename(out / "EFFUSION")
    return out


@pytest.fixture(scope="module")
def small() -> list[object]:
    return ["--size", 64, "--epochs", 1, "--batch-size", 16, "--no-audit", "--device", "cpu"]


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(torchvision.models.resnet18(num_classes=1000).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def first(tmp_path_factory, data, small) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    plainfilm("train", data, "--model", "compact", *small, "--out", out, "-q")
    return out


def card(run: Path) -> dict:
    return json.loads((run / "card.json").read_text())


def test_a_probe_is_fitted_in_one_pass_and_again_in_the_same_bytes(data, resnet_file, tmp_path):
    base = [data, "--model", "resnet18", "--weights", resnet_file, "--size", 64, "--no-audit", "--device", "cpu"]
    done = plainfilm("train", *base, "--recipe", "probe", "--out", tmp_path / "a")
    assert "Head fitted on" in done.stderr and "folds of train patients" in done.stderr
    plainfilm("train", *base, "--recipe", "probe", "--out", tmp_path / "b", "-q")
    for name in SAME[:3]:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    body = load_file(tmp_path / "a" / "model.safetensors")
    given = torch.load(resnet_file, weights_only=True)
    assert torch.equal(body["layer4.1.conv2.weight"], given["layer4.1.conv2.weight"])
    assert len(pd.read_csv(tmp_path / "a" / "history.csv")) == 1
    plainfilm(
        "train", *base, "--recipe", "head-then-all", "--epochs", 1, "--keep", "last", "--out", tmp_path / "c", "-q"
    )
    assert len(pd.read_csv(tmp_path / "c" / "history.csv")) == 2
    assert not torch.equal(load_file(tmp_path / "c" / "model.safetensors")["fc.weight"], body["fc.weight"])


def test_a_run_stopped_while_its_head_is_measured_resumes_to_the_same_bytes(data, resnet_file, tmp_path):
    base = [
        data,
        "--model",
        "resnet18",
        "--weights",
        resnet_file,
        "--size",
        64,
        "--no-audit",
        "--device",
        "cpu",
        "--batch-size",
        16,
    ]
    base += ["--recipe", "head-then-all", "--epochs", 1, "--balance", "auto", "-q", "--out"]
    plainfilm("train", *base, tmp_path / "whole")
    plainfilm("train", *base, tmp_path / "cut", "--max-minutes", 0, code=130)
    plainfilm("resume", tmp_path / "cut", "-q")
    for name in (*SAME, "l2_head.json"):
        if name != "metrics.json":  # it names the run
            assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    choice = json.loads((tmp_path / "whole" / "l2_head.json").read_text())
    assert choice["c"] == min(choice["held_out"], key=lambda one: one["log_loss"])["c"] and choice["folds"] == 5


def test_a_recipe_says_what_it_contradicts(data, resnet_file):
    base = (data, "--model", "resnet18", "--weights", resnet_file)
    assert refused(*base, "--recipe", "all", "--freeze").rstrip().endswith("leave out freeze")
    assert (
        refused(*base, "--recipe", "probe", "--freeze-epochs", 3, "--lr", 0.1)
        .rstrip()
        .endswith("leave out freeze_epochs and lr")
    )
    assert "leave out epochs and lr" in refused(*base, "--recipe", "probe", "--epochs", 3, "--lr", 0.1)
    assert "leave out ema" in refused(*base, "--recipe", "probe", "--ema", 0.9)
    assert "leave out freeze_lr" in refused(*base, "--recipe", "head-then-all", "--freeze-lr", 0.1)
    assert "train.recipe: probe: frozen layers must be pretrained" in refused(data, "--recipe", "probe")
    found = plainfilm("lr-find", *base, "--recipe", "probe", "-q", code=2).stderr
    assert "Phase 1 fits its head at once" in found and "--phase" not in found


def test_a_backbone_from_a_file_trains_and_is_evaluated(data, small, resnet_file, tmp_path):
    run = tmp_path / "run"
    done = plainfilm("train", data, "--model", "resnet18", "--weights", resnet_file, *small, "--out", run)
    assert "Weights: file, SHA-256" in done.stderr
    assert lacking(done.stderr, "120 tensors loaded", "2 newly initialised", "(fc.weight, fc.bias)") == []
    assert "normalised with mean 0.485, 0.456, 0.406" in done.stderr
    facts = card(run)["initial_weights"]
    assert facts["kind"] == "file" and len(facts["sha256"]) == 64 and facts["report"]["loaded"] == 120
    assert "resnet18.pth" not in (run / "card.json").read_text() + (run / "log.txt").read_text()
    assert f"weights: {resnet_file}" in (run / "config.yaml").read_text()
    valid = json.loads(plainfilm("evaluate", run, "--json").stdout)["metrics"]["auroc"]
    again = (run / "predictions" / "valid.csv").read_bytes()
    plainfilm("evaluate", run, "--split", "test")
    assert (run / "predictions" / "valid.csv").read_bytes() == again and valid["n"] == 12


def test_a_stopped_training_goes_on_without_the_file_to_the_same_bytes(data, small, resnet_file, tmp_path):
    weights = shutil.copy(resnet_file, tmp_path / "w.pth")
    options = [data, "--model", "resnet18", "--weights", weights, *small]
    plainfilm("train", *options, "--out", tmp_path / "whole", "-q")
    plainfilm("train", *options, "--out", tmp_path / "stopped", "--max-minutes", 0, "-q", code=130)
    Path(weights).unlink()
    plainfilm("resume", tmp_path / "stopped", "-q")
    assert [n for n in SAME if (tmp_path / "whole" / n).read_bytes() != (tmp_path / "stopped" / n).read_bytes()] == []


def test_a_second_frozen_training_reads_its_features_and_ends_with_the_same_bytes(data, small, resnet_file, tmp_path, fresh_cache):  # fmt: skip
    options = [data, "--model", "resnet18", "--weights", resnet_file, "--freeze", *small]
    plainfilm("train", *options, "--no-cache", "--out", tmp_path / "without", "-q")
    assert not (fresh_cache / "features").exists()
    plainfilm("train", *options, "--out", tmp_path / "first", "-q")
    written = sorted(path.stat().st_mtime_ns for path in (fresh_cache / "features").glob("*/*.npy"))
    assert len(written) == 2  # of train, and of valid
    plainfilm("train", *options, "--out", tmp_path / "second", "-q")
    assert sorted(path.stat().st_mtime_ns for path in (fresh_cache / "features").glob("*/*.npy")) == written
    weights = {(tmp_path / name / "model.safetensors").read_bytes() for name in ("without", "first", "second")}
    assert len(weights) == 1
    assert "features by resnet18 of" in plainfilm("cache", "ls").stdout


def test_without_a_first_state_the_file_is_read_again_and_must_be_the_same(data, small, tmp_path):
    network = torchvision.models.resnet18(num_classes=2)
    save_file(network.state_dict(), tmp_path / "w")
    options = [data, "--model", "resnet18", "--weights", tmp_path / "w", *small]
    plainfilm("train", *options, "--out", tmp_path / "run", "--max-minutes", 0, "-q", code=130)
    (tmp_path / "run" / "checkpoints" / "last.json").unlink()
    good = (tmp_path / "w").read_bytes()
    (tmp_path / "w").write_bytes(good[:-4] + b"\0\0\0\0")
    assert "weights it started from has changed" in plainfilm("resume", tmp_path / "run", "-q", code=2).stderr
    (tmp_path / "w").unlink()
    assert "no such file" in plainfilm("resume", tmp_path / "run", "-q", code=3).stderr
    (tmp_path / "w").write_bytes(good)
    plainfilm("resume", tmp_path / "run", "-q")
    assert card(tmp_path / "run")["initial_weights"]["kind"] == "file"


def test_a_run_starts_the_next_one_with_its_head_where_the_classes_are_the_same(first, data, other_classes, small, tmp_path):  # fmt: skip
    told = plainfilm("train", data, "--model", "compact", "--weights", first, *small, "--out", tmp_path / "same").stderr
    assert "Weights: run" in told and "head.weight" not in told
    options = [*small, "--allow-leak", "--dry-run"]  # the same images in other folders, split differently
    told = plainfilm("train", other_classes, "--model", "compact", "--weights", first, *options).stderr
    assert lacking(told, "2 newly initialised", "(head.weight, head.bias)") == []
    assert card(tmp_path / "same")["initial_weights"]["sha256"] == card(first)["weights_sha256"]


def test_a_source_that_has_seen_valid_or_test_ends_before_the_training(first, data, small, tmp_path):
    options = [data, "--model", "compact", "--weights", first, *small, "--seed", 5, "--out", tmp_path / "leak"]
    rows = read_table(RunDir(first))
    done = plainfilm("split", data, "--seed", 5, "--out", tmp_path / "split.csv", "-q")
    assert done.exit_code == 0
    new = pd.read_csv(tmp_path / "split.csv", dtype=str)
    taught = {part: set(rows[rows["split"] == part]["sha256"]) for part in ("train", "valid")}
    valid = new[new["split"] == "valid"]["sha256"].isin(taught["train"]).sum()
    test = new[new["split"] == "test"]["sha256"].isin(taught["train"] | taught["valid"]).sum()
    assert valid > 0 and test > 0
    of = new["split"].value_counts()
    counts = f"{valid} of {of['valid']} valid images", f"{test} of {of['test']} test images"
    assert lacking(refused(*options, code=1), *counts) == [] and not (tmp_path / "leak").exists()
    finder = plainfilm("lr-find", *options[:5], *small[:2], "--seed", 5, "--device", "cpu", "-q", code=1)
    assert lacking(finder.stderr, *counts) == []
    plainfilm("train", *options, "--allow-leak", "-q")
    for document in (plainfilm("evaluate", tmp_path / "leak", "--json"), plainfilm("evaluate", tmp_path / "leak", "--split", "test", "--json")):  # fmt: skip
        (note,) = (note for note in json.loads(document.stdout)["notes"] if note.startswith("LEAKY WEIGHTS"))
        assert lacking(note, *counts) == []
    plainfilm("report", tmp_path / "leak", "-q")
    assert '<span class="mark valid">LEAKY WEIGHTS</span>' in (tmp_path / "leak" / "report.html").read_text()
    # what the leaky run teaches next is asked for the first run's images too
    third = refused(data, "--model", "compact", "--weights", tmp_path / "leak", *small, "--seed", 5, code=1)
    assert lacking(third, *counts) == []


@pytest.mark.parametrize(
    ("options", "option", "notes"),
    [
        ([], "--lr", []),
        (["--freeze"], "--lr", ["head alone", "--lr", "train.freeze_lr"]),
        (["--freeze-epochs", 1], "--freeze-lr", ["head alone", "--freeze-lr", "train.freeze_lr"]),
        (["--freeze-epochs", 1, "--phase", 2, "--lr-ratio", 0.1, "--norm", "hold"], "--lr", ["PHASE 2 OF 2:", "not trained"]),
    ],
)  # fmt: skip
def test_lr_find_covers_each_phase_and_names_what_takes_its_rate(first, data, options, option, notes, tmp_path):
    common = ["--model", "compact", "--weights", first, "--size", 64, "--batch-size", 16, "--device", "cpu"]
    command = ["lr-find", data, *common, "--iterations", 8, *options, "--out", tmp_path / "finder"]
    found = json.loads(plainfilm(*command, "--json").stdout)
    assert (found["option"], found["phase"]) == (option, 2 if "--phase" in options else 1)
    assert lacking(" ".join(found["notes"]), *notes) == [] and ("first layers had 0.1" in " ".join(found["notes"])) is ("--lr-ratio" in options)  # fmt: skip
    said = ["train", data, *common, *[o for o in options if o not in ("--phase", 2)], option, 0.05, "--print-config"]
    at = [number for number, p in enumerate(options) if p == "--phase"]
    phases = (
        load_config(tmp_path / "c.yaml").train.phases
        if (tmp_path / "c.yaml").write_text(plainfilm(*said).stdout)
        else ()
    )
    assert phases[1 if at else 0].lr == 0.05  # it reaches the phase that was looked at


def test_lr_find_has_no_more_phases_than_training(first, data):
    command = ["lr-find", data, "--model", "compact", "--weights", first, "--size", 64, "--phase", 2, "-q"]
    assert "training has 1 phase. " in plainfilm(*command, code=2).stderr


def test_what_was_trained_is_what_the_next_training_starts_from(first, data, small, tmp_path, monkeypatch):
    from plainfilm.models import load_weights as weights

    seen = {}
    load = weights.load_initial

    def spy(model, spec, found, vocab):
        report = load(model, spec, found, vocab)
        seen.update({name: value.clone() for name, value in model.network.state_dict().items()})
        return report

    monkeypatch.setattr(weights, "load_initial", spy)
    plainfilm("train", data, "--model", "compact", "--weights", first, *small, "--dry-run", "-q")
    kept = load_file(first / "model.safetensors")
    assert seen.keys() == kept.keys()
    assert all(torch.equal(seen[name], kept[name]) for name in kept)


def test_the_runs_own_statistics_go_on_unless_others_are_named(first, data, small, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    facts = card(copy)
    write_file(RunDir(copy), copy / "card.json", json.dumps({**facts, "mean": [0.4, 0.4, 0.4], "std": [0.3, 0.3, 0.3]}))
    told = plainfilm("train", data, "--model", "compact", "--weights", copy, *small, "--dry-run").stderr
    assert "mean 0.4, 0.4, 0.4" in told and "std 0.3, 0.3, 0.3" in told
    config = tmp_path / "c.yaml"
    config.write_text("model: {name: compact, mean: 0.2}\n")
    told = plainfilm("train", data, "--config", config, "--weights", copy, *small, "--dry-run").stderr
    assert "mean 0.2, 0.2, 0.2" in told


def test_a_bundle_folder_is_a_run_without_its_records(first, data, small, tmp_path):
    for name in ("card.json", "model.safetensors"):
        shutil.copy(first / name, tmp_path / name)
    assert "Weights: run" in plainfilm("train", data, "--model", "compact", "--weights", tmp_path, *small, "--dry-run").stderr  # fmt: skip
    (tmp_path / "model.safetensors").write_bytes((first / "model.safetensors").read_bytes()[:-4] + b"\0\0\1\0")
    refused(data, "--model", "compact", "--weights", tmp_path, *small)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": 2}, "another version of plainfilm"),
        ({"new_key": 1}, "unknown keys: new_key"),
        ({"model": {"name": "compact", "attention": 3}}, "unknown keys: model.attention"),
    ],
)
def test_a_run_of_a_newer_version_is_one_line(change, says, first, data, small, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    write_file(RunDir(copy), copy / "card.json", json.dumps({**card(copy), **change}))
    assert says in refused(data, "--model", "compact", "--weights", copy, *small)
    assert says in plainfilm("evaluate", copy, code=2).stderr


def test_a_card_written_before_there_were_weights_is_still_read(first, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    facts = card(copy)
    del facts["initial_weights"]
    for name in ("weights", "mean", "std"):
        del facts["model"][name]
    write_file(RunDir(copy), copy / "card.json", json.dumps(facts))
    plainfilm("evaluate", copy, "--split", "test")


def test_a_run_that_cannot_be_a_start_is_one_line(first, data, small, tmp_path):
    assert "'compact' there, 'resnet18' here" in refused(data, "--model", "resnet18", "--weights", first, *small)
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    (copy / "status.json").write_text(json.dumps({**json.loads((copy / "status.json").read_text()), "status": "interrupted"}))  # fmt: skip
    assert "not 'done'" in refused(data, "--model", "compact", "--weights", copy, *small)


@pytest.mark.parametrize("name", ["paper-gap", "mobilenetv3"])
def test_other_networks_train_and_are_evaluated_by_their_card(name, data, small, tmp_path):
    plainfilm("train", data, "--model", name, *small, "--out", tmp_path / "run", "-q")
    plainfilm("evaluate", tmp_path / "run", "--split", "test", "-q")
    assert card(tmp_path / "run")["model"]["name"] == name


def test_a_network_whose_library_is_not_there_ends_before_the_data_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for more in ((), ("--weights", "imagenet")):
        assert "pip install timm" in refused(tmp_path, "--model", "vit_tiny", *more, code=3)


def test_unknown_names_and_sizes_end_before_the_data_is_read(tmp_path):
    assert "Did you mean 'resnet18'" in refused(tmp_path, "--model", "resnet81")
    assert "has no ImageNet weights" in refused(tmp_path, "--weights", "imagenet")
    assert "needs 64" in refused(tmp_path, "--model", "resnet18", "--size", 32)
