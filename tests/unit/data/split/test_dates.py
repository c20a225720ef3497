"""Splits by date: the latest patients are test, nobody is in two parts, and no date is guessed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainfilm.config import DataConfig
from plainfilm.data.split.dates import _date
from plainfilm.data.split.splits import Split, leaks, make_split
from plainfilm.data.table.image_table import ImageTable
from plainfilm.data.table.saved_table import COLUMNS
from plainfilm.errors import DataError
from wording import lacking

Refusal = Callable[..., str]
BY_DATE: dict[str, Any] = {"split": "temporal", "date_column": "day"}
Image = tuple[str, str, str]  # date, label, patient


def table(images: list[Image]) -> ImageTable:
    rows: list[dict[str, Any]] = [
        {
            **dict.fromkeys(COLUMNS, ""), "path": f"/d/{i}.png", "relative": f"{i:04d}.png", "label": label, "patient": patient,
            "wide": patient, "sha256": hashlib.sha256(f"{i}".encode()).hexdigest(), "content": f"{i}", "kin": f"{i}", "grey": True,
            "bytes": 1, "series": day,
        }
        for i, (day, label, patient) in enumerate(images)
    ]  # fmt: skip
    excluded = pd.DataFrame([], columns=["path", "relative", "state", "code", "why"], dtype=str)
    return ImageTable(Path("/d"), pd.DataFrame(rows), excluded, None)


def divide(images: list[Image], seed: int = 0, **options: Any) -> Split:
    return make_split(table(images), DataConfig(**{**BY_DATE, **options}), seed)


def days(n: int, start: int = 1) -> list[Image]:
    """One image a day and patient, classes in turn."""
    return [(f"2020-01-{day:02}", "AB"[day % 2], f"p{day}") for day in range(start, start + n)]


def named(split: Split, part: str) -> list[str]:
    return list(split.of(part)["patient"])


@pytest.mark.parametrize("seed", [0, 7])
def test_the_latest_are_test_and_those_before_them_valid(seed: int) -> None:
    """Of 20 days 3 are wished for test and 5 for valid: the 18th to the 20th, and the 13th to the 17th."""
    split = divide(days(20)[::-1], seed)
    assert sorted(named(split, "test")) == ["p18", "p19", "p20"]
    assert sorted(named(split, "valid")) == [f"p{day}" for day in range(13, 18)]
    assert split.notes == (
        "TEMPORAL SPLIT: train is before 2020-01-13, valid before 2020-01-18, test from then on; every patient is where the "
        "latest image is.",
    )
    assert (split.kind, split.leaky) == ("temporal", False) and "series" not in split.rows


def test_a_patient_on_both_sides_of_a_cut_goes_with_the_latest_image() -> None:
    """p1 comes back on the 20th, p2 on the 14th. Of 22 images 4.8 are wished for test, 5.1 for valid: 5 from the 18th on, 6
    from the 14th to the 17th."""
    split = divide([*days(20), ("2020-01-20", "B", "p1"), ("2020-01-14", "A", "p2")], shares=(0.55, 0.23, 0.22))
    assert sorted(named(split, "test")) == ["p1", "p1", "p18", "p19", "p20"]
    assert {"p2"} <= set(named(split, "valid")) and "p2" not in named(split, "train")
    assert lacking(split.notes[0], "older than their part for that reason: 2, of patients: 2") == []


def test_a_day_is_never_divided() -> None:
    """Ten images on one day: 10 of 28 are more than the 4.2 wished, 3 of the day after fewer; 3 is closer."""
    images = [*days(15), *((f"2020-02-{1 + (i >= 10):02}", "AB"[i % 2], f"q{i}") for i in range(13))]
    split = divide(images)
    assert len(split.of("test")) == 3
    dates = table(images).rows.assign(split=split.rows["split"])
    assert (dates.groupby("series")["split"].nunique() == 1).all()


def test_a_cut_waits_until_every_class_is_in_test() -> None:
    """After the 15th all are B; so test begins on the 14th, the last day with an A."""
    images = [*days(15), *((f"2020-01-{day}", "B", f"p{day}") for day in range(16, 21))]
    split = divide(images)
    assert sorted(named(split, "test")) == [f"p{day}" for day in range(14, 21)]
    assert {*split.of("valid")["label"]} == {*split.of("train")["label"]} == {"A", "B"}


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([("2020-01-31", "AB"[i % 2], f"p{i}") for i in range(9)], ["All 9 images are of one date, 2020-01-31", "three or more"]),
        ([(f"2020-01-{1 + i % 2:02}", "AB"[i > 4], f"p{i}") for i in range(9)], ["two dates, 2020-01-01 and 2020-01-02"]),
        ([(f"2020-01-{i:02}", "AB"[i > 9], f"p{i}") for i in range(1, 20)],
         ["'A' is there from 2020-01-01 to 2020-01-09", "'B' is there from 2020-01-10 to 2020-01-19", "confounded"]),
        ([("", "A", "p"), *days(9)], ["1 of 10 images have no date in the column 'day'", "'0000.png'"]),
        ([("01/02/2020", "A", "p"), *days(9)], ["holds '01/02/2020'", "2020-01-31 or 20200131", "may be two days"]),
        ([("20200102", "A", "p"), *days(9)], ["'20200102' and '2020-01-01'", "two forms"]),
        ([("2020", "A", "p"), *days(9)], ["'2020' and '2020-01-01'", "two forms"]),
        ([("2020-02-30", "A", "p"), *days(9)], ["holds '2020-02-30'", "'day'"]),
    ],
)  # fmt: skip
def test_dates_that_cannot_be_cut_are_refused(images: list[Image], said: list[str], refusal: Refusal) -> None:
    assert lacking(refusal(lambda: divide(images)), *said) == []


@pytest.mark.parametrize(
    ("cell", "iso"),
    [
        ("2020-01-31", "2020-01-31"), ("20200131", "2020-01-31"), ("2020-01-31 23:59:59", "2020-01-31"),
        ("2020-01-31T10:00Z", "2020-01-31"), ("2020-02", "2020-02"), ("1999", "1999"), ("2020-2-1", None), ("31.01.2020", None),
        ("20201301", None), ("2020-01-31x", None), ("1234", None), ("Jan 2020", None), ("\u0662\u0660\u0662\u0660", None),
    ],
)  # fmt: skip
def test_a_cell_is_a_date_in_a_known_form_or_none(cell: str, iso: str | None) -> None:
    found = _date(cell)
    assert (found.iso if found else None) == iso


def test_the_dicom_form_and_years_are_cut_like_days() -> None:
    plain = divide(days(20))
    for change in (lambda day: day.replace("-", ""), lambda day: f"20{day[-2:]}", lambda day: f"{day} 07:00"):
        other = divide([(change(day), *rest) for day, *rest in days(20)])  # type: ignore[misc]
        assert list(other.rows["split"]) == list(plain.rows["split"])


@st.composite
def visits(draw: st.DrawFn) -> list[Image]:
    """Patients of two classes with one to three visits each within forty days."""
    images = []
    for i in range(draw(st.integers(6, 25))):
        for day in draw(st.lists(st.integers(1, 28), min_size=1, max_size=3)):
            images.append((f"2021-{draw(st.integers(1, 2)):02}-{day:02}", "AB"[i % 2], f"p{i}"))
    return draw(st.permutations(images))


@given(visits())
@settings(max_examples=40, deadline=None)
def test_train_holds_nothing_from_after_a_cut(images: list[Image]) -> None:
    try:
        split = divide(images)
    except DataError:
        return
    rows = split.rows.assign(day=table(images).rows["series"])
    assert not leaks(rows) and (rows.groupby("patient")["split"].nunique() == 1).all()
    assert all(set(split.of(part)["label"]) == {"A", "B"} for part in ("train", "valid", "test"))
    last = rows.groupby("patient").agg(day=("day", "max"), split=("split", "first"))
    ends = {part: last.loc[last["split"] == part, "day"] for part in ("train", "valid", "test")}
    assert ends["train"].max() < ends["valid"].min() and ends["valid"].max() < ends["test"].min()
    np.testing.assert_array_equal(rows["split"], divide(images, seed=3).rows["split"])
