"""Figures of an audit: non-anatomical differences between the classes, shortcut probes, and duplicate images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from plainfilm.plots.base import BLUE, GREEN, GREY, ORANGE, VERMILION, WIDE, key_below
from plainfilm.plots.names import distinct

_COLOURS = (BLUE, ORANGE, GREEN, VERMILION, GREY)
_HATCHES = ("", "//", "..", "xx", "--")


def plot_histograms(values: Mapping[str, Mapping[str, np.ndarray]], title: str) -> Figure:
    """One panel per fact with one histogram per class, each normalised to the size of its class.

    Args:
        values: fact -> class -> float (n,).
    """
    columns = 2 if len(values) > 1 else 1
    rows = -(-len(values) // columns)
    figure = Figure(figsize=(2.8 * columns, 2.2 * rows + 0.7), layout="constrained")
    figure.suptitle(title)
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for ax, (name, per_class) in zip(axes, values.items(), strict=False):
        everything = np.concatenate(list(per_class.values()))
        low, high = float(everything.min()), float(everything.max())
        bins = np.linspace(low, high if high > low else low + 1, 31)
        if len(per_class) > len(_COLOURS):
            per_class, name = _lowest_and_highest(per_class, name)
        labels = distinct([*per_class], 32)
        for i, (label, shown) in enumerate(zip(labels, per_class.values(), strict=True)):
            weights = np.full(len(shown), 1 / max(len(shown), 1))
            ax.hist(
                shown, bins, weights=weights, color=_COLOURS[i % 5], alpha=0.55, hatch=_HATCHES[i % 5], edgecolor="white",
                linewidth=0.3, label=label,
            )  # fmt: skip
        ax.set(xlabel=name, ylabel="share of the class")
        ax.spines[["top", "right"]].set_visible(False)
    key_below(figure)
    for ax in axes[len(values) :]:
        ax.set_visible(False)
    return figure


def _lowest_and_highest(per_class: Mapping[str, np.ndarray], name: str) -> tuple[dict[str, np.ndarray], str]:
    """All classes together, and those with the lowest and the highest median; the text below the panel names them."""
    medians = {label: float(np.median(values)) for label, values in per_class.items()}
    low, high = min(medians, key=medians.__getitem__), max(medians, key=medians.__getitem__)
    shown = {"all classes": np.concatenate(list(per_class.values()))}
    names = dict(zip(per_class, distinct([*per_class]), strict=True))
    shown |= {"class with the lowest median": per_class[low], "class with the highest median": per_class[high]}
    return shown, f"{name}\nlowest: {names[low]}, highest: {names[high]}"


def plot_probes(
    names: Sequence[str], values: Sequence[float], lows: Sequence[float], highs: Sequence[float], limit: float
) -> Figure:
    """AUROC and interval of each probe, with chance and the limit above which a probe raises the banner."""
    figure = Figure(figsize=(WIDE + 0.8, 0.4 * len(names) + 1.4), layout="constrained")
    ax = figure.subplots()
    for i, (value, low, high) in enumerate(zip(values, lows, highs, strict=True)):
        loud = low > limit
        ax.plot([low, high], [i, i], color=VERMILION if loud else BLUE, linewidth=2)
        ax.plot([value], [i], "D" if loud else "o", color=VERMILION if loud else BLUE, markersize=7)
    ax.axvline(0.5, color=GREY, linewidth=1, label="chance")
    ax.axvline(
        limit, color=GREY, linewidth=1, linestyle="--", label=f"{limit:g}: a warning if the whole interval is above"
    )
    ax.set_yticks(range(len(names)), list(names))
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(min(0.4, *lows) - 0.01, 1.01)
    ax.set_xlabel("AUROC with its 95 % interval")
    ax.spines[["top", "right"]].set_visible(False)
    key_below(figure)
    return figure


def plot_copies(images: Sequence[np.ndarray], names: Sequence[str]) -> Figure:
    """At most six images of one group side by side, each under its name; uint8 (h, w) or (h, w, 3)."""
    shown = min(len(images), 6)
    figure = Figure(figsize=(2.1 * max(shown, 2), 2.5), layout="constrained")
    for ax, image, name in zip(np.atleast_1d(figure.subplots(1, shown)), images, names, strict=False):
        ax.imshow(image, cmap="gray" if image.ndim == 2 else None, vmin=0, vmax=255)
        ax.set_title(_short(name), fontsize=7, parse_math=False, y=1)  # as in base.plot_batch
        ax.set_axis_off()
    return figure


def _short(name: str, limit: int = 34) -> str:
    """Keep the end of a long name, which says more than its start; characters that cannot be drawn become '?'."""
    plain = "".join(char if char.isprintable() else "?" for char in name)
    return plain if len(plain) <= limit else "..." + plain[3 - limit :]
