"""Contact sheets keep order, captions and grey range; checks show what was measured; curves show the operating point."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from plainfilm.evaluate.metrics.calibration import reliability
from plainfilm.evaluate.metrics.curve_bands import precision_recall_band, roc_band
from plainfilm.evaluate.metrics.measure import confidences, rate_metric
from plainfilm.evaluate.metrics.sample import make_sample
from plainfilm.interpret.heatmap_checks import mean_metric
from plainfilm.plots import curves as curve_figures
from plainfilm.plots import heatmaps
from plainfilm.plots.base import WIDE, as_png
from plainfilm.plots.heatmaps import ORDERS
from wording import lacking

RNG = np.random.default_rng(0)


def bins_of(sample):
    return reliability(*confidences(sample), sample.clusters)


def everything_said(figure: Figure) -> str:
    texts = [figure.get_suptitle(), *(text.get_text() for text in figure.texts)]
    return "\n".join([*texts, *(text.get_text() for ax in figure.axes for text in ax.texts)])


def inside(figure: Figure) -> bool:
    """Whether all axes lie within the figure and none overlap."""
    boxes = [ax.get_position() for ax in figure.axes]
    within = all(-1e-6 <= b.x0 < b.x1 <= 1 + 1e-6 and -1e-6 <= b.y0 < b.y1 <= 1 + 1e-6 for b in boxes)
    apart = all(
        a.x1 <= b.x0 + 1e-9 or b.x1 <= a.x0 + 1e-9 or a.y1 <= b.y0 + 1e-9 or b.y1 <= a.y0 + 1e-9
        for i, a in enumerate(boxes)
        for b in boxes[:i]
    )
    return within and apart


def test_images_keep_their_order_captions_and_grey_range():
    images = np.stack([np.full((8, 8), value, np.uint8) for value in (10, 200, 255)])
    figure = heatmaps.plot_images(images, None, ["a", "b", "c"], "t")
    shown = [ax.images[0] for ax in figure.axes]
    assert [round(float(image.get_array()[0, 0]) * 255) for image in shown] == [10, 200, 255]
    assert {image.get_clim() for image in shown} == {(0, 1)}  # a dark image stays dark
    assert [ax.texts[0].get_text() for ax in figure.axes] == ["a", "b", "c"]
    assert heatmaps.NO_EVIDENCE not in everything_said(figure)


@pytest.mark.parametrize("n", [1, 2, 5, 12])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_each_heat_map_is_beside_its_image_and_labelled_no_evidence(n: int, channels: tuple[int, ...]):
    images = RNG.integers(0, 256, (n, 16, 16, *channels), dtype=np.uint8)
    heat = RNG.random((n, 16, 16)).astype(np.float32)
    figure = heatmaps.plot_images(images, heat, [f"row {i}" for i in range(n)], "Largest losses")
    assert len(figure.axes) == 2 * n and inside(figure)
    for i in range(n):
        left, right = figure.axes[2 * i], figure.axes[2 * i + 1]
        assert left.texts[0].get_text() == f"row {i}"
        np.testing.assert_array_equal(right.images[1].get_array(), heat[i])
        assert left.get_position().y0 == right.get_position().y0 and left.get_position().x1 < right.get_position().x0
    assert "not evidence of location" in figure.get_suptitle().replace("\n", " ")
    assert figure.get_size_inches()[0] == WIDE


def test_a_map_without_heat_says_so_and_draws_none():
    figure = heatmaps.plot_images(np.zeros((1, 8, 8), np.uint8), np.zeros((1, 8, 8)), ["a"], "t")
    right = figure.axes[1]
    assert lacking(everything_said(figure), "no heat for this class") == []
    assert len(right.images) == 1 and not right.collections


def test_blocks_are_stacked_with_their_headlines_even_when_one_is_empty():
    images = RNG.integers(0, 256, (3, 8, 8), dtype=np.uint8)
    nothing = np.zeros((0, 8, 8), np.uint8)
    figure = heatmaps.plot_blocks(
        [("A predicted as B: 3 of 9", images, None, ["1", "2", "3"]), ("B predicted as A: 0 of 9", nothing, None, [])],
        "Both",
    )
    assert lacking(everything_said(figure), "A predicted as B: 3 of 9", "B predicted as A: 0 of 9") == []
    assert len(figure.axes) == 3 and inside(figure)
    as_png(figure)


def test_a_long_headline_has_room_for_all_its_lines():
    images = RNG.integers(0, 256, (2, 8, 8), dtype=np.uint8)
    long = "NORMAL predicted as PNEUMONIA: 7 of 268 (2.6%); 2 among the 24 largest losses"
    figure = heatmaps.plot_blocks([(long, images, None, ["row 1:\npredicted", "row 2:\npredicted"])], "Both")
    FigureCanvasAgg(figure).draw()
    headline = next(text for text in figure.texts if text.get_text().startswith("NORMAL"))
    low = headline.get_window_extent().y0
    assert "\n" in headline.get_text() and all(low >= ax.texts[0].get_window_extent().y1 for ax in figure.axes)
    assert headline.get_window_extent().x1 <= figure.bbox.x1


def test_pairs_are_bars_with_their_counts_and_shares():
    figure = heatmaps.plot_pairs([("COVID", "VIRUS", 6, 24), ("VIRUS", "NORMAL", 1, 10)], "t")
    assert lacking(everything_said(figure), "COVID", "VIRUS: 6 of 24 (25.0%)", "NORMAL: 1 of 10 (10.0%)") == []
    assert [bar.get_width() for bar in figure.axes[0].patches] == [6, 1]
    assert "none" in heatmaps.plot_pairs([], "t").get_suptitle()


def test_long_class_names_are_cut_and_do_not_push_the_bars_aside():
    name = "BACTERIAL_PNEUMONIA_OF_CHILDREN"
    figure = heatmaps.plot_pairs([(name, "VIRAL", 37, 38)], "t")
    as_png(figure)  # lays it out
    assert lacking(everything_said(figure), "BACTERI...ILDREN", "VIRAL: 37 of 38 (97.4%)") == []
    assert figure.axes[0].get_position().width > 0.9


def test_the_checks_show_their_numbers():
    curves = np.stack([np.linspace(1, end, 11) * np.ones((4, 1)) for end in (0.0, 0.5, 1.0)])
    areas = {name: mean_metric(np.array([0.5, 0.6]), has_patients=True) for name in ORDERS}
    ax = heatmaps.plot_deletion(curves, areas, "t").axes[0]
    assert [line.get_ydata()[-1] for line in ax.lines] == [0.0, 0.5, 1.0]
    assert ax.figure.legends[0].get_texts()[0].get_text().startswith("heat first: area 0.550 [")
    ranks = np.array([0.1, 0.3])
    ax = heatmaps.plot_randomised(ranks, mean_metric(ranks, has_patients=True), "t").axes[0]
    assert sum(bar.get_height() for bar in ax.patches) == 2
    share = mean_metric(np.array([0.5, 0.7]), has_patients=True)
    figure = heatmaps.plot_field(np.ones((2, 20, 20)), share, 0.49, "t")
    assert lacking(figure.axes[0].get_xlabel(), "60% of the heat", "49% of the area") == []
    box = figure.axes[0].patches[0].get_bbox()
    assert (box.x0, box.x1, box.y0, box.y1) == pytest.approx((2.5, 16.5, 2.5, 16.5))


def curves_of(apart: float):
    rng = np.random.default_rng(3)
    truth = rng.random(300) < 0.3
    scores = 1 / (1 + np.exp(-rng.normal(apart * (truth - 0.5), 1)))
    sample = make_sample(
        np.stack([1 - scores, scores], 1), truth.astype(int), np.arange(300), None, positive=1, threshold=0.5
    )
    at = {name: rate_metric(name, (1,), sample, 0.95) for name in ("sensitivity", "specificity", "ppv")}
    return sample, at


@pytest.mark.parametrize("apart", [1.0, 8.0])
def test_the_operating_point_lies_on_both_curves(apart: float):
    sample, at = curves_of(apart)
    roc = roc_band(sample, 1, n_boot=50, seed=0)
    point = curve_figures.Point(at["specificity"], at["sensitivity"], "at threshold 0.500")
    figure = curve_figures.plot_roc({"SICK": roc}, point, "t")
    marked = next(line for line in figure.axes[0].lines if line.get_marker() == "o")
    x, y = float(marked.get_xdata()[0]), float(marked.get_ydata()[0])
    assert np.hypot(roc.x - x, roc.y - y).min() < 1e-9
    recall = precision_recall_band(sample, 1, n_boot=50, seed=0)
    point = curve_figures.Point(at["sensitivity"], at["ppv"], "at threshold 0.500")
    figure = curve_figures.plot_precision_recall({"SICK": recall}, point, {"SICK": 0.3}, "t")
    marked = next(line for line in figure.axes[0].lines if line.get_marker() == "o")
    assert np.hypot(recall.x - marked.get_xdata()[0], recall.y - marked.get_ydata()[0]).min() < 1e-9
    assert len(figure.axes) == (2 if apart == 8.0 else 1)  # the corner is enlarged where the curve hugs it


def test_reliability_draws_each_series_with_its_intervals():
    sample, _ = curves_of(2.0)
    bins = bins_of(sample)
    ax = curve_figures.plot_reliability({"before temperature": bins, "after": bins}, "score", "t").axes[0]
    assert len(ax.containers) == 2
    assert list(ax.containers[0][0].get_ydata()) == [part.share.value for part in bins]
    assert {text.get_text() for text in ax.figure.legends[0].get_texts()} == {
        "perfect calibration",
        "before temperature",
        "after",
    }


@pytest.mark.parametrize("heat", [None, np.zeros((4, 8, 8))])
def test_a_caption_with_two_long_class_names_ends_before_the_next_image(heat: np.ndarray | None):
    name = "ADEN...UNG"
    lines = ("row 123: truth", f"{name}, predicted", f"{name}, score 0.308")
    caption = "\n".join(lines) if heat is None else f"row 123: truth {name},\npredicted {name}, score 0.308"
    figure = heatmaps.plot_images(np.zeros((4, 8, 8), np.uint8), heat, [caption] * 4, "t")
    FigureCanvasAgg(figure).draw()
    texts = sorted((text.get_window_extent() for ax in figure.axes for text in ax.texts if "row" in text.get_text()), key=lambda box: (-box.y0, box.x0))  # fmt: skip
    row = [box for box in texts if box.y0 == texts[0].y0]
    assert len(row) == (4 if heat is None else 2)
    assert all(left.x1 < right.x0 for left, right in pairwise(row)) and row[-1].x1 <= figure.bbox.x1
