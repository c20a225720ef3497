"""Patients like those of a finished run or of a table: how many images of either class each has."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from plainfilm.config import DataConfig
from plainfilm.data.csv.columns import find_columns
from plainfilm.data.csv.dialect import read_rows
from plainfilm.data.table.positive_class import positive_of_two
from plainfilm.errors import DataError
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.metrics.measure import accuracy_metric, auroc_metric, rate_metric
from plainfilm.evaluate.metrics.sample import Sample
from plainfilm.evaluate.stats.intervals import Bools, Ints

_BY_HAND = "Give --images-per-patient and --prevalence instead of --like."
_NO_PATIENTS = "No patient key is known in {path}: each image counts as a patient."


class Like(NamedTuple):
    """`images`: int (m, 2), negative and positive images of each patient; `value`: the metric of a run on valid, None of a
    table and where there is none between 0 and 1; `notes`: what limits the plan."""

    images: Ints
    value: float | None
    notes: tuple[str, ...]


def patients_like(path: Path, metric: str) -> Like:
    """The patients of a run's valid images, or of all rows of a table of images.

    Raises:
        DataError: no finished run, no table, or not two classes.
    """
    return _of_run(path, metric) if path.is_dir() else _of_table(path)


def _of_run(path: Path, metric: str) -> Like:
    finished = FinishedRun.open(path)
    if finished.positive is None:
        raise DataError(f"The run {path} has {len(finished.card.vocab)} classes; a plan is for two. {_BY_HAND}")
    sample = finished.predictions("valid").sample(finished.positive, finished.card.threshold)
    value = _value(sample, metric)
    notes = [] if finished.card.has_patients else [_NO_PATIENTS.format(path=path)]
    return Like(_counted(path, sample.clusters, sample.targs == finished.positive), value, tuple(notes))


def _value(sample: Sample, metric: str) -> float | None:
    if metric == "auroc":
        found = auroc_metric(sample.classes, sample, 0.95)
    elif metric == "accuracy":
        found = accuracy_metric(sample, 0.95)
    else:
        found = rate_metric(metric, sample.classes, sample, 0.95)
    return found.value if found.value is not None and 0 < found.value < 1 else None


def _of_table(path: Path) -> Like:
    table = read_rows(path)
    columns = find_columns(path, table, DataConfig())
    labels = table.column(columns.label)
    patients = [""] * len(labels) if columns.patient is None else table.column(columns.patient)
    rows = [
        (patient or f"\0{i}", label) for i, (patient, label) in enumerate(zip(patients, labels, strict=True)) if label
    ]
    classes = sorted({label for _, label in rows})
    if len(classes) != 2:
        raise DataError(f"{path} has {len(classes)} classes in its label column; a plan is for two. {_BY_HAND}")
    keys = np.unique([patient for patient, _ in rows], return_inverse=True)[1]
    positive = positive_of_two(*classes)[0]
    notes = [] if any(patients) else [_NO_PATIENTS.format(path=path)]
    return Like(_counted(path, keys, np.array([label == positive for _, label in rows])), None, tuple(notes))


def _counted(path: Path, patients: Ints, positive: Bools) -> Ints:
    images = np.stack([np.bincount(patients, weights=positive == side) for side in (False, True)], axis=1)
    if not images.sum(axis=0).all():
        raise DataError(f"{path} has images of one class only; a plan is for two. {_BY_HAND}")
    return np.asarray(images[images.sum(axis=1) > 0], dtype=np.int64)
