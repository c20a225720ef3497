"""What the figures of a split are made of: captions without names, both errors, scores before and after a temperature."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from plainfilm.config import ExperimentConfig, ModelConfig
from plainfilm.evaluate.metrics.calibration import reliability
from plainfilm.evaluate.metrics.measure import confidences
from plainfilm.evaluate.metrics.sample import make_sample
from plainfilm.evaluate.predictions import Predictions, make_predictions
from plainfilm.interpret import run_figures
from plainfilm.interpret.run_figures import View, confused_pairs
from plainfilm.plots.base import short
from plainfilm.plots.heatmaps import NO_EVIDENCE
from plainfilm.runs.card import Card


def bins_of(sample):
    return reliability(*confidences(sample), sample.clusters)


def predicted(n: int, k: int, temperature: float = 1.0) -> Predictions:
    rng = np.random.default_rng(8)
    truth = rng.integers(0, k, n)
    vocab = ["ADENOCARCINOMA_OF_LUNG", "B", "C", "D"][:k]
    names = [f"/secret/person{i}_x.png" for i in range(n)]
    rows = pd.DataFrame(
        {
            "path": names,
            "patient": [f"p{i}" for i in range(n)],
            "label": [vocab[t] for t in truth],
            "group": np.arange(n),
        }
    )
    rows["sha256"] = [hashlib.sha256(name.encode()).hexdigest() for name in names]
    logits = rng.normal(0, 1, (n, k)) + 2 * np.eye(k)[truth]
    return make_predictions(rows, logits, vocab, has_patients=True, temperature=temperature)


def view_of(k: int = 2, n: int = 80, temperature: float = 1.0, notes: tuple[str, ...] = ()) -> View:
    predictions = predicted(n, k, temperature)
    card = Card(
        model=ModelConfig(), vocab=predictions.vocab, positive="B" if k == 2 else None, decode={}, mean=(0.0,), std=(1.0,),
        threshold=0.6 if k == 2 else None, threshold_rule="x", threshold_chosen_on="valid", kept_phase=0, kept_epoch=0, kept_by="x",
        split="patient", leaky=False, has_patients=True, seal=None, notes=list(notes), weights_sha256="", temperature=temperature,
    )  # fmt: skip
    sample = make_sample(predictions.probs, predictions.targs, predictions.groups, predictions.patients,
                         positive=1 if k == 2 else None, threshold=card.threshold)  # fmt: skip
    called = (predictions.probs[:, 1] >= 0.6).astype(int) if k == 2 else predictions.probs.argmax(axis=1)
    worst = np.random.default_rng(0).integers(0, 256, (24, 12, 12), dtype=np.uint8)
    return View(card, "valid", predictions, called, sample, worst)


def words(figure) -> str:
    parts = [figure.get_suptitle(), *(text.get_text() for text in figure.texts)]
    for ax in figure.axes:
        parts += [ax.get_title(), ax.get_xlabel(), *(text.get_text() for text in ax.texts)]
    return "\n".join(parts)


@pytest.mark.parametrize("k", [2, 4])
def test_pictures_are_known_by_their_row_and_by_no_name(k: int):
    view = view_of(k)
    text = words(run_figures._top_losses(view)) + words(run_figures._mistakes(view))
    assert "person" not in text and "secret" not in text and "p1" not in text
    worst = int(view.predictions.worst(1)[0])
    assert f"row {worst}: truth" in text
    truth, called = view.card.vocab[view.predictions.targs[worst]], view.card.vocab[view.called[worst]]
    scored = 1 if k == 2 else view.called[worst]
    assert view.caption(worst) == (
        f"row {worst}: truth {short(truth)},\ncalled {short(called)}, score {view.predictions.probs[worst, scored]:.3f}"
    )


def test_both_errors_have_their_counts_and_only_their_own_pictures():
    view = view_of()
    figure = run_figures._mistakes(view)
    a, b = view.card.vocab
    for truth in (0, 1):
        n, of = int(view.matrix[truth, 1 - truth]), int(view.matrix[truth].sum())
        assert f"{short((a, b)[truth])} called {short((b, a)[truth])}: {n} of {of} ({n / of:.1%})" in words(
            figure
        ).replace("\n", " ")
    shown = [ax.texts[0].get_text() for ax in figure.axes]
    rows = [int(text.split(":")[0].removeprefix("row ")) for text in shown]
    assert all(view.called[i] != view.predictions.targs[i] for i in rows)
    assert rows == sorted(rows, key=lambda i: (view.predictions.targs[i], -view.predictions.losses[i]))


def test_of_more_classes_the_most_frequent_pairs_are_shown_first():
    view = view_of(4)
    pairs = confused_pairs(view.matrix, view.card.vocab)
    assert [pair.images for pair in pairs] == sorted((pair.images for pair in pairs), reverse=True)
    assert sum(pair.images for pair in pairs) == (view.called != view.predictions.targs).sum()
    figure = run_figures._mistakes(view)
    assert [bar.get_width() for bar in figure.axes[0].patches] == [pair.images for pair in pairs][:10]


def test_before_and_after_a_temperature_are_both_drawn_and_differ():
    plain, tempered = view_of(), view_of(temperature=3.0)
    assert len(run_figures._reliability(plain).axes[0].containers) == 1
    before, after = run_figures._reliability(tempered).axes[0].containers
    np.testing.assert_allclose(
        np.array(before[0].get_xdata(), float), [part.score for part in bins_of(plain.sample)], atol=1e-8
    )
    np.testing.assert_allclose(np.array(after[0].get_xdata(), float), [part.score for part in bins_of(tempered.sample)])
    assert np.ptp(after[0].get_xdata()) < np.ptp(before[0].get_xdata())  # a temperature above 1 draws scores together


def test_curves_of_more_classes_are_named_and_have_no_operating_point():
    drawn = run_figures._curves(view_of(4), ExperimentConfig())
    assert set(drawn) == {"roc_valid", "precision_recall_valid"}
    for figure in drawn.values():
        said = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        assert len(said) == 4 and not any("threshold" in text for text in said)


def test_titles_carry_what_every_output_must_say_and_heat_is_called_no_evidence():
    view = run_figures.with_heat(view_of(notes=("LEAKY SPLIT: x",)), np.random.default_rng(0).random((24, 12, 12)))
    for figure in (run_figures._top_losses(view), run_figures._mistakes(view), run_figures._reliability(view)):
        assert figure.get_suptitle().startswith("LEAKY SPLIT: ")
    for figure in (run_figures._top_losses(view), run_figures._mistakes(view)):
        assert NO_EVIDENCE in figure.get_suptitle().replace("\n", " ")
