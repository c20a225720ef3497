"""A small train set: the numbers asked for, whole patients first, nested, valid and test as they were."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from plainfilm.config import DataConfig
from plainfilm.data.split.splits import Split, count, make_split
from plainfilm.data.split.subsample import _RULE, keep_per_class
from plainfilm.data.table.image_table import ImageTable
from plainfilm.errors import DataError


def table_of(**classes: tuple[int, int]) -> ImageTable:
    """A table of images that no test reads: per class a number of patients and of images for each."""
    names = [
        (label, f"{label}-{p}", k)
        for label, (patients, images) in classes.items()
        for p in range(patients)
        for k in range(images)
    ]
    rows = pd.DataFrame(names, columns=["label", "patient", "k"])
    rows["relative"] = [f"{label}/{patient}_{k}.png" for label, patient, k in names]
    rows = rows.assign(path="/data/" + rows["relative"], wide=rows["patient"], given="", duplicate_of="")
    rows["content"] = rows["kin"] = rows["relative"]
    rows["sha256"] = [hashlib.sha256(name.encode()).hexdigest() for name in rows["relative"]]
    nothing = pd.DataFrame([], columns=["path", "relative", "state", "code", "why"], dtype=str)
    return ImageTable(Path("/data"), rows, nothing, None)


TABLE = table_of(NORMAL=(40, 3), PNEUMONIA=(60, 2))
SPLIT = make_split(TABLE, DataConfig(), seed=0)


def kept(wanted: int, seed: int = 0) -> set[str]:
    return set(keep_per_class(TABLE, SPLIT, wanted, seed)[1].of("train")["relative"])


def test_every_file_is_still_accounted_for_and_only_train_is_smaller() -> None:
    few, split = keep_per_class(TABLE, SPLIT, 10, seed=0)
    assert split.of("train")["label"].value_counts().to_dict() == {"NORMAL": 10, "PNEUMONIA": 10}
    for name in ("valid", "test"):
        assert split.of(name)["relative"].tolist() == SPLIT.of(name)["relative"].tolist()
    counts = count(few, split)  # raises where they do not add up
    left = len(SPLIT.of("train")) - 20
    assert (counts.found, counts.used, counts.ignored) == (240, 240 - left, left)
    assert (few.excluded["code"] == _RULE).all() and len(few.rows) == counts.used
    assert "10 train images of each class" in split.notes[-1] and f"{left} others" in split.notes[-1]


def test_images_come_by_whole_patients_and_the_last_one_in_part() -> None:
    train = keep_per_class(TABLE, SPLIT, 10, seed=0)[1].of("train")
    assert sorted(train[train["label"] == "NORMAL"]["group"].value_counts()) == [1, 3, 3, 3]
    assert sorted(train[train["label"] == "PNEUMONIA"]["group"].value_counts()) == [2] * 5


def test_with_one_seed_the_smaller_set_lies_in_the_larger_and_another_seed_draws_another() -> None:
    assert kept(5) < kept(6) < kept(10) < kept(30)
    assert kept(10) == kept(10) != kept(10, seed=1)


def test_each_patient_is_drawn_as_often_as_another() -> None:
    group = SPLIT.of("train").query("label == 'NORMAL'").set_index("relative")["group"]
    drawn = [group.loc[sorted(kept(3, seed) & set(group.index))].iloc[0] for seed in range(200)]
    often = [drawn.count(g) for g in group.unique()]
    assert len(often) == 24 and min(often) > 0 and max(often) < 20  # 8.3 on average, sd 2.8


def test_patients_of_the_images_left_out_do_not_reach_valid_or_test() -> None:
    few = keep_per_class(TABLE, SPLIT, 4, seed=0)[1]
    left = set(SPLIT.of("train")["group"])
    assert not left & set(few.rows.loc[few.rows["split"] != "train", "group"])


def test_more_than_there_are_is_refused_with_the_most_that_can_be_had(refusal: Callable[..., str]) -> None:
    small = table_of(NORMAL=(7, 1), PNEUMONIA=(60, 2))
    split = make_split(small, DataConfig(), seed=0)
    there = int((split.of("train")["label"] == "NORMAL").sum())
    assert keep_per_class(small, split, there, seed=0)
    message = refusal(lambda: keep_per_class(small, split, there + 1, seed=0), DataError)
    assert f"'NORMAL' has {there}. Choose at most {there}." in message


def test_what_is_left_is_numbered_from_0_and_has_the_columns_it_had() -> None:
    before = ImageTable(TABLE.root, TABLE.rows, pd.DataFrame([["a", "b", "ignored", "c", "d"]], columns=TABLE.excluded.columns), None)  # fmt: skip
    few, split = keep_per_class(before, SPLIT, 10, seed=0)
    for now, was in ((few.rows, TABLE.rows), (split.rows, SPLIT.rows), (few.excluded, TABLE.excluded)):
        assert now.index.tolist() == list(range(len(now)))
        assert now.columns.tolist() == was.columns.tolist()
    n = len(SPLIT.of("train"))
    assert set(few.excluded["why"][1:]) == {f"one of {n} train images, of which 10 of each class were asked for"}


def test_the_images_of_the_last_patient_are_drawn_and_not_taken_by_name() -> None:
    names = {name for seed in range(12) for name in kept(1, seed) if name.startswith("NORMAL")}
    assert {name.split("_")[1] for name in names} == {"0.png", "1.png", "2.png"}


def test_the_draw_stays_what_it_was() -> None:
    """A learning curve that is continued with a newer version must lie on the same images."""
    rows = TABLE.rows.assign(split="train", group=TABLE.rows["patient"].factorize()[0])
    left = keep_per_class(TABLE, Split(rows, "patient", False, ()), 2, seed=5)[1].rows
    assert left["relative"].tolist() == [
        "NORMAL/NORMAL-19_0.png",
        "NORMAL/NORMAL-19_1.png",
        "PNEUMONIA/PNEUMONIA-50_0.png",
        "PNEUMONIA/PNEUMONIA-50_1.png",
    ]
