"""Score against the number of train images: each training configuration is a line through its own points."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.plots.base import as_png
from plainfilm.plots.learning_curve import _APART, plot_sizes

CURVES = {
    "scratch": np.array([[100, 0.9, 0.02], [10, 0.6, 0.1]]),  # in no order
    "from phantoms": np.array([[10, 0.8, np.nan], [100, 0.95, 0.01], [400, 0.97, 0.01]]),
}


def test_points_are_in_order_and_shifted_from_those_of_the_other_line():
    figure = plot_sizes(CURVES, "valid", "x")
    (ax,) = figure.axes
    first, second = (bars.lines[0].get_data() for bars in ax.containers)
    assert first[0] == pytest.approx([10 * (1 - _APART / 2), 100 * (1 - _APART / 2)]) and list(first[1]) == [0.6, 0.9]
    assert second[0] == pytest.approx([10 * (1 + _APART / 2), 100 * (1 + _APART / 2), 400 * (1 + _APART / 2)])
    figure.canvas.draw()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["10", "100", "400"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["scratch", "from phantoms"]
    assert as_png(figure).startswith(b"\x89PNG")


def test_the_axis_says_what_was_scored():
    assert "valid-shifted" in plot_sizes(CURVES, "valid-shifted", "x").axes[0].get_ylabel()


def test_all_train_images_are_a_place_of_their_own():
    figure = plot_sizes(CURVES, "valid", "x", {400})
    figure.canvas.draw()
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["10", "100", "all\n(400)"]
