"""Train, valid and test partitions: whole patients, whole series, dates, given folders, k-fold, and split files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from plainfilm.config import DataConfig
from plainfilm.data.split.allocate import allocate
from plainfilm.data.split.dates import by_date
from plainfilm.data.split.identities import IDENTITY_NOTE, refuse_identities, without_identities
from plainfilm.data.split.series import by_series, unused_notes
from plainfilm.data.split.series_notes import series_notes
from plainfilm.data.split.split_file import read_split_file
from plainfilm.data.table.groups import join_groups
from plainfilm.data.table.image_table import ImageTable
from plainfilm.errors import DataError, GateError
from plainfilm.schemas.documents import DataCounts, SplitCounts

_SPLITS = ("train", "valid", "test")
_KINDS = ("patient", "official", "given", "image", "kfold", "group", "temporal")
_OURS = ("patient", "kfold", "image", "group", "temporal")  # given parts are pooled
_VALID_SHARE_OF_OFFICIAL = 0.20
_MIN_PATIENTS = 3  # per class: one for each split


@dataclass(frozen=True)
class Split:
    """The table's rows with `split` and `group`, and notes on them for every output.

    `group`: int, rows with the same number stay together and are resampled together.
    `leaky`: a patient or identical files are in two parts; `notes` say so in every output.
    """

    rows: pd.DataFrame
    kind: str
    leaky: bool
    notes: tuple[str, ...]

    def of(self, name: str) -> pd.DataFrame:
        """Rows of one split, in table order."""
        return self.rows[self.rows["split"] == name]

    @property
    def seen(self) -> pd.DataFrame:
        """Train and valid rows, numbered from 0 like their pixels."""
        return self.rows[self.rows["split"] != "test"].reset_index(drop=True)

    @property
    def has_test(self) -> bool:
        """False: the run has valid scores only."""
        return bool((self.rows["split"] == "test").any())


def make_split(table: ImageTable, cfg: DataConfig, seed: int) -> Split:
    """Split a table as `cfg.split` says; depends on (table, cfg, seed) alone.

    Raises:
        DataError: the split is impossible, or a split file does not fit.
        GateError: a given split shares patients or identical files between its parts, and `allow_leak` is not set.
    """
    rng = np.random.default_rng([seed, 0x5EED])
    table, identity = without_identities(table, cfg.split)
    notes = [IDENTITY_NOTE] if identity else _patient_notes(table)
    if cfg.split == "official":
        rows, kind = _official(table, rng), "official"
        notes += _pooled_note(table.rows)
    elif cfg.split == "given":
        rows, kind = _given(table), "given"
    elif cfg.split == "image":
        rows, kind = _by_image(table, cfg, rng, apart=not identity), "image"
    elif cfg.split in ("patient", "kfold"):
        rows, kind = _by_patient(table, cfg, rng), cfg.split
    elif cfg.split in ("group", "temporal"):
        (rows, said), kind = _by_series_or_date(table, cfg, rng), cfg.split
        notes += said
    else:
        rows, kind = _from_file(table, Path(cfg.split)), "file"
        notes += series_notes(rows) if "series" in rows else []
    notes += unused_notes(cfg)
    if kind in _OURS and (table.rows["given"] != "").any():
        notes.append("The given train/val/test parts were pooled and split again; --split official keeps them.")
    crossing = leaks(rows)
    conflicts = int((table.excluded["code"] == "E_LABEL_CONFLICT").sum())
    if kind == "image" and not identity:
        notes.append(f"LEAKY SPLIT: images, not patients, were split at random; {crossing.sentence()}.")
    elif crossing or (conflicts and kind in ("official", "given", "file")):
        found = crossing.sentence() + (f"; {conflicts} identical files have different labels" if conflicts else "")
        if not cfg.allow_leak:
            raise GateError(
                f"The given split leaks: {found}. Use --split patient, or repeat with --allow-leak, which every output will state."
            )
        notes.append(f"LEAKY SPLIT, allowed by --allow-leak: {found}.")
    notes += _joined_note(rows) if table.has_patients else []
    if not (rows["split"] == "test").any():
        notes.append("VALIDATION ONLY: there is no labelled test folder, so no number here is a test score.")
    _refuse_thin(rows, table.classes)
    return Split(rows, kind, (kind == "image" and not identity) or bool(crossing), tuple(notes))


NO_PATIENTS = "No patient key: each image counts as its own patient; the intervals are likely too narrow."


def _patient_notes(table: ImageTable) -> list[str]:
    unknown, n = int((table.rows["patient"] == "").sum()), len(table.rows)
    if unknown == n:
        return [NO_PATIENTS]
    if unknown:
        return [
            f"{unknown} of {n} images have no patient key and count as their own patients; the intervals are likely too narrow."
        ]
    return []


def _pooled_note(rows: pd.DataFrame) -> list[str]:
    if not (rows["given"] == "valid").any():
        return []
    share = f"{_VALID_SHARE_OF_OFFICIAL:.0%}"
    return [f"The given train and val were pooled; valid is {share} of them. --split given keeps val as it is."]


def _joined_note(rows: pd.DataFrame) -> list[str]:
    """Both counts of every split in which patient keys were joined."""
    joined = [
        f"{name} has {part['group'].nunique():,} patients with {keys:,} keys"
        for name in _SPLITS
        if (keys := _count_keys(part := rows[rows["split"] == name])) != part["group"].nunique()
    ]
    if not joined:
        return []
    return [
        f"Patient keys that may be one patient (the same number, or an identical image) count once: {'; '.join(joined)}."
    ]


def grouped(rows: pd.DataFrame, *, wide: bool) -> pd.DataFrame:
    """`rows` with the column `group`: patients and identical files joined, also by copies that were set aside.

    `wide` also joins the wider patient key inside one given folder (person12 of both subtypes).
    """
    patient = [f"p:{key}" if key else None for key in rows["patient"]]
    folder = [
        f"w:{given}/{key}" if wide and key else None for given, key in zip(rows["given"], rows["wide"], strict=True)
    ]
    return rows.assign(group=join_groups(patient, folder, rows["content"], rows["kin"]))


def _by_patient(table: ImageTable, cfg: DataConfig, rng: np.random.Generator) -> pd.DataFrame:
    rows = grouped(table.rows, wide=True)
    shares = np.array(cfg.shares) if cfg.split == "patient" else np.full(cfg.folds, 1 / cfg.folds)
    _require_patients(rows, table.classes, minimum=len(shares))
    part = allocate(rows["group"].to_numpy(), label_index(rows, table.classes), shares, rng)
    if cfg.split == "patient":
        return rows.assign(split=np.array(_SPLITS)[part])
    # fold i is test, the next fold valid, the others train: over all folds each image is tested once
    split = np.where(part == cfg.fold, "test", np.where(part == (cfg.fold + 1) % cfg.folds, "valid", "train"))
    return rows.assign(split=split)


def _by_series_or_date(table: ImageTable, cfg: DataConfig, rng: np.random.Generator) -> tuple[pd.DataFrame, list[str]]:
    if "series" not in table.rows:
        raise DataError(f"The table has no series; build it with the config that splits it (split: {cfg.split}).")
    rows = grouped(table.rows, wide=True)
    _require_patients(rows, table.classes)
    return by_series(rows, cfg, rng) if cfg.split == "group" else by_date(rows, cfg)


def _by_image(table: ImageTable, cfg: DataConfig, rng: np.random.Generator, *, apart: bool) -> pd.DataFrame:
    rows = grouped(table.rows, wide=True)
    unit = np.arange(len(rows)) if apart else rows["group"].to_numpy()  # apart: identical images too
    part = allocate(unit, label_index(rows, table.classes), np.array(cfg.shares), rng)
    return rows.assign(split=np.array(_SPLITS)[part])


def _official(table: ImageTable, rng: np.random.Generator) -> pd.DataFrame:
    given = table.rows["given"].to_numpy()
    if not (given == "train").any():
        raise DataError(
            "--split official needs given folders (train/, test/, optionally val/) or a split column; found none. Use --split patient."
        )
    test = given == "test"
    # Test patients are counted by their own key; only the part that we split ourselves is grouped by the wider one.
    group = np.full(len(given), -1)
    pooled = grouped(table.rows[~test].assign(given="pooled"), wide=True)
    group[~test] = pooled["group"].to_numpy()
    if test.any():
        group[test] = len(given) + grouped(table.rows[test], wide=False)["group"].to_numpy()
    labels = label_index(table.rows, table.classes)
    _require_patients(pooled, table.classes, minimum=2, where="the train and val folders")
    shares = np.array([1 - _VALID_SHARE_OF_OFFICIAL, _VALID_SHARE_OF_OFFICIAL])
    split = np.full(len(given), "test", dtype=object)
    split[~test] = np.array(_SPLITS[:2], dtype=object)[allocate(group[~test], labels[~test], shares, rng)]
    return table.rows.assign(group=group, split=split)


def _given(table: ImageTable) -> pd.DataFrame:
    """Train, valid and test as the folders or the split column say; nothing is pooled or cut."""
    found = [name for name in _SPLITS if (table.rows["given"] == name).any()]
    if not {"train", "valid"} <= set(found) or (table.rows["given"] == "").any():
        raise DataError(
            f"--split given keeps the given folders as they are and needs train and valid; found {', '.join(found) or 'none'}. "
            + ("--split official cuts valid out of train." if "train" in found else "Use --split patient.")
        )
    return grouped(table.rows, wide=False).assign(split=table.rows["given"])


def _from_file(table: ImageTable, path: Path) -> pd.DataFrame:
    frame = read_split_file(path, table, _KINDS)
    rows = grouped(table.rows, wide=False)
    if "group" in frame:  # our own file: the wider groups that made the split are resampled together too
        made = dict(zip(frame["path"], frame["group"], strict=True))
        rows["group"] = join_groups(rows["group"], [made[name] for name in rows["relative"]])
    if "series" in frame and (frame["series"] != "").all():  # of --split group: the same is said of it
        rows["series"] = rows["relative"].map(dict(zip(frame["path"], frame["series"], strict=True)))
    if "role" in frame:  # cut_valid() keeps it
        rows["role"] = rows["relative"].map(dict(zip(frame["path"], frame["role"], strict=True)))
    split_of = dict(zip(frame["path"], frame["split"], strict=True))
    return rows.assign(split=[split_of[name] for name in rows["relative"]])


def label_index(rows: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """Class numbers, int (n,)."""
    return np.asarray(rows["label"].map({name: i for i, name in enumerate(classes)}), dtype=np.int64)


def _require_patients(
    rows: pd.DataFrame, classes: list[str], *, minimum: int = _MIN_PATIENTS, where: str = "the data"
) -> None:
    refuse_identities(rows)
    for name in classes:
        patients = rows.loc[rows["label"] == name, "group"].nunique()
        if patients < minimum:
            raise DataError(
                f"The class {name!r} has {patients} {'patient' if patients == 1 else 'patients'} in {where}; "
                f"at least {minimum} are needed, one for each part (an image without a patient key counts as one). "
                "Add patients of this class, or leave it out."
            )


def _refuse_thin(rows: pd.DataFrame, classes: list[str]) -> None:
    for split in ("train", "valid"):
        missing = sorted(set(classes) - set(rows.loc[rows["split"] == split, "label"]))
        if missing:
            raise DataError(
                f"No image of class {missing[0]!r} is in {split}. Every class must be in it; split again with --split patient."
            )


@dataclass(frozen=True)
class _Leaks:
    """What is in two splits; false when nothing is."""

    patients: tuple[str, ...]
    identical: int
    kin: int = 0  # groups of patients who share an image that was set aside

    def __bool__(self) -> bool:
        return bool(self.patients or self.identical or self.kin)

    def sentence(self) -> str:
        """What was found, without naming a patient."""
        patients = "1 patient key" if len(self.patients) == 1 else f"{len(self.patients)} patient keys"
        groups = "1 group" if self.identical == 1 else f"{self.identical} groups"
        shared = f", and {self.kin} more by a copy that was set aside" if self.kin else ""
        return f"{patients} and {groups} of identical files are in two splits{shared}"


def leaks(rows: pd.DataFrame) -> _Leaks:
    """Patients and groups of identical files that are in more than one split."""
    named = rows[rows["patient"] != ""]
    patients = named.groupby("patient")["split"].nunique()
    identical = rows.groupby("content")["split"].nunique()
    crossing = tuple(sorted(patients.index[patients > 1])), int((identical > 1).sum())
    counted = named["patient"].isin(crossing[0]).any() or crossing[1]
    kin = rows.groupby("kin")["split"].nunique()
    return _Leaks(*crossing, kin=0 if counted else int((kin > 1).sum()))


def count(table: ImageTable, split: Split | None) -> DataCounts:
    """Counts that add up: found = used + quarantined + duplicates + ignored."""
    rows = table.rows if split is None else split.rows
    counts = DataCounts(
        found=table.found,
        used=len(rows),
        quarantined=table.count("quarantined"),
        duplicates=table.count("duplicate"),  # without --drop-duplicates identical files stay in use, as one group
        ignored=table.count("ignored"),
        identical_files=int((rows["duplicate_of"] != "").sum()),
        **people(rows, table.has_patients),
        classes=dict(Counter(sorted(rows["label"]))),
        splits={} if split is None else {
            name: SplitCounts(images=len(part), **people(part, table.has_patients), classes=dict(Counter(sorted(part["label"]))))
            for name in _SPLITS if len(part := split.of(name))
        },
    )  # fmt: skip
    if counts.found != counts.used + counts.quarantined + counts.duplicates + counts.ignored:
        raise AssertionError(f"the counts do not add up: {counts}")
    return counts


def people(rows: pd.DataFrame, known: bool) -> dict[str, int | None]:
    """`patients` of these rows as they are resampled, and `patient_keys`; None where no patient is known at all."""
    if not known:
        return {"patients": None, "patient_keys": None}
    rows = rows if "group" in rows else grouped(rows, wide=True)
    return {"patients": rows["group"].nunique(), "patient_keys": _count_keys(rows)}


def _count_keys(rows: pd.DataFrame) -> int:
    """Patient keys of these rows, an image without one as its own."""
    named = rows.loc[rows["patient"] != "", "patient"].nunique()
    return int(named + (rows["patient"] == "").sum())
