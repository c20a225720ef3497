"""The document of `plan`: how many patients a study needs, or what a number of patients gives."""

from __future__ import annotations

from typing import Literal

from plainfilm.schemas.documents import Document


class PlanDocument(Document):
    """`plainfilm plan --json`. Rates and correlations are in 0..1; limits are 95 % Monte Carlo limits.

    `other`: the metric of the second model, None where the width of an interval is planned. A study succeeds where its 95 %
    interval is no wider than `width`, or its test has p <= 0.05; `power`: the share that shall; `met`: the share of the
    simulated ones that does, None where no width is asked for. `patients_low`, `patients_high`: None where `patients` was
    given. `width_at_power`: that share of the intervals is no wider. `formula_patients`: by the simple formula, as if
    images were independent, a width in half of the studies; None where any width is reported.
    """

    metric: Literal["auroc", "accuracy", "sensitivity", "specificity"]
    value: float
    other: float | None
    width: float | None
    power: float
    patients: int
    patients_low: int | None
    patients_high: int | None
    images: float  # expected
    positive_images: float  # expected
    met: float | None
    met_low: float | None
    met_high: float | None
    width_median: float | None
    width_at_power: float | None
    formula_patients: int | None
    design_effect: float  # variance over that of independent images, by formula
    prevalence: float  # share of the images that are positive, expected
    images_fewest: int  # of a patient
    images_most: int
    images_mean: float
    icc: float
    correlation: float | None  # None for one model
    like: str | None  # run or table whose patients are taken
    test: str | None
    draws: int  # simulated studies
    seed: int
    notes: list[str]
