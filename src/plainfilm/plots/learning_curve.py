"""Score against the number of train images: one line per training configuration."""

from __future__ import annotations

from collections.abc import Container, Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from plainfilm.plots.base import RESEARCH_ONLY, key_below
from plainfilm.plots.cost import COLOURS, MARKERS

_LINES = ("-", "--", "-.", ":")
_APART = 0.035  # neighbouring lines are shifted apart by this share of their x value


def plot_sizes(curves: Mapping[str, np.ndarray], split: str, title: str, whole: Container[float | None] = ()) -> Figure:
    """AUROC (mean, with sd over seeds) against train images per class.

    Args:
        curves: name -> float (k, 3): images per class, mean, and sd (NaN for one seed). Lines differ in colour,
            marker and style, so they survive greyscale print.
        split: the split that was scored.
        whole: numbers of images that stand for all train images, by those of the smallest class.
    """
    figure = Figure(figsize=(5.6, 4.2 + 0.1 * len(curves)), layout="constrained")
    ax = figure.subplots()
    sizes: list[float] = sorted({float(n) for curve in curves.values() for n in curve[:, 0]})
    for i, (name, curve) in enumerate(curves.items()):
        n, mean, sd = curve[np.argsort(curve[:, 0])].T
        beside = 1 + _APART * (i - (len(curves) - 1) / 2)
        ax.errorbar(n * beside, mean, yerr=np.nan_to_num(sd), capsize=3, markersize=6, linewidth=1.4, label=name,
                    color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], linestyle=_LINES[i % len(_LINES)])  # fmt: skip
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(sizes))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"all\n({x:g})" if x in whole else f"{x:g}"))
    ax.yaxis.set_major_locator(MaxNLocator(7))
    ax.set_xlabel("train images per class")
    ax.set_ylabel(f"AUROC on {split}, mean ± sd over seeds")
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    key_below(figure)
    figure.suptitle(f"{title}\n{RESEARCH_ONLY}", fontsize=10)
    return figure
