"""Commands without --sandbox decode as the run was trained, also where they fail."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from plainfilm.base.events import silent
from plainfilm.data.image import sandbox
from plainfilm.evaluate import heldout
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.shift import external_set
from plainfilm.export import bundle
from plainfilm.recalibrate import by_prevalence
from plainfilm.recalibrate.local_images import ParentRun
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


@pytest.mark.parametrize(
    ("of_run", "by_caller", "inside"),
    [("on", None, "on"), ("off", None, "off"), ("off", "on", "on"), ("off", "auto", "auto"), ("on", "off", "on")],
)
def test_a_run_is_decoded_as_it_was_trained_and_only_then(save_run, monkeypatch, of_run, by_caller, inside):
    """Its config is a file of the run: one with `off` must not open the fence for what comes after it."""
    monkeypatch.setattr(sandbox, "_mode", by_caller)
    modes: list[str] = []
    monkeypatch.setattr(heldout, "decode_with_events", lambda *_, **__: modes.append(sandbox.mode()))
    finished = FinishedRun.open(save_run("one", patients=6, options={"data.sandbox": of_run}).root)
    assert sandbox.mode() == (by_caller or "auto")
    heldout._decoded(finished, finished.part("valid"), silent)
    assert (modes, sandbox.mode(), sandbox._mode) == ([inside], by_caller or "auto", by_caller)


def test_external_and_local_images_are_read_so_too(save_run, monkeypatch, tmp_path):
    class SeenError(Exception):
        pass

    def scan(*_: object, **__: object) -> None:
        raise SeenError(sandbox.mode())

    monkeypatch.setattr(sandbox, "_mode", None)
    finished = FinishedRun.open(save_run("one", patients=6, options={"data.sandbox": "on"}).root)
    for module, name in ((external_set, "scan_table"), (by_prevalence, "read_unlabelled")):
        monkeypatch.setattr(module, name, scan)
    for read in (
        lambda: external_set.read_external(finished, external_set.ExternalRequest(tmp_path), silent),
        lambda: by_prevalence.by_prevalence(ParentRun(finished, "cpu"), finished.run.root, tmp_path, tmp_path, 0.1, 0, silent),
    ):  # fmt: skip
        with pytest.raises(SeenError, match="^on$"):
            read()
        assert sandbox.mode() == "auto"


def test_export_decodes_its_images_so_too(guarded, monkeypatch):
    modes, decode_rows = [], bundle.decode_rows
    monkeypatch.setattr(bundle, "decode_rows", lambda *given: modes.append(sandbox.mode()) or decode_rows(*given))
    rows = FinishedRun.open(guarded.root).rows
    sandbox.use("auto")
    assert bundle._sample(guarded, read_card(guarded), rows).what == "valid images"
    assert modes == ["on"] and sandbox.mode() == "auto"
