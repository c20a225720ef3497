"""`--split temporal`: the latest patients are test, those before them valid, the earliest train."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from plainfilm.config import DataConfig
from plainfilm.errors import DataError

_PARTS = np.array(["train", "valid", "test"], dtype=object)
_FORMS = {
    "2020-01-31": re.compile(r"(\d{4})-(\d\d)-(\d\d)([T ]\d\d:\d\d.*)?", re.ASCII),  # the time of the day is not used
    "20200131": re.compile(r"(\d{4})(\d\d)(\d\d)", re.ASCII),  # DICOM
    "2020-01": re.compile(r"(\d{4})-(\d\d)", re.ASCII),
    "2020": re.compile(r"(\d{4})", re.ASCII),
}
_EXPECTED = "Expected dates as 2020-01-31 or 20200131, or months (2020-01) or years (2020), in one form for all images"
_YEARS = range(1900, 2101)
_FEWEST_DAYS = 3


def by_date(rows: pd.DataFrame, cfg: DataConfig) -> tuple[pd.DataFrame, list[str]]:
    """The rows with `split` and without their dates, and notes. No random number is drawn.

    A patient (`group`) is where the latest image is, with all images: so train holds nothing from after a cut, and what
    is early in test is of patients who came back.

    Args:
        rows: of an image table, with `group`, and the dates in `series`.
    Raises:
        DataError: an empty cell, one that is no date, two forms of dates, or no two dates at which every class can be cut.
    """
    own = np.array(_days(rows, cfg.date_column or ""))
    latest = pd.Series(own).groupby(rows["group"].to_numpy()).transform("max").to_numpy(dtype=str)
    days, at = np.unique(latest, return_inverse=True)
    labels, label = np.unique(rows["label"].to_numpy(dtype=str), return_inverse=True)
    counts = np.zeros((len(days), len(labels)), dtype=np.int64)
    np.add.at(counts, (at, label), 1)
    found = _cuts(counts, cfg.shares)
    if found is None:
        raise DataError(_no_cut(days, labels, counts))
    cuts = days[list(found)]
    part = np.searchsorted(cuts, latest, side="right")
    notes = _notes(cuts, part, np.searchsorted(cuts, own, side="right"), rows["group"].to_numpy())
    return rows.drop(columns="series").assign(split=_PARTS[part]), notes


# --- cells --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Date:
    """A cell that is a date: one of _FORMS, and the day, month or year as ISO writes it."""

    form: str
    iso: str


def _days(rows: pd.DataFrame, column: str) -> list[str]:
    """The date of each row as ISO writes it, which sorts as dates do; all of one form."""
    cells, names = list(rows["series"]), list(rows["relative"])
    blank = [name for cell, name in zip(cells, names, strict=True) if not cell]
    if blank:
        raise DataError(
            f"{len(blank)} of {len(cells)} images have no date in the column {column!r} (first: {blank[0]!r}). "
            "A patient without a date is neither early nor late. Fill the dates in, or leave these rows out of the table."
        )
    first: dict[str, str] = {}
    dates = [_date(cell) for cell in cells]
    for cell, name, found in zip(cells, names, dates, strict=True):
        if found is None:
            raise DataError(f"The column {column!r} holds {cell!r} ({name}). {_EXPECTED}; 01/02/2020 may be two days.")
        first.setdefault(found.form, cell)
    if len(first) > 1:
        one, other = list(first.values())[:2]
        raise DataError(f"The column {column!r} holds {one!r} and {other!r}, dates in two forms. {_EXPECTED}.")
    return [found.iso for found in dates if found]


def _date(cell: str) -> _Date | None:
    """The date that a cell is; None for any other text, such as 2020-02-30."""
    for form, pattern in _FORMS.items():
        if found := pattern.fullmatch(cell):
            numbers = [int(part) for part in found.groups()[:3] if part]
            return _Date(form, "-".join(f"{n:02}" for n in numbers)) if _exists(*numbers) else None
    return None


def _exists(year: int, month: int = 1, day: int = 1) -> bool:
    try:
        return date(year, month, day).year in _YEARS
    except ValueError:
        return False


# --- cuts ---------------------------------------------------------------------------------------------------------------


def _cuts(counts: np.ndarray, shares: tuple[float, float, float]) -> tuple[int, int] | None:
    """The first day of valid and that of test, with every class in every part and sizes close to the shares, test first.

    Args:
        counts: int (days, classes), images, the earliest day first.
    """
    before = np.concatenate([np.zeros((1, counts.shape[1]), dtype=np.int64), counts.cumsum(axis=0)])
    size = before.sum(axis=1)
    whole: np.ndarray = np.asarray((before > 0).all(axis=1))
    fits = np.flatnonzero((before[-1] - before > 0).all(axis=1) & whole)
    away = np.abs(size[-1] - size[fits] - shares[2] * size[-1])
    for test in fits[np.argsort(away, kind="stable")]:
        starts = np.flatnonzero(whole[:test] & (before[test] - before[:test] > 0).all(axis=1))
        if len(starts):
            gap = np.abs(size[test] - size[starts] - shares[1] * size[-1])
            return int(starts[np.argmin(gap)]), int(test)
    return None


def _no_cut(days: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> str:
    if len(days) < _FEWEST_DAYS:
        here = f"one date, {days[0]}" if len(days) == 1 else f"two dates, {days[0]} and {days[1]}"
        return f"All {counts.sum()} images are of {here} (each patient by the latest). --split temporal needs three or more; use --split patient."
    order = np.argsort((counts > 0).sum(axis=0), kind="stable")[:2]
    spans = [(str(labels[k]), days[np.flatnonzero(counts[:, k])[[0, -1]]]) for k in order]
    said = " and ".join(f"{label!r} is there from {span[0]} to {span[1]}" for label, span in spans)
    return (
        f"No two dates cut the images so that train, valid and test hold every class: {said} (each patient by the latest "
        "date). Class and date are confounded; use --split patient, or leave the class out."
    )


def _notes(cuts: np.ndarray, part: np.ndarray, own: np.ndarray, group: np.ndarray) -> list[str]:
    """What was cut where, and how many images are in a later part than their own date says."""
    said = f"TEMPORAL SPLIT: train is before {cuts[0]}, valid before {cuts[1]}, test from then on; every patient is where the latest image is."
    early = own < part
    if early.any():
        said += f" Images older than their part for that reason: {early.sum()}, of patients: {len(set(group[early]))}."
    return [said]
