"""Arrays in, matplotlib figures out; no model, no file is touched here.

Colours are Okabe and Ito's (safe for colour-blind readers); lines also differ in style, so that grey print works.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"
RESEARCH_ONLY = "Research use only."


def as_png(figure: Figure) -> bytes:
    """The figure as PNG bytes, 150 dpi, without metadata about the machine."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def plot_batch(pictures: np.ndarray, labels: Sequence[str], title: str) -> Figure:
    """A contact sheet of at most 16 pictures, float (n, h, w, 1 or 3) in 0..1, with their labels."""
    shown = min(len(pictures), 16)
    columns = min(shown, 4)
    figure, axes = _sheet(shown, columns, title, row_height=2.1)
    for ax, picture, label in zip(axes, pictures, labels, strict=False):
        _picture(ax, picture)
        ax.set_title(label, fontsize=8)
    return figure


def plot_lr_curve(lrs: np.ndarray, losses: np.ndarray, suggestions: Mapping[str, float | None], lr: float) -> Figure:
    """Smoothed loss against learning rate, with the suggestions marked."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    ax = figure.subplots()
    finite = np.isfinite(losses)
    ax.plot(lrs[finite], losses[finite], color=BLUE)
    styles = zip(suggestions.items(), "osD^", (VERMILION, ORANGE, GREEN, GREY), strict=True)
    for (name, value), marker, colour in styles:
        if value is not None:
            at = float(np.interp(np.log10(value), np.log10(lrs[finite]), losses[finite]))
            ax.plot([value], [at], marker, color=colour, markersize=8, label=f"{name} {value:.2g}")
    low, high, start = float(losses[finite].min()), float(losses[finite].max()), float(losses[finite][0])
    top = min(high, start + max(0.5 * (start - low), 0.1))  # the diverging end would hide the valley
    margin = 0.05 * (top - low) + 1e-9
    ax.set_ylim(low - margin, top + margin)
    ax.set(
        xscale="log",
        xlabel="learning rate",
        ylabel="training loss, smoothed",
        title=f"Learning-rate finder: use {lr:.2g}",
    )
    ax.legend(frameon=False)
    _clean(ax)
    return figure


def plot_history(history: Mapping[str, Sequence[float]], best: int, title: str) -> Figure:
    """Accuracy and loss per epoch, train and valid, as in Figure 8 of the paper; the kept epoch is marked.

    Args:
        history: columns train_loss, valid_loss, train_accuracy, valid_accuracy, valid_auroc.
        best: position of the kept epoch, 0-based.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    epochs = np.arange(1, len(history["train_loss"]) + 1)
    dots = "o" if len(epochs) <= 30 else None
    for ax, name in ((left, "accuracy"), (right, "loss")):
        ax.plot(
            epochs,
            history[f"train_{name}"],
            color=ORANGE,
            linestyle="--",
            marker=dots,
            markersize=3,
            label="train (dropout on)",
        )
        ax.plot(epochs, history[f"valid_{name}"], color=BLUE, marker=dots, markersize=3, label="valid")
        ax.axvline(best + 1, color=GREY, linestyle=":", label="kept epoch")
        ax.set(xlabel="epoch", ylabel=name)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _clean(ax)
    left.plot(epochs, history["valid_auroc"], color=GREEN, linestyle="-.", label="valid AUROC")
    left.legend(frameon=False, fontsize=8)
    return figure


def plot_confusion(counts: np.ndarray, vocab: Sequence[str], title: str) -> Figure:
    """Counts of images, int (k, k), rows = truth; each cell also gives its share of the row."""
    k = len(vocab)
    figure = Figure(figsize=(2.6 + 1.3 * k, 2.2 + 1.1 * k), layout="constrained")
    ax = figure.subplots()
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i in range(k):
        for j in range(k):
            rate = f"{shares[i, j]:.1%}" if rows[i, 0] else "no image"
            ax.text(
                j,
                i,
                f"{counts[i, j]}\n{rate}",
                ha="center",
                va="center",
                color="white" if shares[i, j] > 0.55 else "black",
            )
    flat = max(map(len, vocab)) * k <= 40
    ax.set_xticks(range(k), vocab, rotation=0 if flat else 30, ha="center" if flat else "right", rotation_mode="anchor")
    ax.set_yticks(range(k), vocab, rotation=90 if max(map(len, vocab)) <= 12 else 0, va="center")
    ax.set(xlabel="called", ylabel="truth")
    ax.set_title(title, fontsize=10)
    ax.tick_params(length=0)
    return figure


def plot_top_losses(pictures: np.ndarray, captions: Sequence[str], title: str) -> Figure:
    """The worst pictures, uint8 (n, h, w) or (n, h, w, 3), each with its caption; pictures carry no name."""
    figure, axes = _sheet(len(pictures), min(len(pictures), 4), title, row_height=2.6)
    for ax, picture, caption in zip(axes, pictures, captions, strict=True):
        _picture(ax, picture / 255.0)
        ax.set_title(caption, fontsize=7)
    return figure


def plot_scores(scores: np.ndarray, labels: np.ndarray, threshold: float, names: tuple[str, str], title: str) -> Figure:
    """How the scores of both classes lie about the threshold.

    Args:
        scores: float (n,), probability of the positive class.
        labels: bool (n,), True = positive.
        names: the negative and the positive class.
    """
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    ax = figure.subplots()
    bins = np.linspace(0, 1, 41).tolist()
    ax.hist(scores[~labels], bins, color=BLUE, alpha=0.75, label=f"truth {names[0]} (n = {int((~labels).sum())})")
    ax.hist(
        scores[labels],
        bins,
        histtype="step",
        color=VERMILION,
        linewidth=2,
        label=f"truth {names[1]} (n = {int(labels.sum())})",
    )
    ax.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.3f}")
    ax.set(xlabel=f"score for class {names[1]}", ylabel="images (log scale)", yscale="log", xlim=(0, 1))
    ax.set_title(title, fontsize=10)
    ax.legend(frameon=False, fontsize=8)
    _clean(ax)
    return figure


def _sheet(n: int, columns: int, title: str, row_height: float) -> tuple[Figure, list[Axes]]:
    rows = -(-n // columns)
    figure = Figure(figsize=(2.1 * columns + 0.2, row_height * rows + 0.7), layout="constrained")
    figure.suptitle(title, fontsize=10, wrap=True)
    axes = list(np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel())
    for ax in axes:
        ax.axis("off")
    return figure, axes[:n]


def _picture(ax: Axes, picture: np.ndarray) -> None:
    ax.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def _clean(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25, linewidth=0.6)
