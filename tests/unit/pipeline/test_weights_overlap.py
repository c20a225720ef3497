"""Images that a run's weights were trained on must not be in the next run's valid or test; found from tables alone."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainfilm.config import load_config
from plainfilm.data.split.splits import Split
from plainfilm.data.table.saved_table import COLUMNS
from plainfilm.errors import DataError, GateError
from plainfilm.models.find_weights import FoundWeights
from plainfilm.pipeline.weights_overlap import _check_weights, _shared_images, _tables_behind, refuse_overlap
from plainfilm.runs.folder import RunDir
from wording import lacking


def table(*rows: str) -> pd.DataFrame:
    """Rows from 'split image patient'; '-' is no patient key."""
    found = []
    for row in rows:
        split, image, patient = row.split()
        found.append({
            **dict.fromkeys(COLUMNS, ""), "sha256": f"sha-{image}", "content": f"pixels-{image}", "split": split,
            "patient": "" if patient == "-" else patient, "bytes": 1, "width": 1, "height": 1, "depth": 8, "channels": 1,
            "quantisation": 0, "grey": True, "group": 0, "role": "",
        })  # fmt: skip
    return pd.DataFrame(found)


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., RunDir]:
    """source(rows, name, start): a run that was trained on these rows, from the weights of the run `start` if given."""

    def make(rows: pd.DataFrame | None, name: str = "source", start: RunDir | None = None, kind: str = "run") -> RunDir:
        run = RunDir(tmp_path / name)
        run.root.mkdir()
        weights = str(start.root) if start else "none"
        run.config.write_text(load_config(options={"model.weights": weights}).as_yaml(), encoding="utf-8")
        if rows is not None:
            rows.to_csv(run.table, index=False)
        begun = {"kind": kind, "sha256": f"weights of {start.root.name}" if start else "", "report": {}}
        facts = {"weights_sha256": f"weights of {name}", "initial_weights": begun if start or kind != "run" else None}
        run.card.write_text(json.dumps(facts), encoding="utf-8")
        return run

    return make


@pytest.fixture(autouse=True)
def cards_without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """read_card() checks weights that these sources do not have."""
    read = lambda run: SimpleNamespace(**json.loads(run.card.read_text()))  # noqa: E731
    monkeypatch.setattr("plainfilm.pipeline.weights_overlap.read_card", read)


def found_in(run: RunDir) -> FoundWeights:
    card: Any = SimpleNamespace(**json.loads(run.card.read_text()))
    return FoundWeights("run", run.weights, card.weights_sha256, card)


def split(*rows: str) -> Split:
    return Split(table(*rows), "patient", False, ("first note",))


NEW = ("train a p1", "train b p2", "valid c p3", "valid d p4", "test e p5", "test f p6", "test g -")


def test_a_source_of_other_images_and_patients_passes_without_a_note(source):
    run = source(table("train x q1", "valid y q2", "test z q3"))
    assert _check_weights(split(*NEW), found_in(run), allow_leak=False).notes == ("first note",)


def test_the_same_split_for_both_passes(source):
    """The source's valid is the new valid: it is used for model selection again, as valid images are."""
    assert _check_weights(split(*NEW), found_in(source(table(*NEW))), allow_leak=False).notes == ("first note",)


@pytest.mark.parametrize(
    ("trained_on", "said"),
    [
        (["train c q"], ["1 of 2 valid images", "the same"]),
        (["train e q", "train g -"], ["2 of 3 test images", "the same"]),
        (["valid e q"], ["1 of 3 test images", "the same"]),  # it selected the source's epoch
        (["train x p5", "train y p3"], ["1 of 2 valid images", "1 of 3 test images", "the same patient keys"]),
        (["train c p3", "train x p5"], ["1 of 2 valid images", "1 of 3 test images", "1 by patient key alone"]),
    ],
)  # fmt: skip
def test_what_the_source_was_trained_on_is_counted_and_refused(source, refusal, trained_on, said):
    found = found_in(source(table(*trained_on, "test d p4", "train n -")))  # the source is not trained on its test
    line = refusal(lambda: _check_weights(split(*NEW), found, allow_leak=False), GateError)
    first, note = _check_weights(split(*NEW), found, allow_leak=True).notes
    assert lacking(line, *said, "same split file", "--allow-leak") == lacking(note, *said) == []
    assert first == "first note" and note.startswith("LEAKY WEIGHTS, allowed by --allow-leak: ")
    for text in (line, note):
        assert re.findall(r"\d of \d \w+ images", text) == [fact for fact in said if fact.endswith("images")]
        assert ("key" in text) == ("key" in said[-1])
    assert not any(key in line for key in ("p3", "p5"))  # no patient is named


def test_a_key_that_another_version_spelled_otherwise_is_the_same_patient(source, refusal):
    """A table of before '5.0' was kept as '5', and one of another Unicode form."""
    new = split("train a 1", "valid c 3", "test e 5", "test f p\u00e9", "test g -", "test h 6.0")
    run = source(table("train x 5.0", "train y pe\u0301", "train z -", "train w 6"))
    line = refusal(lambda: _check_weights(new, found_in(run), allow_leak=False), GateError)
    assert lacking(line, "3 of 4 test images", "the same patient keys") == []
    start = source(table("train x q"), "start", run)
    (note,) = refuse_overlap(table("- e 5", "- g -").assign(relative="one.png"), start, card_of(start))
    assert note.startswith("KNOWN PATIENTS: 1 of 1 external patient keys")


def test_the_same_pixels_in_another_file_are_the_same_image(source, refusal):
    rows = table("train c q")
    rows["sha256"] = "another file"
    line = refusal(lambda: _check_weights(split(*NEW), found_in(source(rows)), allow_leak=False), GateError)
    assert lacking(line, "1 of 2 valid images") == [] and "key" not in line


def test_the_sources_of_the_source_are_checked_too(source, refusal):
    first = source(table("train e q"), "first")
    second = source(table("train x q2"), "second", first)
    third = source(table("train y q3"), "third", second)
    assert "1 of 3 test" in refusal(lambda: _check_weights(split(*NEW), found_in(third), allow_leak=False), GateError)
    assert [len(rows) for rows in _tables_behind(found_in(third))[0]] == [1, 1, 1]
    shutil.rmtree(first.root)  # this can no longer be checked, and the note says so
    notes = _check_weights(split(*NEW), found_in(third), allow_leak=False).notes
    assert len(notes) == 2 and notes[1].startswith("UNCHECKED WEIGHTS") and "an earlier one" in notes[1]


def test_another_run_at_the_sources_path_is_not_mistaken_for_it(source):
    first = source(table("train e q"), "first")
    second = source(table("train x q2"), "second", first)
    facts = json.loads(first.card.read_text())
    first.card.write_text(json.dumps({**facts, "weights_sha256": "trained again"}))
    assert "UNCHECKED WEIGHTS" in _check_weights(split(*NEW), found_in(second), allow_leak=False).notes[1]


@pytest.mark.parametrize("kind", ["file", "bundle"])
def test_weights_without_a_table_are_noted(source, kind):
    run = source(None)
    found = found_in(run) if kind == "bundle" else FoundWeights("file", run.weights, "x")
    note = _check_weights(split(*NEW), found, allow_leak=False).notes[1]
    assert note.startswith("UNCHECKED WEIGHTS") and lacking(note, "cannot be checked", "without a table") == []


def test_imagenet_and_no_weights_are_not_noted(source):
    run = source(table("train x q"), kind="imagenet")
    for found in (None, FoundWeights("imagenet", run.weights, "x"), found_in(run)):
        assert _check_weights(split(*NEW), found, allow_leak=False).notes == ("first note",)


def test_a_damaged_table_of_the_source_is_one_line(source, refusal):
    run = source(table("train x q"))
    run.table.write_text("path\n")
    assert "has no column" in refusal(lambda: _check_weights(split(*NEW), found_in(run), allow_leak=False), DataError)


def card_of(run: RunDir) -> Any:
    return SimpleNamespace(**json.loads(run.card.read_text()))


def test_external_images_must_not_have_shaped_the_weights_that_the_run_started_from(source, refusal):
    first = source(table("train a p1", "valid b p2", "test c p3"), "first")
    second = source(table("train x q1"), "second", first)
    third = source(table("train y q2"), "third", second)
    for image in "ab":
        external = table("- new n1", f"- {image} n2").assign(relative=["new.png", "old.png"])
        line = refusal(lambda external=external: refuse_overlap(external, third, card_of(third)), DataError)
        assert "1 of 2 external images shaped the weights" in line and "'old.png'" in line
    external = table("- c p3", "- x2 q1", "- y q2").assign(relative="one.png")
    (note,) = refuse_overlap(
        external, third, card_of(third)
    )  # test images trained nothing; the run's own images are checked elsewhere
    assert note.startswith("KNOWN PATIENTS: 1 of 3 external patient keys")
    assert refuse_overlap(table("- new n1"), third, card_of(third)) == []
    assert refuse_overlap(external, first, card_of(first)) == []
    shutil.rmtree(first.root)
    assert "UNCHECKED WEIGHTS" in refuse_overlap(table("- new n1"), third, card_of(third))[0]


ROW = st.tuples(st.sampled_from(["train", "valid", "test"]), st.integers(0, 8), st.sampled_from(["-", "p", "q", "r"]))


@settings(max_examples=60, deadline=None)
@given(new=st.lists(ROW, min_size=1, max_size=8), old=st.lists(ROW, min_size=1, max_size=8))
def test_its_counts_equal_a_loop_over_all_pairs(new, old):
    shaped = {"valid": {"train"}, "test": {"train", "valid"}}
    expected = {}
    for name, by in shaped.items():
        mine, theirs = [row for row in new if row[0] == name], [row for row in old if row[0] in by]
        image = [any(row[1] == other[1] for other in theirs) for row in mine]
        patient = [any(row[2] == other[2] != "-" for other in theirs) for row in mine]
        hits = sum(a or b for a, b in zip(image, patient, strict=True))
        if hits:
            expected[name] = (hits, len(mine), sum(b and not a for a, b in zip(image, patient, strict=True)))
    words = lambda rows: table(*(f"{s} {n} {p}" for s, n, p in rows))  # noqa: E731
    found = _shared_images(words(new), [words(old)])
    assert {part.split: (part.images, part.of, part.by_key) for part in found} == expected
