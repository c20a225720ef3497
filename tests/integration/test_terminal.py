"""What a person reads of each command: in a terminal, in a pipe, and where the result goes to a file of its own."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from commands import plainfilm, plainfilm_in_one_place

from plainfilm.data.synthetic.phantom import write_phantom
from plainfilm.pipeline import prepare

pytestmark = [pytest.mark.slow, pytest.mark.campaign]  # .ci/run asks for this file
SMALL = ["--model", "compact", "--size", "32", "--batch-size", "16"]
ONE_SET = "NOTE: ONE VALID SET is used"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose paths have spaces and are longer than 80 columns, with a set of images in `my films`."""
    out = tmp_path_factory.mktemp("terminal") / "a folder of a study" / ("whose name is longer than a terminal " * 3)
    write_phantom(out / "my films", images=60, size_px=32, seed=1)
    return out


@pytest.fixture(scope="module")
def trained(place: Path) -> list[str]:
    """The lines of a training in `runs/one`, stdout and stderr in one file."""
    return plainfilm_in_one_place(
        "train", place / "my films", *SMALL, "--epochs", 1, "--out", place / "one", place=place / "train.txt"
    )


@pytest.fixture(scope="module")
def screens(place: Path, trained: list[str]) -> dict[str, list[str]]:
    """The lines of several commands in a terminal of 80 columns."""
    data, run = place / "my films", place / "one"
    said = {
        "split": ["split", data, "--out", place / "split.csv"],
        "lr-find": ["lr-find", data, *SMALL, "--iterations", 3, "--out", place / "lr"],
        "audit": ["audit", data, "--size", 32, "--out", place / "audit"],
        "evaluate": ["evaluate", run],
        "test": ["evaluate", run, "--split", "test"],
        "interpret": ["interpret", run, "--heat-maps", 3],
        "report": ["report", run],
        "models": ["models"],
        "cache": ["cache", "ls"],
    }
    return {
        name: plainfilm_in_one_place(*args, place=place / f"{name}.txt", terminal=True, COLUMNS="80")
        for name, args in said.items()
    }


def twice(lines: list[str]) -> list[str]:
    """Lines that occur more than once; a table's rows have two spaces between columns, or begin with one."""
    counted = Counter(line.rstrip() for line in lines if line.strip() and not line.startswith(" "))
    return [line for line, n in counted.items() if n > 1 and "  " not in line]


def test_no_command_says_anything_twice(trained: list[str], screens: dict[str, list[str]]):
    assert {name: found for name, lines in screens.items() if (found := twice(lines))} == {}
    assert twice(trained) == []
    for lines in (trained, screens["split"], screens["lr-find"]):
        assert sum(line.startswith(ONE_SET) for line in lines) == 1


def test_a_terminal_of_80_columns_breaks_no_path_and_nothing_else_goes_past_its_edge(
    place: Path, screens: dict[str, list[str]]
):
    wide = {name: [line for line in lines if len(line) > 80] for name, lines in screens.items()}
    assert [line for lines in wide.values() for line in lines if str(place) not in line] == []
    named = {
        "split": f"Data: {place / 'my films'}",
        "lr-find": f"Figure: {place / 'lr' / 'lr_find.png'}",
        "audit": f"Page: {place / 'audit' / 'audit.html'}",
        "interpret": f"Figures: {place / 'one' / 'figures'}",
        "report": f"Report: {place / 'one' / 'report.html'}",
    }
    for name, line in named.items():
        assert line.split() in [each.split() for each in screens[name]], name
    assert [line for lines in screens.values() for line in lines if line.endswith(("precision_recall_te", "Pi"))] == []


def test_a_pipe_gets_whole_lines_on_both_streams(trained: list[str]):
    (note,) = [line for line in trained if line.startswith(ONE_SET)]
    assert note.endswith("are needed to split it.") and len(note) > 120
    assert sum(line.startswith("Shortcut baseline: ") and line.endswith("chosen on them") for line in trained) == 1
    assert sum(line.startswith("Score for class PNEUMONIA; ") and line.endswith("valid)") for line in trained) == 1


def test_each_stream_is_complete_where_they_go_to_different_places(place: Path, trained: list[str]):
    args = ["split", place / "my films", "--out"]
    apart = plainfilm(*args, place / "apart.csv", COLUMNS="")
    assert apart.stdout.count(ONE_SET) == apart.stderr.count(ONE_SET) == 1
    assert plainfilm(*args, place / "quiet.csv", "-q", COLUMNS="").stdout == apart.stdout.replace(
        "apart.csv", "quiet.csv"
    )


def test_the_warning_comes_before_the_long_work(trained: list[str]):
    first = {
        start: i
        for i, line in reversed([*enumerate(trained)])
        for start in (ONE_SET, "epoch 1/1")
        if line.startswith(start)
    }
    assert first[ONE_SET] < first["epoch 1/1"]


@pytest.mark.parametrize("command", ["train", "lr-find", "evaluate", "interpret", "resume", "experiments run"])
@pytest.mark.parametrize(
    ("device", "code", "words"), [("gpu", 2, "expected auto, cpu, cuda or mps"), ("mps", 3, "No mps")]
)
def test_a_device_that_is_not_there_is_refused_before_the_scan(
    place: Path,
    trained: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    device: str,
    code: int,
    words: str,
):
    if sys.platform == "darwin" and device == "mps":
        pytest.skip("this machine may have it")
    monkeypatch.setattr(prepare, "build_table", lambda *given: pytest.fail("the images were scanned"))
    (tmp_path / "grid.yaml").write_text(f"data:\n  path: {place / 'my films'}\n")
    of = {"train": place / "my films", "lr-find": place / "my films", "experiments run": tmp_path / "grid.yaml"}
    done = plainfilm(*command.split(), of.get(command, place / "one"), "--device", device, code=code)
    assert words in done.stderr and "Data:" not in done.stderr and done.stdout == ""


def test_the_config_without_data_is_that_of_real_images_and_loads_again(place: Path, tmp_path: Path):
    shown = plainfilm("train", "--print-config").stdout
    assert shown.startswith("# For images of your own: plainfilm train DATA --config") and "phantom.yaml" in shown
    (tmp_path / "mine.yaml").write_text(shown)
    data = place / "my films"
    given = plainfilm("train", data, "--print-config").stdout
    assert plainfilm("train", data, "--config", tmp_path / "mine.yaml", "--print-config").stdout == given
    found = yaml.safe_load(given)
    assert (found["train"]["size_px"], found["train"]["epochs"], found["train"]["batch_size"]) == (224, 10, 64)
    assert found["data"]["path"] == str(data) and yaml.safe_load(shown)["data"]["path"] is None
    changed = yaml.safe_load(plainfilm("train", "--size", 128, "--print-config").stdout)
    assert changed["train"]["size_px"] == 128


def test_a_detour_to_the_data_is_not_shown(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (place / "work").mkdir()
    monkeypatch.chdir(place / "work")
    assert f"Data: {place / 'my films'}\n" in plainfilm("split", "../my films", "--out", tmp_path / "s.csv").stderr
