"""CONTRIBUTING.md names files and commits that are there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILE = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|j2|yaml|toml|txt|md|cff)|(?:[\w.-]+/)+)`")
COMMIT = re.compile(r"\b([0-9a-f]{7})\b(?:, \"([^\"]+)\")?")
OTHERS = {"dist/"}  # made, not kept


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    return done.stdout.strip()


def test_every_file_that_it_names_is_there() -> None:
    named = set(FILE.findall(PAGE)) - OTHERS
    assert {"base/files.py", "tests/artefacts/", "experiments/backbones.yaml", "errors.py"} <= named
    places = (ROOT, ROOT / "src" / "plainfilm")
    assert [name for name in sorted(named) if not any((place / name).exists() for place in places)] == []


def test_every_constant_that_it_names_is_in_a_file_of_its_line() -> None:
    found = 0
    for line in PAGE.splitlines():
        files = [
            path.read_text(encoding="utf-8")
            for name in FILE.findall(line)
            for path in (ROOT / name, ROOT / "src" / "plainfilm" / name)
            if path.is_file()
        ]
        for constant in re.findall(r"`(_?[A-Z][A-Z_]{2,})`", line):
            if constant == "VERSION" or files:
                found += 1
                assert any(re.search(rf"\b{constant}\b", text) for text in files), (constant, line[:60])
    assert found >= 4


def test_every_commit_that_it_names_is_there_with_its_subject() -> None:
    if (
        shutil.which("git") is None
        or not (ROOT / ".git").exists()
        or git("rev-parse", "--is-shallow-repository") == "true"
    ):
        pytest.skip("needs a git checkout with its history")
    named = COMMIT.findall(PAGE)
    assert sum(bool(subject) for _, subject in named) == PAGE.count("\n### ") == 5
    for commit, subject in named:
        told = git("show", "--no-patch", "--format=%s", commit)
        assert told == subject or not subject
    assert git("merge-base", "--is-ancestor", "6b26762", "HEAD") == ""
