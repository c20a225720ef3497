"""Valid is split once, by patient: `select` for model selection (the epoch), `calibrate` for everything after it:
temperature, threshold, abstain band and out-of-distribution (OOD) gate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from plainfilm.data.split.allocate import allocate
from plainfilm.data.split.splits import Split, label_index
from plainfilm.errors import DataError

SELECT, CALIBRATE, BOTH = "select", "calibrate", "both"  # the column `role` of valid rows; '' elsewhere
_MIN_PATIENTS = 100  # in valid; with fewer, half of them would select an epoch by chance
_STREAM = 0xCA11B


def cut_valid(split: Split, classes: list[str], seed: int) -> Split:
    """The split with a column `role`: half of the valid groups, class by class, for each of select and calibrate.

    With fewer than MIN_PATIENTS groups in valid (an image without a patient key is one), or a single group of a class,
    every valid row has both roles, and a note says so. Depends on (rows, classes, seed) alone. Roles that a split file
    holds stay as they are, whatever the seed.

    Raises:
        DataError: the file's roles part a patient.
    """
    if split.kind == "file" and "role" in split.rows and split.rows["role"].ne("").any():
        return _as_given(split)
    valid = (split.rows["split"] == "valid").to_numpy()
    rows = split.rows[valid]
    patients = rows["group"].nunique()
    role = np.where(valid, BOTH, "").astype(object)
    unit = "patients" if "patient" not in rows or rows["patient"].ne("").any() else "images"  # of unknown patients
    why = f"valid has {patients} {unit}, and {_MIN_PATIENTS} are needed to split it"
    if patients >= _MIN_PATIENTS:
        try:
            half = allocate(
                rows["group"].to_numpy(), label_index(rows, classes), np.array([0.5, 0.5]),
                np.random.default_rng([seed, _STREAM]),
            )  # fmt: skip
            role[valid] = np.array([SELECT, CALIBRATE], dtype=object)[half]
            return replace(split, rows=_with(split.rows, role))
        except DataError:
            why = "a class of valid has too few patients to split it"
    return replace(split, rows=_with(split.rows, role), notes=(*split.notes, _note(why)))


def _as_given(split: Split) -> Split:
    """The split with the roles of its file, and the note where all of valid has both."""
    valid = split.rows[split.rows["split"] == "valid"]
    apart = valid[valid["role"] != BOTH].groupby("group")["role"].nunique()
    if (apart > 1).any():
        raise DataError(
            f"Patients of valid that the split file gives two roles: {(apart > 1).sum()}. Each belongs to select or to "
            "calibrate; leave the column role out, and valid is split by patient."
        )
    notes = [_note("its split file gives every image both roles")] if (valid["role"] == BOTH).all() else []
    return replace(
        split, rows=_with(split.rows, split.rows["role"].to_numpy(dtype=object)), notes=(*split.notes, *notes)
    )


def _note(why: str) -> str:
    return f"ONE VALID SET is used for model selection (the epoch) and for temperature, threshold, and abstain band and OOD gate where it has them: {why}."


def _with(rows: pd.DataFrame, role: np.ndarray) -> pd.DataFrame:
    """The rows with the column `role` before `split`, which stays the last one."""
    others = [name for name in rows.columns if name not in ("role", "split")]
    return rows.assign(role=role)[[*others, "role", "split"]]


def calibrates(rows: pd.DataFrame) -> np.ndarray:
    """bool (n,), valid rows that set temperature, threshold, abstain band and OOD gate; all valid rows of a run from before
    valid was split."""
    return np.asarray((rows["split"] == "valid") & (rows["role"] != SELECT))


def selects(rows: pd.DataFrame) -> np.ndarray:
    """bool (n,), valid rows for model selection (the epoch)."""
    return np.asarray((rows["split"] == "valid") & (rows["role"] != CALIBRATE))


def untouched(rows: pd.DataFrame) -> np.ndarray:
    """bool (n,), the valid rows that set neither temperature, threshold, abstain band nor OOD gate; none where valid is not
    split."""
    return np.asarray((rows["split"] == "valid") & (rows["role"] == SELECT))
