"""Images beside their heat maps, and the results of the heat-map checks: arrays in, matplotlib figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from plainfilm.plots.base import BLUE, GREY, VERMILION, WIDE, clean, entitle, key_below, show, wrapped
from plainfilm.plots.names import short
from plainfilm.schemas.documents import Metric
from plainfilm.schemas.number_text import estimate_text

# axes shared by interpret.heatmap_checks, which measures, and this module, which draws
SHARES = np.linspace(0, 1, 11)  # of the patches that are removed
ORDERS = ("heat first", "at random", "heat last")
MARGIN = 0.15  # of the side; the rest is the central field, 0.7 x 0.7 of the image
SAME = 0.5  # rank correlation at or above which two heat maps count as similar
NO_EVIDENCE = "Heat maps: not evidence of location"
_NO_HEAT = "no heat for\nthis class"
_SheetSection = tuple[str, np.ndarray, np.ndarray | None, Sequence[str]]  # headline, images, heat, captions
CAPTION_LETTERS = 10  # of each class in the caption of an image
GAP, CAPTION, HEADLINE = 0.04, 0.34, 0.18  # inches
_PAIR = 6.0  # inches, width of one image with its heat map
_CELL = (WIDE - 6 * GAP) / 4
_HEAT = "cividis"  # lightness rises with the value: readable in greyscale print and by colour-blind readers


def plot_images(images: np.ndarray, heat: np.ndarray | None, captions: Sequence[str], title: str) -> Figure:
    """A contact sheet: each image with its caption and, if given, its heat map beside it. No file names are shown.

    Args:
        images: uint8 (n, h, w) or (n, h, w, 3).
        heat: float (n, h, w) in 0..1, or None.
    """
    return plot_blocks([("", images, heat, captions)], title)


def plot_blocks(blocks: Sequence[_SheetSection], title: str) -> Figure:
    """Contact sheets one below another, each under its headline; four images per row, two with heat maps."""
    heading = f"{title}. {NO_EVIDENCE}" if any(heat is not None for _, _, heat, _ in blocks) else title
    tops: list[float] = []
    height = GAP  # in inches from below the title
    for headline, images, heat, _ in blocks:
        height += 0.1 if tops and headline else 0
        tops.append(height)
        height += HEADLINE * len(_headline(headline)) + -(-len(images) // (4 if heat is None else 2)) * (
            _CELL + CAPTION
        )
    head = 0.1 + 0.17 * len(wrapped(heading, WIDE))
    figure = Figure(figsize=(WIDE, head + height + GAP))
    figure.suptitle("\n".join(wrapped(heading, WIDE)), fontsize=10, y=1 - 0.06 / figure.get_size_inches()[1], va="top")
    for top, (headline, images, heat, captions) in zip(tops, blocks, strict=True):
        y = head + top
        if headline:
            lines = "\n".join(_headline(headline))
            figure.text(GAP / WIDE, 1 - y / figure.get_size_inches()[1], lines, fontsize=9, fontweight="bold", va="top")
            y += HEADLINE * len(_headline(headline))
        wide = 1 if heat is None else 2
        for i, caption in enumerate(captions):
            row, column = divmod(i, 4 // wide)
            left = _cell(figure, column * wide, y + row * (_CELL + CAPTION) + CAPTION)
            show(left, images[i] / 255.0)
            left.text(0, 1.03, caption, transform=left.transAxes, fontsize=7 if wide == 2 else 5.2, va="bottom")
            if heat is not None:
                _overlay(_cell(figure, column * wide + 1, y + row * (_CELL + CAPTION) + CAPTION), images[i] / 255.0, heat[i])  # fmt: skip
    return figure


def _headline(text: str) -> list[str]:
    """The headline as lines; bold letters are wider."""
    return wrapped(text, 0.88 * WIDE)


def _cell(figure: Figure, column: int, top: float) -> Axes:
    """The axes of one image; `top` in inches from the upper edge of the figure."""
    height = figure.get_size_inches()[1]
    left = GAP + column * (_CELL + GAP) + (GAP if column > 1 else 0)
    ax = figure.add_axes((left / WIDE, 1 - (top + _CELL) / height, _CELL / WIDE, _CELL / height))
    ax.axis("off")
    return ax


def _overlay(ax: Axes, image: np.ndarray, heat: np.ndarray) -> None:
    """Draw the heat over a paler image; for greyscale print, a contour encloses heat of at least half the maximum."""
    grey = image if image.ndim == 2 else image.mean(axis=2)
    show(ax, 0.35 + 0.65 * grey)
    if heat.max() <= 0:
        ax.text(0.5, 0.5, _NO_HEAT, transform=ax.transAxes, ha="center", va="center", fontsize=7,
                color="white", bbox={"color": "black", "alpha": 0.6})  # fmt: skip
        return
    ax.imshow(heat, cmap=_HEAT, vmin=0, vmax=1, alpha=0.25 + 0.5 * heat, interpolation="nearest")
    ax.contour(heat, levels=[0.5], colors="black", linewidths=1.6)
    ax.contour(heat, levels=[0.5], colors="white", linewidths=0.8)


def plot_pair(image: np.ndarray, heat: np.ndarray, caption: str, label: str) -> Figure:
    """One image and its heat map side by side, under one caption.

    Args:
        image: uint8 (h, w) or (h, w, 3). heat: float (h, w) in 0..1, evidence for the class `label`.
    """
    about = f"Heat: what raises the score for {short(label)}. Not evidence of location."
    lines = [*wrapped(caption, _PAIR), *wrapped(about, _PAIR)]
    head = 0.08 + HEADLINE * len(lines)
    side = (_PAIR - 3 * GAP) / 2
    figure = Figure(figsize=(_PAIR, head + side + GAP))
    height = head + side + GAP
    figure.text(GAP / _PAIR, 1 - 0.06 / height, "\n".join(lines), fontsize=9, va="top", parse_math=False)
    for i in (0, 1):
        ax = figure.add_axes(((GAP + i * (side + GAP)) / _PAIR, GAP / height, side / _PAIR, side / height))
        ax.axis("off")
        if i:
            _overlay(ax, image / 255.0, heat)
        else:
            show(ax, image / 255.0)
    return figure


def plot_pairs(pairs: Sequence[tuple[str, str, int, int]], title: str, *, most: int = 10) -> Figure:
    """The most frequent confusions between more than two classes, as bars.

    Args:
        pairs: true class, predicted class, images, images of that true class; most frequent first.
    """
    pairs = list(pairs)[:most]
    figure = Figure(figsize=(WIDE, 0.9 + 0.5 * max(len(pairs), 1)), layout="constrained")
    entitle(figure, title if pairs else f"{title}: none")
    ax = figure.subplots()
    ax.barh(range(len(pairs)), [pair[2] for pair in pairs], color=BLUE, height=0.35)
    for i, (truth, predicted, n, of) in enumerate(pairs):
        text = f"{short(truth)} as {short(predicted)}: {n} of {of} ({n / of:.1%})"
        ax.text(0, i - 0.28, text, fontsize=9, va="bottom").set_in_layout(False)
    ax.set(ylim=(len(pairs) - 0.5, -0.8), yticks=[])
    ax.set_xlabel("images", fontsize=9)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    clean(ax)
    ax.spines[["left"]].set_visible(False)
    return figure


def plot_deletion(curves: np.ndarray, areas: Mapping[str, Metric], title: str) -> Figure:
    """Mean score of the predicted class as patches of the image are removed: hottest first, at random, hottest last.

    Args:
        curves: float (3, n, 11), by ORDERS, image and SHARES. areas: area under each curve, by ORDERS.
    """
    figure = Figure(figsize=(WIDE, 4.1), layout="constrained")
    entitle(figure, title)
    ax = figure.subplots()
    styles = ((VERMILION, "-", "o"), (GREY, ":", "s"), (BLUE, "--", "^"))
    for name, curve, (colour, line, marker) in zip(ORDERS, curves, styles, strict=True):
        area = areas[name]
        legend = "" if area.value is None else f": area {estimate_text(area)}"
        ax.plot(
            SHARES, curve.mean(axis=0), color=colour, linestyle=line, marker=marker, markersize=4, label=name + legend
        )
    ax.set(xlim=(-0.01, 1.01), ylim=(0, 1.02))
    ax.set_xlabel("share of the image removed (blurred)", fontsize=9)
    ax.set_ylabel("mean score of the predicted class", fontsize=9)
    clean(ax)
    key_below(figure)
    return figure


def plot_randomised(ranks: np.ndarray, mean: Metric, title: str) -> Figure:
    """Similarity of the heat maps of the trained network and of networks with random weights, image by image.

    Args:
        ranks: float (n,), rank correlation, averaged over the random networks.
    """
    figure = Figure(figsize=(WIDE, 3.1), layout="constrained")
    entitle(figure, title)
    ax = figure.subplots()
    ax.hist(ranks, np.linspace(-1, 1, 21).tolist(), color=BLUE, alpha=0.7, label="images")
    ax.axvline(SAME, color="black", linestyle=":", label=f"similar from {SAME}")
    if mean.value is not None:
        ax.axvline(mean.value, color=VERMILION, linestyle="--", linewidth=2, label=f"mean {mean.value:.2f}")
    ax.set(xlim=(-1, 1), xticks=[-1, -0.5, 0, 0.5, 1])
    ax.set_xlabel("rank correlation with the heat of random weights", fontsize=9)
    ax.set_ylabel("images", fontsize=9)
    clean(ax)
    key_below(figure)
    return figure


def plot_field(heat: np.ndarray, share: Metric, area: float, title: str) -> Figure:
    """The mean heat map with the central field outlined.

    Args:
        heat: float (n, h, w) in 0..1. share: share of the heat inside the field. area: the field's share of the image.
    """
    figure = Figure(figsize=(WIDE, 3.9), layout="constrained")
    entitle(figure, title)
    ax = figure.subplots()
    mean = heat.mean(axis=0) if len(heat) else np.zeros((2, 2))
    drawn = ax.imshow(mean, cmap=_HEAT, vmin=0, vmax=max(float(mean.max()), 1e-6))
    height, width = mean.shape
    at, size = (round(MARGIN * width) - 0.5, round(MARGIN * height) - 0.5), (0.7 * width, 0.7 * height)
    for colour, line in (("black", 3), ("white", 1.2)):
        ax.add_patch(Rectangle(at, *size, fill=False, edgecolor=colour, linewidth=line))
    inside = "no heat" if share.value is None else f"{share.value:.0%} of the heat"
    ax.set_xlabel(f"in the square: {inside}, {area:.0%} of the area", fontsize=9)
    ax.set(xticks=[], yticks=[])
    bar = figure.colorbar(drawn, ax=ax, shrink=0.85)
    bar.set_label("mean heat", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return figure
