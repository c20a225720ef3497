"""Whole series held out: test and valid of unseen hospitals, every class everywhere, and what is said of it."""

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

from plainfilm.config import DataConfig, load_config
from plainfilm.data.split.splits import Split, leaks, make_split
from plainfilm.data.table.image_table import ImageTable
from plainfilm.data.table.saved_table import COLUMNS
from plainfilm.errors import ConfigError, DataError, UsageError
from plainfilm.pipeline.split import write_split
from plainfilm.schemas.marks import marks
from wording import lacking

Refusal = Callable[..., str]
Image = tuple[str, str, str, str]  # series, label, patient, content; '' as content: differs from all others
BY_COLUMN: dict[str, Any] = {"split": "group", "group_column": "hospital"}


def table(images: list[Image]) -> ImageTable:
    """Images that no test opens. Kin are those who share a patient or a content, as in build_table()."""
    rows: list[dict[str, Any]] = []
    for i, (series, label, patient, content) in enumerate(images):
        said = content or f"image {i}"
        rows.append({
            **dict.fromkeys(COLUMNS, ""), "path": f"/d/{i}.png", "relative": f"{i:04d}.png", "label": label, "patient": patient,
            "wide": patient, "sha256": hashlib.sha256(said.encode()).hexdigest(), "content": said,
            "kin": f"{i}", "grey": True, "bytes": 1, "series": series,
        })  # fmt: skip
    excluded = pd.DataFrame([], columns=["path", "relative", "state", "code", "why"], dtype=str)
    return ImageTable(Path("/d"), pd.DataFrame(rows), excluded, None)


def of(series: str, **patients: int) -> list[Image]:
    """One image for each of so many patients of each class."""
    return [(series, label, f"{series}-{label}-{i}", "") for label, n in patients.items() for i in range(n)]


def divide(images: list[Image], seed: int = 0, **options: Any) -> Split:
    return make_split(table(images), DataConfig(**{**BY_COLUMN, **options}), seed)


def sizes(split: Split) -> dict[str, dict[str, int]]:
    """Part -> how many images of each series."""
    return {part: split.of(part)["series"].value_counts().sort_index().to_dict() for part in ("train", "valid", "test")}


def labels(split: Split, part: str) -> dict[str, int]:
    return split.of(part)["label"].value_counts().sort_index().to_dict()


HOSPITALS = [*of("A", ill=10, well=10), *of("B", ill=3, well=3), *of("C", ill=5, well=5), *of("D", ill=2, well=2)]
# As the set of Kermany et al.: two counters of names are of one class, the third is the other class.
COUNTERS = [*of("IM", NORMAL=6), *of("N2", NORMAL=10), *of("person", PNEUMONIA=40)]


@pytest.mark.parametrize("seed", range(3))
def test_test_and_valid_are_whole_hospitals(seed: int) -> None:
    """40 images, 6 wished for test: the smallest, D (4), has both classes. Of the 36 others 10.6 are wished for valid: the
    smallest, B (6); C more would be 16. Train is the rest."""
    split = divide(HOSPITALS, seed)
    assert sizes(split) == {"train": {"A": 20, "C": 10}, "valid": {"B": 6}, "test": {"D": 4}}
    assert (split.kind, split.leaky, split.has_test) == ("group", False, True)
    assert split.notes == (
        "HELD-OUT SERIES: test is 'D', of 4 series; valid is 'B'. The intervals are over the patients of these series, "
        "not over series.",
    )


def test_of_two_hospitals_one_is_test_and_valid_is_cut_from_the_other_by_patient() -> None:
    split = divide([*of("A", ill=10, well=10), *of("B", ill=4, well=4)])
    assert sizes(split) == {"train": {"A": 14}, "valid": {"A": 6}, "test": {"B": 8}}  # 20 x .25 / .85 = 5.9
    assert labels(split, "valid") == {"ill": 3, "well": 3}
    assert (
        lacking(split.notes[0], "test is 'B', of 2 series", "valid is cut from the train series by whole patient") == []
    )


def test_named_series_are_test() -> None:
    split = divide(HOSPITALS, test_series="a, C")
    assert sizes(split)["test"] == {"A": 20, "C": 10}
    assert sizes(split)["valid"] in ({"B": 6}, {"D": 4})
    comma = [("Rome, East" if series == "A" else series, *rest) for series, *rest in HOSPITALS]
    assert sizes(divide(comma, test_series="Rome, East"))["test"] == {"Rome, East": 20}  # type: ignore[arg-type]


# --- class and series -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_series_of_one_class_is_completed_by_whole_patients_of_the_other(seed: int) -> None:
    """Only IM or N2 can be spared; of 16 NORMAL 2.4 are wished, so IM. 15 % of 40 PNEUMONIA are 6. Then N2 and person are
    each the only one of its class, so valid is cut by patient: .25 / .85 of 10 and of 34 are 2.9 and 10."""
    split = divide(COUNTERS, seed)
    assert sizes(split)["test"] == {"IM": 6, "person": 6}
    assert labels(split, "valid") == {"NORMAL": 3, "PNEUMONIA": 10}
    assert labels(split, "train") == {"NORMAL": 7, "PNEUMONIA": 24}
    assert marks(list(split.notes)) == "CLASS AND SERIES ARE CONFOUNDED: "
    assert split.notes[1] == (
        "CLASS AND SERIES ARE CONFOUNDED: in test, the series held out ('IM') are of 'NORMAL'; 'PNEUMONIA' is a share of the "
        "patients of 'person', which other parts hold too. What is held out is series of the one and patients of the other."
    )


def test_a_named_series_of_one_class_is_completed_too() -> None:
    assert sizes(divide(COUNTERS, test_series="N2"))["test"] == {"N2": 10, "person": 6}


def test_the_hospital_that_alone_has_a_class_is_never_test() -> None:
    """B has well images alone. A, with all the ill ones, cannot be spared, although it is held by no rule of sizes."""
    split = divide([*of("A", ill=20, well=20), *of("B", well=30)])
    assert sizes(split)["test"] == {"A": 3, "B": 30}  # 15 % of 20 ill
    assert labels(split, "test") == {"ill": 3, "well": 30}


def test_small_series_are_added_up_to_the_share() -> None:
    """Ten wards of 2 well images and one of all ill: of 20 well images .3 are 6, three wards; of 20 ill ones 6."""
    wards = [row for i in range(10) for row in of(f"w{i}", well=2)]
    drawn = set()
    for seed in range(6):
        split = divide([*wards, *of("clinic", ill=20)], seed, shares=(0.4, 0.3, 0.3))
        assert labels(split, "test") == {"ill": 6, "well": 6}
        whole = set(split.of("test")["series"]) - {"clinic"}
        assert len(whole) == 3
        drawn.add(frozenset(whole))
    assert len(drawn) > 1  # the seed draws them


def test_the_last_series_of_a_class_stays() -> None:
    """Of 14 images of the wards 7 are wished for test: both with odd ones, 6, would be close, and leave none for train."""
    wards = [*of("w0", odd=3), *of("w1", odd=3), *(row for i in range(2, 6) for row in of(f"w{i}", well=2))]
    for seed in range(10):
        split = divide([*wards, *of("clinic", ill=20)], seed, shares=(0.3, 0.2, 0.5))
        assert labels(split, "train").keys() == {"ill", "odd", "well"} == labels(split, "test").keys()


def test_where_each_held_out_series_is_of_one_class_it_is_said() -> None:
    four = [*of("a", ill=5), *of("b", ill=30), *of("c", well=5), *of("d", well=30)]
    split = divide(four)
    assert sizes(split)["test"] == {"a": 5, "c": 5}
    assert split.notes[1] == (
        "CLASS AND SERIES ARE CONFOUNDED: in test, each held-out series is of one class ('a' is 'ill', 'c' is 'well'); what "
        "tells series apart also tells classes."
    )


def test_series_with_all_classes_are_not_called_confounded() -> None:
    assert marks(list(divide(HOSPITALS).notes)) == ""


@pytest.mark.parametrize(
    ("images", "options", "said"),
    [
        (of("A", ill=9, well=9), {}, ["All 18 images are of one series, 'A'", "two or more"]),
        ([*of("A", ill=9), *of("B", well=9)], {}, ["None of 2 series can be held out", "the only one of a class"]),
        (COUNTERS, {"test_series": "person"}, ["Every image of class 'PNEUMONIA'", "'person'", "--test-series"]),
        (HOSPITALS, {"test_series": "A,B,C,D"}, ["Every image of class 'ill'", "'A', 'B', 'C', 'D'"]),
        ([("", *row[1:]) for row in HOSPITALS[:3]] + HOSPITALS[3:], {}, ["3 of 40 images have no series in the column 'hospital'", "'0000.png'"]),
        ([*of("A", ill=2, well=9), *of("B", well=9)], {}, ["The class 'ill' has 2 patients", "at least 3"]),
    ],
)  # fmt: skip
def test_what_cannot_be_held_out_is_refused(
    images: list[Image], options: dict, said: list[str], refusal: Refusal
) -> None:
    assert lacking(refusal(lambda: divide(images, **options), DataError), *said) == []


def test_a_series_that_is_not_there_is_a_mistake_of_the_command(refusal: Refusal) -> None:
    message = refusal(lambda: divide(HOSPITALS, test_series="A,E"), UsageError)
    assert lacking(message, "--test-series 'E'", "'A', 'B', 'C', 'D'") == []
    assert "--test-series ' , '" in refusal(lambda: divide(HOSPITALS, test_series=" , "), UsageError)


# --- patients, copies, spellings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", ["patient", "content"])
def test_hospitals_that_share_a_patient_or_an_image_are_held_out_together(shared: str) -> None:
    def twin(series: str) -> Image:
        return series, "ill", "both" if shared == "patient" else f"{series}-x", "same" if shared == "content" else ""

    split = divide([*HOSPITALS, twin("B"), twin("D")])  # C, 10 images, is now the smallest of three
    part = {series: set(rows["split"]) for series, rows in split.rows.groupby("series")}
    assert part["B"] == part["D"] and all(len(found) == 1 for found in part.values())
    assert sizes(split)["test"] == {"C": 10}
    assert lacking(split.notes[0], "in several series: 1, of 'B', 'D'") == []
    asked = divide([*HOSPITALS, twin("B"), twin("D")], test_series="B")
    assert sizes(asked)["test"] == {"B": 7, "D": 5}


def test_where_all_series_share_patients_nothing_can_be_held_out(refusal: Refusal) -> None:
    chain = [
        ("A", "ill", "p", ""),
        ("B", "ill", "p", ""),
        ("B", "well", "q", ""),
        ("C", "well", "q", ""),
        ("D", "well", "q", ""),
    ]
    message = refusal(lambda: divide([*HOSPITALS, *chain]))
    assert lacking(message, "All 4 series share patients", "2 in several series", "--split patient") == []


def test_spellings_of_one_series_are_one_and_it_is_said() -> None:
    spelled = [("d " if i == 39 else series, *rest) for i, (series, *rest) in enumerate(HOSPITALS)]
    split = divide(spelled)  # type: ignore[arg-type]
    assert sizes(split)["test"] == {"D": 4}
    assert lacking(split.notes[0], "one series", "5 spellings of 4 series") == []


def test_options_of_another_split_are_not_ignored_in_silence() -> None:
    cfg = DataConfig(split="patient", group_column="hospital", date_column="day")
    assert list(make_split(table(HOSPITALS), cfg, 0).notes) == [
        "--group-column was not used: only --split group holds series out by it.",
        "--date-column was not used: only --split temporal holds series out by it.",
    ]


def test_a_table_that_was_built_for_another_split_is_refused(refusal: Refusal) -> None:
    plain = table(HOSPITALS)
    other = ImageTable(plain.root, plain.rows.drop(columns="series"), plain.excluded, None)
    assert "has no series" in refusal(lambda: make_split(other, DataConfig(**BY_COLUMN), 0))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "group"}, ["--group-column", "--group-pattern", "found neither"]),
        ({**BY_COLUMN, "group_pattern": "(a)"}, ["found both"]),
        ({"split": "temporal"}, ["--date-column"]),
        ({"split": "group", "group_pattern": "a"}, ["has no group", "'^([A-Z]+)-'"]),
    ],
)
def test_a_config_names_what_it_holds_out_by(options: dict[str, Any], said: list[str], refusal: Refusal) -> None:
    message = refusal(
        lambda: load_config(options={f"data.{name}": value for name, value in options.items()}), ConfigError
    )
    assert lacking(message, *said) == []


# --- split files ----------------------------------------------------------------------------------------------------------


def test_a_split_file_says_the_same_of_its_series(tmp_path: Path) -> None:
    split = divide(COUNTERS, seed=1)
    write_split(tmp_path / "split.csv", split)
    assert list(pd.read_csv(tmp_path / "split.csv").columns) == [
        "path",
        "label",
        "patient",
        "group",
        "split",
        "sha256",
        "series",
    ]
    plain = table([("", *rest) for _, *rest in COUNTERS])  # type: ignore[misc]
    rows = plain.rows.drop(columns="series")
    again = make_split(
        ImageTable(plain.root, rows, plain.excluded, None), DataConfig(split=str(tmp_path / "split.csv")), 5
    )
    assert again.notes == split.notes and again.kind == "file"
    assert list(again.rows["split"]) == list(split.rows["split"])


@pytest.mark.parametrize("of_train", ["A", "B"])
def test_a_split_file_in_which_no_series_is_held_out_says_that(tmp_path: Path, of_train: str) -> None:
    split = divide(HOSPITALS)
    write_split(tmp_path / "split.csv", split)
    frame = pd.read_csv(tmp_path / "split.csv", dtype=str)
    frame.assign(series=np.where(frame["split"] == "train", of_train, "A")).to_csv(tmp_path / "split.csv", index=False)
    rows = table(HOSPITALS).rows.drop(columns="series")
    again = make_split(ImageTable(Path("/d"), rows, table(HOSPITALS).excluded, None), DataConfig(split=str(tmp_path / "split.csv")), 0)  # fmt: skip
    assert again.notes == ("NO SERIES IS HELD OUT: each series of test is in train or valid too.",)


# --- properties -----------------------------------------------------------------------------------------------------------


@st.composite
def hospitals(draw: st.DrawFn) -> list[Image]:
    """Two to six series of some of two or three classes; a few patients and images are in two of them."""
    names = "ABCDEF"[: draw(st.integers(2, 6))]
    classes = "xyz"[: draw(st.integers(2, 3))]
    images: list[Image] = []
    for name in names:
        for label in draw(st.lists(st.sampled_from(classes), min_size=1, max_size=3, unique=True)):
            for i in range(draw(st.integers(1, 9))):
                images += [(name, label, f"{name}{label}{i}", "")] * draw(st.sampled_from([1, 1, 1, 4]))
    for k in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        one, other = draw(st.sampled_from(names)), draw(st.sampled_from(names))
        same = draw(st.booleans())
        images += [
            (name, classes[0], f"s{k}" if same else f"s{k}{name}", "" if same else f"copy {k}") for name in (one, other)
        ]
    return draw(st.permutations(images))


@given(hospitals(), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_whatever_is_held_out_is_whole_and_complete(images: list[Image], seed: int) -> None:
    try:
        split = divide(images, seed)
    except DataError:
        return
    rows = split.rows
    assert not leaks(rows) and not split.leaky
    assert (rows.groupby("group")["split"].nunique() == 1).all()
    assert (rows.groupby("patient")["split"].nunique() == 1).all() and (
        rows.groupby("content")["split"].nunique() == 1
    ).all()
    everything = set(rows["label"])
    assert all(set(split.of(part)["label"]) == everything for part in ("train", "valid", "test"))
    elsewhere = set(rows.loc[rows["split"] != "test", "series"])
    whole = split.of("test")["series"][~split.of("test")["series"].isin(elsewhere)]
    assert len(whole)
    shared = split.of("test")["series"].isin(elsewhere)
    assert shared.any() <= any(note.startswith("CLASS AND SERIES") for note in split.notes)
    again = divide(images, seed)
    assert list(again.rows["split"]) == list(rows["split"]) and again.notes == split.notes


@given(st.integers(0, 2**31), st.integers(30, 60))
@settings(max_examples=40, deadline=None)
def test_with_many_series_the_shares_are_met(seed: int, many: int) -> None:
    rng = np.random.default_rng(seed)
    images = [
        row for i in range(many) for row in of(f"s{i}", ill=int(rng.integers(1, 5)), well=int(rng.integers(1, 5)))
    ]
    split = divide(images, seed)
    found = split.rows["split"].value_counts(normalize=True)
    assert max(abs(found[part] - share) for part, share in (("train", 0.60), ("valid", 0.25), ("test", 0.15))) <= 0.03
    assert (split.rows.groupby("series")["split"].nunique() == 1).all()
