"""What `evaluate` tells: one number with its interval, and the blocks of its document that are made of them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    """What all blocks share."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Metric(_Part):
    """One number with its 95 % interval.

    `n` counts the images in the metric's own denominator, `n_patients` the patients they belong to (None: no
    patient key). `value` is None when the metric cannot be estimated, for example a sensitivity without positives.
    """

    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    n_patients: int | None
    method: str


class PerPatient(_Part):
    """Metrics of the mean score of each patient; `n` in them counts patients.

    `disagreeing`: patients whose images belong to several classes; no single truth is theirs, so they are left out.
    """

    patients: int
    disagreeing: int
    metrics: dict[str, Metric]


class AtPrevalence(_Part):
    """PPV and NPV as they would be where this share of the images, 0..1, is positive."""

    prevalence: float
    ppv: Metric
    npv: Metric


class DecisionCurve(_Part):
    """Net benefit per image over threshold probabilities, with a pointwise 95 % band; calling nobody has 0.

    `useful`: thresholds at which the band of the gain over the better of calling all and calling nobody lies above 0;
    pointwise, so that a few of 99 may by chance.
    """

    thresholds: list[float]
    net_benefit: list[float]
    ci_low: list[float]
    ci_high: list[float]
    treat_all: list[float]
    useful: list[float]
    n: int
    n_patients: int | None
    method: str


class Subgroup(_Part):
    """The images with one value of a column."""

    name: str
    images: int
    patients: int | None
    metrics: dict[str, Metric]


class Gap(_Part):
    """A metric of subgroup `a` minus that of `b`, and a permutation test of it; None where it cannot be tested.

    `p_holm` is adjusted for all gaps of the table. `of`: with more than two classes the one that is set against the
    rest, whose classes may be mixed in another way in each subgroup.
    """

    a: str
    b: str
    metric: str
    of: str | None = None
    value: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None
    p_holm: float | None
    method: str


CONFINED = "the column is confined to"


class Subgroups(_Part):
    """`--by COLUMN`. `among`: the class to whose images the column is confined, None where both have it."""

    column: str
    among: str | None
    groups: list[Subgroup]
    gaps: list[Gap]
    draws: int
    notes: list[str]


class Change(_Part):
    """A metric outside minus the same inside, on other patients."""

    value: float | None
    ci_low: float | None
    ci_high: float | None
    method: str


class DomainShift(_Part):
    """How well a picture's statistics tell outside from inside: AUROC, 0.5 = not at all.

    `features`: of each statistic alone; above 0.5 it is larger outside. The train images were drawn with the classes
    in the shares of the external set.
    """

    auroc: Metric
    features: dict[str, Metric]
    train_images: int


class External(_Part):
    """Images that the run never saw. `drops`: by internal split (valid, and test once it was opened), by metric."""

    found: int
    used: int
    quarantined: int
    duplicates: int
    ignored: int
    patients: int | None
    classes: dict[str, int]
    drops: dict[str, dict[str, Change]]
    drift: DomainShift | None
