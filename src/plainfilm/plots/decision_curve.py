"""The decision curve: net benefit of the score, against predicting all images positive or none."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from plainfilm.plots.base import BLUE, GREY, RESEARCH_ONLY, VERMILION
from plainfilm.plots.names import short
from plainfilm.schemas.evaluate import DecisionCurve


def plot_decision_curve(curve: DecisionCurve, positive: str, title: str, threshold: float | None = None) -> Figure:
    """Net benefit with its band; lines differ in style, so they survive greyscale print.

    Args:
        positive: the positive class.
        threshold: the threshold of the run, marked if given.
    """
    figure = Figure(figsize=(5.4, 4.3), layout="constrained")
    ax = figure.subplots()
    x, y = np.array(curve.thresholds), np.array(curve.net_benefit)
    low, high, label = _band(curve)
    ax.fill_between(x, low, high, color=BLUE, alpha=0.2, linewidth=0, label=label)
    ax.plot(x, y, color=BLUE, linewidth=2, label="by the score")
    ax.plot(x, curve.treat_all, color=VERMILION, linestyle="--", label="all predicted positive")
    ax.axhline(0, color="black", linestyle=":", label="none predicted positive")
    if threshold is not None:
        ax.axvline(threshold, color=GREY, linestyle="-.", linewidth=1, label=f"the run's threshold, {threshold:.2f}")
    top = max([*high, 0.05])
    ax.set(xlim=(0, 1), ylim=(-0.25 * top, 1.08 * top), ylabel="net benefit per image",
           xlabel=f"threshold probability for class {short(positive, 28)}")  # fmt: skip
    ax.set_title(f"{title}\n{RESEARCH_ONLY}", fontsize=10)
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def _band(curve: DecisionCurve) -> tuple[list[float], list[float], str]:
    """Its limits and its name: the band over all thresholds, or the pointwise one of earlier versions."""
    if curve.band_low:
        return curve.band_low, curve.band_high, "95 % band, all thresholds together"
    return curve.ci_low, curve.ci_high, "95 % band, pointwise"
