"""Figures of a search: its history, the values that were tried, which keys matter, and the time of each trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from plainfilm.plots.base import BLUE, GREEN, GREY, ORANGE, VERMILION, WIDE, clean, entitle, key_below

_MARKS = {"done": ("o", BLUE), "pruned": ("v", ORANGE)}
_SHOWN = 14  # characters of a value on an axis


def plot_search(numbers: np.ndarray, select: np.ndarray, status: Sequence[str]) -> Figure:
    """Select AUROC by trial, float (n,), NaN where it failed; the best so far as a line, trial 0 as another."""
    figure = Figure(figsize=(WIDE, 3.2), layout="constrained")
    ax = figure.subplots()
    for name, (mark, colour) in _MARKS.items():
        of = np.array([each == name for each in status], dtype=bool) & np.isfinite(select)
        if of.any():
            ax.plot(numbers[of], select[of], mark, color=colour, markersize=5, label=name)
    done = np.where([each == "done" for each in status], select, np.nan)
    if np.isfinite(done).any():
        ax.step(numbers, np.fmax.accumulate(done), where="post", color=GREEN, label="best so far")
    if np.isfinite(select[0]):
        ax.axhline(select[0], color=GREY, linestyle=":", label="the default (trial 0)")
    ax.set(xlabel="trial", ylabel="select AUROC")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    entitle(figure, "History")
    clean(ax)
    key_below(figure)
    return figure


def plot_parallel(
    places: Mapping[str, np.ndarray], ends: Mapping[str, Sequence[tuple[float, str]]], select: np.ndarray
) -> Figure:
    """One vertical axis per key and one for the select AUROC; a line per trial, the best quarter darker.

    Args:
        places: key -> where each trial is on its axis, 0..1, float (n,). ends: key -> ticks of it, (place, text).
        select: float (n,), finite.
    """
    names = [*places, "select AUROC"]
    low, high = float(select.min()), float(select.max())
    score = (select - low) / (high - low) if high > low else np.full(len(select), 0.5)
    lines = np.stack([*places.values(), score], axis=1)
    figure = Figure(figsize=(max(WIDE, 1.5 * len(names)), 3.4), layout="constrained")
    ax = figure.subplots()
    order = np.argsort(select)
    best = set(order[-max(1, len(order) // 4) :].tolist())
    for i in order:
        colour, width, alpha = (VERMILION, 1.6, 0.9) if i in best else (GREY, 0.8, 0.5)
        ax.plot(range(len(names)), lines[i], color=colour, linewidth=width, alpha=alpha)
    for x, name in enumerate(names):
        ax.axvline(x, color="black", linewidth=0.8)
        for y, text in [*ends[name]] if name in ends else [(0.0, f"{low:.3f}"), (1.0, f"{high:.3f}")]:
            ax.annotate(text[:_SHOWN], (x, y), (3, 0), textcoords="offset points", fontsize=7, va="center")
    ax.set_xticks(range(len(names)), [name.removeprefix("train.").removeprefix("model.") for name in names], fontsize=8)
    ax.set(yticks=[], ylim=(-0.08, 1.08), xlim=(-0.2, len(names) - 0.4))
    ax.spines[["top", "right", "left", "bottom"]].set_visible(False)
    entitle(figure, "Values tried; the best quarter in colour")
    return figure


def plot_bars(names: Sequence[str], values: Sequence[float], title: str, label: str) -> Figure:
    """Horizontal bars, the first on top."""
    figure = Figure(figsize=(WIDE, 1.1 + 0.24 * len(names)), layout="constrained")
    ax: Axes = figure.subplots()
    ax.barh(range(len(names)), values, color=BLUE)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel(label, fontsize=9)
    entitle(figure, title)
    clean(ax)
    return figure
