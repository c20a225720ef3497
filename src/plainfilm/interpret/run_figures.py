"""The figures of a run, from its saved predictions, images and history; no model runs and no image file is opened."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from plainfilm.config import ExperimentConfig
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.metrics.calibration import Bin, reliability
from plainfilm.evaluate.metrics.calibration_curve import smooth_calibration
from plainfilm.evaluate.metrics.curve_bands import (
    CurveBand,
    mean_curves,
    precision_recall_band,
    roc_band,
)
from plainfilm.evaluate.metrics.measure import confidences, rate_metric
from plainfilm.evaluate.metrics.point_metrics import confusion_matrix
from plainfilm.evaluate.metrics.predicted_class import predicted_classes
from plainfilm.evaluate.metrics.sample import Sample
from plainfilm.evaluate.predictions import AS_TRAINED, Predictions
from plainfilm.plots import base, curves, heatmaps
from plainfilm.plots.names import distinct, short
from plainfilm.runs.card import Card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import read_verified
from plainfilm.schemas.documents import Metric, marks
from plainfilm.schemas.interpret import confused_pairs

SHOWN, WORST = 12, 4  # images of the largest losses, and of each kind of error
_LEVEL = 0.95


@dataclass(frozen=True)
class SplitView:
    """One split of a run, with what its figures need.

    `predicted`: class of each image, int (n,). `worst`: uint8 images of the largest losses, in the order of
    `predictions.worst()`; `heat`: their heat maps for the predicted class, float (m, h, w), or None.
    """

    card: Card
    split: str
    predictions: Predictions
    predicted: np.ndarray
    sample: Sample
    worst: np.ndarray
    heat: np.ndarray | None = None

    @property
    def positive(self) -> int | None:
        return self.sample.positive

    @cached_property
    def names(self) -> list[str]:
        """The classes as they are named in figures."""
        return distinct(self.card.vocab)

    @cached_property
    def caption_names(self) -> list[str]:
        """The same, for what stands above an image."""
        return distinct(self.card.vocab, heatmaps.CAPTION_LETTERS)

    @property
    def matrix(self) -> np.ndarray:
        """Counts int (k, k), rows = truth."""
        return confusion_matrix(self.predicted, self.predictions.targs, len(self.card.vocab))

    def title(self, what: str) -> str:
        return f"{marks(self.card.notes)}{what}, {self.split}, {len(self.predicted)} images"

    def caption(self, i: int) -> str:
        """The caption of image `i` of the split: its row in the predictions, not its name."""
        c = self.predicted[i]
        score = self.predictions.probs[i, c if self.positive is None else self.positive]
        names = self.caption_names
        truth, predicted = names[self.predictions.targs[i]], names[c]
        if self.heat is None:  # one image wide; a heat map beside it would give twice the room
            return f"row {i}: truth\n{truth}, predicted\n{predicted}, score {score:.3f}"
        return f"row {i}: truth {truth},\npredicted {predicted}, score {score:.3f}"

    @property
    def scored(self) -> str:
        """Which class the scores in the captions are for."""
        return f"score for {self.card.positive}" if self.card.positive else "score for the predicted class"


def make_view(finished: FinishedRun, split: str, predictions: Predictions) -> SplitView:
    """The view of one split of a run, without heat maps."""
    card, positive = finished.card, finished.positive
    sample = predictions.sample(positive, card.threshold)
    predicted = predicted_classes(predictions.probs, positive=positive, threshold=card.threshold)
    worst = np.load(io.BytesIO(read_verified(finished.run, finished.run.top_images(split))), allow_pickle=False)
    return SplitView(card, split, predictions, predicted, sample, worst)


def draw_run_figures(finished: FinishedRun, view: SplitView) -> dict[str, Figure]:
    """All figures of one split, by name."""
    k, split = view.positive, view.split
    drawn = {"history": _history(finished.run, view.card)}
    if len(view.card.vocab) <= base.SHADED:
        drawn[f"confusion_{split}"] = base.plot_confusion(view.matrix, view.card.vocab, view.title("Confusion matrix"))
    if k is not None:
        names = (view.card.vocab[1 - k], view.card.vocab[k])
        scores, truth = view.predictions.probs[:, k], view.predictions.targs == k
        drawn[f"scores_{split}"] = base.plot_scores(scores, truth, view.card.threshold, names, view.title("Scores"))
    drawn |= _curves(view, finished.cfg)
    drawn[f"reliability_{split}"] = _reliability(view, finished.cfg)
    drawn[f"top_losses_{split}"] = _top_losses(view)
    drawn[f"confused_{split}"] = _mistakes(view)
    return drawn


def _history(run: RunDir, card: Card) -> Figure:
    history = {
        str(name): column.tolist() for name, column in pd.read_csv(io.BytesIO(read_verified(run, run.history))).items()
    }
    places = list(zip(history["phase"], history["epoch"], strict=True))
    kept = places.index((card.kept_phase, card.kept_epoch))
    return base.plot_history(history, kept, f"{marks(card.notes)}Training by epoch")


def _curves(view: SplitView, cfg: ExperimentConfig) -> dict[str, Figure]:
    """ROC and precision-recall curves; of more than two classes, each class with both sides is set against the rest."""
    vocab, sample = distinct(view.card.vocab, 32), view.sample
    draws = {"n_boot": cfg.evaluate.n_boot, "seed": cfg.train.seed}
    if len(sample.classes) > curves.MOST_CURVES:
        return _curves_of_many(view, draws)
    roc = {vocab[c]: band for c in sample.classes if (band := roc_band(sample, c, **draws))}
    recall = {vocab[c]: band for c in sample.classes if (band := precision_recall_band(sample, c, **draws))}
    at = {name: rate_metric(name, sample.classes, sample, _LEVEL) for name in ("sensitivity", "specificity", "ppv")}
    label = f"at threshold {view.card.threshold:.3f}" if view.card.threshold is not None else ""
    shares = {vocab[c]: float((sample.targs == c).mean()) for c in sample.classes}
    drawn = {}
    if roc:
        point = _point(view, at["specificity"], at["sensitivity"], label)
        drawn[f"roc_{view.split}"] = curves.plot_roc(roc, point, view.title("ROC, 95 % band"))
    if recall:
        point = _point(view, at["sensitivity"], at["ppv"], label)
        title = view.title("Precision and recall, 95 % band")
        drawn[f"precision_recall_{view.split}"] = curves.plot_precision_recall(recall, point, shares, title)
    return drawn


def _curves_of_many(view: SplitView, draws: dict[str, int]) -> dict[str, Figure]:
    """The mean curve, and that of the class with the largest and of the one with the smallest area."""
    vocab, sample = view.card.vocab, view.sample
    counts = np.bincount(sample.targs, minlength=len(vocab))
    ranked = [c for c in sample.classes if 0 < counts[c] < len(sample.targs)]
    if not ranked:
        return {}
    means = mean_curves(sample)
    roc, recall, shares = dict[str, CurveBand](), dict[str, CurveBand](), dict[str, float]()
    for bands, areas, band, mean in (
        (roc, {c: sample.curve(c).area for c in ranked}, roc_band, means[0]),
        (recall, {c: sample.precision(c)[0] for c in ranked}, precision_recall_band, means[1]),
    ):
        bands[f"mean of {len(ranked):,} classes {np.mean([*areas.values()]):.3f}"] = mean
        for what, c in (("best", max(ranked, key=areas.__getitem__)), ("worst", min(ranked, key=areas.__getitem__))):
            name = f"{what}: {view.names[c]} {areas[c]:.3f}"
            if (drawn := band(sample, c, **draws)) is not None:
                bands[name] = drawn
                shares |= {name: counts[c] / len(sample.targs)} if bands is recall else {}
    title = "with the area below each curve; 95 % band of the two classes"
    return {
        f"roc_{view.split}": curves.plot_roc(roc, None, view.title(f"ROC {title}")),
        f"precision_recall_{view.split}": curves.plot_precision_recall(
            recall, None, shares, view.title(f"Precision and recall {title}")
        ),
    }


def _point(view: SplitView, x: Metric, y: Metric, text: str) -> curves.Point | None:
    return None if view.card.threshold is None else curves.Point(x, y, text)


def _reliability(view: SplitView, cfg: ExperimentConfig) -> Figure:
    """The reliability diagram, as trained and with the run's scaling where one was fitted, and a smooth curve."""
    series = {"scores": _bins(view.sample)}
    if not view.card.scaling.is_identity:
        series = {"as trained": _bins(_as_trained(view)), "scaled": series["scores"]}
    scored = f"score for class {short(view.card.positive, 28)}" if view.card.positive else "largest score"
    smooth = smooth_calibration(view.sample, n_boot=cfg.evaluate.n_boot, seed=cfg.train.seed)
    return curves.plot_reliability(series, scored, view.title("Reliability"), smooth)


def _bins(sample: Sample) -> list[Bin]:
    return reliability(*confidences(sample), sample.clusters)


def _as_trained(view: SplitView) -> Sample:
    return view.predictions.at(AS_TRAINED).sample(view.positive, None)


def _top_losses(view: SplitView) -> Figure:
    rows = view.predictions.worst(len(view.worst))[:SHOWN]
    heat = None if view.heat is None else view.heat[: len(rows)]
    title = f"{marks(view.card.notes)}Largest losses, {view.split}; {view.scored}; row 0 is the first of predictions/{view.split}.csv"
    if heat is not None:
        title += "; heat for the predicted class"
    return heatmaps.plot_images(view.worst[: len(rows)], heat, [view.caption(i) for i in rows], title)


def _mistakes(view: SplitView) -> Figure:
    """For two classes both errors with the worst images that the largest losses do not show, for more the most frequent
    confusions."""
    vocab, matrix = view.card.vocab, view.matrix
    if len(vocab) > 2:
        places = {name: i for i, name in enumerate(vocab)}
        pairs = [(view.names[places[pair.truth]], view.names[places[pair.called]], pair.images,
                  int(matrix[places[pair.truth]].sum())) for pair in confused_pairs(matrix.tolist(), vocab)]  # fmt: skip
        return heatmaps.plot_pairs(pairs, view.title("Most frequent confusions (true class as predicted class)"))
    rows, kinds = view.predictions.worst(len(view.worst)), []
    for truth in (0, 1):
        n, of = int(matrix[truth, 1 - truth]), int(matrix[truth].sum())
        here = np.flatnonzero((view.predictions.targs[rows] == truth) & (view.predicted[rows] == 1 - truth))
        share = f" ({n / of:.1%})" if of else ""
        above, more = int((here < SHOWN).sum()), here[here >= SHOWN][:WORST]
        shown = f"; {_saved_images(above, len(more))}" if n else ""
        headline = f"{view.names[truth]} predicted as {view.names[1 - truth]}: {n} of {of}{share}{shown}"
        here = more
        heat = None if view.heat is None else view.heat[here]
        kinds.append((headline, view.worst[here], heat, [view.caption(rows[i]) for i in here]))
    return heatmaps.plot_blocks(
        kinds, f"{view.title('Both errors, after those among the largest losses')}; {view.scored}"
    )


def _saved_images(above: int, more: int) -> str:
    """Where the images of one kind of error are: each is drawn once."""
    found = [f"{above} among the largest losses" if above else "", f"the next {more} here" if above and more else ""]
    return ", ".join(filter(None, found)) or ("the worst here" if more else "none kept: their losses are too small")


def with_heat(view: SplitView, heat: np.ndarray) -> SplitView:
    """The view with heat maps of its worst images."""
    return replace(view, heat=heat)
