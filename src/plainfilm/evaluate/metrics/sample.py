"""Checked predictions in a canonical order, which depends on the content of the rows, not on their order or names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plainfilm.errors import DataError
from plainfilm.evaluate.metrics.predicted_class import predicted_classes
from plainfilm.evaluate.stats.auroc_interval import Curve, curve
from plainfilm.evaluate.stats.average_precision import Precision, average_precision
from plainfilm.evaluate.stats.clusters import distinct
from plainfilm.evaluate.stats.intervals import Bools, Floats, Interval, Ints, proportion, renumbered
from plainfilm.schemas.documents import Metric

_MOST_KEPT = 64  # classes
_Found = TypeVar("_Found", Curve, Precision)
_SUM_TOLERANCE = 1e-3  # float16 probabilities of 20 classes add up to 1 within it; logits do not


@dataclass(frozen=True)
class Sample:
    """Images: probabilities (n, k), and truth, predicted class, cluster and patient, each int (n,) counted from 0.

    `order`: position of each image in the arrays as given, int (n,).
    """

    probs: Floats
    targs: Ints
    predicted: Ints
    clusters: Ints
    patients: Ints | None
    positive: int | None
    order: Ints

    @property
    def classes(self) -> tuple[int, ...]:
        """The positive class of two, or every class where there are more."""
        return self.all_classes if self.positive is None else (self.positive,)

    @property
    def all_classes(self) -> tuple[int, ...]:
        return tuple(range(self.probs.shape[1]))

    @property
    def everyone(self) -> Bools:
        return np.ones(len(self.targs), dtype=bool)

    @cached_property
    def _curves(self) -> dict[int, Curve]:
        return {}

    def curve(self, c: int) -> Curve:
        """The ROC curve of class `c` against the rest, of which both have images; a few are kept for what needs them."""
        return _kept(self._curves, c, lambda: curve(self.probs[:, c], self.targs == c))

    @cached_property
    def _precisions(self) -> dict[int, Precision]:
        return {}

    def precision(self, c: int) -> Precision:
        """The average precision of class `c` against the rest, with its linearised error."""
        return _kept(self._precisions, c, lambda: average_precision(self.probs[:, c], self.targs == c))

    @cached_property
    def right(self) -> Bools:
        """bool (n,), whether the largest score is the true class's, whatever the threshold."""
        return np.asarray(self.probs.argmax(axis=1) == self.targs)

    def share_correct(self, level: float) -> Interval:
        """Share of images whose largest score is the true class's, whatever the threshold."""
        return proportion(self.right, self.clusters, level)

    def at(self, threshold: float | None) -> Sample:
        """The same images with the classes predicted at another threshold; their order does not depend on it.

        Raises:
            DataError: a threshold does not fit the number of classes.
        """
        _check_positive(self.positive, threshold, self.probs.shape[1])
        return replace(self, predicted=predicted_classes(self.probs, positive=self.positive, threshold=threshold))


def _kept(found: dict[int, _Found], c: int, make: Callable[[], _Found]) -> _Found:
    """The one of class `c`, made if it is not there: those of 1,000 classes of 20,000 images would take 340 MB."""
    if c not in found:
        if len(found) >= _MOST_KEPT:
            found.clear()
        found[c] = make()
    return found[c]


def make_sample(
    probs: ArrayLike, targs: ArrayLike, clusters: Any, patients: Any, *, positive: int | None, threshold: float | None
) -> Sample:
    """The arrays checked, with predicted classes, in canonical order.

    Raises:
        DataError: lengths differ, a value is missing, `probs` are not probabilities, or `positive` and `threshold` do
            not fit the number of classes.
    """
    probs = _check_probs(probs)
    n, k = probs.shape
    targs = _check_targs(targs, n, k)
    _check_positive(positive, threshold, k)
    order, codes = _canonical_order(probs, targs, _label_codes(clusters, n, "clusters"))
    people = None if patients is None else _label_codes(patients, n, "patients")[order]
    probs, targs = probs[order], targs[order]
    return Sample(
        probs, targs, predicted_classes(probs, positive=positive, threshold=threshold), codes, people, positive, order
    )


def _check_probs(probs: ArrayLike) -> Floats:
    """Probabilities as float64 (n, k)."""
    probs = np.asarray(probs, dtype=np.float64)
    if probs.ndim != 2 or probs.shape[1] < 2:
        raise DataError(f"probs have shape {probs.shape}, expected (images, classes) with at least 2 classes.")
    bad = ~np.isfinite(probs).all(axis=1)
    if bad.any():
        raise DataError(f"{bad.sum()} rows of probs hold NaN or infinity (first: row {bad.argmax()}). Check the model.")
    bad = (probs < -_SUM_TOLERANCE).any(axis=1) | (np.abs(probs.sum(axis=1) - 1) > _SUM_TOLERANCE)
    if bad.any():
        raise DataError(
            f"{bad.sum()} rows of probs are not probabilities (first: row {bad.argmax()}, sum "
            f"{probs[bad.argmax()].sum():.4g}); each must be in 0..1 and add up to 1. Apply softmax to logits first."
        )
    return np.asarray(np.clip(probs, 0.0, 1.0))


def _check_targs(targs: ArrayLike, n: int, k: int) -> Ints:
    """Labels as int64 (n,), 0..k-1."""
    targs = np.asarray(targs)
    if targs.shape != (n,):
        raise DataError(f"targs have shape {targs.shape}, expected one label for each of {n} images.")
    if n and not (np.issubdtype(targs.dtype, np.integer) or targs.dtype == bool):
        raise DataError(f"targs are {targs.dtype}, expected integers 0..{k - 1}. Convert class names to their index.")
    if n and not 0 <= targs.min() <= targs.max() < k:
        raise DataError(f"targs run from {targs.min()} to {targs.max()}, expected 0..{k - 1} for {k} columns of probs.")
    return targs.astype(np.int64)


def _check_positive(positive: int | None, threshold: float | None, k: int) -> None:
    """Two classes need a positive one; more classes have neither that nor a threshold."""
    if k == 2 and positive not in (0, 1):
        raise DataError(f"positive is {positive!r}, expected 0 or 1 with two classes.")
    if k > 2 and (positive is not None or threshold is not None):
        raise DataError(f"positive is {positive!r} and threshold {threshold!r}, expected None with {k} classes.")
    if threshold is not None and np.isnan(threshold):
        raise DataError("threshold is NaN, expected a number in 0..1. Choose it on the validation images.")


def _label_codes(labels: Any, n: int, name: str) -> Ints:
    """Distinct int or str labels as int64 (n,), 0..m-1."""
    array = np.asarray(labels)
    if array.shape != (n,):
        raise DataError(f"{name} have shape {array.shape}, expected one label for each of {n} images.")
    if array.dtype.kind not in "iuUS":
        array = _as_text(array, name)
    return renumbered(array)


def _as_text(labels: NDArray[Any], name: str) -> NDArray[Any]:
    """Labels of other kinds as str (n,); None, NaN and NA are refused: such rows are not one patient."""
    missing = [not isinstance(x, str) and str(x) in ("None", "nan", "<NA>", "NaT") for x in labels]
    if any(missing):
        raise DataError(f"{sum(missing)} images have no value in {name} (first: row {missing.index(True)}). Fill it.")
    return np.array([str(x) for x in labels])


def _canonical_order(probs: Floats, targs: Ints, clusters: Ints) -> tuple[Ints, Ints]:
    """Row order (n,) by cluster and content, and the clusters (n,) in that order, renumbered by content.

    Clusters with the same rows are exchangeable, so sums and seeded draws do not depend on the order of the rows or on
    the names of patients.
    """
    if not len(targs):
        return np.arange(0), clusters
    content = _content_codes(targs, probs)
    order = np.lexsort((content, clusters))
    starts = np.flatnonzero(np.diff(clusters[order])) + 1
    groups = np.split(order, starts)
    groups.sort(key=lambda rows: content[rows].tolist())
    codes = np.repeat(np.arange(len(groups)), [len(rows) for rows in groups])
    return np.concatenate(groups), codes.astype(np.int64)


def _content_codes(targs: Ints, probs: Floats) -> Ints:
    """Equal rows have equal codes, int (n,), which count up in lexicographic order.

    Two columns of scores mostly tell two rows apart; comparing whole rows of 1,000 columns takes ten times as long.
    """
    columns = [targs, probs[:, 0], probs[:, 1]]
    order = np.lexsort(columns[::-1])
    alike = np.logical_and.reduce([column[order][1:] == column[order][:-1] for column in columns])
    tied = np.flatnonzero(alike)
    if (probs[order[tied]] != probs[order[tied + 1]]).any():
        return np.unique(np.column_stack([targs, probs]), axis=0, return_inverse=True)[1].reshape(-1)
    codes = np.empty(len(order), dtype=np.int64)
    codes[order] = np.append(0, np.cumsum(~alike))
    return codes


def drawn(found: Interval, sample: Sample) -> Interval:
    """The interval with the unit that the bootstrap draws in its method: images without a patient key."""
    unit = "images" if sample.patients is None else "patients"
    return found._replace(method=found.method.replace("bootstrap", f"bootstrap/{unit}"))


def metric(found: Interval, sample: Sample, rows: Bools) -> Metric:
    """The interval as a metric over the images in `rows`, bool (n,)."""
    n, patients = counts(sample, rows)
    value, low, high, method = found
    return Metric(value=value, ci_low=low, ci_high=high, n=n, n_patients=patients, method=method)


def missing(why: str, sample: Sample, rows: Bools) -> Metric:
    """A metric that is not estimable from the images in `rows`."""
    n, patients = counts(sample, rows)
    return Metric(value=None, ci_low=None, ci_high=None, n=n, n_patients=patients, method=f"not estimable: {why}")


def counts(sample: Sample, rows: Bools) -> tuple[int, int | None]:
    """Images in `rows`, and their patients as they are resampled, which is by cluster; None without a patient key."""
    patients = None if sample.patients is None else distinct(sample.clusters[rows])
    return int(rows.sum()), patients


def with_room(half: float, cost: float, sample: Sample, level: float) -> float:
    """A half width with an allowance for unseen wrong predictions, each at its cost.

    Where hardly a prediction is wrong, losses hardly vary, and their draws say nothing about the cost of a wrong one:
    for 45 patients, 0.99 of them right with scores of 0.95, the Brier score's interval covered 0.36 and the log loss's
    0.39. The allowance has the weight of one patient with a wrong prediction, so it counts less the more of them there
    are.
    """
    right = sample.share_correct(level)
    events = distinct(sample.clusters[~sample.right])
    return max(half, (events * half + (right.value - right.low) * cost) / (events + 1))
