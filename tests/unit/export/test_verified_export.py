"""export and recalibrate take no edited file of a run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from plainfilm.export.bundle import export_run
from plainfilm.recalibrate.local_images import open_parent
from plainfilm.recalibrate.new_version import Version, write_version
from plainfilm.runs.card import read_card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import read_manifest, verify
from plainfilm.runs.verified_files import adopt_files


@pytest.fixture
def run(exported, tmp_path: Path) -> RunDir:
    """A copy of the exported run, adopted."""
    copy = RunDir(shutil.copytree(exported[0].root, tmp_path / "run"))
    adopt_files(copy)
    return copy


def test_an_edited_threshold_is_not_exported(run, tmp_path, refusal):
    text = run.card.read_text(encoding="utf-8")
    run.card.write_text(text.replace('"threshold": 0.', '"threshold": 0.0'), encoding="utf-8")
    assert run.card.read_text(encoding="utf-8") != text
    assert "card.json" in refusal(lambda: export_run(run.root, tmp_path / "bundle"))
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("name", ["metrics.json", "data.json", "environment.json", "config.yaml", "table.csv"])
def test_no_edited_file_is_exported(run, tmp_path, refusal, name):
    path = run.root / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert name in refusal(lambda: export_run(run.root, tmp_path / "bundle"))
    assert not (tmp_path / "bundle").exists()


def version_of(run: RunDir, place: Path) -> RunDir:
    parent = open_parent(run.root, "cpu", None, lambda *_: None)
    local = pd.DataFrame({"sha256": ["0" * 64], "use": ["fitted"]})
    card = read_card(run).model_copy(update={"temperature": 3.0})
    write_version(parent, run.root, place, Version(card, None, local))
    return RunDir(place)


def test_a_version_has_a_manifest_of_its_own_files(run, tmp_path):
    made = version_of(run, tmp_path / "version")
    verify(made)
    kept = read_manifest(made) or {}
    assert {"card.json", "local.csv", "metrics.json", "predictions/valid.csv", "table.csv"} <= set(kept)
    assert all((made.root / name).is_file() and len(hashes) == 1 for name, hashes in kept.items())
    assert kept["card.json"] != (read_manifest(run) or {})["card.json"]


@pytest.mark.parametrize("name", ["predictions/valid.csv", "card.json", "table.csv"])
def test_no_version_is_made_of_an_edited_run(run, tmp_path, refusal, name):
    path = run.root / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert name in refusal(lambda: version_of(run, tmp_path / "version"))
    assert not (tmp_path / "version").exists()
