"""Metrics with intervals, and the blocks of the `evaluate` document that are built from them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from plainfilm.schemas.macro_mean import MacroMean
from plainfilm.schemas.number_text import Estimate, estimate_text, p_said

LEVEL = 0.05  # of a p, adjusted where there are several; at or below it, two scores are distinguishable


class _Part(BaseModel):
    """Base of all blocks."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Metric(_Part):
    """One number with its 95 % interval.

    `n` counts the images in the metric's own denominator, `n_patients` their patients as they are resampled (keys that
    may be one patient count once; None: no patient key). `value` is None when the metric cannot be estimated, for example a sensitivity without positives.
    """

    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    n_patients: int | None
    method: str


def ranked_classes(per_class: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
    """Class names by sensitivity, then AUROC, the best first; a class without images, which has neither, comes last."""

    def value(name: str, metric: str) -> float:
        found = per_class[name].get(metric)
        return -1.0 if found is None or found.value is None else found.value

    return sorted(per_class, key=lambda name: (-value(name, "sensitivity"), -value(name, "auroc")))


class TwoByTwo(_Part):
    """Counts of images of two classes, a row per true class and a column per predicted one, with both rates."""

    rows: list[list[int]]
    sensitivity: Metric
    specificity: Metric


class BaselineDifference(Metric):
    """AUROC of the network minus that of the best shortcut probe on the same images; more than two classes: their mean.

    `p`: paired permutation of whole patients, two-sided; `p_is_floor`: p is the fewest that its draws can show, so the
    true one may be smaller. Both are None or false where the difference is not estimable.
    """

    p: float | None
    p_is_floor: bool = False

    @property
    def is_better(self) -> bool:
        """Whether the network is distinguishably better than the probe."""
        return self.p is not None and self.p <= LEVEL and (self.value or 0) > 0

    def as_text(self, probe: str) -> str:
        """The difference with its interval, p and what they say, as one sentence without a full stop."""
        said = f"AUROC above the best shortcut probe ({probe}): "
        if self.value is None or self.p is None:
            return said + self.method
        narrow = " (likely too narrow)" if "too narrow" in self.method else ""
        found = f"{estimate_text(self, '+.3f')}{narrow}, {p_said(self.p, is_floor=self.p_is_floor)}"
        return f"{said}{found}: {_VERDICTS[self.p <= LEVEL, self.value > 0]}"


# (distinguishable, above 0) -> what it says
_VERDICTS = {
    (True, True): "better than it",
    (False, True): "not distinguishable from it",
    (False, False): "no better than it",
    (True, False): "worse than it",
}


class PerPatient(_Part):
    """Metrics of the mean score of each patient key; `n` in them counts keys, `n_patients` patients as resampled.

    `patients`: the keys.

    `disagreeing`: patients whose images belong to several classes; they have no single truth and are left out.
    """

    patients: int
    disagreeing: int
    metrics: dict[str, Metric]
    macro: dict[str, MacroMean] = {}


class AtPrevalence(_Part):
    """PPV and NPV as they would be where this share of the images, 0..1, is positive."""

    prevalence: float
    ppv: Metric
    npv: Metric


class DecisionCurve(_Part):
    """Net benefit per image over threshold probabilities at this set's `prevalence`; treating nobody is 0.

    `ci_low`, `ci_high`: a pointwise 95 % band; `band_low`, `band_high`: one that holds at all thresholds together (empty
    in documents of earlier versions). `useful`: thresholds at which the gain over the better of treating all and treating
    nobody is above 0 in such a band; in documents without `band_low` in a pointwise one, so a few of 99 may be by chance.
    """

    thresholds: list[float]
    net_benefit: list[float]
    ci_low: list[float]
    ci_high: list[float]
    band_low: list[float] = []
    band_high: list[float] = []
    treat_all: list[float]
    useful: list[float]
    prevalence: float | None = None
    n: int
    n_patients: int | None
    method: str

    def said(self, positive: str) -> str:
        """What the band shows, as a sentence without its full stop; '' where there is only a pointwise one."""
        if not self.band_low or self.prevalence is None:
            return ""
        at = f"At this set's prevalence of {positive} ({self.prevalence:.3f}) acting on the score"
        band = f"(net benefit; 95 % band for all {len(self.thresholds)} thresholds together)"
        if not self.useful:
            return f"{at} is not shown to do more good than treating everybody or nobody at any threshold {band}"
        return f"{at} does more good than treating everybody or nobody {self._where()} {band}"

    def _where(self) -> str:
        """'at thresholds from 0.12 to 0.93', or how many of those between them where it is not all."""
        first, last = self.useful[0], self.useful[-1]
        between = sum(first <= t <= last for t in self.thresholds)
        if first == last:
            return f"at the threshold {first:.2f}"
        if len(self.useful) < between:
            return f"at {len(self.useful)} of the {between} thresholds from {first:.2f} to {last:.2f}"
        return f"at thresholds from {first:.2f} to {last:.2f}"


class Subgroup(_Part):
    """The images with one value of a column. `macro`: as in EvaluateDocument."""

    name: str
    images: int
    patients: int | None
    metrics: dict[str, Metric]
    macro: dict[str, MacroMean] = {}


class Gap(_Part):
    """A metric of subgroup `a` minus that of `b`, and a permutation test of it; None where it cannot be tested.

    `p_holm` is adjusted for all gaps of the table; `p_is_floor`, `p_holm_is_floor`: the fewest that the draws can show.
    `of`: with more than two classes, the class compared with the rest, whose class mix may differ between subgroups.
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
    p_is_floor: bool = False
    p_holm_is_floor: bool = False
    method: str


CONFINED = "the column is confined to"
IN_THE_LARGE = "calibration_in_the_large"  # key of the mean score minus the share observed, of a subgroup


class Subgroups(_Part):
    """`--by COLUMN`. `among`: the class to which the column is confined, None if all classes have it."""

    column: str
    among: str | None
    groups: list[Subgroup]
    gaps: list[Gap]
    draws: int
    notes: list[str]


class Change(_Part):
    """Generalization gap: a metric on the external set minus the same on an internal split, on different patients."""

    value: float | None
    ci_low: float | None
    ci_high: float | None
    method: str


class DomainShift(_Part):
    """How well image statistics separate external from train images: AUROC, 0.5 = not at all.

    `features`: AUROC of each statistic alone; above 0.5 it is larger on the external set. The train images were
    sampled with the class shares of the external set.
    """

    auroc: Metric
    features: dict[str, Metric]
    train_images: int


class LeftOut(_Part):
    """External images that the user left out.

    `images`: identical to one of the run's own, or a file of its test set; `patient_images`: other images, of `patients`
    patients of its train and valid sets; `classes`: images of each external class left out.
    """

    images: int = 0
    patient_images: int = 0
    patients: int = 0
    classes: dict[str, int] = {}

    def said(self) -> str:
        """'12 known images, 3 images of 1 known patient, 5 images of 1 class'; '' where nothing was left out."""
        of_classes = f"{_many(sum(self.classes.values()), 'image')} of {_many(len(self.classes), 'class')}"
        parts = [_many(self.images, "known image")] if self.images else []
        people = _many(self.patients, "known patient")
        parts += [f"{_many(self.patient_images, 'image')} of {people}"] if self.patient_images else []
        return ", ".join([*parts, of_classes] if self.classes else parts)


def _many(n: int, one: str) -> str:
    return f"{n:,} {one if n == 1 else one + ('es' if one.endswith('s') else 's')}"


class External(_Part):
    """Images that the run never saw. `patients` as they are resampled, `patient_keys`: their keys. `drops`: external minus internal, by internal split (valid, and test once
    evaluated), then by metric; `drift`: the domain shift. `left_out`: None unless the user asked for it; these files are among the ignored.
    """

    found: int
    used: int
    quarantined: int
    duplicates: int
    ignored: int
    patients: int | None
    patient_keys: int | None = None
    classes: dict[str, int]
    drops: dict[str, dict[str, Change]]
    drift: DomainShift | None
    left_out: LeftOut | None = None
