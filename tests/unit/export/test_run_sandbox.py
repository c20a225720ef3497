"""Commands without --sandbox decode as the run was trained, also where they fail."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from plainfilm.data.image import sandbox
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.export import bundle
from plainfilm.runs.card import read_card
from plainfilm.runs.folder import RunDir


@pytest.fixture
def guarded(exported, tmp_path) -> Iterator[RunDir]:
    """A run that was trained with --sandbox on."""
    shutil.copytree(exported[0].root, tmp_path / "guarded")
    run = RunDir(tmp_path / "guarded")
    text = run.config.read_text(encoding="utf-8")
    assert "sandbox: auto" in text
    run.config.write_text(text.replace("sandbox: auto", "sandbox: on"), encoding="utf-8")
    yield run
    sandbox.use("auto")


def test_a_finished_run_is_decoded_as_it_was_trained(guarded):
    """evaluate, interpret and recalibrate read it this way."""
    finished = FinishedRun.open(guarded.root)
    assert finished.cfg.data.sandbox == sandbox.mode() == "on"


def test_export_decodes_its_images_so_too(guarded, monkeypatch):
    modes, decode_rows = [], bundle.decode_rows
    monkeypatch.setattr(bundle, "decode_rows", lambda *given: modes.append(sandbox.mode()) or decode_rows(*given))
    rows = FinishedRun.open(guarded.root).rows
    sandbox.use("auto")
    assert bundle._sample(guarded, read_card(guarded), rows).what == "valid images"
    assert modes == ["on"] and sandbox.mode() == "auto"
