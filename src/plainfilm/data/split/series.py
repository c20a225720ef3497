"""`--split group`: whole series (hospitals, devices, days) are held out for test, and for valid where there are enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from plainfilm.base.listing import some
from plainfilm.config import DataConfig
from plainfilm.data.folders.equal_names import folded
from plainfilm.data.split.allocate import allocate
from plainfilm.data.split.series_notes import NAMED, joined_note, series_notes, spellings_note
from plainfilm.data.table.groups import join_groups
from plainfilm.data.table.patients import canonical_key
from plainfilm.errors import DataError, UsageError

_USED_BY = {"group_column": "group", "group_pattern": "group", "test_series": "group", "date_column": "temporal"}


def by_series(rows: pd.DataFrame, cfg: DataConfig, rng: np.random.Generator) -> tuple[pd.DataFrame, list[str]]:
    """The rows with `split`, and notes.

    Series that share a patient or an identical image are one unit. Test gets whole units; a class that these lack is
    completed by whole patients of the other series. Valid is made of the rest in the same way, or by patient where no
    unit of it can be held out.

    Args:
        rows: of an image table, with `series` and `group`; at least three groups of each class.
    Raises:
        DataError: an empty series, or none that can be held out. UsageError: `cfg.test_series` names none.
    """
    rows, said = _one_spelling(rows, cfg)
    images = _Images.of(rows)
    asked = _asked(rows["series"], cfg.test_series) if cfg.test_series else None
    whole = _held(images, cfg.shares[2], rng) if asked is None else _units_of(images, rows["series"].isin(asked))
    if not whole.any():
        raise DataError(_none_can_be_held(rows, images))
    if lost := _classes_lost(rows["label"], whole):
        raise DataError(_leaves_nothing(rows, whole, lost))
    test = _with_missing_classes(images, whole, cfg.shares[2], rng)
    split = np.where(test, "test", "train").astype(object)
    split[np.flatnonzero(~test)[_valid(images.where(~test), cfg.shares, rng)]] = "valid"
    rows = rows.assign(split=split)
    return rows, [*said, *joined_note(rows), *series_notes(rows)]


def unused_notes(cfg: DataConfig) -> list[str]:
    """A note on each option that names series or dates although this split holds none out."""
    said = {name: kind for name, kind in _USED_BY.items() if getattr(cfg, name) is not None and cfg.split != kind}
    return [f"--{name.replace('_', '-')} was not used: only --split {kind} holds series out by it." for name, kind in said.items()]  # fmt: skip


# --- names --------------------------------------------------------------------------------------------------------------


def _one_spelling(rows: pd.DataFrame, cfg: DataConfig) -> tuple[pd.DataFrame, list[str]]:
    """Rows whose series has one spelling, the most frequent, where several differ in case, spaces or dashes only."""
    _require_named(rows, cfg)
    counts = rows["series"].value_counts().sort_index()
    first: dict[str, str] = {}
    for name in counts.sort_values(ascending=False, kind="stable").index:
        first.setdefault(folded(name), name)
    return rows.assign(series=rows["series"].map(lambda name: first[folded(name)])), spellings_note(
        list(counts.index), first
    )


def _require_named(rows: pd.DataFrame, cfg: DataConfig) -> None:
    blank, n = rows.loc[rows["series"] == "", "relative"], len(rows)
    if not len(blank):
        return
    if cfg.group_pattern is not None:
        raise DataError(
            f"--group-pattern finds no series in {len(blank)} of {n} file names (first: {blank.iloc[0]!r}). Its first group "
            "must catch the series of every image: widen it, as in '^(A|B|other)'."
        )
    raise DataError(
        f"{len(blank)} of {n} images have no series in the column {cfg.group_column!r} (first: {blank.iloc[0]!r}). They may "
        "belong to a series that is held out. Fill them in, or leave these rows out of the table."
    )


def _asked(series: pd.Series, text: str) -> set[str]:
    """The series that --test-series names: the text as one name, or names between commas."""
    known = {folded(name): name for name in series.unique()}
    parts = [text] if folded(canonical_key(text)) in known else text.split(",")
    names = [canonical_key(part) for part in parts if part.strip()]
    unknown = [name for name in names if folded(name) not in known]
    if unknown or not names:
        found = some([repr(name) for name in sorted(known.values())], NAMED)
        raise UsageError(
            f"--test-series {(unknown or [text])[0]!r}: no such series; found {found}. Names are separated by commas."
        )
    return {known[folded(name)] for name in names}


# --- what is held out -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Images:
    """Of each image, int (n,): `unit`, its series and all that are joined to it; `group`, its patient; `label`."""

    unit: np.ndarray
    group: np.ndarray
    label: np.ndarray

    @classmethod
    def of(cls, rows: pd.DataFrame) -> _Images:
        """The images of a table with `series` and `group`."""
        unit = join_groups(rows["group"], rows["series"])
        return cls(unit, rows["group"].to_numpy(), np.unique(rows["label"].to_numpy(dtype=str), return_inverse=True)[1])

    def where(self, these: np.ndarray) -> _Images:
        """The images where `these`, bool (n,), is true."""
        return _Images(self.unit[these], self.group[these], self.label[these])


def _held(images: _Images, share: float, rng: np.random.Generator) -> np.ndarray:
    """bool (n,), whole units with about `share` of the images, so that every class is left outside; no True where no unit
    can be spared. Where units allow, every class is inside too."""
    try:
        return np.asarray(allocate(images.unit, images.label, np.array([1 - share, share]), rng) == 1)
    except DataError:
        return _nearest(images, share, rng)


def _nearest(images: _Images, share: float, rng: np.random.Generator) -> np.ndarray:
    """The same without regard to the classes inside: units in random order while they bring the size closer to `share` of
    the images of their classes, or else the one that is closest. The only unit of a class is never taken."""
    unit = np.unique(images.unit, return_inverse=True)[1]
    counts = np.zeros((unit.max() + 1, images.label.max() + 1), dtype=np.int64)
    np.add.at(counts, (unit, images.label), 1)
    has, size, taken = counts > 0, counts.sum(axis=1), np.zeros(len(counts), dtype=bool)
    free = rng.permutation(np.flatnonzero(~(has & (has.sum(axis=0) == 1)).any(axis=1)))
    wanted = share * counts[:, has[free].any(axis=0)].sum()
    for one in free:
        more = taken | (np.arange(len(counts)) == one)
        closer = abs(size[more].sum() - wanted) < abs(size[taken].sum() - wanted)
        taken = more if closer and has[~more].any(axis=0).all() else taken
    if len(free) and not taken.any():
        taken[free[np.argmin(np.abs(size[free] - wanted))]] = True
    return np.asarray(taken[unit], dtype=bool)


def _units_of(images: _Images, these: pd.Series) -> np.ndarray:
    """bool (n,), the images of all units that have one of `these`."""
    return np.isin(images.unit, images.unit[these.to_numpy()])


def _with_missing_classes(images: _Images, held: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """`held` and, of each class that is not in it, about `share` of the images outside, by whole patients."""
    lacking = ~held & ~np.isin(images.label, images.label[held])
    if not held.any() or not lacking.any():
        return held
    label = np.unique(images.label[lacking], return_inverse=True)[1]
    part = allocate(images.group[lacking], label, np.array([1 - share, share]), rng)
    return held | np.isin(images.group, images.group[lacking][part == 1])


def _valid(images: _Images, shares: tuple[float, float, float], rng: np.random.Generator) -> np.ndarray:
    """bool (n,), valid among the images that are not test: whole units, else whole patients."""
    share = shares[1] / (shares[0] + shares[1])
    held = _with_missing_classes(images, _held(images, share, rng), share, rng)
    return held if held.any() else allocate(images.group, images.label, np.array([1 - share, share]), rng) == 1


# --- what cannot be held out ------------------------------------------------------------------------------------------------


def _classes_lost(labels: pd.Series, held: np.ndarray) -> list[str]:
    """Classes that would be left nowhere but in `held`."""
    return sorted(set(labels) - set(labels[~held]))


def _leaves_nothing(rows: pd.DataFrame, held: np.ndarray, lost: list[str]) -> str:
    found = some([repr(name) for name in sorted(rows.loc[held, "series"].unique())], NAMED)
    return f"Every image of class {lost[0]!r} is of the series {found}: held out, they would leave train without it. Name fewer with --test-series, or use --split patient."


def _none_can_be_held(rows: pd.DataFrame, images: _Images) -> str:
    """Why no unit can be spared."""
    names = sorted(rows["series"].unique())
    if len(names) == 1:
        return f"All {len(rows)} images are of one series, {names[0]!r}; --split group needs two or more. Correct the column or pattern, or use --split patient."
    if len(np.unique(images.unit)) == 1:
        shared = int((rows.groupby("group")["series"].nunique() > 1).sum())
        return (
            f"All {len(names)} series share patients (or groups of identical images: {shared} in several series), so none can be "
            "held out without one of its patients in train. Use --split patient, or leave these images out of the table."
        )
    return (
        f"None of {len(names)} series can be held out: each is the only one of a class, and train would be left without it. "
        "Series and class are one here; use --split patient."
    )
