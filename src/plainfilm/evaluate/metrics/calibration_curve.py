"""A smooth calibration curve: a logistic regression on a restricted cubic spline of the score's logit.

The spline is linear beyond its outer knots. A weak penalty, towards perfect calibration, keeps it finite where the
scores separate the classes. Source: Harrell, Regression Modeling Strategies, 2015, 2.4.5 and 2.4.6 (spline and knots);
Austin & Steyerberg, Stat Med 2014;33:517 (smooth calibration curves).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plainfilm.evaluate.metrics.calibration import logit, sigmoid
from plainfilm.evaluate.metrics.measure import confidences
from plainfilm.evaluate.metrics.sample import Sample
from plainfilm.evaluate.stats.intervals import Bools, Floats, Ints, Statistic, bootstrap, kish_patients, wilson
from plainfilm.schemas.calibration import CalibrationCurve

_KNOTS = (0.05, 0.35, 0.65, 0.95)  # quantiles of the scores
_RIDGE = 0.01
_PATIENTS = 10  # on each side; a curve through fewer says nothing about other patients
_ENDS = (0.01, 0.99)  # beyond these quantiles of the scores nothing is drawn
_DIGITS = 6


def smooth_calibration(
    sample: Sample, *, n_boot: int = 2000, seed: int = 0, level: float = 0.95
) -> CalibrationCurve | None:
    """The share observed at each score, of the positive class of two, of the highest scores of more.

    The band is pointwise, over patients, and nowhere narrower than the interval of a proportion of the nearest quarter
    of the images, since where every draw is perfect the bootstrap has no width. None below ten patients on either side.
    """
    confidence, correct = confidences(sample)
    sides = [np.unique(sample.clusters[correct == side]) for side in (True, False)]
    if min(map(len, sides)) < _PATIENTS:
        return None
    spline, score = _Spline.of(confidence), _grid(confidence)
    fit = _Fit(spline.columns(confidence), correct, spline.identity)
    rows = spline.columns(score)
    share = sigmoid(rows @ fit.best)
    drawn = bootstrap({"": fit.stepped()}, sample.clusters, n_boot, seed)[""] @ rows.T
    low, high = sigmoid(np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0))
    least = [
        wilson(value, n, level) for value, n in zip(share, _nearest(confidence, sample.clusters, score), strict=True)
    ]
    low, high = np.minimum(low, [each[0] for each in least]), np.maximum(high, [each[1] for each in least])
    unit = "images" if sample.patients is None else "patients"
    method = f"logistic, spline of {spline.knots} knots; bootstrap/{unit} (pointwise percentiles)"
    return CalibrationCurve(
        score=_rounded(score), share=_rounded(share), ci_low=_rounded(low), ci_high=_rounded(high), method=method
    )


@dataclass(frozen=True)
class _Spline:
    """Columns of a restricted cubic spline of the logit: 1, the logit in units of its spread, and the curved terms.

    `at`: knots in these units; fewer than three make a straight line.
    """

    mean: float
    spread: float
    at: Floats

    @staticmethod
    def of(confidence: Floats) -> _Spline:
        x = logit(confidence)
        mean, spread = float(x.mean()), float(x.std()) or 1.0
        at = np.unique(np.round((np.quantile(x, _KNOTS) - mean) / spread, 9))
        return _Spline(mean, spread, at if len(at) > 2 else at[:0])

    @property
    def knots(self) -> int:
        return len(self.at)

    @property
    def identity(self) -> Floats:
        """The coefficients of perfect calibration: the logit itself."""
        return np.array([self.mean, self.spread] + [0.0] * max(self.knots - 2, 0))

    def columns(self, confidence: Floats) -> Floats:
        """float (n, 2 + knots - 2)."""
        z = (logit(confidence) - self.mean) / self.spread
        return np.column_stack([np.ones_like(z), z, *self._curved(z)])

    def _curved(self, z: Floats) -> list[Floats]:
        if not self.knots:
            return []
        *inner, before, last = self.at.tolist()
        cubes = {knot: np.maximum(z - knot, 0.0) ** 3 for knot in (*inner, before, last)}
        return [
            (cubes[t] - cubes[before] * (last - t) / (last - before) + cubes[last] * (before - t) / (last - before))
            / (last - self.at[0]) ** 2
            for t in inner
        ]


class _Fit:
    """The penalised logistic regression on `design`, float (n, k); `start`: the coefficients it is drawn towards."""

    def __init__(self, design: Floats, correct: Bools, start: Floats) -> None:
        self.design, self.correct, self.start = design, np.asarray(correct, dtype=np.float64), start
        self.best = self._solved()

    def _solved(self) -> Floats:
        from scipy.optimize import minimize

        found = minimize(
            self._loss, self.start, jac=self._slope, hess=self._bend, method="trust-exact", options={"gtol": 1e-8}
        )
        return np.asarray(found.x)

    def _loss(self, theta: Floats) -> float:
        line = self.design @ theta
        return float(np.logaddexp(0, line).sum() - self.correct @ line + _RIDGE / 2 * ((theta - self.start) ** 2).sum())

    def _slope(self, theta: Floats) -> Floats:
        residual = self.correct - sigmoid(self.design @ theta)
        return np.asarray(_RIDGE * (theta - self.start) - self.design.T @ residual)

    def _bend(self, theta: Floats) -> Floats:
        p = sigmoid(self.design @ theta)
        weighted = self.design * (p * (1 - p))[:, None]
        return np.asarray(self.design.T @ weighted + _RIDGE * np.eye(len(theta)))

    def stepped(self) -> Statistic:
        """Weights (b, n) -> coefficients (b, k) by one Newton step from the best ones, which is a matrix product."""
        p = sigmoid(self.design @ self.best)
        slopes = self.design * (self.correct - p)[:, None]
        k = self.design.shape[1]
        bends = (self.design[:, :, None] * self.design[:, None, :] * (p * (1 - p))[:, None, None]).reshape(-1, k * k)
        pull, ridge = _RIDGE * (self.start - self.best), _RIDGE * np.eye(k)

        def statistic(weights: Floats) -> Floats:
            bend = (weights @ bends).reshape(-1, k, k) + ridge
            return np.asarray(self.best + np.linalg.solve(bend, (weights @ slopes + pull)[..., None])[..., 0])

        return statistic


def _grid(confidence: Floats) -> Floats:
    """Every 0.01 between the ends, and the ends."""
    low, high = np.quantile(confidence, _ENDS)
    inside = np.arange(101) / 100
    return np.unique([low, *inside[(inside > low) & (inside < high)], high])


def _nearest(confidence: Floats, clusters: Ints, score: Floats) -> list[float]:
    """Kish's number of patients among the quarter of the images with the scores nearest to each of `score`, by rank."""
    order = np.argsort(confidence, kind="stable")
    size = max(len(order) // 4, 1)
    middle = np.searchsorted(confidence[order], score)
    first = np.clip(middle - size // 2, 0, len(order) - size)
    return [kish_patients(clusters[order[i : i + size]]) for i in first]


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), _DIGITS) for value in values]
