"""Score against cost: one point per configuration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from plainfilm.plots.base import BLUE, GREEN, ORANGE, RESEARCH_ONLY, VERMILION, key_below

_BASELINE = "shortcut baseline"
COLOURS, MARKERS = (BLUE, VERMILION, GREEN, ORANGE), "osD^vPX*"


def plot_cost(
    names: Sequence[str],
    auroc: np.ndarray,
    sd: np.ndarray,
    costs: Sequence[tuple[str, np.ndarray]],
    title: str,
    baseline: float | None = None,
    split: str = "valid",
) -> Figure:
    """AUROC on `split` (mean, with sd over seeds where there are several) against each of `costs`, a title and (n,) values.

    Each point carries the number of its name in the legend, since colours and markers repeat. A point with NaN is left
    out, and a cost that nothing has been measured of. `baseline`: AUROC of the best shortcut probe, drawn as a line if it is close to the points.
    """
    names = [f"{i}  {name}" for i, name in enumerate(names, start=1)]
    measured = [(label, values) for label, values in costs if np.isfinite(np.asarray(values, float)).any()]
    costs = measured or costs[:1]
    figure = Figure(figsize=(4.6 * len(costs), 4.4 + 0.16 * len(names)), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(costs), sharey=True))
    for ax, (label, values) in zip(axes, costs, strict=True):
        _points(ax, names, auroc, sd, np.asarray(values, float))
        ax.set_xlabel(label)
        low = float(np.nanmin(auroc - np.nan_to_num(sd)))
        if baseline is not None and baseline > low - 0.15:
            ax.axhline(baseline, color="black", linestyle=":", linewidth=1, label=_BASELINE)
    axes[0].set_ylabel(f"AUROC on {split}, mean ± sd over seeds")
    key_below(figure, last=_BASELINE)
    figure.suptitle(f"{title}\n{RESEARCH_ONLY}", fontsize=10)
    return figure


def _points(ax: Axes, names: Sequence[str], auroc: np.ndarray, sd: np.ndarray, values: np.ndarray) -> None:
    known = np.isfinite(values) & np.isfinite(auroc)
    for i, name in enumerate(names):
        shown = [values[i]] if known[i] else [np.nan]
        error = [sd[i]] if np.isfinite(sd[i]) else None
        ax.errorbar(shown, [auroc[i]], yerr=error, fmt=MARKERS[i % len(MARKERS)], color=COLOURS[i % len(COLOURS)],
                    markersize=7, capsize=3, label=name)  # fmt: skip
        if known[i]:
            place = (5, 4) if i % 2 else (-5, -4)  # points of neighbouring rank are close together
            ax.annotate(str(i + 1), (values[i], auroc[i]), place, textcoords="offset points", fontsize=8,
                        ha="left" if i % 2 else "right", va="bottom" if i % 2 else "top")  # fmt: skip
    if not known.all() and known.any():
        missing = ", ".join(str(i + 1) for i in np.flatnonzero(~known))
        ax.set_title(f"not measured: {missing}", fontsize=8, loc="right")
    if known.any() and values[known].min() > 0 and values[known].max() > 5 * values[known].min():
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
    elif known.any():
        ax.set_xlim(0, 1.1 * float(values[known].max()))
        ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.yaxis.set_major_locator(MaxNLocator(6))
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
