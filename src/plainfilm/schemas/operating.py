"""The blocks of a metrics document on the operating point: threshold, abstain band, OOD gate, reliability diagram."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from plainfilm.schemas.evaluate import Metric


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
    """

    level: float
    lowest: dict[str, float]
    on: str
    coverage: dict[str, Metric]
    kept: Metric
    error_among_kept: Metric
    holds: str


class OODGateReport(BaseModel):
    """Share of these images that the out-of-distribution (OOD) gate marks; `on`: the images counted."""

    on: str
    marked: Metric


class ReliabilityBin(BaseModel):
    """A bin of the reliability diagram: its mean score, share of correct images with interval, number of images."""

    score: float
    share: float
    ci_low: float
    ci_high: float
    n: int


class Reliability(BaseModel):
    """The reliability diagram with the run's scaling (`after`) and as trained (`before`; empty where they are the same).

    The scores are softmax(logits / temperature + bias), `bias` by class.
    """

    temperature: float
    bias: dict[str, float] = {}
    before: list[ReliabilityBin]
    after: list[ReliabilityBin]
