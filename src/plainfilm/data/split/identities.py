"""Data in which every class is one patient: a classifier of it tells identities apart."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from plainfilm.data.table.image_table import ImageTable
from plainfilm.errors import DataError
from plainfilm.schemas.marks import IDENTITY

IDENTITY_NOTE = (
    f"{IDENTITY}: every class is one patient; the score tells identities apart, not a finding. "
    "Each image counts by itself, so the intervals hold for new images of these patients only."
)

_WHOLE_PATIENTS = ("patient", "kfold", "official", "given", "group", "temporal")


def without_identities(table: ImageTable, kind: str) -> tuple[ImageTable, bool]:
    """The table, and whether a split of this kind recognises identities; then no image has a patient key, and only
    identical images stay together and are resampled together.

    Args:
        kind: image or a split file. The others keep patients whole: refuse_identities() refuses to divide them, and given
            parts leak where one is in two of them.
    """
    if kind in _WHOLE_PATIENTS or not _one_patient_each(table.rows):
        return table, False
    return without_patients(table), True


def without_patients(table: ImageTable) -> ImageTable:
    """The table with no patient key."""
    return replace(table, rows=table.rows.assign(patient="", wide="", kin=table.rows["content"]))


def refuse_identities(rows: pd.DataFrame) -> None:
    """Raises a DataError where every class is one patient: none of them can be divided by patient."""
    if _one_patient_each(rows):
        raise DataError(
            f"Every class is one patient ({rows['label'].nunique()} classes), so no split by patient is possible. "
            f"--split image divides the images; every output will then say {IDENTITY}."
        )


def _one_patient_each(rows: pd.DataFrame) -> bool:
    """Whether every image names its patient, and every class has one patient of its own, with two images or more."""
    pairs = rows.groupby(["label", "patient"], as_index=False).size()
    alone = not pairs["label"].duplicated().any() and not pairs["patient"].duplicated().any()
    return len(pairs) > 1 and alone and bool((pairs["patient"] != "").all() and (pairs["size"] > 1).all())
