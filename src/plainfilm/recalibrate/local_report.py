"""Before and after a local fit, on patients that it did not use: metrics, their paired difference, the learning curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from plainfilm.evaluate.document import warned
from plainfilm.evaluate.metrics.measure import measure_sample
from plainfilm.evaluate.metrics.point_metrics import brier_losses, mean_statistic
from plainfilm.evaluate.metrics.sample import Sample, make_sample
from plainfilm.evaluate.stats.intervals import Bools, Floats, Ints, Statistic, bootstrap, renumbered
from plainfilm.evaluate.stats.paired_tests import difference_interval
from plainfilm.recalibrate.local_fit import LocalPoint, LocalRule, LocalScores, draws_of, fit_local
from plainfilm.schemas.evaluate import Metric
from plainfilm.schemas.recalibrate import LearningPoint

SHOWN = (
    "accuracy",
    "sensitivity",
    "specificity",
    "auroc",
    "brier",
    "ece",
    "calibration_intercept",
    "calibration_slope",
)
_SIZES = (10, 20, 50, 100, 200)
_DRAWS, _CURVE_DRAWS = 2000, 20


@dataclass(frozen=True)
class _Judged:
    """Images with the scores and predicted classes of one operating point: probs float (n, k), predicted int (n,)."""

    probs: Floats
    predicted: Ints


def judged(scores: LocalScores, point: LocalPoint, positive: int | None) -> _Judged:
    """The images at an operating point."""
    return _Judged(point.probs(scores), point.predicted(scores, positive))


def cross_judged(scores: LocalScores, fits: Bools, how: LocalRule) -> _Judged:
    """Every image at the point that was fitted on the half without it."""
    found = _Judged(np.zeros(scores.logits.shape), np.zeros(len(scores.targs), dtype=np.int64))
    for rows in (fits, ~fits):
        point = fit_local(scores.among(~rows), how)
        found.probs[rows] = point.probs(scores.among(rows))
        found.predicted[rows] = point.predicted(scores.among(rows), how.positive)
    return found


@dataclass(frozen=True)
class LocalReport:
    """Before, after, and after minus before, by metric."""

    before: dict[str, Metric]
    after: dict[str, Metric]
    difference: dict[str, Metric]


def report(
    scores: LocalScores, before: _Judged, after: _Judged, *, positive: int | None, has_patients: bool, seed: int
) -> LocalReport:
    """Metrics of the same images at both points, and their paired differences over patients."""
    clusters = renumbered(scores.clusters)
    people = clusters if has_patients else None

    def metrics(found: _Judged) -> dict[str, Metric]:
        made = make_sample(
            found.probs, scores.targs, clusters, people, positive=positive, threshold=None if positive is None else 0.5
        )
        measured = measure_sample(_predicting(made, found.predicted), seed=seed)
        return warned({name: measured[name] for name in SHOWN}, not has_patients)

    both = metrics(before), metrics(after)
    statistics = _differences(scores.targs, before, after, positive)
    draws = bootstrap(statistics, clusters, _DRAWS, seed)
    whole = np.ones((1, len(clusters)))
    difference = {
        name: _difference(float(statistic(whole)[0]), draws[name], both[1][name], len(np.unique(clusters)))
        for name, statistic in statistics.items()
    }
    return LocalReport(*both, difference)


def _predicting(sample: Sample, predicted: Ints) -> Sample:
    """The sample with these predicted classes: cross-fitted images have a threshold each."""
    return replace(sample, predicted=predicted[sample.order])


def _difference(value: float, draws: Floats, like: Metric, patients: int) -> Metric:
    if not np.isfinite(value):
        return Metric(value=None, ci_low=None, ci_high=None, n=like.n, n_patients=like.n_patients, method=like.method)
    found = difference_interval(value, draws, patients)
    return Metric(
        value=found.value,
        ci_low=found.low,
        ci_high=found.high,
        n=like.n,
        n_patients=like.n_patients,
        method=found.method,
    )


def _differences(targs: Ints, before: _Judged, after: _Judged, positive: int | None) -> Mapping[str, Statistic]:
    """After minus before as functions of weights: accuracy, Brier score, and of two classes sensitivity and specificity."""
    hits = (after.predicted == targs).astype(float) - (before.predicted == targs).astype(float)
    losses = brier_losses(after.probs, targs, positive) - brier_losses(before.probs, targs, positive)
    found: dict[str, Statistic] = {"accuracy": mean_statistic(hits), "brier": mean_statistic(losses)}
    if positive is not None:
        found["sensitivity"] = mean_statistic(hits, among=targs == positive)
        found["specificity"] = mean_statistic(hits, among=targs != positive)
    return found


def learning_curve(fitted: LocalScores, judging: LocalScores, how: LocalRule, seed: int) -> list[LearningPoint]:
    """Accuracy and Brier score on `judging` after fits on 10 to 200 of the `fitted` patients, and at last on all of them."""
    found = [_point(0, [how.as_it_is], judging, how.positive)]
    for patients in [n for n in _SIZES if n < fitted.patients]:
        fits = [fit_local(fitted.among(rows), how) for rows in draws_of(fitted, patients, _CURVE_DRAWS, seed)]
        found.append(_point(patients, fits, judging, how.positive))
    return [*found, _point(fitted.patients, [fit_local(fitted, how)], judging, how.positive)]


def _point(patients: int, fits: list[LocalPoint], judging: LocalScores, positive: int | None) -> LearningPoint:
    made = [judged(judging, fit, positive) for fit in fits]
    accuracy = [float((each.predicted == judging.targs).mean()) for each in made]
    brier = [float(brier_losses(each.probs, judging.targs, positive).mean()) for each in made]
    low, high = np.quantile(accuracy, [0.1, 0.9])
    return LearningPoint(
        patients=patients, draws=len(fits), accuracy=float(np.mean(accuracy)), accuracy_low=float(low),
        accuracy_high=float(high), brier=float(np.mean(brier)),
    )  # fmt: skip
