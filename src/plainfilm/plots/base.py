"""Arrays in, matplotlib figures out; no model runs and no file is read or written here.

Colours are Okabe and Ito's (safe for colour-blind readers); lines also differ in style, so they survive greyscale
print. A figure is WIDE inches wide: its 9-point letters are still 9 pixels high on a page 300 pixels wide.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from plainfilm.base.listing import LISTED
from plainfilm.plots.names import distinct, short

BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"
RESEARCH_ONLY = "Research use only."
SHADED = 60  # classes of a confusion matrix that can be drawn; of more the most frequent confusions are
WIDE = 4.2  # inches
CELL_LETTERS = 30  # of 8 points above an image of a contact sheet
_SUGGESTION_MARKS = tuple(zip("osD^", (VERMILION, ORANGE, GREEN, GREY), strict=True))
_SUGGESTED = {"minimum": "minimum, a tenth of the lowest point:"}


def as_png(figure: Figure) -> bytes:
    """The figure as PNG bytes at 150 dpi, without metadata about the machine."""
    for text in figure.findobj(Text):
        if "\\mathdefault" not in text.get_text():  # matplotlib's own exponents; of two classes, $ would make a formula
            text.set_parse_math(False)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a class name in another script is drawn as boxes
        figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def plot_batch(images: np.ndarray, labels: Sequence[str], title: str) -> Figure:
    """A contact sheet of at most 16 images, float (n, h, w) or (n, h, w, 3) in 0..1, with their labels."""
    shown = min(len(images), 16)
    columns = min(shown, 4)
    figure, axes = _sheet(shown, columns, title, row_height=2.1)
    for ax, image, label in zip(axes, images, labels, strict=False):
        show(ax, image)
        # y: else each layout measures ticks that nobody sees, 40 % of the time
        ax.set_title(short(label, CELL_LETTERS), fontsize=8, y=1)
    return figure


def plot_lr_curve(
    lrs: np.ndarray, losses: np.ndarray, suggestions: Mapping[str, float | None], lr: float | None
) -> Figure:
    """Smoothed loss against learning rate, with the suggestions marked; `lr`: the one to use, or None."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    ax = figure.subplots()
    finite = np.isfinite(losses)
    lrs, losses = lrs[finite], losses[finite]
    ax.plot(lrs, losses, color=BLUE)
    low, high, start = float(losses.min()), float(losses.max()), float(losses[0])
    top = min(high, start + max(0.5 * (start - low), 0.1))  # otherwise the diverging end would hide the valley
    for (name, value), style in zip(suggestions.items(), _SUGGESTION_MARKS, strict=True):
        if value is not None:
            _mark_suggestion(ax, name, value, float(np.interp(np.log10(value), np.log10(lrs), losses)), top, style)
    margin = 0.05 * (top - low) + 1e-9
    ax.set_ylim(low - margin, top + margin)
    ax.set(xscale="log", xlabel="learning rate", ylabel="training loss, smoothed")
    entitle(figure, f"Learning-rate finder: {f'use {lr:.2g}' if lr else 'the curve is flat, no suggestion'}")
    clean(ax)
    key_below(figure)
    return figure


def _mark_suggestion(ax: Axes, name: str, lr: float, loss: float, top: float, style: tuple[str, str]) -> None:
    """Mark a rate on the curve, or on the upper edge where the loss is above it."""
    above = "; loss above the plot" if loss > top else ""
    label = f"{_SUGGESTED.get(name, name)} {lr:.2g}{above}"
    ax.plot([lr], [min(loss, top)], style[0], color=style[1], markersize=8, clip_on=False, zorder=3, label=label)


def plot_history(history: Mapping[str, Sequence[float]], best: int, title: str) -> Figure:
    """Accuracy, loss and learning rate per epoch (the first two as in Figure 8 of the paper), with the kept epoch marked.

    Args:
        history: columns train_loss, valid_loss, train_accuracy, valid_accuracy, valid_auroc and optionally lr.
        best: position of the kept epoch, 0-based.
    """
    panels = ["accuracy", "loss", *(["learning rate"] if "lr" in history else [])]
    figure = Figure(figsize=(WIDE, 1.75 * len(panels) + 0.8), layout="constrained")
    entitle(figure, title)
    axes = figure.subplots(len(panels), 1, sharex=True)
    epochs = np.arange(1, len(history["train_loss"]) + 1)
    dots = "o" if len(epochs) <= 30 else None
    for ax, name in zip(axes, panels, strict=True):
        if name == "learning rate":
            ax.plot(epochs, history["lr"], color="black", marker=dots, markersize=3,
                    label="rate at epoch's end")  # fmt: skip
            ax.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        else:
            ax.plot(epochs, history[f"train_{name}"], color=ORANGE, linestyle="--", marker=dots, markersize=3,
                    label="train (dropout on)")  # fmt: skip
            ax.plot(epochs, history[f"valid_{name}"], color=BLUE, marker=dots, markersize=3, label="valid")
        if name == "accuracy":
            ax.plot(epochs, history["valid_auroc"], color=GREEN, linestyle="-.", marker=dots, markersize=3,
                    label="valid AUROC")  # fmt: skip
            _as_shares(ax)
        ax.axvline(best + 1, color=GREY, linestyle=":", label=f"kept epoch {best + 1}")
        ax.set_ylabel(name, fontsize=9)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        clean(ax)
    axes[-1].set_xlabel("epoch", fontsize=9)
    if len(epochs) == 1:
        axes[-1].set(xlim=(0.5, 1.5), xticks=[1])
    key_below(figure)
    return figure


def _as_shares(ax: Axes) -> None:
    """Limit the y axis to 0..1, with room for a line on its edge and no tick beyond, and to no less than a tenth."""
    low, high = ax.get_ylim()
    room = max(0.1 - (high - low), 0) / 2
    low, high = max(low - room, -0.02), min(high + room, 1.02)
    ax.set_yticks(
        [
            tick
            for tick in MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
            if max(low, 0) <= tick <= min(high, 1)
        ]
    )
    ax.set_ylim(low, high)


def plot_confusion(counts: np.ndarray, vocab: Sequence[str], title: str) -> Figure:
    """Image counts, int (k, k), rows = truth: up to 12 classes each cell with its share of the row, beyond only shaded."""
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    return (_numbered if len(vocab) <= LISTED else _shaded)(counts, shares, vocab, title)


def _shaded(counts: np.ndarray, shares: np.ndarray, vocab: Sequence[str], title: str) -> Figure:
    """Shares of each row as shades; a white row has no image."""
    k, size = len(vocab), 7 if len(vocab) <= 30 else 5.5
    side = max(WIDE, 1.8 + 0.11 * k)
    figure = Figure(figsize=(side, side * 0.9), layout="constrained")
    ax = figure.subplots()
    # a power below 1: a confusion of one image in twenty must be seen
    image = ax.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest")
    names = distinct(vocab, 14)
    ax.set_xticks(range(k), names, rotation=90)
    ax.set_yticks(range(k), names)
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.tick_params(length=0, labelsize=size)
    bar = figure.colorbar(image, ax=ax, shrink=0.6, ticks=[0, 0.05, 0.2, 0.5, 1])
    bar.set_label(f"share of the true class, of {int(counts.sum()):,} images", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    entitle(figure, title)
    return figure


def _numbered(counts: np.ndarray, shares: np.ndarray, vocab: Sequence[str], title: str) -> Figure:
    """Each cell with its count and its share of the row."""
    k, rows = len(vocab), counts.sum(axis=1, keepdims=True)
    side = max(WIDE, 1.4 + 0.95 * k)
    figure = Figure(figsize=(side, side * 0.95), layout="constrained")
    ax = figure.subplots()
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i in range(k):
        for j in range(k):
            rate = f"{shares[i, j]:.1%}" if rows[i, 0] else "no image"
            colour = "white" if shares[i, j] > 0.55 else "black"
            ax.text(j, i, f"{counts[i, j]}\n{rate}", ha="center", va="center", color=colour,
                    fontsize=12 if k == 2 else 9)  # fmt: skip
    vocab = distinct(vocab)
    flat = max(map(len, vocab)) * k <= 30
    ax.set_xticks(range(k), vocab, rotation=0 if flat else 30, ha="center" if flat else "right", rotation_mode="anchor")
    ax.set_yticks(range(k), vocab, rotation=90 if max(map(len, vocab)) <= 12 and k <= 3 else 0, va="center")
    ax.set(xlabel="predicted class", ylabel="true class")
    entitle(figure, title)
    ax.tick_params(length=0, labelsize=9)
    return figure


def plot_scores(
    scores: np.ndarray, labels: np.ndarray, threshold: float | None, names: tuple[str, str], title: str
) -> Figure:
    """Histograms of the scores of both classes, with the threshold.

    Args:
        scores: float (n,), probability of the positive class.
        labels: bool (n,), True = positive.
        names: the negative and the positive class.
    """
    figure = Figure(figsize=(WIDE, 3.6), layout="constrained")
    ax = figure.subplots()
    bins = np.linspace(0, 1, 41).tolist()
    said = distinct(names, 28)
    legend = [f"truth {name} (n = {int((labels == side).sum())})" for side, name in enumerate(said)]
    ax.hist(scores[~labels], bins, color=BLUE, alpha=0.6, label=legend[0])
    ax.hist(scores[labels], bins, histtype="step", color=VERMILION, linewidth=2, label=legend[1])
    if threshold is not None:
        ax.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.3f}")
    ax.set(yscale="log", xlim=(0, 1))
    ax.set_xlabel(f"score for class {said[1]}", fontsize=9)
    ax.set_ylabel("images (log scale)", fontsize=9)
    entitle(figure, title)
    clean(ax)
    key_below(figure)
    return figure


def key_below(figure: Figure, *, last: str = "") -> None:
    """One legend for all axes of the figure, below them: inside, a line would cross it sooner or later.

    `last`: the label that comes last.
    """
    entries: dict[str, Any] = {}
    for ax in figure.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if last in entries:
        entries[last] = entries.pop(last)
    widest = 0.5 + 0.07 * max(map(len, entries), default=0)  # inches, at 8 points
    columns = min(len(entries), int(figure.get_size_inches()[0] / widest)) or 1
    figure.legend(
        list(entries.values()), list(entries), loc="outside lower center", ncols=columns, frameon=False, fontsize=8
    )


def entitle(figure: Figure, title: str) -> None:
    """Set the title of the whole figure, wrapped to its width."""
    figure.suptitle("\n".join(wrapped(title, figure.get_size_inches()[0])), fontsize=10)


def wrapped(text: str, inches: float) -> list[str]:
    """The text as lines of 10-point letters that fit the width."""
    return textwrap.wrap(text, int(inches * 12.5))


def _sheet(n: int, columns: int, title: str, row_height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `n` empty axes, `columns` in a row."""
    rows = -(-n // columns)
    figure = Figure(figsize=(2.1 * columns + 0.2, row_height * rows + 0.7), layout="constrained")
    entitle(figure, title)
    axes = list(np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel())
    for ax in axes:
        ax.axis("off")
    return figure, axes[:n]


def show(ax: Axes, image: np.ndarray) -> None:
    """Draw an image, float (h, w[, 1 or 3]) in 0..1, without rescaling: dark images stay dark."""
    ax.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def clean(ax: Axes) -> None:
    """Apply the frame, grid and font size shared by all axes."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.tick_params(labelsize=8)
