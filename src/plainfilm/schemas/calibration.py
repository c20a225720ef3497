"""Calibration in a metrics document: the reliability diagram, its smooth curve, and calibration in the large."""

from __future__ import annotations

from pydantic import BaseModel

from plainfilm.schemas.evaluate import Metric
from plainfilm.schemas.number_text import Estimate, estimate_text, limits_text


class ReliabilityBin(BaseModel):
    """A bin of the reliability diagram: its mean score, share of correct images with interval, number of images."""

    score: float
    share: float
    ci_low: float
    ci_high: float
    n: int


class CalibrationCurve(BaseModel):
    """The share observed over the score, smooth, with a pointwise 95 % band; lists of equal length, lowest score first."""

    score: list[float]
    share: list[float]
    ci_low: list[float]
    ci_high: list[float]
    method: str


class MeanCalibration(BaseModel):
    """Calibration in the large. `difference`: mean score minus the share observed, above 0 where scores are too high;
    `observed_expected`: that share over the mean score (O/E), 1 = calibrated; `says`: the first as a sentence.
    """

    difference: Metric
    observed_expected: Metric
    says: str


class Reliability(BaseModel):
    """The reliability diagram with the run's scaling (`after`) and as trained (`before`; empty where they are the same).

    The scores are softmax(logits / temperature + bias), `bias` by class; the rest is of them. `curve`: None where fewer than ten patients are on one of the two sides.
    `by_class`: with more than two classes, of the scores for each class; `in_the_large` is then of the highest scores.
    """

    temperature: float
    bias: dict[str, float] = {}
    before: list[ReliabilityBin]
    after: list[ReliabilityBin]
    curve: CalibrationCurve | None = None
    in_the_large: MeanCalibration | None = None
    by_class: dict[str, MeanCalibration] = {}


def calibration_sentence(difference: Metric, subject: str) -> str:
    """'Scores for X are too high by 0.080 [0.050, 0.110] on average', too low, or no clear difference; no full stop.

    Args:
        difference: mean score minus share. subject: 'Scores for X' or 'The highest scores'.
    """
    if difference.value is None or difference.ci_low is None or difference.ci_high is None:
        return f"{subject}: calibration in the large is {difference.method}"
    if difference.ci_low > 0:
        return f"{subject} are too high by {estimate_text(difference)} on average"
    if difference.ci_high < 0:
        return f"{subject} are too low by {_turned(difference)} on average"
    return f"{subject} are neither clearly too high nor too low on average: {_signed(difference)}"


def _turned(found: Estimate) -> str:
    """A difference below 0 as a distance, its limits in order."""
    if found.value is None or found.ci_low is None or found.ci_high is None:
        return "-"
    return f"{-found.value:z.3f} {limits_text(-found.ci_high, -found.ci_low)}"


def _signed(found: Estimate) -> str:
    return estimate_text(found, "+.3f")
