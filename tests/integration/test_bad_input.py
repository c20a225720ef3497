"""Every refusal is one line on stderr with the right exit code, and leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from plainfilm.cli import app

runner = CliRunner()


def put(folder: Path, name: str, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, *name.encode()]).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / name)
    return folder / name


@pytest.fixture
def good(tmp_path) -> Path:
    root = tmp_path / "good"
    for label in ("NORMAL", "SICK"):
        for i in range(6):
            put(root / label, f"{label}{i}.png")
    return root


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def refused(args: list[object], code: int, *words: str) -> str:
    result = runner.invoke(app, [str(a) for a in args])
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("plainfilm: ")
    for word in words:
        assert word in line, line
    assert list(Path.cwd().iterdir()) == []  # no run folder, nothing half-written
    return line


def empty(root: Path) -> None:
    (root / "A").mkdir(parents=True)


def one_class(root: Path) -> None:
    for i in range(5):
        put(root / "A", f"{i}.png")


def empty_class(root: Path) -> None:
    one_class(root)
    (root / "B").mkdir()


def two_patients(root: Path) -> None:
    one_class(root)
    for name in ("person1_virus_1.png", "person1_virus_2.png", "person2_virus_1.png"):
        put(root / "B", name)


def loose(root: Path) -> None:
    for i in range(3):
        put(root, f"{i}.png")


def all_broken(root: Path) -> None:
    one_class(root)
    (root / "B").mkdir()
    for i in range(5):
        (root / "B" / f"{i}.png").write_bytes(b"not a picture")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (empty, ["No images", "DATA/<class>"]),
        (one_class, ["Only one class", "'A'", "two or more"]),
        (empty_class, ["class folder 'B'", "no image"]),
        (two_patients, ["class 'B' has 2 patients", "at least 3"]),
        (loose, ["3 files", "no class folder", "If 'data' is itself one class, give the folder above"]),
        (all_broken, ["'B'", "E_FORMAT", "no usable image"]),
    ],
)
@pytest.mark.parametrize("command", ["train", "split", "lr-find"])
def test_folders_that_cannot_be_learned_from(tmp_path, make, words, command):
    root = tmp_path / "data"
    root.mkdir()
    make(root)
    if make is all_broken:
        words = ["'B'"]
    refused([command, root], 2, *words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,label\n,A\nb.png,B\n", ["no path", "row 2"]),
        ("title,label\na.png,A\n", ["no column for the path", "'title', 'label'"]),
        ("a.png,A\nb.png,B\n", ["has no header", "'a.png,A'"]),
        ("path;label;fold\na.png;A;0\nb.png;B;1\n", ["'fold' could be the split", "--split-column none"]),
        ("path,label,lesion\na.png,A,7\nb.png,B,7\n", ["'lesion' could be the patient", "--patient-column lesion"]),
        ("path,label\nmissing.png,A\n", ["do not exist", "missing.png"]),
        ("path,label,split\na.png,A,trian\n", ["'trian'", "train, valid or test"]),
        ("", ["is empty"]),
        ("path,label\n", ["no rows"]),
    ],
)
def test_csv_that_cannot_be_used(tmp_path, text, words):
    put(tmp_path, "a.png")
    put(tmp_path, "b.png")
    table = tmp_path / "table.csv"
    table.write_text(text)
    refused(["train", table], 2, *words)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--model", "papr"], 2, ["no model 'papr'", "paper"]),
        (["--positive", "SIKC"], 2, ["'SIKC'", "NORMAL, SICK"]),
        (["--split", "pateint"], 2, ["'pateint'", "official"]),
        (["--split", "official"], 2, ["given folders"]),
        (["--split", "kfold", "--folds", "3", "--fold", "3"], 2, ["fold 3", "0 to 2"]),
        (["--size", "20"], 2, ["20 px is too small", "--size"]),
        (["--epochs", "0"], 2, ["train.epochs", "greater than or equal to 1"]),
        (["--lr", "fast"], 2, ["train.lr"]),
        (["--lr", "-1"], 2, ["train.lr"]),
        (["--augment", "wild"], 2, ["train.augment", "radiograph"]),
        (["--threshold", "best"], 2, ["evaluate.threshold", "youden"]),
        (["--patient-pattern", "("], 2, ["regular expression"]),
        (["--patient-pattern", "p\\d+"], 2, ["no group"]),
        (["--patient-pattern", "^(zebra\\d+)"], 2, ["fits none of 12"]),
        (["--config", "nowhere.yaml"], 2, ["nowhere.yaml", "does not exist"]),
        (["--seed", "-1"], 2, ["train.seed"]),
        (["--balance", "auto", "--class-weights"], 2, ["choose one"]),
        (["--epocs", "3"], 2, ["--epocs", "--epochs"]),
        (["--device", "tpu"], 2, ["'tpu'"]),
        (["--device", "cuda"], 3, ["No cuda device", "--device cpu"]),
    ],
)
def test_options_that_do_not_fit(good, args, code, words, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(["train", good, *args], code, *words)


def test_a_config_with_faults_names_them_all(good, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("train: {epocs: 3, lr: -1}\ndatta: {}\n")
    refused(
        ["train", good, "--config", path],
        2,
        "epocs",
        "did you mean 'epochs'",
        "train.lr",
        "datta",
        "did you mean 'data'",
    )


def test_an_occupied_out_is_never_written(good, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    refused(["train", good, "--out", mine], 4, "not empty")
    refused(["phantom", mine], 4, "not an empty folder")
    refused(["split", good, "--out", mine / "thesis.txt"], 4, "never overwritten")
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]


def test_a_given_split_with_a_shared_patient_stops_training(tmp_path):
    for given in ("train", "test"):
        for label in ("A", "B"):
            for i in range(4):
                put(tmp_path / "given" / given / label, f"person{i}_virus_{given}{label}.png")
    line = refused(["train", tmp_path / "given", "--split", "official"], 1, "leaks", "4 patient keys", "--allow-leak")
    assert "person" not in line


def test_a_given_split_with_a_label_conflict_stops_training(tmp_path):
    for given in ("train", "test"):
        for label in ("A", "B"):
            for i in range(4):
                put(tmp_path / "given" / given / label, f"{given}{label}{i}.png")
    twin = tmp_path / "given" / "test" / "B" / "twin.png"
    twin.write_bytes((tmp_path / "given" / "train" / "A" / "trainA0.png").read_bytes())
    refused(
        ["train", tmp_path / "given", "--split", "official"],
        1,
        "2 identical files have different labels",
        "--allow-leak",
    )


@pytest.mark.parametrize("command", ["evaluate", "interpret"])
def test_a_folder_that_is_no_run(good, command):
    refused([command, good], 2, "not a run folder")


def test_unknown_splits_and_missing_arguments():
    refused(["evaluate", "x", "--split", "train"], 2, "'train'", "valid, valid-shifted or test")
    refused(["evaluate"], 2, "RUN")
    refused(["trian"], 2, "trian", "train")
    refused(["phantom", "x", "--images", "3"], 2, "images is 3")
    refused(["phantom", "x", "--size", "5"], 2, "size_px is 5")


def test_missing_data_is_named(tmp_path):
    refused(["train", tmp_path / "nothing"], 2, "does not exist", "folder of class folders")


@pytest.mark.skipif(not hasattr(os, "mkfifo") or os.name == "nt", reason="no FIFO on this system")
def test_a_fifo_in_the_folder_does_not_block(good, tmp_path):
    os.mkfifo(good / "NORMAL" / "pipe.png")
    result = runner.invoke(app, ["split", str(good), "--out", str(tmp_path / "s.csv"), "--json"])
    assert result.exit_code == 0, result.output
    assert '"ignored": 1' in result.stdout


def test_an_output_below_a_file_is_refused(good, tmp_path):
    (tmp_path / "file").write_text("")
    refused(["split", good, "--out", tmp_path / "file" / "x.csv"], 2, "system refused")
    refused(["phantom", tmp_path / "file" / "x", "--images", "12", "--size", "32"], 2, "system refused")


def test_json_is_ascii_whatever_the_class_names(tmp_path):
    for label in ("Норма", "肺炎"):
        for i in range(6):
            put(tmp_path / "d" / label, f"{i}{ord(label[0])}.png")
    result = runner.invoke(app, ["split", str(tmp_path / "d"), "--out", str(tmp_path / "s.csv"), "--json"])
    assert result.exit_code == 0, result.output
    assert result.stdout.isascii()


def test_an_output_inside_the_data_is_refused(good, monkeypatch):
    refused(["train", good, "--out", good / "NORMAL" / "run"], 2, "is inside DATA")
    refused(["lr-find", good, "--out", good / "finder"], 2, "is inside DATA")
    monkeypatch.chdir(good)
    result = runner.invoke(app, ["train", "."])
    assert result.exit_code == 2
    assert sorted(path.name for path in good.iterdir()) == ["NORMAL", "SICK"]


def test_verbose_adds_the_traceback(tmp_path):
    result = runner.invoke(app, ["train", str(tmp_path / "nothing"), "-v"])
    assert result.exit_code == 2
    assert "Traceback" in result.stderr


def test_a_bug_of_ours_is_101_and_one_line(good, monkeypatch):

    def bug(*args, **kwargs):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("plainfilm.pipeline.train.train_run", bug)
    refused(["train", good], 101, "A bug in plainfilm: ZeroDivisionError", "-v")


def test_an_interrupt_is_130(good, monkeypatch):

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("plainfilm.pipeline.train.train_run", stop)
    refused(["train", good], 130, "Interrupted")
