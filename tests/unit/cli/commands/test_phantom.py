"""`plainfilm phantom`: the document counts the files on disk and lists what was planted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from plainfilm.cli import app
from wording import lacking

runner = CliRunner()


def phantom(out: Path, *options: str):
    return runner.invoke(app, ["phantom", str(out), "--images", "30", "--size", "32", *options])


def test_the_document_counts_the_files_and_lists_the_faults(tmp_path):
    out = tmp_path / "set"
    result = phantom(
        out, "--shortcut", "marker", "--duplicates", "3", "--near-duplicates", "6", "--label-conflicts", "2",
        "--shared-patients", "2", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    planted = document["planted"]
    files = [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()]
    assert document["images"] == len(files) == 30 + 3 + 6 + 2
    assert document["classes"] == Counter(name.split("/")[1] for name in files)
    assert document["patients"] == len({name.split("-")[1] for name in files})
    assert planted["shortcut"] == "marker"
    assert [len(planted[name]) for name in ("duplicates", "near_duplicates", "label_conflicts")] == [3, 6, 2]
    assert [len(number) for number in planted["shared_patients"]] == [5, 5]
    listed = [*planted["duplicates"], *planted["near_duplicates"], *planted["label_conflicts"], planted["marked"]]
    assert {name for group in listed for name in group} <= set(files)


def test_given_folders_share_no_patient(tmp_path):
    assert phantom(tmp_path / "set", "--given-folders").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == ["test", "train"]
    train, test = (
        {path.name.split("-")[1] for path in (tmp_path / "set" / side).rglob("*.png")} for side in ("train", "test")
    )
    assert train and test and not train & test


def test_a_plain_set_plants_nothing_and_prints_nothing_about_it(tmp_path):
    result = phantom(tmp_path / "set", "--json")
    assert json.loads(result.stdout)["planted"] == {
        "shortcut": "none", "marked": [], "duplicates": [], "near_duplicates": [], "near_duplicate_changes": [],
        "label_conflicts": [], "shared_patients": [],
    }  # fmt: skip
    assert "Planted" not in phantom(tmp_path / "again").stdout


def test_planted_faults_are_printed(tmp_path):
    out = phantom(tmp_path / "set", "--duplicates", "2", "--shared-patients", "1", "--shortcut", "jpeg").stdout
    assert "32 images of " in out
    assert lacking(out, "JPEG quality by class", "2 duplicates", "1 patient in train and test", "--json") == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--shortcut", "tilt"), ["shortcut", "'tilt'", "none, jpeg, marker"]),
        (("--near-duplicates", "31"), ["31", "0 to 30"]),
        (("--shared-patients", "-1"), ["shared_patients", "-1", "0 or more"]),
    ],
    ids=str,
)
def test_a_refusal_is_one_line_and_leaves_nothing(options, words, tmp_path):
    result = phantom(tmp_path / "set", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert lacking(result.stderr, *words) == []
    assert len(result.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
