"""The blocks of a metrics document on the operating point: threshold, abstain band, OOD gate."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from plainfilm.schemas.evaluate import Metric, TwoByTwo


class ThresholdRange(BaseModel):
    """How far the threshold would move with other calibrate images: 95 % interval over patients.

    `sensitivity`, `specificity`: on the calibrate images, at `low` and at `high`. `patients`: None without a patient key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    low: float
    high: float
    sensitivity: tuple[float, float]
    specificity: tuple[float, float]
    images: int
    patients: int | None


class AbstainBandReport(BaseModel):
    """The abstain band on these images; `lowest`: for each class, the lowest score at which it stays possible.

    `coverage`: share of the images of each class whose true class stays possible, guaranteed to be `level` for images
    like valid; `kept`: share not abstained, where only the predicted class is possible; `on`: the images counted.
    `with_abstained`: these as they are predicted; `without_abstained`: without those abstained on; two classes only.
    """

    level: float
    lowest: dict[str, float]
    on: str
    coverage: dict[str, Metric]
    kept: Metric
    error_among_kept: Metric
    holds: str
    with_abstained: TwoByTwo | None = None
    without_abstained: TwoByTwo | None = None


class OODGateReport(BaseModel):
    """Share of these images that the out-of-distribution (OOD) gate marks; `on`: the images counted."""

    on: str
    marked: Metric


class ParentPoint(BaseModel):
    """The operating point before a recalibration: scores are softmax(logits / temperature + bias)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    temperature: float
    bias: dict[str, float] = {}
    threshold: float | None


class Recalibration(BaseModel):
    """How a run or bundle was recalibrated for another place; holds no path, file name or patient key.

    method: intercept, platt (intercept and slope), or prevalence (only the threshold, from unlabelled images). intercept,
    slope: of the line on the parent's log odds, two classes only. images, patients: local ones; fitted_images,
    fitted_patients: those that the numbers come from. fingerprint: SHA-256 of their sorted (file hash, label).
    parent_sha256: of the parent's card.json. prevalence: the share that was given. before, after: metrics of the local
    images that were not fitted, or, with `cross_fitted`, of all of them, each by the half without them. test_accesses:
    in the ledger that the version of a run begins with; they were at operating points before this one; None: nobody counted
    them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: str
    date: str  # UTC
    parent_sha256: str
    parent: ParentPoint
    images: int
    patients: int | None
    fitted_images: int
    fitted_patients: int | None
    fingerprint: str
    intercept: float | None = None
    slope: float | None = None
    cross_fitted: bool = False
    prevalence: float | None = None
    test_accesses: int | None = None
    before: dict[str, Metric] = {}
    after: dict[str, Metric] = {}
