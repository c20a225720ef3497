"""The reliability figure shows the bins and the smooth curve that were computed, and joins no bins beside it."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.evaluate.metrics.calibration import reliability
from plainfilm.evaluate.metrics.calibration_curve import smooth_calibration
from plainfilm.evaluate.metrics.measure import confidences
from plainfilm.evaluate.metrics.sample import Sample, make_sample
from plainfilm.plots.curves import plot_reliability


@pytest.fixture
def sample() -> Sample:
    rng = np.random.default_rng(0)
    p = rng.random(300)
    return make_sample(
        np.stack([1 - p, p], 1), (rng.random(300) < p**2).astype(int), np.arange(300), None, positive=1, threshold=0.5
    )


def test_the_smooth_curve_and_its_band_are_the_numbers_of_the_block(sample):
    bins, curve = reliability(*confidences(sample), sample.clusters), smooth_calibration(sample, n_boot=50)
    ax = plot_reliability({"before": bins, "after": bins}, "score", "Reliability", curve).axes[0]
    (line,) = [line for line in ax.lines if line.get_label() == "smooth curve"]
    assert (list(line.get_xdata()), list(line.get_ydata())) == (curve.score, curve.share)
    (band,) = [part for part in ax.collections if part.get_label() == "95 % band"]
    x, y = band.get_paths()[0].vertices.T
    for score, low, high in zip(curve.score, curve.ci_low, curve.ci_high, strict=True):
        assert (y[x == score].min(), y[x == score].max()) == (low, high)
    joined = {bar.get_label(): bar.lines[0].get_linestyle() for bar in ax.containers}
    assert joined["before"] != "None" and joined["after"] == "None"


def test_without_a_curve_the_bins_are_joined(sample):
    bins = reliability(*confidences(sample), sample.clusters)
    ax = plot_reliability({"scores": bins}, "score", "Reliability").axes[0]
    assert [bar.lines[0].get_linestyle() for bar in ax.containers] == ["-"]
    assert "smooth curve" not in [line.get_label() for line in ax.lines]
