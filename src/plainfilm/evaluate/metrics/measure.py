"""Fourteen metrics of a classifier, each with its own n and an interval over patients.

Everything is a function of arrays. A metric that is not estimable on a set of images is None with a reason, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike

from plainfilm.evaluate.metrics.calibration import (
    calibration_line,
    less_bias,
    line_interval,
    line_statistic,
    rarer_patients,
    why_no_line,
)
from plainfilm.evaluate.metrics.point_metrics import (
    RATES,
    REASONS,
    auprc,
    auprc_statistic,
    brier_losses,
    gap_statistic,
    macro_statistic,
    mcc_statistic,
    mean_statistic,
)
from plainfilm.evaluate.metrics.sample import Sample, drawn, make_sample, metric, missing, with_room
from plainfilm.evaluate.stats import bootstrap_limits, intervals
from plainfilm.evaluate.stats.auroc_interval import auroc_interval, has_variance, misplaced_patients, patients_apart
from plainfilm.evaluate.stats.average_precision import MOST_DRAWN, linearised_mean, optimism
from plainfilm.evaluate.stats.clusters import distinct
from plainfilm.evaluate.stats.intervals import Bools, Floats, Interval, Key, Statistic
from plainfilm.evaluate.stats.macro_mean import f1_of, mean_of, rate_of
from plainfilm.schemas.documents import Metric
from plainfilm.schemas.macro_mean import WITHOUT

_OF_PREDICTED_CLASS = ("ppv", "npv", "f1")
_LINE = ("calibration_intercept", "calibration_slope")
METRICS = (
    "accuracy", "balanced_accuracy", "auroc", "auprc", "sensitivity", "specificity", "ppv", "npv", "f1", "mcc", "brier",
    "ece",
    *_LINE,
)  # fmt: skip
_PER_CLASS = ("auroc", "auprc", "sensitivity", "specificity", "ppv", "npv", "f1")


class _Draws(TypedDict, total=False):
    """The options of `measure_sample`."""

    n_boot: int
    seed: int
    level: float


def measure(
    probs: ArrayLike, targs: ArrayLike, *, clusters: Any, patients: Any = None, positive: int | None,
    threshold: float | None, **draws: Unpack[_Draws],
) -> dict[str, Metric]:  # fmt: skip
    """All METRICS with intervals; for more than two classes, means over the one-vs-rest views that are defined.

    Args:
        probs: float (n, k), rows sum to 1.
        targs: int (n,), 0..k-1.
        clusters: (n,) int or str, the sampling unit: a patient, or a group of identical images.
        patients: (n,) int or str, to be counted; None: no patient key, `n_patients` stays None.
        positive: index of the positive class of two; None for more.
        threshold: see `predicted_classes`.
        draws: n_boot (2000), seed (0) and level (0.95), as for `measure_sample`.
    Raises:
        DataError: lengths differ, a value is missing, or `probs` are not probabilities.
    """
    sample = make_sample(probs, targs, clusters, patients, positive=positive, threshold=threshold)
    return measure_sample(sample, **draws)


def measure_sample(sample: Sample, *, n_boot: int = 2000, seed: int = 0, level: float = 0.95) -> dict[str, Metric]:
    """`measure` of arrays that are checked already.

    Args:
        n_boot, seed: draws of whole clusters for auprc, mcc, brier, ece and the calibration line.
        level: of the intervals, 0..1.
    """
    if not len(sample.targs):
        return dict.fromkeys(METRICS, missing("no images", sample, sample.everyone))
    found = {"accuracy": accuracy_metric(sample, level), "balanced_accuracy": _balanced_metric(sample, level)}
    found |= {name: rate_metric(name, sample.classes, sample, level) for name in RATES}
    found["auroc"] = auroc_metric(sample.classes, sample, level)
    line = calibration_line(*confidences(sample))
    draw = _auprc_statistics({"auprc": sample.classes}, sample, n_boot) | _error_statistics(sample)
    draw |= {} if line is None else {"line": line_statistic(*confidences(sample), line)}
    draw["mcc"] = mcc_statistic(sample.predicted, sample.targs, len(sample.all_classes))
    draws = intervals.bootstrap(draw, sample.clusters, n_boot, seed)
    found["auprc"] = _auprc_metric(sample.classes, sample, draws.get("auprc"), level)
    found["mcc"] = _mcc_metric(draws["mcc"], sample, level)
    found["brier"] = _brier_metric(draws["brier"], sample, level)
    found["ece"] = _ece_metric(draws["gaps"], sample, level)
    found |= _line_metrics(line, draws.get("line"), sample, level)
    return {name: found[name] for name in METRICS}


def measure_per_class(
    sample: Sample, *, n_boot: int = 2000, seed: int = 0, level: float = 0.95
) -> dict[int, dict[str, Metric]]:
    """_PER_CLASS metrics of each class against the rest, by class index; arguments as for `measure_sample`."""
    if not len(sample.targs):
        return {c: dict.fromkeys(_PER_CLASS, missing("no images", sample, sample.everyone)) for c in sample.all_classes}
    statistics = _auprc_statistics({c: (c,) for c in sample.all_classes}, sample, n_boot)
    draws = intervals.bootstrap(statistics, sample.clusters, n_boot, seed)
    table: dict[int, dict[str, Metric]] = {}
    for c in sample.all_classes:
        found = {name: rate_metric(name, (c,), sample, level) for name in RATES}
        found["auroc"] = auroc_metric((c,), sample, level)
        found["auprc"] = _auprc_metric((c,), sample, draws.get(c), level)
        table[c] = {name: found[name] for name in _PER_CLASS}
    return table


# --- proportions and their means -------------------------------------------------------------------------------------


def accuracy_metric(sample: Sample, level: float) -> Metric:
    """Share of images whose predicted class is correct."""
    hits = sample.predicted == sample.targs
    return metric(intervals.proportion(hits, sample.clusters, level), sample, sample.everyone)


def _balanced_metric(sample: Sample, level: float) -> Metric:
    """Mean sensitivity over the classes; with two classes, the mean of sensitivity and specificity."""
    if len(np.unique(sample.targs)) < 2:
        return missing(REASONS["balanced_accuracy"], sample, sample.everyone)
    found = _macro_rate("sensitivity", sample.all_classes, sample, level)
    return _to_metric(found, REASONS["balanced_accuracy"], sample, sample.everyone)


def rate_metric(name: str, classes: Sequence[int], sample: Sample, level: float) -> Metric:
    """A rate of one class over its own images, or the mean over several classes over all images."""
    among = RATES[name](*_against_rest(classes[0], sample))[0]
    rows = sample.everyone if len(classes) > 1 or name == "f1" else among
    found = _macro_rate(name, classes, sample, level)
    trivial = name in _OF_PREDICTED_CLASS and not _rankable(classes, sample)
    return _to_metric(found, REASONS["balanced_accuracy" if trivial else name], sample, rows)


def _macro_rate(name: str, classes: Sequence[int], sample: Sample, level: float) -> Interval | None:
    """Mean of a rate over the classes that have a denominator; None if none has.

    Rates of a predicted class need images of the class and of others: else they are 0 or 1 for any network.
    """
    parts, left_out = [], []
    for c in classes:
        among, hits = RATES[name](*_against_rest(c, sample))
        if not among.any() or (name in _OF_PREDICTED_CLASS and not _rankable((c,), sample)):
            left_out.append(c)
            continue
        part = rate_of(hits, among, sample.clusters, level)
        parts.append(f1_of(part) if name == "f1" else part)
    if not parts:
        return None
    found = parts[0].interval if len(classes) == 1 else mean_of(parts, level)
    return _noted(found, left_out)


def _against_rest(c: int, sample: Sample) -> tuple[Bools, Bools]:
    """Whether each image is predicted as class `c`, and is of class `c`: two bool (n,)."""
    return sample.predicted == c, sample.targs == c


# --- ranking and error -----------------------------------------------------------------------------------------------


def auroc_metric(classes: Sequence[int], sample: Sample, level: float) -> Metric:
    """Area under the ROC curve, one-vs-rest, averaged over the classes present."""
    ranked = _rankable(classes, sample)
    if not ranked:
        return missing(REASONS["auroc"], sample, sample.everyone)
    curves = [sample.curve(c) for c in ranked]
    if not has_variance(curves, sample.clusters):
        return missing("1 patient with images of a class, at least 2 are needed", sample, sample.everyone)
    found = auroc_interval(curves, sample.clusters, level)
    return metric(_noted(found, sorted(set(classes) - set(ranked))), sample, sample.everyone)


def _auprc_metric(classes: Sequence[int], sample: Sample, draws: Floats | None, level: float) -> Metric:
    """Average precision, one-vs-rest, averaged over the classes present; `draws` (n_boot,), None: too many to draw."""
    if not (ranked := _rankable(classes, sample)):
        return missing(REASONS["auprc"], sample, sample.everyone)
    curves = [sample.curve(c) for c in ranked]
    seen = misplaced_patients(curves, sample.clusters)
    patients = np.array([intervals.kish_patients(sample.clusters[roc.labels]) for roc in curves])
    found, upper = (
        _mean_precision(ranked, sample, draws, rarer=rarer, seen=seen, level=level)
        for rarer in (float(patients.min()), patients_apart(curves, sample.clusters))
    )
    # a value from few images is too high on average (0.11 for 0.04), and so are limits around it
    above = optimism(found.value, patients, np.array([roc.labels.mean() for roc in curves]), draws)
    method = found.method + ", lower limit bias-corrected" * bool(above)
    found = Interval(found.value, max(found.low - above, 0.0), min(found.high, upper.high), method)
    return metric(_noted(found, sorted(set(classes) - set(ranked))), sample, sample.everyone)


def _mean_precision(ranked: Sequence[int], sample: Sample, draws: Floats | None, **limits: Any) -> Interval:
    """The mean average precision of these classes; `limits`: of `drawn_mean`, without patients."""
    limits["patients"] = distinct(sample.clusters)
    if draws is None:
        return linearised_mean((sample.precision(c) for c in ranked), sample.clusters, **limits)
    value = float(np.mean([auprc(sample.probs[:, c], sample.targs == c) for c in ranked]))
    return drawn(intervals.drawn_mean(value, draws, **limits), sample)


def _auprc_statistics(views: Mapping[Key, Sequence[int]], sample: Sample, n_boot: int) -> dict[Key, Statistic]:
    """For each view, a list of classes, the statistic to bootstrap; views without a rankable class are left out, and all
    where the draws of many classes would take minutes.
    """
    k, found = len(sample.all_classes), dict[Key, Statistic]()
    if k > 2 and k * len(sample.targs) * n_boot > MOST_DRAWN:
        return found
    for key, classes in views.items():
        each = [auprc_statistic(sample.probs[:, c], sample.targs == c) for c in _rankable(classes, sample)]
        if each:
            found[key] = macro_statistic(each)
    return found


def _rankable(classes: Sequence[int], sample: Sample) -> list[int]:
    """Classes of which there are both positive and negative images."""
    images = np.bincount(sample.targs, minlength=len(sample.all_classes))
    return [c for c in classes if 0 < images[c] < len(sample.targs)]


def _mcc_metric(draws: Floats, sample: Sample, level: float) -> Metric:
    """Matthews correlation of predictions and truth, -1..1; `draws` (n_boot,) from the bootstrap."""
    value = mcc_statistic(sample.predicted, sample.targs, len(sample.all_classes))(np.ones((1, len(sample.targs))))[0]
    if np.isnan(value):
        return missing(REASONS["mcc"], sample, sample.everyone)
    wrong = sample.predicted != sample.targs
    seen = min(distinct(sample.clusters[wrong == side]) for side in (True, False))
    rarer = bootstrap_limits.behind_correlation(sample.targs, sample.clusters)
    limits = _basis(sample) | {"seen": seen, "rarer": rarer, "level": level}
    found = bootstrap_limits.drawn_correlation(float(value), draws, **limits)
    return metric(drawn(found, sample), sample, sample.everyone)


def _error_statistics(sample: Sample) -> dict[str, Statistic]:
    """Brier score and calibration gaps by bin as functions of weights."""
    losses = brier_losses(sample.probs, sample.targs, sample.positive)
    return {"brier": mean_statistic(losses), "gaps": gap_statistic(*confidences(sample))}


def confidences(sample: Sample) -> tuple[Floats, Bools]:
    """Confidence and whether it is correct: of the positive class of two, of the top label of more."""
    if sample.positive is None:
        return sample.probs.max(axis=1), sample.probs.argmax(axis=1) == sample.targs
    return sample.probs[:, sample.positive], sample.targs == sample.positive


def _brier_metric(draws: Floats, sample: Sample, level: float) -> Metric:
    """Mean squared error: 0..1 for two classes, 0..2 for more."""
    losses = brier_losses(sample.probs, sample.targs, sample.positive)
    by_patient = np.bincount(sample.clusters, weights=losses).astype(np.float64)
    seen = intervals.kish_weights(by_patient) if by_patient.any() else 0.0  # few patients may hold most of the error
    top = 1.0 if sample.positive is not None else 2.0
    found = intervals.drawn_mean(float(losses.mean()), draws, **_basis(sample), seen=seen, level=level, top=top)
    cost = top * float((sample.probs.max(axis=1) ** 2).mean())
    up = with_room(found.high - found.value, cost, sample, level)
    found = found._replace(high=min(top, found.value + up))
    return metric(drawn(found, sample), sample, sample.everyone)


def _ece_metric(draws: Floats, sample: Sample, level: float) -> Metric:
    """Calibration error over all images, corrected for noise; `draws` float (n_boot, bins) are signed gaps."""
    gaps = gap_statistic(*confidences(sample))(np.ones((1, len(sample.targs))))
    lengths, moves = np.abs(draws).sum(axis=1), np.abs(draws - gaps).sum(axis=1)
    found = bootstrap_limits.drawn_distance(float(np.abs(gaps).sum()), lengths, moves, level=level, **_basis(sample))
    # draws without a wrong prediction do not vary: then the mean of the largest scores against the share correct bounds
    # the error from above and below (45 patients, 0.97 right with scores of 0.99: coverage 0.69 without)
    right, mean = sample.share_correct(level), float(sample.probs.max(axis=1).mean())
    high = max(found.high, mean - right.low, right.high - mean)
    low = min(found.low, found.value - max(right.value - right.low, right.high - right.value))
    # The limits are those of the true error, found around the uncorrected estimate; they contain the corrected one too.
    # It is mostly lower, but not always: where all gaps have one sign noise adds nothing to their sum, and the mean of
    # the draws of few, unequal patients may be below it (5 images of 2 patients: 0.901, where no draw exceeds 0.900).
    value, method = less_bias(found.value, lengths), f"{found.method}, bias-corrected"
    return metric(drawn(intervals.around(value, low, high, method), sample), sample, sample.everyone)


def _line_metrics(
    line: tuple[float, float] | None, draws: Floats | None, sample: Sample, level: float
) -> dict[str, Metric]:
    """Intercept and slope of the calibration line; `draws` float (n_boot, 2)."""
    correct = confidences(sample)[1]
    why = why_no_line(line, correct, sample.clusters, top_labels=sample.positive is None)
    if why or line is None or draws is None:
        return {name: missing(why, sample, sample.everyone) for name in _LINE}
    patients = rarer_patients(correct, sample.clusters)
    each = {name: line_interval(line[i], draws[:, i], patients, level) for i, name in enumerate(_LINE)}
    return {name: metric(drawn(found, sample), sample, sample.everyone) for name, found in each.items()}


def _to_metric(found: Interval | None, why_not: str, sample: Sample, rows: Bools) -> Metric:
    """The interval as a metric, or the reason that there is none."""
    return missing(why_not, sample, rows) if found is None else metric(found, sample, rows)


def _basis(sample: Sample) -> dict[str, Any]:
    """Number of patients behind a mean over all images: effective, and counted."""
    return {"rarer": intervals.kish_patients(sample.clusters), "patients": distinct(sample.clusters)}


def _noted(found: Interval, left_out: Sequence[int]) -> Interval:
    """The interval with the classes that were left out in its method."""
    if not left_out:
        return found
    names = ", ".join(map(str, left_out))
    return found._replace(method=f"{found.method}; {WITHOUT} {names} (undefined)")
