"""Score against cost: each configuration has a point, except where its cost is unknown."""

from __future__ import annotations

import numpy as np

from plainfilm.plots.base import as_png
from plainfilm.plots.cost import plot_cost

NAMES = ["paper", "compact", "huge"]
AUROC, SD = np.array([0.95, 0.96, 0.97]), np.array([0.01, np.nan, 0.02])


def points(ax) -> list[tuple[float, float]]:
    """The drawn points, by cost and score; configurations without a cost have none."""
    found = [tuple(float(value[0]) for value in bars.lines[0].get_data()) for bars in ax.containers]
    return [point for point in found if np.isfinite(point).all()]


def numbers(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_points_are_at_their_cost_and_score_and_the_baseline_is_named_last():
    figure = plot_cost(
        NAMES, AUROC, SD, [("minutes", np.array([1.0, 2, 3])), ("ms", np.array([0.1, 5, np.nan]))], "x", 0.9
    )
    left, right = figure.axes
    assert points(left) == [(1, 0.95), (2, 0.96), (3, 0.97)]
    assert points(right) == [(0.1, 0.95), (5, 0.96)]  # the third was not measured
    assert right.get_title(loc="right").endswith(": 3") and left.get_title(loc="right") == ""
    assert (left.get_xscale(), right.get_xscale()) == ("linear", "log")  # 0.1 to 5 ms is more than five times
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[:3] == ["1  paper", "2  compact", "3  huge"] and len(names) == 4
    assert [list(line.get_ydata()) for line in left.lines if line.get_label() == names[3]] == [[0.9, 0.9]]
    assert as_png(figure).startswith(b"\x89PNG")


def test_a_baseline_far_below_the_networks_does_not_stretch_the_axis():
    figure = plot_cost(NAMES, AUROC, SD, [("minutes", np.array([1.0, 2, 3]))], "x", 0.5)
    assert figure.axes[0].get_ylim()[0] > 0.9


def test_a_cost_that_was_not_measured_has_no_panel():
    figure = plot_cost(NAMES, AUROC, SD, [("minutes", np.array([1.0, 2, 3])), ("ms", np.full(3, np.nan))], "x")
    (measured,) = figure.axes
    assert len(points(measured)) == 3 and numbers(measured) == ["1", "2", "3"] and measured.get_xlabel() == "minutes"
    assert as_png(figure).startswith(b"\x89PNG")


def test_without_any_measured_cost_one_panel_still_shows_the_scores_names():
    nothing = np.full(3, np.nan)
    figure = plot_cost(NAMES, AUROC, SD, [("minutes", nothing), ("ms", nothing)], "x")
    assert len(figure.axes) == 1 and len(figure.legends[0].get_texts()) == 3
    assert as_png(figure).startswith(b"\x89PNG")
