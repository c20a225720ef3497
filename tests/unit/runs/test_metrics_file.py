"""metrics.json is read in one place, and a bad one is one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from plainfilm.errors import DataError
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import saved_splits, validated_splits

PACKAGE = Path(__file__).parents[3] / "src" / "plainfilm"


class Saved(BaseModel):
    n: int
    run: str


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


def test_the_splits_come_by_name_without_the_files_own_version(run: RunDir):
    run.metrics.write_text(json.dumps({"schema_version": 1, "valid": {"n": 3}, "test": {"n": 4}}))
    assert saved_splits(run) == {"valid": {"n": 3}, "test": {"n": 4}}
    assert validated_splits(run, Saved, lambda name: name == "valid") == {"valid": Saved(n=3, run=str(run.root))}


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "{}", "3", '{"schema_version": 1, "valid": 3}', "[" * 100_000, "\ud800"]
)
def test_a_damaged_file_names_the_command_that_makes_it_again(run: RunDir, text: str):
    run.metrics.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match=r"metrics\.json of .* is damaged\. Make it again: plainfilm evaluate "):
        saved_splits(run)


def test_a_missing_file_and_a_missing_valid_are_said(run: RunDir):
    with pytest.raises(DataError, match=r"has no metrics\.json\. Make it again: plainfilm evaluate "):
        saved_splits(run)
    run.metrics.write_text('{"schema_version": 1, "test": {"n": 4}}')
    with pytest.raises(DataError, match="lacks the valid images"):
        validated_splits(run, Saved)
    run.metrics.write_text('{"schema_version": 1, "valid": {"n": "many"}}')
    with pytest.raises(DataError, match=r"from another version \(n is invalid\)"):
        validated_splits(run, Saved)


def test_nobody_else_reads_it():
    readers = [
        p
        for p in PACKAGE.rglob("*.py")
        if re.search(r"\.metrics\.(read|open)|read_verified\(\w+, \w+\.metrics\)", p.read_text("utf-8"))
    ]
    assert [p.relative_to(PACKAGE).as_posix() for p in readers] == ["runs/metrics_file.py"]
