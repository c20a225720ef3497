"""The figures of a split: captions without names, both errors, scores before and after temperature scaling."""

import hashlib
import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from plainfilm.config import ModelConfig, load_config
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.metrics.calibration import reliability
from plainfilm.evaluate.metrics.measure import confidences
from plainfilm.evaluate.metrics.sample import make_sample
from plainfilm.evaluate.predictions import Predictions, make_predictions
from plainfilm.interpret.run_figures import SplitView, draw_run_figures, make_view, with_heat
from plainfilm.plots.base import as_png
from plainfilm.plots.heatmaps import NO_EVIDENCE
from plainfilm.runs.card import Card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.scaling import Scaling
from plainfilm.schemas.interpret import confused_pairs
from wording import lacking

THRESHOLD, LEAKY = 0.6, "LEAKY SPLIT: x"
VOCAB = ["ADENOCARCINOMA_OF_LUNG", "B", "C", "D"]
LONG = r"ADEN\.\.\.UNG"  # as a caption shows it
Drawn = Callable[..., tuple[SplitView, dict[str, Figure]]]


def rows_of(labels: list[str]) -> pd.DataFrame:
    names = [f"/secret/person{i}_x.png" for i in range(len(labels))]
    patients = [f"p{i}" for i in range(len(labels))]
    rows = pd.DataFrame({"path": names, "patient": patients, "label": labels, "group": np.arange(len(labels))})
    return rows.assign(sha256=[hashlib.sha256(name.encode()).hexdigest() for name in names])


def by_chance(k: int, temperature: float = 1.0) -> Predictions:
    """80 images of k classes."""
    rng = np.random.default_rng(8)
    truth = rng.integers(0, k, 80)
    logits = rng.normal(0, 1, (80, k)) + 2 * np.eye(k)[truth]
    rows = rows_of([VOCAB[t] for t in truth])
    return make_predictions(rows, logits, VOCAB[:k], has_patients=True, scaling=Scaling(temperature))


def with_scores(truth: list[int], probs: list[list[float]]) -> Predictions:
    """Images of these classes with these probabilities."""
    k = len(probs[0])
    return make_predictions(rows_of([VOCAB[t] for t in truth]), np.log(probs), VOCAB[:k], has_patients=True)


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    """drawn(predictions, heat=False, ...): the view of a run with these scores, and all its figures."""

    def draw(predictions: Predictions, *, heat: bool = False, temperature: float = 1.0, notes: tuple[str, ...] = ()):
        two, run = len(predictions.vocab) == 2, RunDir(tmp_path / "run")
        run.top_images("valid").parent.mkdir(parents=True)
        size = min(24, len(predictions.targs)), 12, 12
        np.save(run.top_images("valid"), np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8))
        columns = ("train_loss", "valid_loss", "train_accuracy", "valid_accuracy", "valid_auroc")
        pd.DataFrame({"phase": [0], "epoch": [0], **{name: [0.5] for name in columns}}).to_csv(run.history, index=False)
        card = Card(
            model=ModelConfig(), vocab=predictions.vocab, positive="B" if two else None, decode={}, mean=(0.0,), std=(1.0,),
            threshold=THRESHOLD if two else None, threshold_rule="x", threshold_chosen_on="valid", kept_phase=0, kept_epoch=0,
            kept_by="x", split="patient", leaky=False, has_patients=True, seal=None, notes=list(notes), weights_sha256="",
            temperature=temperature,
        )  # fmt: skip
        finished = FinishedRun(run, card, load_config(options={"evaluate.n_boot": 100}), pd.DataFrame())
        view = make_view(finished, "valid", predictions)
        view = with_heat(view, np.random.default_rng(0).random(size)) if heat else view
        return view, draw_run_figures(finished, view)

    return draw


def words(figure: Figure) -> str:
    parts = [figure.get_suptitle(), *(text.get_text() for text in figure.texts)]
    for ax in figure.axes:
        parts += [ax.get_title(), ax.get_xlabel(), *(text.get_text() for text in ax.texts)]
    return "\n".join(parts)


def flat(figure: Figure) -> str:
    return " ".join(words(figure).split())


# the first, second and fourth image are on the wrong side of 0.6: two of three and one of two
FIVE = with_scores([0, 0, 0, 1, 1], [[0.1, 0.9], [0.3, 0.7], [0.41, 0.59], [0.75, 0.25], [0.4, 0.6]])


def test_a_caption_gives_row_truth_predicted_class_and_the_score_of_the_positive_class(drawn: Drawn):
    shown = flat(drawn(FIVE)[1]["top_losses_valid"])
    assert re.search(rf"row 0: truth {LONG}, [\w ]+ B, score 0\.900", shown), shown
    assert re.search(rf"row 2: truth {LONG}, [\w ]+ {LONG}, score 0\.590", shown), shown
    assert re.search(rf"row 3: truth B, [\w ]+ {LONG}, score 0\.250", shown), shown
    assert re.search(r"row 4: truth B, [\w ]+ B, score 0\.600", shown), shown
    assert re.findall(r"row (\d): truth", shown) == ["0", "3", "1", "2", "4"]  # by loss


def test_with_more_classes_the_score_is_that_of_the_predicted_one(drawn: Drawn):
    sure = [0.05, 0.05, 0.9]
    figures = drawn(with_scores([2, 0, 1, 2, 2], [[0.1, 0.7, 0.2], [0.6, 0.3, 0.1], [0.05, 0.9, 0.05], sure, sure]))[1]
    shown = flat(figures["top_losses_valid"])
    assert re.search(r"row 0: truth C, [\w ]+ B, score 0\.700", shown), shown
    assert re.search(rf"row 1: truth {LONG}, [\w ]+ {LONG}, score 0\.600", shown), shown
    assert re.search(r"C[\w, ]+ B: 1 of 3 \(33\.3%\)", flat(figures["confused_valid"]))


@pytest.mark.parametrize("k", [2, 4])
def test_images_are_identified_by_row_and_not_by_name(drawn: Drawn, k: int):
    figures = drawn(by_chance(k))[1]
    assert len(re.findall(r"row \d+: truth", words(figures["top_losses_valid"]))) == 12
    for name, figure in figures.items():
        assert not re.search(r"person|secret|\bp\d+\b", words(figure)), name


def test_both_errors_have_their_counts_and_shares(drawn: Drawn):
    shown = flat(drawn(FIVE)[1]["confused_valid"])
    assert re.search(r"ADENOCA...F_LUNG[\w, ]+ B: 2 of 3 \(66\.7%\)", shown), shown
    assert re.search(r"B[\w, ]+ ADENOCA...F_LUNG: 1 of 2 \(50\.0%\)", shown), shown
    assert lacking(shown, "2 among the largest losses", "1 among the largest losses") == []
    assert re.findall(r"row (\d): truth", shown) == []  # all three are in the sheet of the largest losses


def test_each_image_is_drawn_once(drawn: Drawn):
    figures = drawn(by_chance(2))[1]
    sheets = [re.findall(r"row (\d+): truth", words(figures[f"{name}_valid"])) for name in ("top_losses", "confused")]
    rows = [row for sheet in sheets for row in sheet]
    assert all(sheets) and len(rows) == len(set(rows))
    assert "after those among the largest losses" in flat(figures["confused_valid"])


def test_both_errors_show_only_their_own_images_the_worst_first(drawn: Drawn):
    predictions = by_chance(2)
    shown = re.findall(r"row (\d+): truth", words(drawn(predictions)[1]["confused_valid"]))
    rows = [int(row) for row in shown]
    truth = predictions.targs
    assert len(rows) > 1 and all((predictions.probs[i, 1] >= THRESHOLD) != (truth[i] == 1) for i in rows)
    assert rows == sorted(rows, key=lambda i: (truth[i], -predictions.losses[i]))


def test_with_more_classes_the_most_frequent_pairs_are_shown_first(drawn: Drawn):
    predictions = by_chance(4)
    view, figures = drawn(predictions)
    pairs = confused_pairs(view.matrix.tolist(), view.card.vocab)
    assert [pair.images for pair in pairs] == sorted((pair.images for pair in pairs), reverse=True)
    assert sum(pair.images for pair in pairs) == (predictions.probs.argmax(axis=1) != predictions.targs).sum()
    bars = figures["confused_valid"].axes[0].patches
    assert [bar.get_width() for bar in bars] == [pair.images for pair in pairs][:10]


def scores_of_bins(predictions: Predictions) -> list[float]:
    sample = make_sample(predictions.probs, predictions.targs, predictions.groups, None, positive=1, threshold=None)
    return [part.score for part in reliability(*confidences(sample), sample.clusters)]


def test_without_a_temperature_one_series_is_drawn(drawn: Drawn):
    assert len(drawn(by_chance(2))[1]["reliability_valid"].axes[0].containers) == 1


def test_before_and_after_a_temperature_are_both_drawn_and_differ(drawn: Drawn):
    plain, tempered = by_chance(2), by_chance(2, temperature=3.0)
    before, after = drawn(tempered, temperature=3.0)[1]["reliability_valid"].axes[0].containers
    np.testing.assert_allclose(np.array(before[0].get_xdata(), float), scores_of_bins(plain), atol=1e-8)
    np.testing.assert_allclose(np.array(after[0].get_xdata(), float), scores_of_bins(tempered))
    assert np.ptp(after[0].get_xdata()) < np.ptp(
        before[0].get_xdata()
    )  # a temperature above 1 shrinks the range of the scores


def test_curves_of_more_classes_are_named_and_have_no_operating_point(drawn: Drawn):
    figures = drawn(by_chance(4))[1]
    assert "scores_valid" not in figures  # there is no positive class
    for name in ("roc_valid", "precision_recall_valid"):
        labels = [text.get_text() for text in figures[name].legends[0].get_texts()]
        assert len(labels) == 5 and "chance" in labels and not any("threshold" in text for text in labels), name


def test_titles_carry_the_marks_of_the_run(drawn: Drawn):
    figures = drawn(by_chance(2), notes=(LEAKY,))[1]
    assert {"history", "roc_valid", "confusion_valid", "reliability_valid"} <= set(figures)
    for name, figure in figures.items():
        assert words(figure).strip().startswith("LEAKY SPLIT: "), name


@pytest.mark.parametrize("heat", [False, True])
def test_heat_is_labelled_no_evidence(drawn: Drawn, heat: bool):
    figures = drawn(by_chance(2), heat=heat)[1]
    for name in ("top_losses_valid", "confused_valid"):
        assert (NO_EVIDENCE in flat(figures[name])) is heat, name


@pytest.mark.parametrize("k", [60, 61])
def test_many_classes_make_small_figures_without_a_warning(drawn: Drawn, k: int):
    rng = np.random.default_rng(0)
    vocab = [f"a long name of class {i} $x_{{{i}" for i in range(k)]
    truth = np.repeat(np.arange(k), 3)
    rows = rows_of([vocab[t] for t in truth])
    view, figures = drawn(
        make_predictions(rows, rng.normal(size=(3 * k, k)) + 2 * np.eye(k)[truth], vocab, has_patients=True)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sizes = {name: Image.open(io.BytesIO(as_png(figure))).size for name, figure in figures.items()}
    assert {name: size for name, size in sizes.items() if max(size) > 2400} == {}
    assert ("confusion_valid" in figures) == (k <= 60)
    if k == 60:
        assert not figures["confusion_valid"].axes[0].texts  # shades, no numbers
    labels = [text.get_text() for text in figures["roc_valid"].legends[0].get_texts()]
    areas = [view.sample.curve(c).area for c in range(k)]
    assert [label.partition(" ")[0] for label in labels] == ["chance", "mean", "best:", "worst:"]
    assert [label.rpartition(" ")[2] for label in labels[1:]] == [
        f"{x:.3f}" for x in (np.mean(areas), max(areas), min(areas))
    ]
