"""The decision curve is drawn from its block alone; what is drawn is what the block says."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.evaluate.metrics.decision_curve import decision_curve
from plainfilm.evaluate.metrics.sample import make_sample
from plainfilm.plots.base import as_png
from plainfilm.plots.decision_curve import plot_decision_curve


@pytest.fixture
def curve():
    rng = np.random.default_rng(0)
    y = rng.random(200) < 0.4
    p = 1 / (1 + np.exp(-(2.0 * y - 1 + rng.normal(size=200))))
    ids = np.arange(200)
    return decision_curve(
        make_sample(np.stack([1 - p, p], 1), y.astype(int), ids, ids, positive=1, threshold=None), n_boot=100
    )


def test_its_lines_are_the_curve_and_both_defaults_and_differ_in_style(curve):
    ax = plot_decision_curve(curve, "PNEUMONIA", "Decision curve", 0.4).axes[0]
    lines = {str(line.get_label()): line for line in ax.lines}
    assert list(lines["by the score"].get_ydata()) == curve.net_benefit
    assert list(lines["call everybody"].get_ydata()) == curve.treat_all
    assert list(lines["the run's threshold, 0.40"].get_xdata()) == [0.4, 0.4]
    assert len({line.get_linestyle() for line in lines.values()}) == 4  # told apart in grey print
    assert ax.get_xlabel() == "threshold probability for class PNEUMONIA"
    low, high = ax.get_ylim()
    assert low < 0 and high > max(curve.ci_high)
    assert "Research use only." in ax.get_title()


def test_it_is_a_png_without_a_threshold_too(curve):
    assert as_png(plot_decision_curve(curve, "x", "Decision curve")).startswith(b"\x89PNG")
