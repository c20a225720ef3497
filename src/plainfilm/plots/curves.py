"""ROC, precision-recall and reliability: curve bands in, matplotlib figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from plainfilm.evaluate.metrics.calibration import Bin
from plainfilm.evaluate.metrics.curve_bands import GRID, CurveBand
from plainfilm.evaluate.stats.intervals import interval_of
from plainfilm.plots.base import BLUE, GREEN, GREY, ORANGE, VERMILION, WIDE, clean, entitle, key_below
from plainfilm.plots.names import short
from plainfilm.schemas.calibration import CalibrationCurve
from plainfilm.schemas.documents import Metric

_LINES = ((BLUE, "-"), (VERMILION, "--"), (GREEN, "-."), (ORANGE, ":"), ("black", "-"), (GREY, "--"))
_BANDS = 3  # more bands would hide each other
MOST_CURVES = len(_LINES)  # each has a line of its own
_Corner = tuple[tuple[float, float], tuple[float, float]]  # limits of x and y


class _Kind(NamedTuple):
    """What the two curves differ in. `mirrored`: the x axis is 1 - the operating point's metric."""

    corner: _Corner
    steps: Literal["steps-post", "steps-pre"]
    x: str
    y: str
    mirrored: bool


_ROC = _Kind(((-0.003, 0.2), (0.8, 1.003)), "steps-post", "1 - specificity", "sensitivity", mirrored=True)
_RECALL = _Kind(((0.8, 1.003), (0.8, 1.003)), "steps-pre", "recall (sensitivity)", "precision (PPV)", mirrored=False)


class Point(NamedTuple):
    """The run's operating point on a curve; a metric with its interval on both axes."""

    x: Metric
    y: Metric
    text: str


def plot_roc(bands: Mapping[str, CurveBand], point: Point | None, title: str) -> Figure:
    """Sensitivity against 1 - specificity, one curve per class against the rest; the diagonal is chance.

    Args:
        bands: by class name; for two classes only the positive one.
        point: the operating point, with specificity as x.
    """
    steep = all(band.low[20] > 0.8 for band in bands.values())  # the corner that matters would be a few pixels wide
    figure, axes = _squares(title, _ROC.corner if steep else None)
    axes[0].plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":", label="chance")
    return _with_curves(figure, axes, bands, point, _ROC)


def plot_precision_recall(bands: Mapping[str, CurveBand], point: Point | None, shares: Mapping[str, float], title: str) -> Figure:  # fmt: skip
    """Precision against recall; the thin line is chance: the class's share of the images.

    Args:
        shares: share of the images, by class name.
    """
    steep = all(band.low[80] > 0.8 for band in bands.values())
    figure, axes = _squares(title, _RECALL.corner if steep else None)
    for name in bands.keys() & shares.keys():
        axes[0].axhline(shares[name], color=GREY, linewidth=0.8, linestyle=":", label="chance")
    return _with_curves(figure, axes, bands, point, _RECALL)


def plot_reliability(
    series: Mapping[str, Sequence[Bin]], axis: str, title: str, curve: CalibrationCurve | None = None
) -> Figure:
    """Observed frequency against score, in bins of equal mass with 95 % intervals; the diagonal is perfect calibration.

    Args:
        series: bins by name; as trained and scaled where a scaling was fitted.
        axis: label of the score axis.
        curve: the smooth curve, of the last series; the bins of that one are then points without a line.
    """
    figure, (ax,) = _squares(title, None)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":", label="perfect calibration")
    for (name, bins), (colour, line), marker in zip(series.items(), _LINES, "os^D", strict=False):
        if curve is not None and name == [*series][-1]:
            line = _smooth(ax, curve, colour)
        x, y = [part.score for part in bins], [part.share.value for part in bins]
        reach = [[part.share.value - part.share.low for part in bins],
                 [part.share.high - part.share.value for part in bins]]  # fmt: skip
        ax.errorbar(x, y, reach, color=colour, linestyle=line, marker=marker, markersize=4, linewidth=1, elinewidth=0.8,
                    capsize=2, label=name)  # fmt: skip
    _axes(ax, axis, "observed frequency")
    key_below(figure)
    return figure


def _smooth(ax: Axes, curve: CalibrationCurve, colour: str) -> str:
    """Draw the smooth curve and its band; returns the style of line that joins the bins beside it: none."""
    ax.fill_between(curve.score, curve.ci_low, curve.ci_high, color=colour, alpha=0.18, linewidth=0, label="95 % band")
    ax.plot(curve.score, curve.share, color=colour, linewidth=1.8, label="smooth curve")
    return "none"


def _squares(title: str, corner: _Corner | None) -> tuple[Figure, list[Axes]]:
    """A figure with the axes from 0 to 1, and below them the corner enlarged: over the curve it would cover it."""
    figure = Figure(figsize=(WIDE, WIDE + 0.4 + (3.3 if corner else 0)), layout="constrained")
    entitle(figure, title)
    axes: list[Axes] = list(figure.subplots(2 if corner else 1, 1, squeeze=False)[:, 0])
    axes[0].set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    if corner:
        (left, right), (low, high) = corner
        axes[0].add_patch(Rectangle((left, low), right - left, high - low, fill=False, edgecolor=GREY, linestyle="--"))
        axes[1].set(xlim=corner[0], ylim=corner[1])
        axes[1].set_title("the marked corner, enlarged", fontsize=9, loc="left")
    return figure, axes


def _with_curves(
    figure: Figure, axes: Sequence[Axes], bands: Mapping[str, CurveBand], point: Point | None, kind: _Kind
) -> Figure:
    """The curves and the operating point on every axis, above what is there, and the key below."""
    for ax in axes:
        _draw(ax, bands, kind.steps)
        if point is not None:
            _mark(ax, point, mirrored=kind.mirrored)
        _axes(ax, kind.x, kind.y)
    key_below(figure)
    return figure


def _draw(ax: Axes, bands: Mapping[str, CurveBand], steps: Literal["steps-post", "steps-pre"]) -> None:
    for i, (name, band) in enumerate(bands.items()):
        colour, line = _LINES[i % len(_LINES)]
        if len(bands) <= _BANDS:
            ax.fill_between(GRID, band.low, band.high, color=colour, alpha=0.18, linewidth=0)
        ax.plot(band.x, band.y, color=colour, linestyle=line, linewidth=1.5, label=short(name, 32), drawstyle=steps)


def _mark(ax: Axes, point: Point, *, mirrored: bool) -> None:
    """Draw the operating point with the intervals of both rates; `mirrored`: x shows 1 - the metric."""
    x, y = _reach(point.x), _reach(point.y)
    if x is None or y is None:
        return
    if mirrored:
        x = (1 - x[0], x[2], x[1])
    ax.errorbar([x[0]], [y[0]], xerr=[[x[1]], [x[2]]], yerr=[[y[1]], [y[2]]], color="black", marker="o", markersize=5,
                markerfacecolor="white", capsize=3, linewidth=1, zorder=5, label=point.text)  # fmt: skip


def _reach(metric: Metric) -> tuple[float, float, float] | None:
    """The value, and how far its interval extends below and above it."""
    found = interval_of(metric)
    return None if found is None else (found.value, found.value - found.low, found.high - found.value)


def _axes(ax: Axes, x: str, y: str) -> None:
    ax.set_xlabel(x, fontsize=9)
    ax.set_ylabel(y, fontsize=9)
    clean(ax)
