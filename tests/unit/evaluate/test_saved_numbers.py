"""Numbers that are not those of the saved scores are refused, also where every hash was written again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plainfilm.evaluate.saved_numbers import refuse_other_numbers
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import ITSELF, MetricsDocument, numbers_hash, saved_splits, validated_splits
from plainfilm.runs.run_manifest import write_file
from plainfilm.runs.verified_files import adopt_files


def forge(run: RunDir, *way: str, value: Any, signed: bool = True) -> None:
    """A value of the valid document replaced, with the manifest written again; `signed`: its own hash too."""
    saved = json.loads(run.metrics.read_text(encoding="utf-8"))
    part = saved["valid"]
    for step in way[:-1]:
        part = part[step]
    assert part[way[-1]] != value
    part[way[-1]] = value
    if signed:
        saved["valid"]["inputs"] = {ITSELF: numbers_hash(saved["valid"])}
    write_file(run, run.metrics, json.dumps(saved))


def check(run: RunDir) -> None:
    refuse_other_numbers(run, validated_splits(run, MetricsDocument).values())


@pytest.fixture
def run(save_run) -> RunDir:
    """Twelve valid patients, two classes, adopted; its document signs itself."""
    found = save_run("one", patients=12, looked=True)
    saved = json.loads(found.metrics.read_text(encoding="utf-8"))
    for part in (saved["valid"], saved["test"]):
        part["inputs"] = {ITSELF: numbers_hash(part)}
    found.metrics.write_text(json.dumps(saved), encoding="utf-8")
    adopt_files(found)
    return found


def test_what_evaluate_saved_passes(run):
    check(run)


def test_each_point_value_is_compared_with_the_scores(run, refusal):
    whole = run.metrics.read_bytes()
    for block in ("metrics", "metrics_at_half"):
        for name in ("accuracy", "auroc", "sensitivity", "specificity", "ppv", "npv", "f1", "brier"):
            forge(run, block, name, "value", value=0.12345)
            said = refusal(lambda: check(run))
            assert f"{name} 0.12345 there" in said and "predictions/valid.csv" in said and "--again" in said
            write_file(run, run.metrics, whole)
    check(run)


def test_counts_are_compared_too(run, refusal):
    forge(run, "confusion", "rows", value=[[24, 0], [0, 24]])
    assert "confusion [[24, 0], [0, 24]] there" in refusal(lambda: check(run))


def test_other_classes_do_not_pass(run, refusal):
    forge(run, "confusion", "labels", value=["A", "B"])
    assert "of other classes" in refusal(lambda: check(run))


def test_an_interval_that_was_edited_without_the_documents_own_hash_is_refused(run, refusal):
    forge(run, "metrics", "auroc", "ci_low", value=0.99, signed=False)
    said = refusal(lambda: saved_splits(run))
    assert "metrics.json of" in said and "of valid are not those that were saved" in said


def test_a_run_of_an_older_version_is_compared_too(save_run, refusal):
    run = save_run("old", patients=12)
    check(run)
    forge(run, "metrics", "auroc", "value", value=0.999)
    assert "auroc 0.999 there" in refusal(lambda: check(run))


def test_more_than_two_classes_and_scores_that_are_gone(save_run, refusal):
    run = save_run("three", patients=12, vocab=("A", "B", "C"), positive=None)
    adopt_files(run)
    check(run)
    run.predictions("valid").unlink()
    assert "predictions/valid.csv" in refusal(lambda: check(run))
