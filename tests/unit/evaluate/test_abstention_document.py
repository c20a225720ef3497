"""The 2x2 table with abstentions in and out, by hand, and the calibration block of a document."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from plainfilm.config import ModelConfig
from plainfilm.data.synthetic.corruptions import CORRUPTIONS
from plainfilm.evaluate.abstention_document import band_report, gate_report, reliability_report
from plainfilm.evaluate.predictions import Predictions, make_predictions, read_predictions, write_predictions
from plainfilm.evaluate.shift.corrupted_valid import score_changes
from plainfilm.runs.card import AbstainBand, Card
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.documents import EvaluateDocument


def card_of(vocab: list[str], **facts) -> Card:
    two = len(vocab) == 2
    return Card(
        model=ModelConfig(), vocab=vocab, positive=vocab[1] if two else None, decode={}, mean=(0.0,), std=(1.0,),
        threshold=0.6 if two else None, threshold_rule="x", threshold_chosen_on="valid", kept_phase=0, kept_epoch=0,
        kept_by="x", split="patient", leaky=False, has_patients=True, seal=None, notes=[], weights_sha256="",
        temperature=1.0, **facts,
    )  # fmt: skip


def predictions_of(labels: list[str], probs, vocab: list[str], patients: list[str] | None = None) -> Predictions:
    n = len(labels)
    rows = pd.DataFrame({
        "path": [f"/d/{i}.png" for i in range(n)], "label": labels, "group": np.arange(n),
        "patient": [f"p{i}" for i in range(n)] if patients is None else patients,
    })  # fmt: skip
    return make_predictions(rows, np.log(np.asarray(probs, float)), vocab, has_patients=True)


# threshold 0.6; B is possible from 0.4, A from 0.3, so both are between scores of 0.4 and 0.7
SCORES = [("A", 0.9), ("A", 0.62), ("A", 0.1), ("A", 0.35), ("B", 0.9), ("B", 0.65), ("B", 0.2)]
BAND = AbstainBand(level=0.9, lowest={"A": 0.3, "B": 0.4}, patients={"A": 4, "B": 3})


def scored(patients: list[str] | None = None) -> Predictions:
    return predictions_of([label for label, _ in SCORES], [[1 - p, p] for _, p in SCORES], ["A", "B"], patients)


def test_both_tables_by_hand():
    """0.62 and 0.65 are abstained on, one of each class, both predicted B."""
    found = band_report(card_of(["A", "B"], band=BAND), scored())
    assert found.with_abstained.rows == [[2, 2], [1, 2]]
    assert found.without_abstained.rows == [[2, 1], [1, 1]]
    rates = [(t.sensitivity.value, t.specificity.value) for t in (found.with_abstained, found.without_abstained)]
    assert rates == [pytest.approx((2 / 3, 2 / 4)), pytest.approx((1 / 2, 2 / 3))]
    assert (found.with_abstained.sensitivity.n, found.without_abstained.specificity.n) == (3, 3)
    assert found.kept.value == pytest.approx(5 / 7)
    assert sum(map(sum, found.without_abstained.rows)) == found.kept.value * 7


def test_only_images_that_set_neither_band_nor_gate_are_counted():
    unused = np.array([True, True, True, False, False, True, True])
    predictions = scored()
    limited = Predictions(predictions.frame, predictions.vocab, predictions.groups, predictions.patients, unused)
    found = band_report(card_of(["A", "B"], band=BAND), limited)
    assert found.with_abstained.rows == [[1, 2], [1, 1]] and found.without_abstained.rows == [[1, 1], [1, 0]]


def test_where_everything_is_abstained_on_a_rate_says_so():
    wide = AbstainBand(level=0.9, lowest={"A": 0.0, "B": 0.0}, patients={"A": 4, "B": 3})
    found = band_report(card_of(["A", "B"], band=wide), scored()).without_abstained
    assert found.rows == [[0, 0], [0, 0]] and found.sensitivity.method == "not estimable: no such image"


def test_more_classes_have_no_two_by_two():
    band = AbstainBand(level=0.9, lowest=dict.fromkeys("ABC", 0.2), patients=dict.fromkeys("ABC", 9))
    probs = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]]
    found = band_report(card_of(list("ABC"), band=band), predictions_of(list("ABC"), probs, list("ABC")))
    assert found.with_abstained is found.without_abstained is None


def test_the_calibration_block_has_the_mean_each_class_and_the_curve():
    rng = np.random.default_rng(0)
    targs = rng.integers(0, 3, 120)
    logits = rng.normal(size=(120, 3)) + np.eye(3)[targs]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    predictions = predictions_of([list("ABC")[t] for t in targs], probs, list("ABC"))
    found = reliability_report(card_of(list("ABC")), predictions, predictions.sample(None, None), n_boot=20, seed=0)
    assert found.in_the_large.difference.value == pytest.approx(
        probs.max(axis=1).mean() - (probs.argmax(axis=1) == targs).mean(), abs=1e-8
    )
    assert list(found.by_class) == ["A", "B", "C"] and found.by_class["B"].says.startswith("Scores for B ")
    assert found.by_class["B"].difference.value == pytest.approx(probs[:, 1].mean() - (targs == 1).mean(), abs=1e-8)
    assert len(found.curve.score) == len(found.curve.ci_high) > 20
    two = scored()
    assert reliability_report(card_of(["A", "B"]), two, two.sample(1, 0.6), n_boot=20, seed=0).by_class == {}


def test_intervals_without_patients_say_that_they_are_likely_too_narrow():
    predictions = scored(["", "", *[f"p{i}" for i in range(5)]])
    found = reliability_report(card_of(["A", "B"]), predictions, predictions.sample(1, 0.6), n_boot=20, seed=0)
    for metric in (found.in_the_large.difference, found.in_the_large.observed_expected):
        assert metric.method.endswith("; likely too narrow")


def test_documents_of_earlier_versions_have_none_of_it():
    fields = EvaluateDocument.model_fields
    assert fields["macro"].default == {} and fields["likelihood_ratios"].default == {}


def test_the_share_that_the_gate_marks_counts_a_score_that_is_no_number(tmp_path):
    """One of 1.5, 1, nan and 0.2 is above 1; nan is unlike the train images, as in predict. Saved and read it stays so."""
    run, rows = (
        RunDir(tmp_path),
        pd.DataFrame({"path": list("abcd"), "label": list("AABB"), "group": range(4), "patient": list("abcd")}),
    )
    ood = np.array([1.5, 1.0, np.nan, 0.2])
    made = make_predictions(rows, np.zeros((4, 2)), ["A", "B"], has_patients=True, ood=ood)
    assert gate_report(made).marked.value == 0.5
    assert gate_report(make_predictions(rows, np.zeros((4, 2)), ["A", "B"], has_patients=True)) is None
    write_predictions(run, "valid", made)
    read = read_predictions(run, "valid", rows, ["A", "B"], has_patients=True)
    np.testing.assert_array_equal(read.frame["unlike"], ood)
    assert gate_report(read).marked.value == 0.5
    shifted = Predictions(
        pd.concat([made.frame.assign(change=name) for name in ("none", *CORRUPTIONS)], ignore_index=True), ["A", "B"],
        np.tile(np.arange(4), 1 + len(CORRUPTIONS)), None,
    )  # fmt: skip
    assert {row.marked for row in score_changes(shifted, 1)} == {0.5}
