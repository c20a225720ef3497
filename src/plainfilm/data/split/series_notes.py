"""What is said of series that are held out: which they are, and where class and series are confounded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from plainfilm.base.listing import some
from plainfilm.schemas.marks import CONFOUNDED

NAMED = 8  # series that a sentence lists


def series_notes(rows: pd.DataFrame) -> list[str]:
    """Notes on the series that are held out: those of test are in no other part, those of valid not in train.

    Args:
        rows: with `series`, `label` and `split`.
    """
    series = {part: set(rows.loc[rows["split"] == part, "series"]) for part in ("train", "valid", "test")}
    whole = {"test": series["test"] - series["valid"] - series["train"], "valid": series["valid"] - series["train"]}
    if not whole["test"]:
        return ["NO SERIES IS HELD OUT: each series of test is in train or valid too."]
    valid = (
        f"valid is {_listed(whole['valid'])}"
        if whole["valid"]
        else "valid is cut from the train series by whole patient"
    )
    said = (
        f"HELD-OUT SERIES: test is {_listed(whole['test'])}, of {rows['series'].nunique()} series; {valid}. "
        "The intervals are over the patients of these series, not over series."
    )
    return [said, *(note for part, names in whole.items() if names for note in _confounded(rows, part, names))]


def joined_note(rows: pd.DataFrame) -> list[str]:
    """A note where a patient (`group`) is in several series, which are therefore in one part."""
    shared = rows.groupby("group")["series"].nunique() > 1
    if not shared.any():
        return []
    names = rows.loc[rows["group"].isin(shared.index[shared]), "series"].unique()
    return [
        f"Patients (or groups of identical images) in several series: {shared.sum()}, of {_listed(names)}. Series that share "
        "one are held out together or not at all."
    ]


def spellings_note(names: Sequence[str], used: Mapping[str, str]) -> list[str]:
    """A note on series that were written in several ways; `used`: the spelling that stands for each series."""
    others = len(names) - len(used)
    if not others:
        return []
    return [f"Series that differ only in case, spaces, dashes or Unicode form are one series: {len(names)} spellings of {len(used)} series."]  # fmt: skip


def _listed(names: Collection[str]) -> str:
    return some([repr(name) for name in sorted(names)], NAMED)


def _confounded(rows: pd.DataFrame, part: str, names: set[str]) -> list[str]:
    """The note where a part has images of series that are not held out, or each held-out series of it has one class alone."""
    here = rows[rows["split"] == part]
    own, others = here[here["series"].isin(names)], here[~here["series"].isin(names)]
    lacking = sorted(set(others["label"]) - set(own["label"]) or set(others["label"]))
    if lacking:
        donors = others.loc[others["label"].isin(lacking), "series"].unique()
        return [
            f"{CONFOUNDED}: in {part}, the series held out ({_listed(names)}) are of {_listed(set(own['label']))}; "
            f"{_listed(lacking)} is a share of the patients of {_listed(donors)}, which other parts hold too. What is held out is "
            "series of the one and patients of the other."
        ]
    if (own.groupby("series")["label"].nunique() == 1).all():
        pairs = own.groupby("series")["label"].first()
        said = some([f"{name!r} is {label!r}" for name, label in pairs.items()], NAMED)
        return [
            f"{CONFOUNDED}: in {part}, each held-out series is of one class ({said}); what tells series apart also tells classes."
        ]
    return []
