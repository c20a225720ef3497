"""The figures of a run, from its saved predictions, pictures and history; no model runs, no image file is opened."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from plainfilm.card import Card
from plainfilm.evaluate.metrics import calls, confusion_matrix
from plainfilm.evaluate.predictions import Predictions
from plainfilm.interpret import figures
from plainfilm.runs import RunDir
from plainfilm.schemas import Confused, marks

SHOWN = 16


def draw_gallery(run: RunDir, card: Card, split: str, predictions: Predictions) -> tuple[np.ndarray, dict[str, bytes]]:
    """Confusion counts, int (k, k), and every figure of one split as PNG bytes by name."""
    positive = card.vocab.index(card.positive) if card.positive else None
    called = calls(predictions.probs, positive=positive, threshold=card.threshold)
    matrix = confusion_matrix(called, predictions.targs, len(card.vocab))
    mark = marks(card.notes)
    about = f"{split}, {len(called)} images"
    drawn = {
        "history": _history(run, card),
        f"confusion_{split}": figures.plot_confusion(matrix, card.vocab, f"{mark}Confusion matrix, {about}"),
        f"top_losses_{split}": _top_losses(run, card, split, predictions, called),
    }
    if positive is not None and card.threshold is not None:
        names = (card.vocab[1 - positive], card.vocab[positive])
        scores, truth = predictions.probs[:, positive], predictions.targs == positive
        drawn[f"scores_{split}"] = figures.plot_scores(scores, truth, card.threshold, names, f"{mark}Scores, {about}")
    return matrix, {name: figures.as_png(figure) for name, figure in drawn.items()}


def confused_pairs(matrix: np.ndarray, vocab: list[str]) -> list[Confused]:
    """Mistakes by kind, most frequent first."""
    pairs = [(int(matrix[i, j]), i, j) for i in range(len(vocab)) for j in range(len(vocab)) if i != j and matrix[i, j]]
    pairs.sort(key=lambda pair: (-pair[0], *pair[1:]))
    return [Confused(truth=vocab[i], called=vocab[j], images=n) for n, i, j in pairs]


def _history(run: RunDir, card: Card) -> Figure:
    history = {str(name): column.tolist() for name, column in pd.read_csv(run.history).items()}
    places = list(zip(history["phase"], history["epoch"], strict=True))
    kept = places.index((card.kept_phase, card.kept_epoch))
    return figures.plot_history(history, kept, f"{marks(card.notes)}Training, as in the paper's Figure 8")


def _top_losses(run: RunDir, card: Card, split: str, predictions: Predictions, called: np.ndarray) -> Figure:
    pictures = np.load(run.top_pictures(split), allow_pickle=False)[:SHOWN]
    captions = []
    for i in predictions.worst(len(pictures)):
        truth, call = card.vocab[predictions.targs[i]], card.vocab[called[i]]
        scored = card.positive or call
        score = predictions.probs[i, card.vocab.index(scored)]
        captions.append(f"row {i}: truth {truth}\ncalled {call}\nscore for {scored} {score:.3f}")
    return figures.plot_top_losses(
        pictures,
        captions,
        f"{marks(card.notes)}Largest losses, {split} (row 0 = first image of predictions/{split}.csv)",
    )
