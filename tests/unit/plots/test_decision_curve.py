"""The figure shows exactly the numbers of the decision-curve block."""

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


def test_its_lines_are_the_curve_and_both_default_strategies_and_differ_in_style(curve):
    ax = plot_decision_curve(curve, "PNEUMONIA", "Decision curve", 0.4).axes[0]
    by_score, all_positive, none_positive, threshold = ax.lines
    assert list(by_score.get_ydata()) == curve.net_benefit
    assert list(all_positive.get_ydata()) == curve.treat_all
    assert list(none_positive.get_ydata()) == [0, 0]
    assert list(threshold.get_xdata()) == [0.4, 0.4]
    names = [str(line.get_label()) for line in ax.lines]
    for name, word in zip(
        names, ("score", "all predicted positive", "none predicted positive", "threshold, 0.40"), strict=True
    ):
        assert word in name, names
    assert len({line.get_linestyle() for line in ax.lines}) == 4  # distinguishable in greyscale print
    assert ax.get_xlabel() == "threshold probability for class PNEUMONIA"
    low, high = ax.get_ylim()
    assert low < 0 and high > max(curve.band_high)
    assert "Research use only." in ax.get_title()


def test_its_band_runs_from_the_lower_to_the_upper_limit_of_the_curve(curve):
    (band,) = plot_decision_curve(curve, "PNEUMONIA", "Decision curve").axes[0].collections
    x, y = band.get_paths()[0].vertices.T
    for i, at in enumerate(curve.thresholds):
        limits = y[x == at]
        assert (limits.min(), limits.max()) == (curve.band_low[i], curve.band_high[i])
    assert (x.min(), x.max()) == (min(curve.thresholds), max(curve.thresholds))
    assert "95 %" in str(band.get_label()) and "all thresholds together" in str(band.get_label())


def test_numbers_of_earlier_versions_have_their_pointwise_band(curve):
    older = curve.model_copy(update={"band_low": [], "band_high": []})
    (band,) = plot_decision_curve(older, "PNEUMONIA", "Decision curve").axes[0].collections
    assert "pointwise" in str(band.get_label())
    assert band.get_paths()[0].vertices[:, 1].max() == max(curve.ci_high)


def test_without_a_threshold_none_is_drawn(curve):
    figure = plot_decision_curve(curve, "x", "Decision curve")
    assert [str(line.get_label()) for line in figure.axes[0].lines if "threshold" in str(line.get_label())] == []
    assert len(figure.axes[0].lines) == 3  # by the score, all positive, none positive
    assert as_png(figure).startswith(b"\x89PNG")
