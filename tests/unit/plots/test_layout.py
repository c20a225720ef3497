"""Nothing in a figure lies over the data or reaches beyond its edge, measured on the drawn artists."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from plainfilm.evaluate.metrics.calibration import reliability
from plainfilm.evaluate.metrics.calibration_curve import smooth_calibration
from plainfilm.evaluate.metrics.curve_bands import precision_recall_band, roc_band
from plainfilm.evaluate.metrics.measure import confidences, rate_metric
from plainfilm.evaluate.metrics.sample import Sample, make_sample
from plainfilm.interpret.heatmap_checks import mean_metric
from plainfilm.plots import audit, base, cost, curves, heatmaps, learning_curve
from plainfilm.plots.heatmaps import ORDERS

RNG = np.random.default_rng(0)
LONG = "BACTERIAL_PNEUMONIA_OF_CHILDREN"


def beyond(figure: Figure) -> list[str]:
    """Texts that are cut at the edge of the figure."""
    FigureCanvasAgg(figure).draw()
    frame = figure.bbox.padded(1)
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    hidden = {text for ax in figure.axes if not ax.get_visible() for text in ax.findobj(Text)}
    outside = {
        label for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for label in axis.get_ticklabels(which="both")
        if not _in_view(axis, label)
    }  # fmt: skip
    return [
        text.get_text()
        for text in texts
        if text not in hidden | outside and not _inside(text.get_window_extent(), frame)
    ]


def _in_view(axis, label) -> bool:
    """Whether matplotlib draws a tick label: it also keeps those beyond the limits."""
    low, high = sorted(axis.get_view_interval())
    at = label.get_position()[0 if axis.axis_name == "x" else 1]
    return low <= at <= high


def _inside(box: Bbox, frame: Bbox) -> bool:
    return frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1


def covered(figure: Figure) -> list[str]:
    """Axes that a legend or other axes (an inset) lie over."""
    FigureCanvasAgg(figure).draw()
    axes = [ax for ax in figure.findobj(Axes) if ax.get_visible()]
    legends = [(legend.get_window_extent(), "a legend over axes") for legend in figure.findobj(Legend)]
    found = [what for box, what in legends for ax in axes if box.overlaps(ax.bbox)]
    return found + ["axes over axes" for a, b in combinations(axes, 2) if a.bbox.overlaps(b.bbox)]


def sample(apart: float, k: int = 2) -> Sample:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, k, 300)
    logits = rng.normal(size=(300, k)) + apart * np.eye(k)[truth]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    positive = 1 if k == 2 else None
    return make_sample(probs, truth, np.arange(300), None, positive=positive, threshold=0.5 if k == 2 else None)


def roc(apart: float, k: int = 2) -> Figure:
    drawn = sample(apart, k)
    at = {name: rate_metric(name, drawn.classes, drawn, 0.95) for name in ("sensitivity", "specificity")}
    point = curves.Point(at["specificity"], at["sensitivity"], "at threshold 0.500") if k == 2 else None
    return curves.plot_roc({f"{LONG}{c}": roc_band(drawn, c, n_boot=50, seed=0) for c in drawn.classes}, point, "ROC")


def recall(apart: float, k: int = 2) -> Figure:
    drawn = sample(apart, k)
    at = {name: rate_metric(name, drawn.classes, drawn, 0.95) for name in ("sensitivity", "ppv")}
    point = curves.Point(at["sensitivity"], at["ppv"], "at threshold 0.500") if k == 2 else None
    bands = {f"{LONG}{c}": precision_recall_band(drawn, c, n_boot=50, seed=0) for c in drawn.classes}
    return curves.plot_precision_recall(bands, point, dict.fromkeys(bands, 0.3), "Precision and recall")


def history() -> Figure:
    names = ("train_loss", "valid_loss", "train_accuracy", "valid_accuracy", "valid_auroc", "lr")
    return base.plot_history({name: RNG.random(20).tolist() for name in names}, 7, "Training by epoch")


def scores() -> Figure:
    found = np.linspace(0, 1, 500)
    return base.plot_scores(found, RNG.random(500) < 0.5, 0.5, (LONG, f"{LONG}2"), "Scores")


def deletion() -> Figure:
    drawn = np.stack([np.linspace(1, end, 11) * np.ones((4, 1)) for end in (0.0, 0.1, 0.2)])
    metric = mean_metric(np.array([0.5, 0.6]), has_patients=True)
    return heatmaps.plot_deletion(drawn, dict.fromkeys(ORDERS, metric), "Deletion")


def randomised() -> Figure:
    ranks = np.linspace(-1, 1, 50)
    return heatmaps.plot_randomised(ranks, mean_metric(ranks, has_patients=True), "Random weights")


def probes() -> Figure:
    names = ("file facts", "picture statistics (given orientation)", "thumbnail 8x8 (plain)")
    return audit.plot_probes(names, [0.6, 0.7, 0.9], [0.5, 0.6, 0.8], [0.7, 0.8, 0.95], 0.6)


def histograms() -> Figure:
    facts = ("bytes per pixel", "width, px", "height, px", "mean brightness, 0..255")
    return audit.plot_histograms(
        {fact: {LONG: RNG.random(90), f"{LONG}2": RNG.random(90)} for fact in facts}, "How the classes differ"
    )


def costs(panels: int) -> Figure:
    names = [f"a-long-configuration-name-of-a-grid-{i}-size_px_224" for i in range(6)]
    measured = [("training time, minutes per run", np.arange(1.0, 7)), ("latency on the CPU, ms", np.arange(2.0, 8))]
    return cost.plot_cost(names, np.linspace(0.9, 0.95, 6), np.full(6, np.nan), measured[:panels], "x", 0.9)


def sizes() -> Figure:
    points = np.array([[10, 0.7, 0.1], [100, 0.9, 0.02]])
    return learning_curve.plot_sizes({f"a-long-name-of-a-configuration-{i}": points for i in range(5)}, "valid", "x")


def lr_curve() -> Figure:
    lrs, losses = np.geomspace(1e-7, 10, 80), np.r_[np.linspace(0.7, 0.3, 70), np.linspace(0.3, 9, 10)]
    suggestions = {"valley": 1e-3, "slide": 1e-2, "minimum": 0.03, "steep": 7.0}
    return base.plot_lr_curve(lrs, losses, suggestions, 1e-3)


FIGURES: dict[str, Callable[[], Figure]] = {
    "history": history, "scores": scores, "deletion": deletion, "randomised": randomised, "probes": probes,
    "histograms": histograms, "sizes": sizes, "lr_curve": lr_curve,
    "cost, one panel": lambda: costs(1), "cost, two panels": lambda: costs(2),
    "roc": lambda: roc(1.0), "roc, steep": lambda: roc(8.0), "roc, four classes": lambda: roc(1.0, 4),
    "recall": lambda: recall(1.0), "recall, steep": lambda: recall(8.0), "recall, four classes": lambda: recall(1.0, 4),
    "reliability": lambda: curves.plot_reliability(
        dict.fromkeys(("before temperature", "after"), reliability(*confidences(sample(1.0)), sample(1.0).clusters)),
        "score", "Reliability"),
    "reliability, smooth": lambda: curves.plot_reliability(
        dict.fromkeys(("before temperature", "after"), reliability(*confidences(sample(1.0)), sample(1.0).clusters)),
        f"score for class {LONG}", "Reliability", smooth_calibration(sample(1.0), n_boot=50)),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut_and_nothing_lies_over_the_data(name: str):
    figure = FIGURES[name]()
    assert (beyond(figure), covered(figure)) == ([], [])


def test_the_measures_see_a_clipped_label_and_a_legend_over_a_line():
    figure = Figure(figsize=(3, 3), layout="constrained")
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], label="x")
    ax.legend()
    ax.set_xlabel("a label that is far too long for a figure of three inches")
    ax.inset_axes((0.5, 0.1, 0.4, 0.4))
    assert beyond(figure) == ["a label that is far too long for a figure of three inches"]
    assert set(covered(figure)) == {"a legend over axes", "axes over axes"}


def test_a_steep_curve_has_its_corner_enlarged_below_and_marked_above():
    whole, corner = roc(8.0).axes
    assert (whole.get_xlim(), whole.get_ylim()) == ((-0.01, 1.01), (-0.01, 1.01))
    assert corner.get_xlim()[1] == 0.2 and corner.get_ylim()[0] == 0.8
    (marked,) = whole.patches
    assert (marked.get_bbox().x1, marked.get_bbox().y0) == pytest.approx((0.2, 0.8))
    assert [list(line.get_ydata()) for line in corner.lines] == [list(line.get_ydata()) for line in whole.lines[1:]]
    assert len(roc(1.0).axes) == 1


def test_every_suggested_rate_is_inside_the_plot_and_none_is_said_to_be_what_it_is_not():
    figure = lr_curve()
    FigureCanvasAgg(figure).draw()
    (ax,) = figure.axes
    marks = {str(line.get_label()): line for line in ax.lines if line.get_label()[0] != "_"}
    assert [float(line.get_xdata()[0]) for line in marks.values()] == [1e-3, 1e-2, 0.03, 7.0]
    low, high = ax.get_ylim()
    assert all(low <= line.get_ydata()[0] <= high for line in marks.values())
    assert any("steep" in name and "above the plot" in name for name in marks)
    (minimum,) = (name for name in marks if name.startswith("minimum"))
    assert "a tenth of the lowest point" in minimum  # fastai divides the rate of the lowest loss by ten
