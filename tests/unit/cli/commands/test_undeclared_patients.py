"""`audit` and `train --dry-run` on images whose patients nobody declared, as a user sees them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from plainfilm.cli import app
from wording import lacking


def plainfilm(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def slices(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """Ten patients, five a class, with three slices of noise each; the last slice is in test."""
    for p in range(10):
        for k in range(3):
            image = np.random.default_rng(10 * p + k).integers(0, 256, (48, 48), dtype=np.uint8)
            part, label = "train" if k < 2 else "test", ("bacteria", "virus")[p % 2]
            write_image(tmp_path / "data" / part / label / f"s{p}_img{k}.png", image)
    return tmp_path / "data"


@pytest.mark.parametrize(("fail_on", "code"), [("fail", 0), ("warn", 1), ("never", 0)])
def test_an_unknown_verdict_ends_with_one_only_where_a_script_asks(
    slices: Path, tmp_path: Path, fail_on: str, code: int
) -> None:
    done = plainfilm("audit", slices, "--size", 24, "--out", tmp_path / "audit", "--fail-on", fail_on)
    assert done.exit_code == code, done.output
    assert lacking(
        done.stdout, "unknown patient keys in two given folders", r"--patient-pattern '^(s\d+)_'", "Verdict: unknown",
        "10 groups, 30 images, median 3 a group; 10 groups are in two given folders",
        "'virus' is the positive class by alphabet; --positive changes it.",
    ) == []  # fmt: skip
    assert "0  patient keys" not in done.stdout and "ok:" not in done.stdout


def test_the_json_of_an_audit_says_null_and_proposes(slices: Path, tmp_path: Path) -> None:
    document = json.loads(plainfilm("audit", slices, "--size", 24, "--out", tmp_path / "audit", "--json").stdout)
    assert document["patients_across_splits"] is None
    assert document["patient_patterns"] == [
        {
            "pattern": r"^(s\d+)_",
            "groups": 10,
            "images": 30,
            "median_images_per_group": 3.0,
            "straddling": 10,
            "almost_unique": False,
        }
    ]


def test_a_dry_run_proposes_until_a_pattern_is_given(slices: Path) -> None:
    dry = ("train", slices, "--size", 48, "--dry-run")
    assert r"  --patient-pattern '^(s\d+)_'" in plainfilm(*dry).stdout
    (found,) = json.loads(plainfilm(*dry, "--json").stdout)["patient_patterns"]
    assert (found["pattern"], found["straddling"]) == (r"^(s\d+)_", 10)
    done = plainfilm(*dry, "--patient-pattern", found["pattern"], "--json")
    assert json.loads(done.stdout)["patient_patterns"] == []


def test_a_dry_run_of_identities_proposes_nothing(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    """Every image names its patient; the names would also tell one, which nobody need declare."""
    rows = ["path,label,patient"]
    for p in range(3):
        for k in range(9):
            image = np.random.default_rng(10 * p + k).integers(0, 256, (48, 48), dtype=np.uint8)
            write_image(tmp_path / f"s{k // 3 + 5 * p}_img{k}.png", image)
            rows.append(f"s{k // 3 + 5 * p}_img{k}.png,face {p},person {p}")
    (tmp_path / "list.csv").write_text("\n".join(rows), encoding="utf-8")
    dry = ("train", tmp_path / "list.csv", "--split", "image", "--size", 48, "--dry-run", "--json")
    document = json.loads(plainfilm(*dry).stdout)
    assert any(note.startswith("IDENTITY RECOGNITION") for note in document["notes"])
    assert document["patient_patterns"] == []
    undeclared = json.loads(plainfilm(*dry, "--patient-column", "none").stdout)["patient_patterns"]
    assert [found["groups"] for found in undeclared] == [9]
