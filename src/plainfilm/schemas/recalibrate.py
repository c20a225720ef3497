"""The document of `recalibrate`."""

from __future__ import annotations

from pydantic import BaseModel

from plainfilm.schemas.documents import Document
from plainfilm.schemas.evaluate import Metric
from plainfilm.schemas.operating import ThresholdRange


class LearningPoint(BaseModel):
    """What fits on `patients` local patients reach on the patients that fit none: means over `draws`, and the range that
    80 % of them are in; 0 patients: as the parent is."""

    patients: int
    draws: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    brier: float


class OtherPrevalence(BaseModel):
    """The threshold if the share of positive images were another: `changed` of the images would be predicted otherwise."""

    prevalence: float
    threshold: float
    changed: int


class PrevalenceCheck(BaseModel):
    """Whether another share of positive images alone explains the scores of unlabelled images.

    `p`: of the Kolmogorov-Smirnov distance to the nearest mixture of the run's own two classes; `em`, `bbse`: shares
    estimated from the scores, None where the mixture is rejected, or cannot be checked (`says` tells why).
    """

    p: float | None
    em: float | None
    bbse: float | None
    says: str


class RecalibrateDocument(Document):
    """`plainfilm recalibrate --json`.

    `run`: the new version, `parent`: what it was made from. `n_images`, `n_patients`: local images, and their patients
    (None: no patient key). `before`, `after`, `difference`: on the patients that were not fitted, or, with --cross-fit,
    on all, each by the half without them. `ood_marked`: share of the local images that the OOD gate marks, before its limit was set again (`gate_refitted`).
    """

    run: str
    parent: str
    method: str
    n_images: int
    n_patients: int | None
    fitted_images: int
    fitted_patients: int | None
    positive: str | None
    intercept: float | None
    slope: float | None
    threshold: float | None
    threshold_before: float | None
    threshold_rule: str
    threshold_range: ThresholdRange | None
    before: dict[str, Metric]
    after: dict[str, Metric]
    difference: dict[str, Metric]
    learning_curve: list[LearningPoint]
    prevalence: float | None = None
    other_prevalences: list[OtherPrevalence]
    prevalence_check: PrevalenceCheck | None = None
    ood_marked: float | None
    gate_refitted: bool = False
    notes: list[str]
    written: list[str]
