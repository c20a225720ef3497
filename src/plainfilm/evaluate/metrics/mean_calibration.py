"""Calibration in the large: is the score too high or too low on average?

The mean score less the share observed, and observed over expected (O/E), each with an interval over patients from the
linearised variance. Source: Van Calster et al., BMC Medicine 2019;17:230; Debray et al., BMJ 2017;356:i6460 (O/E from
its logarithm); Kish, Survey Sampling, 1965 (variance over clusters).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from plainfilm.evaluate.metrics.measure import confidences
from plainfilm.evaluate.metrics.point_metrics import REASONS
from plainfilm.evaluate.metrics.sample import Sample, metric, missing, with_room
from plainfilm.evaluate.stats.clusters import distinct
from plainfilm.evaluate.stats.intervals import Bools, Floats, Interval, Ints, t_quantile
from plainfilm.schemas.calibration import MeanCalibration, calibration_sentence
from plainfilm.schemas.evaluate import Metric

_METHOD = "linearised/clusters (t)"
_Estimator = Callable[[Floats, Bools, Sample, float], Interval]


def mean_calibration(sample: Sample, vocab: list[str], c: int | None = None, level: float = 0.95) -> MeanCalibration:
    """Calibration in the large of the scores for class `c`; None: of the positive class, or the highest scores.

    Args:
        vocab: class names by index.
    """
    c = sample.positive if c is None else c
    found = difference_metric(sample, c, level)
    subject = "The highest scores" if c is None else f"Scores for {vocab[c]}"
    return MeanCalibration(
        difference=found,
        observed_expected=_estimate(observed_expected, sample, c, level),
        says=calibration_sentence(found, subject),
    )


def difference_metric(sample: Sample, c: int | None, level: float) -> Metric:
    """Mean score for class `c` minus its share; `c` None: mean of the highest scores minus the share correct."""
    return _estimate(_mean_difference, sample, c, level)


def _mean_difference(confidence: Floats, correct: Bools, sample: Sample, level: float) -> Interval:
    """mean(confidence) - mean(correct), -1..1.

    Args:
        confidence: float (n,). correct: bool (n,). sample: the images they are of.
    """
    gap = np.asarray(confidence - correct, dtype=np.float64)
    value = float(gap.mean())
    half = with_room(_reach((gap - value) / len(gap), sample.clusters, level), 1.0, sample, level)
    return Interval(value, max(-1.0, value - half), min(1.0, value + half), _METHOD)


def observed_expected(confidence: Floats, correct: Bools, sample: Sample, level: float) -> Interval:
    """mean(correct) / mean(confidence), with limits that are symmetric for its logarithm; arguments as above."""
    expected = float(confidence.sum())
    value = float(correct.sum()) / expected
    errors = np.asarray((correct - value * confidence) / (value * expected), dtype=np.float64)
    # an unseen wrong prediction changes the share observed by one image, its logarithm by one of the observed
    half = with_room(_reach(errors, sample.clusters, level), 1 / float(correct.mean()), sample, level)
    return Interval(value, float(value * np.exp(-half)), float(value * np.exp(half)), f"{_METHOD}, log")


def _reach(errors: Floats, clusters: Ints, level: float) -> float:
    """Half width of the interval of an estimate from each image's part in its error, float (n,), which sum to 0."""
    patients = distinct(clusters)
    by_patient = np.bincount(clusters, weights=errors)
    spread = patients / (patients - 1) * float((by_patient**2).sum())
    return float(t_quantile(level, patients - 1) * spread**0.5)


def _estimate(estimator: _Estimator, sample: Sample, c: int | None, level: float) -> Metric:
    """The estimate over all images, or the reason that there is none."""
    why = _why_not(sample, c)
    if why is not None:
        return missing(why, sample, sample.everyone)
    confidence, correct = _scored(sample, c)
    return metric(estimator(confidence, correct, sample, level), sample, sample.everyone)


def _scored(sample: Sample, c: int | None) -> tuple[Floats, Bools]:
    if c is None:
        return confidences(sample)
    return sample.probs[:, c], np.asarray(sample.targs == c)


def _why_not(sample: Sample, c: int | None) -> str | None:
    """Of images of one class alone the mean score says how well they rank, not how they are calibrated."""
    confidence, correct = _scored(sample, c)
    if not len(correct):
        return "no images"
    if c is None and not correct.any():
        return "no image predicted correctly"
    if not confidence.any():
        return "every score is 0"
    if c is not None and (correct.all() or not correct.any()):
        return REASONS["auroc"]
    return "fewer than 2 patients" if distinct(sample.clusters) < 2 else None
