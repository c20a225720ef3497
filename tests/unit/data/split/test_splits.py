"""Splits: whole patients, every class everywhere, shares met; given folders kept and their leaks refused."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainfilm.config import DataConfig
from plainfilm.data.split.allocate import _even_out, _fill, allocate
from plainfilm.data.split.splits import NO_PATIENTS, Split, _Leaks, count, grouped, leaks, make_split
from plainfilm.data.split.valid_roles import cut_valid
from plainfilm.data.table.image_table import ImageTable, build_table
from plainfilm.data.table.patients import key_from_name
from plainfilm.data.table.saved_table import COLUMNS
from plainfilm.errors import DataError, GateError
from plainfilm.evaluate.metrics.measure import measure
from plainfilm.pipeline.split import write_split
from wording import lacking

Refusal = Callable[..., str]
SHARES = np.array([0.60, 0.25, 0.15])
OFFICIAL = DataConfig(split="official")


def image(label: str, patient: str = "", *, given: str = "", name: str = "", content: str = "") -> dict[str, Any]:
    """One row; `name` is a file name that tells the patient, `content` stands for the bytes."""
    key = key_from_name(name) if name else None
    return {
        "label": label, "patient": key.patient if key else patient, "wide": key.wide if key else patient,
        "given": given, "name": name, "content": content,
    }  # fmt: skip


def table(images: list[dict[str, Any]], root: str = "/data") -> ImageTable:
    """A table of images that no test opens; without `content` each differs."""
    rows = []
    for i, facts in enumerate(images):
        relative = f"{facts['given']}/{facts['label']}/{facts['name'] or f'{i:05d}.png'}".lstrip("/")
        content = facts["content"] or f"image {i}"
        rows.append({
            "path": f"{root}/{relative}", "relative": relative, "label": facts["label"], "patient": facts["patient"],
            "wide": facts["wide"], "given": facts["given"], "sha256": hashlib.sha256(content.encode()).hexdigest(),
            "bytes": 100, "width": 8, "height": 8, "mode": "L", "grey": True, "depth": 8, "channels": 1, "quantisation": 0,
            "content": hashlib.md5(content.encode(), usedforsecurity=False).hexdigest(), "duplicate_of": "", "kin": f"{i} of {content}",
        })  # fmt: skip
    excluded = pd.DataFrame([], columns=["path", "relative", "state", "code", "why"], dtype=str)
    return ImageTable(Path(root), pd.DataFrame(rows, columns=COLUMNS), excluded, None)


def image_rows(patients: int, images: int, label: str, given: str = "", first: int = 0) -> list[dict[str, Any]]:
    """`images` images for each of `patients` patients of one class."""
    names = (f"{label}-{given}-{p}" for p in range(first, first + patients))
    return [image(label, name, given=given) for name in names for _ in range(images)]


def parts(split: Split) -> dict[str, set[str]]:
    """Patient -> the splits it is in."""
    return {str(key): set(part) for key, part in split.rows.groupby("patient")["split"]}


def split_of(split: Split) -> dict[str, str]:
    return dict(zip(split.rows["relative"], split.rows["split"], strict=True))


def group_of(split: Split) -> dict[str, int]:
    return dict(zip(split.rows["relative"], split.rows["group"], strict=True))


# --- allocate(): the division itself -----------------------------------------------------------------------------


@st.composite
def patients_of_classes(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Groups and labels: every class has three patients or more that carry it alone, and some carry several."""
    classes = draw(st.integers(2, 4))
    groups: list[int] = []
    labels: list[int] = []
    number = 0
    for label in range(classes):
        for size in draw(st.lists(st.integers(1, 6), min_size=3, max_size=8)):
            groups += [number] * size
            labels += [label] * size
            number += 1
    for mixed in draw(st.lists(st.lists(st.integers(0, classes - 1), min_size=2, max_size=6), max_size=5)):
        groups += [number] * len(mixed)
        labels += mixed
        number += 1
    order = np.random.default_rng(draw(st.integers(0, 99))).permutation(len(groups))
    return np.array(groups)[order], np.array(labels)[order]


@given(patients_of_classes(), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_no_group_is_divided_and_every_class_is_in_every_part(rows: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    groups, labels = rows
    part = allocate(groups, labels, SHARES, np.random.default_rng(seed))
    assert part.shape == groups.shape
    assert all(len(set(part[groups == group])) == 1 for group in set(groups))
    everywhere = set(labels)
    assert [set(labels[part == i]) for i in range(3)] == [everywhere] * 3
    np.testing.assert_array_equal(part, allocate(groups, labels, SHARES, np.random.default_rng(seed)))


def many_patients(seed: int, patients: int, rare: float) -> tuple[np.ndarray, np.ndarray]:
    """1 to 3 images each: none of 150 or more patients has above 2 % of them. A share `rare`, or five, are of class 1."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, patients)
    label = (np.arange(patients) < max(5, rare * patients)).astype(int)
    groups = np.repeat(np.arange(patients), sizes)
    return groups, label[groups]


@given(
    st.integers(0, 2**32),
    st.integers(150, 400),
    st.floats(0.02, 0.5),
    st.sampled_from([(0.60, 0.25, 0.15), (0.80, 0.20), (0.2, 0.2, 0.2, 0.2, 0.2), (0.9, 0.05, 0.05)]),
)
@settings(max_examples=50, deadline=None)
def test_shares_are_met_within_two_points_when_no_group_is_large(
    seed: int, patients: int, rare: float, shares: tuple[float, ...]
) -> None:
    groups, labels = many_patients(seed, patients, rare)
    assert np.bincount(groups).max() <= 0.02 * len(groups)
    part = allocate(groups, labels, np.array(shares), np.random.default_rng(seed))
    found = np.bincount(part, minlength=len(shares)) / len(part)
    assert np.abs(found - shares).max() <= 0.02


@given(st.integers(0, 2**32), st.integers(150, 400))
@settings(max_examples=25, deadline=None)
def test_each_class_is_divided_like_the_whole(seed: int, patients: int) -> None:
    groups, labels = many_patients(seed, patients, rare=0.4)
    part = allocate(groups, labels, SHARES, np.random.default_rng(seed))
    for label in (0, 1):
        found = np.bincount(part[labels == label], minlength=3) / np.sum(labels == label)
        assert np.abs(found - SHARES).max() <= 0.02


@pytest.mark.parametrize("seed", range(5))
def test_patients_with_many_images_are_spread_like_those_with_one(seed: int) -> None:
    # 300 patients with one image and 60 with six: 660 / 360 = 1.83 images per patient, in every part
    sizes = np.repeat([1, 6], [300, 60])
    groups = np.repeat(np.arange(360), sizes)
    part = allocate(groups, groups % 2, SHARES, np.random.default_rng(seed))
    for i in range(3):
        mine = groups[part == i]
        assert len(mine) / len(set(mine)) == pytest.approx(660 / 360, rel=0.1)


def test_three_patients_of_each_class_give_one_to_each_part() -> None:
    groups = np.array([0, 0, 0, 1, 2, 3, 4, 4, 5])
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1])
    part = allocate(groups, labels, SHARES, np.random.default_rng(0))
    assert [sorted(set(groups[part == i]) & {0, 1, 2}) for i in range(3)] != [[], [], []]
    for i in range(3):
        assert len(set(groups[part == i])) == 2
        assert set(labels[part == i]) == {0, 1}
    assert set(part[groups == 0]) == {0}  # the patient with most images is in train


def test_fewer_groups_than_parts_are_refused() -> None:
    with pytest.raises(DataError, match="^No division into 3 parts has every class"):
        allocate(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), SHARES, np.random.default_rng(0))


@pytest.mark.parametrize("seed", range(5))
def test_a_division_that_exists_is_found_although_patients_carry_several_classes(seed: int) -> None:
    # Images of classes 0, 1, 2 per patient; each class has three patients. By hand: one part takes patients 0 and 2,
    # one 1 and 4, and one 3 and 5; then each has all three classes.
    counts = np.array([[0, 2, 1], [0, 2, 0], [1, 0, 0], [0, 0, 1], [2, 0, 1], [1, 2, 0]])
    assert [(counts[list(pair)].sum(axis=0) > 0).all() for pair in ((0, 2), (1, 4), (3, 5))] == [True] * 3
    group, label = np.nonzero(counts)
    repeats = counts[group, label]
    groups, labels = np.repeat(group, repeats), np.repeat(label, repeats)
    part = allocate(groups, labels, SHARES, np.random.default_rng(seed))
    assert [set(labels[part == i]) for i in range(3)] == [{0, 1, 2}] * 3


# --- whole patients ------------------------------------------------------------------------------------------------


def test_the_default_split_keeps_patients_whole_and_meets_the_shares() -> None:
    split = make_split(table(image_rows(100, 2, "A") + image_rows(60, 3, "B")), DataConfig(), seed=0)
    assert all(len(found) == 1 for found in parts(split).values())
    share = split.rows["split"].value_counts(normalize=True)
    assert [abs(share[name] - wish) <= 0.02 for name, wish in zip(("train", "valid", "test"), SHARES, strict=True)] == [
        True
    ] * 3
    assert (split.kind, split.leaky, split.notes, split.has_test) == ("patient", False, (), True)
    assert not leaks(split.rows)


def test_a_split_is_a_function_of_its_seed_alone() -> None:
    images = image_rows(30, 2, "A") + image_rows(30, 2, "B")
    first = make_split(table(images), DataConfig(), seed=4)
    np.random.default_rng().random(3)
    np.random.seed(1)  # the process-wide generator must not matter
    before = np.random.get_state()[1].copy()
    again = make_split(table(images, root="/elsewhere"), DataConfig(), seed=4)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    assert split_of(first) == split_of(again)
    assert split_of(first) != split_of(make_split(table(images), DataConfig(), seed=5))


def test_identical_files_stay_together_whoever_they_belong_to() -> None:
    images = image_rows(20, 1, "A") + image_rows(20, 1, "B")
    images += [image("A", f"copy-{i}", content="the same bytes") for i in range(4)]
    for seed in range(5):
        split = make_split(table(images), DataConfig(), seed)
        copies = split.rows[split.rows["patient"].str.startswith("copy-")]
        assert copies["split"].nunique() == copies["group"].nunique() == 1


def kermany(given: str, children: range) -> list[dict[str, Any]]:
    """Each child has one bacterial and one viral image, and there are as many normal ones."""
    ill = [
        image("PNEUMONIA", given=given, name=f"person{child}_{kind}_1.jpeg")
        for child in children
        for kind in ("bacteria", "virus")
    ]
    return ill + [image("NORMAL", given=given, name=f"IM-{child:04d}-0001.jpeg") for child in children]


def test_both_subtypes_of_a_person_stay_together_inside_one_given_folder() -> None:
    for seed in range(3):
        split = make_split(table(kermany("train", range(1, 30))), DataConfig(), seed)
        part_of, group = split_of(split), group_of(split)
        for child in range(1, 30):
            both = [f"train/PNEUMONIA/person{child}_{kind}_1.jpeg" for kind in ("bacteria", "virus")]
            assert part_of[both[0]] == part_of[both[1]]
            assert group[both[0]] == group[both[1]]


def test_a_person_of_train_and_one_of_test_are_two_when_their_subtypes_differ() -> None:
    images = [
        *kermany("train", range(1, 10)),
        image("PNEUMONIA", given="test", name="person3_virus_9.jpeg"),  # the key of a child in train
        image("PNEUMONIA", given="test", name="person77_virus_1.jpeg"),
        image("PNEUMONIA", given="train", name="person77_bacteria_1.jpeg"),
    ]
    group = group_of(make_split(table(images), DataConfig(), seed=0))
    assert group["test/PNEUMONIA/person3_virus_9.jpeg"] == group["train/PNEUMONIA/person3_virus_1.jpeg"]
    assert group["test/PNEUMONIA/person77_virus_1.jpeg"] != group["train/PNEUMONIA/person77_bacteria_1.jpeg"]


def test_given_folders_that_are_split_again_are_named_in_a_note() -> None:
    split = make_split(table(kermany("train", range(9)) + kermany("test", range(20, 29))), DataConfig(), seed=0)
    assert [note for note in split.notes if "pooled and split again" in note]


@pytest.mark.parametrize("images", [1, 50])
def test_a_class_with_fewer_than_three_patients_is_refused_however_many_images_it_has(
    refusal: Refusal, images: int
) -> None:
    data = table(image_rows(20, 1, "A") + image_rows(2, images, "B"))
    message = refusal(lambda: make_split(data, DataConfig(), seed=0))
    assert "The class 'B' has 2 patients" in message
    assert "at least 3 are needed, one for each part" in message
    assert "Add patients of this class, or leave it out" in message


def test_three_patients_per_class_are_enough() -> None:
    split = make_split(table(image_rows(3, 2, "A") + image_rows(3, 1, "B")), DataConfig(), seed=0)
    assert {name: set(split.of(name)["label"]) for name in ("train", "valid", "test")} == {
        "train": {"A", "B"},
        "valid": {"A", "B"},
        "test": {"A", "B"},
    }


# --- no patient key ------------------------------------------------------------------------------------------------


def test_without_a_patient_key_each_image_is_its_own_patient_and_a_note_says_so() -> None:
    data = table(image_rows(0, 0, "A") + [image("A")] * 12 + [image("B")] * 12)
    split = make_split(data, DataConfig(), seed=0)
    assert NO_PATIENTS in split.notes
    assert "too narrow" in NO_PATIENTS
    assert split.rows["group"].nunique() == 24
    counts = count(data, split)
    assert counts.patients is None
    assert {part.patients for part in counts.splits.values()} == {None}


def test_counts_add_up_and_images_without_a_key_count_as_one_patient_each() -> None:
    data = table(image_rows(6, 2, "A") + image_rows(6, 1, "B") + [image("B"), image("B")])
    split = make_split(data, DataConfig(), seed=0)
    assert [note[:16] for note in split.notes] == ["2 of 20 images h"]
    counts = count(data, split)
    assert (counts.found, counts.used, counts.quarantined, counts.duplicates, counts.ignored) == (20, 20, 0, 0, 0)
    assert counts.patients == 6 + 6 + 2
    assert counts.classes == {"A": 12, "B": 8}
    assert sum(part.images for part in counts.splits.values()) == 20
    assert sum(part.patients or 0 for part in counts.splits.values()) == 14
    assert sum(part.classes["A"] for part in counts.splits.values()) == 12


def test_a_file_that_was_set_aside_is_counted_as_found(tiny_cxr: Path) -> None:
    (tiny_cxr / "NORMAL" / "notes.txt").write_text("x")
    (tiny_cxr / "NORMAL" / "broken.png").write_text("x")
    copy = tiny_cxr / "NORMAL" / "phantom-00001-9.png"
    copy.write_bytes((tiny_cxr / "NORMAL" / "phantom-00001-1.png").read_bytes())
    data = build_table(tiny_cxr, DataConfig())
    counts = count(data, make_split(data, DataConfig(), seed=0))
    assert (counts.found, counts.used, counts.quarantined, counts.ignored, counts.identical_files) == (35, 33, 1, 1, 1)


# --- by image ------------------------------------------------------------------------------------------------------


def test_a_split_by_image_is_leaky_and_says_so() -> None:
    split = make_split(table(image_rows(20, 6, "A") + image_rows(20, 6, "B")), DataConfig(split="image"), seed=0)
    assert (split.kind, split.leaky) == ("image", True)
    assert [note for note in split.notes if note.startswith("LEAKY SPLIT")]
    assert any(len(found) > 1 for found in parts(split).values())
    share = split.rows["split"].value_counts(normalize=True)
    assert share["train"] == pytest.approx(0.60, abs=0.02)


def test_a_split_by_image_says_leaky_although_no_patient_is_known() -> None:
    split = make_split(table([image("A")] * 12 + [image("B")] * 12), DataConfig(split="image"), seed=0)
    assert split.leaky
    assert [note for note in split.notes if note.startswith("LEAKY SPLIT")]


# --- k-fold --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folds", [3, 5])
def test_over_all_folds_each_image_is_tested_once_and_chosen_on_once(folds: int) -> None:
    data = table(image_rows(12, 2, "A") + image_rows(9, 1, "B"))
    splits = [make_split(data, DataConfig(split="kfold", folds=folds, fold=fold), seed=2) for fold in range(folds)]
    everyone = sorted(data.rows["relative"])
    for name in ("test", "valid"):
        assert sorted(relative for split in splits for relative in split.of(name)["relative"]) == everyone
    for fold, split in enumerate(splits):
        assert all(len(found) == 1 for found in parts(split).values())
        assert set(split.of("valid")["relative"]) == set(splits[(fold + 1) % folds].of("test")["relative"])
        assert {len(set(split.of(name)["label"])) for name in ("train", "valid", "test")} == {2}


def test_k_folds_need_k_patients_of_each_class(refusal: Refusal) -> None:
    data = table(image_rows(20, 1, "A") + image_rows(4, 3, "B"))
    message = refusal(lambda: make_split(data, DataConfig(split="kfold", folds=5), seed=0))
    assert "The class 'B' has 4 patients" in message
    assert "at least 5 are needed" in message


# --- given folders -------------------------------------------------------------------------------------------------


def given_image_rows(test: int = 10) -> list[dict[str, Any]]:
    """80 patients of two images in train, 20 in val, and `test` in test; half of them of each class."""
    return [
        row
        for given, patients in (("train", 80), ("valid", 20), ("test", test))
        for label in "AB"
        for row in image_rows(patients // 2, 2, label, given)
    ]


def test_official_keeps_the_test_folder_and_divides_train_and_val_by_patient() -> None:
    data = table(given_image_rows())
    split = make_split(data, OFFICIAL, seed=0)
    assert (split.kind, split.leaky, split.has_test) == ("official", False, True)
    assert lacking(split.notes[0], "train and val were pooled", "20%", "--split given keeps val") == []
    assert len(split.notes) == 1
    assert set(split.of("test")["given"]) == {"test"}
    assert len(split.of("test")) == 20
    assert all(len(found) == 1 for found in parts(split).values())
    assert len(split.of("valid")) == pytest.approx(0.20 * 200, abs=4)  # two points of the pooled 200
    assert set(split.of("valid")["given"]) == {"train", "valid"}  # pooled: val is not kept as it is
    assert set(split.of("train")["given"]) == {"train", "valid"}
    assert list(split.rows["relative"]) == list(data.rows["relative"])
    assert split_of(split) != split_of(make_split(data, OFFICIAL, seed=1))


def test_a_patient_in_train_and_in_val_is_no_leak_of_official() -> None:
    images = [*given_image_rows(), *(image("A", "A-train-0", given="valid") for _ in range(2))]
    split = make_split(table(images), OFFICIAL, seed=0)
    assert len(parts(split)["A-train-0"]) == 1
    assert not split.leaky


def test_official_keeps_both_subtypes_together_where_it_divides_and_apart_where_it_does_not() -> None:
    images = [
        *kermany("train", range(1, 20)),
        image("NORMAL", given="test", name="IM-0900-0001.jpeg"),
        image("PNEUMONIA", given="train", name="person50_bacteria_1.jpeg"),
        image("PNEUMONIA", given="valid", name="person50_virus_1.jpeg"),
        image("PNEUMONIA", given="train", name="person60_bacteria_1.jpeg"),
        image("PNEUMONIA", given="test", name="person60_virus_1.jpeg"),
        image("PNEUMONIA", given="test", name="person70_virus_1.jpeg"),
        image("PNEUMONIA", given="test", name="person70_bacteria_1.jpeg"),
    ]
    split = make_split(table(images), OFFICIAL, seed=0)  # no leak: person60 of train and of test are not one key
    part_of, group = split_of(split), group_of(split)
    assert part_of["train/PNEUMONIA/person50_bacteria_1.jpeg"] == part_of["valid/PNEUMONIA/person50_virus_1.jpeg"]
    assert group["train/PNEUMONIA/person60_bacteria_1.jpeg"] != group["test/PNEUMONIA/person60_virus_1.jpeg"]
    assert group["test/PNEUMONIA/person70_virus_1.jpeg"] != group["test/PNEUMONIA/person70_bacteria_1.jpeg"]


LEAKS = {
    "the same patient": (
        [image("A", "A-train-0", given="test")],
        ["1 patient key", "0 groups of identical files", "in two splits"],
    ),
    "an identical file": (
        [image("A", "one", given="train", content="same"), image("A", "two", given="test", content="same")],
        ["0 patient keys", "1 group of identical files", "in two splits"],
    ),
}


@pytest.mark.parametrize("what", LEAKS)
def test_given_folders_that_leak_are_refused_with_exit_code_1(refusal: Refusal, what: str) -> None:
    more, _ = LEAKS[what]
    message = refusal(lambda: make_split(table(given_image_rows() + more), OFFICIAL, seed=0), GateError)
    assert GateError.exit_code == 1
    assert "The given split leaks" in message
    assert "--split patient" in message
    assert "--allow-leak" in message
    assert "A-train-0" not in message  # a patient key may be a name


@pytest.mark.parametrize("what", LEAKS)
def test_a_leak_is_reported_in_good_grammar(refusal: Refusal, what: str) -> None:
    more, found = LEAKS[what]
    message = refusal(lambda: make_split(table(given_image_rows() + more), OFFICIAL, seed=0), GateError)
    assert lacking(message, *found) == []


@pytest.mark.parametrize("what", LEAKS)
def test_a_leak_that_is_allowed_is_repeated_in_a_note(what: str) -> None:
    more, _ = LEAKS[what]
    split = make_split(table(given_image_rows() + more), DataConfig(split="official", allow_leak=True), seed=0)
    assert split.leaky
    assert [note for note in split.notes if note.startswith("LEAKY SPLIT")]


def test_allowing_leaks_changes_nothing_where_there_is_none() -> None:
    split = make_split(table(given_image_rows()), DataConfig(split="official", allow_leak=True), seed=0)
    assert not split.leaky
    assert split.notes == make_split(table(given_image_rows()), OFFICIAL, seed=0).notes


def test_official_without_a_test_folder_is_a_validation_only() -> None:
    split = make_split(table(given_image_rows(test=0)), OFFICIAL, seed=0)
    assert not split.has_test
    assert [note for note in split.notes if note.startswith("VALIDATION ONLY")]
    assert set(count(table(given_image_rows(test=0)), split).splits) == {"train", "valid"}


def test_official_without_given_folders_is_refused(refusal: Refusal) -> None:
    message = refusal(lambda: make_split(table(image_rows(5, 1, "A") + image_rows(5, 1, "B")), OFFICIAL, seed=0))
    assert "needs given folders" in message
    assert "--split patient" in message


def test_official_needs_two_patients_of_each_class_to_divide(refusal: Refusal) -> None:
    images = image_rows(5, 1, "A", "train") + image_rows(1, 5, "B", "train") + image_rows(5, 1, "B", "test")
    message = refusal(lambda: make_split(table(images), OFFICIAL, seed=0))
    assert lacking(message, "class 'B' has 1 patient", "train and val folders", "at least 2 are needed") == []


GIVEN = DataConfig(split="given")


def test_given_keeps_train_valid_and_test_exactly() -> None:
    data = table(given_image_rows())
    split = make_split(data, GIVEN, seed=0)
    assert (split.kind, split.leaky, split.notes) == ("given", False, ())
    assert list(split.rows["split"]) == list(data.rows["given"])
    assert list(split.rows["relative"]) == list(data.rows["relative"])
    assert split_of(split) == split_of(make_split(data, GIVEN, seed=9))
    both = cut_valid(split, data.classes, seed=0)
    assert list(both.rows["split"]) == list(data.rows["given"])


@pytest.mark.parametrize("pair", [("train", "valid"), ("valid", "test"), ("train", "test")])
def test_given_is_checked_for_leaks_across_all_three(refusal: Refusal, pair: tuple[str, str]) -> None:
    data = table([*given_image_rows(), image("A", f"A-{pair[0]}-0", given=pair[1])])
    message = refusal(lambda: make_split(data, GIVEN, seed=0), GateError)
    assert lacking(message, "The given split leaks", "1 patient key", "--allow-leak") == []
    allowed = make_split(data, DataConfig(split="given", allow_leak=True), seed=0)
    assert allowed.leaky and allowed.notes[0].startswith("LEAKY SPLIT")


@pytest.mark.parametrize(
    ("images", "found", "todo"),
    [
        (image_rows(4, 1, "A", "train") + image_rows(4, 1, "B", "test"), "found train, test", "--split official cuts valid"),
        (image_rows(4, 1, "A", "valid") + image_rows(4, 1, "B", "test"), "found valid, test", "--split patient"),
        (image_rows(4, 1, "A") + image_rows(4, 1, "B"), "found none", "--split patient"),
    ],
)  # fmt: skip
def test_given_needs_train_and_valid(refusal: Refusal, images: list[dict[str, Any]], found: str, todo: str) -> None:
    message = refusal(lambda: make_split(table(images), GIVEN, seed=0))
    assert lacking(message, "needs train and valid", found, todo) == []


def test_given_without_a_test_folder_is_a_validation_only() -> None:
    split = make_split(table(given_image_rows(test=0)), GIVEN, seed=0)
    assert not split.has_test
    assert [note for note in split.notes if note.startswith("VALIDATION ONLY")]


def test_official_without_val_pools_nothing_and_says_nothing() -> None:
    rows = [row for row in given_image_rows() if row["given"] != "valid"]
    assert make_split(table(rows), OFFICIAL, seed=0).notes == ()


# --- split files ---------------------------------------------------------------------------------------------------


@pytest.fixture
def data() -> ImageTable:
    return table(image_rows(8, 2, "NA") + image_rows(8, 1, "007"))


@pytest.fixture
def split_file(data: ImageTable, tmp_path: Path) -> Path:
    write_split(tmp_path / "split.csv", make_split(data, DataConfig(), seed=3))
    return tmp_path / "split.csv"


def from_file(data: ImageTable, path: Path, **options: Any) -> Split:
    return make_split(data, DataConfig(split=str(path), **options), seed=99)


def edit(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False)


def test_a_split_that_is_written_and_read_is_the_same_split(data: ImageTable, split_file: Path) -> None:
    first, again = make_split(data, DataConfig(), seed=3), from_file(data, split_file)
    assert split_of(again) == split_of(first)
    assert group_of(again) == group_of(first)
    assert (again.kind, again.leaky, again.notes) == ("file", False, ())
    header, row = split_file.read_text().splitlines()[:2]
    assert header == "path,label,patient,group,split,sha256"
    assert row.startswith("NA/00000.png,NA,NA--0,")


def test_a_split_file_needs_no_more_than_path_and_split(data: ImageTable, split_file: Path) -> None:
    expected = split_of(from_file(data, split_file))
    edit(split_file, lambda frame: frame[["split", "path"]].iloc[::-1])
    assert split_of(from_file(data, split_file)) == expected


@pytest.mark.parametrize(("split", "role"), [("valid", ""), ("valid", "other"), ("train", "select"), ("test", "other")])
def test_a_role_that_is_none_is_refused(
    data: ImageTable, split_file: Path, refusal: Refusal, split: str, role: str
) -> None:
    right = {"valid": "select", "train": "", "test": ""}
    edit(split_file, lambda frame: frame.assign(role=frame["split"].map(right)))
    rows = from_file(data, split_file).rows
    assert set(rows.loc[rows["split"] == "valid", "role"]) == {"select"}
    edit(split_file, lambda frame: frame.assign(role=frame["split"].map({**right, split: role}).fillna("")))
    assert lacking(refusal(lambda: from_file(data, split_file)), repr(role), f"a row of {split}") == []


def test_a_split_file_that_misses_images_is_refused(data: ImageTable, split_file: Path, refusal: Refusal) -> None:
    edit(split_file, lambda frame: frame.iloc[2:])
    message = refusal(lambda: from_file(data, split_file))
    assert lacking(message, "does not name 2 of 24 images", "'NA/00000.png'") == []
    assert "plainfilm split DATA --out split.csv" in message


def test_a_split_file_with_images_that_are_not_there_is_refused(
    data: ImageTable, split_file: Path, refusal: Refusal
) -> None:
    edit(split_file, lambda frame: pd.concat([frame, frame.head(2).assign(path=["NA/other.png", "NA/third.png"])]))
    message = refusal(lambda: from_file(data, split_file))
    assert lacking(message, "2 images", "not in DATA", "'NA/other.png'", "other data") == []


def test_an_image_that_is_quarantined_since_is_not_missed(tmp_path: Path, tiny_cxr: Path) -> None:
    write_split(tmp_path / "split.csv", make_split(build_table(tiny_cxr, DataConfig()), DataConfig(), seed=0))
    (tiny_cxr / "NORMAL" / "phantom-00001-1.png").write_bytes(b"broken")
    assert len(from_file(build_table(tiny_cxr, DataConfig()), tmp_path / "split.csv").rows) == 31


def test_images_that_changed_since_the_split_file_was_written_are_refused(
    data: ImageTable, split_file: Path, refusal: Refusal
) -> None:
    rows = data.rows.copy()
    rows.loc[[5, 9], "sha256"] = "0" * 64
    message = refusal(lambda: from_file(ImageTable(data.root, rows, data.excluded, None), split_file))
    assert "2 images changed since the split file" in message
    assert repr(rows["relative"][5]) in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.assign(split=["holdout", *frame["split"][1:]]), "has the split 'holdout'"),
        (lambda frame: frame.assign(split=["", *frame["split"][1:]]), "has the split ''"),
        (lambda frame: pd.concat([frame, frame.head(1)]), "a path twice"),
        (lambda frame: frame.drop(columns="split"), "path and split are needed"),
        (lambda frame: frame.rename(columns={"path": "file"}), "path and split are needed"),
        (lambda frame: frame.assign(split=frame["split"].replace("valid", "train")), "is in valid"),
    ],
)
def test_a_split_file_that_does_not_divide_is_refused(
    data: ImageTable,
    split_file: Path,
    refusal: Refusal,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    words: str,
) -> None:
    edit(split_file, change)
    assert words in refusal(lambda: from_file(data, split_file))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'path,split\n"a', b"a,b\n1,2,3\n4\n"])
def test_a_split_file_that_is_no_table_is_refused(
    data: ImageTable, split_file: Path, refusal: Refusal, content: bytes
) -> None:
    split_file.write_bytes(content)
    assert "split.csv" in refusal(lambda: from_file(data, split_file))


def test_a_split_that_is_neither_known_nor_a_file_is_refused(data: ImageTable, refusal: Refusal) -> None:
    message = refusal(lambda: make_split(data, DataConfig(split="offical"), seed=0))
    assert lacking(message, "--split 'offical'", "patient, official, given, image, kfold", "nor a file") == []


def test_a_split_file_that_leaks_is_refused_unless_it_is_allowed(
    data: ImageTable, split_file: Path, refusal: Refusal
) -> None:
    def leak(frame: pd.DataFrame) -> pd.DataFrame:
        by_patient = dict(zip(frame["patient"], frame["split"], strict=True))
        train = next(patient for patient, split in by_patient.items() if split == "train" and patient.startswith("NA"))
        first = frame.index[frame["patient"] == train][0]
        return frame.assign(split=["test" if i == first else split for i, split in frame["split"].items()])

    edit(split_file, leak)
    assert "leaks" in refusal(lambda: from_file(data, split_file), GateError)
    assert from_file(data, split_file, allow_leak=True).leaky


def test_a_split_file_of_ours_keeps_the_groups_that_made_it(tmp_path: Path) -> None:
    # Else the intervals of the very same split are computed from other patients when it comes from a file.
    data = table(kermany("train", range(1, 15)))
    split = make_split(data, DataConfig(), seed=0)
    write_split(tmp_path / "split.csv", split)
    assert group_of(from_file(data, tmp_path / "split.csv")) == group_of(split)


def test_groups_by_the_narrow_key_keep_subtypes_apart() -> None:
    rows = table(kermany("train", range(1, 4))).rows
    assert grouped(rows, wide=True)["group"].nunique() == 6  # three ill children and three healthy ones
    assert grouped(rows, wide=False)["group"].nunique() == 9


@pytest.mark.parametrize("classes", [2, 5, 8])
@pytest.mark.parametrize("seed", range(5))
def test_shares_hold_with_many_classes_of_single_images_too(classes: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, classes, 100)
    labels[: 3 * classes] = np.tile(np.arange(classes), 3)
    shares = np.array([0.60, 0.25, 0.15])
    part = allocate(np.arange(100), labels, shares, np.random.default_rng(seed))
    assert np.abs(np.bincount(part, minlength=3) / 100 - shares).max() <= 0.02
    assert all(set(labels[part == target]) == set(range(classes)) for target in range(3))


# --- what a single changed sign must not survive -------------------------------------------------------------------


def test_the_sentence_on_leaks_counts_each_kind_and_is_silent_on_what_there_is_none_of() -> None:
    assert _Leaks(("p1", "p2"), 3, 1).sentence() == (
        "2 patient keys and 3 groups of identical files are in two splits, and 1 more by a copy that was set aside"
    )
    assert _Leaks(("p1",), 1).sentence() == "1 patient key and 1 group of identical files are in two splits"


def test_patients_who_share_an_image_that_was_set_aside_are_reported_where_nothing_else_crosses() -> None:
    rows = table(image_rows(2, 1, "A")).rows.assign(kin="same", split=["train", "test"])
    assert leaks(rows) == _Leaks((), 0, kin=1) and leaks(rows)
    rows["content"] = "same"  # the identical files say it already
    assert leaks(rows) == _Leaks((), 1, kin=0)
    rows = rows.assign(content=["a", "b"], patient="p")  # and so does the patient
    assert leaks(rows) == _Leaks(("p",), 0, kin=0)
    assert not leaks(rows.assign(split="train"))


def test_a_table_that_is_not_divided_is_counted_without_splits() -> None:
    counts = count(table(image_rows(3, 2, "A") + image_rows(4, 1, "B")), None)
    assert (counts.found, counts.used, counts.patients, counts.splits) == (10, 10, 7, {})
    assert counts.classes == {"A": 6, "B": 4}


def test_duplicates_that_were_dropped_are_counted_and_the_sum_holds(tiny_cxr: Path) -> None:
    for k in (7, 8):
        copy = tiny_cxr / "NORMAL" / f"phantom-00001-{k}.png"
        copy.write_bytes((tiny_cxr / "NORMAL" / "phantom-00001-1.png").read_bytes())
    data = build_table(tiny_cxr, DataConfig(drop_duplicates=True))
    counts = count(data, None)
    assert (counts.found, counts.used, counts.duplicates, counts.identical_files) == (34, 32, 2, 0)
    lost = ImageTable(data.root, data.rows, data.excluded.assign(state="forgotten"), None)
    with pytest.raises(AssertionError, match="do not add up"):
        count(lost, None)


def test_a_split_by_image_resamples_both_subtypes_of_a_person_together() -> None:
    group = group_of(make_split(table(kermany("train", range(1, 15))), DataConfig(split="image"), seed=0))
    for child in range(1, 15):
        both = {group[f"train/PNEUMONIA/person{child}_{kind}_1.jpeg"] for kind in ("bacteria", "virus")}
        assert len(both) == 1


def test_a_split_file_without_groups_groups_by_the_narrow_key(tmp_path: Path) -> None:
    data = table(kermany("train", range(1, 15)))
    write_split(tmp_path / "split.csv", make_split(data, DataConfig(), seed=0))
    edit(tmp_path / "split.csv", lambda frame: frame[["path", "split"]])
    assert from_file(data, tmp_path / "split.csv").rows["group"].nunique() == 14 * 3


def test_groups_of_a_split_file_join_patients_and_never_part_them(data: ImageTable, split_file: Path) -> None:
    before = group_of(from_file(data, split_file))
    edit(split_file, lambda frame: frame.assign(group=range(len(frame))))  # each image a group of its own
    assert group_of(from_file(data, split_file)) == before
    edit(split_file, lambda frame: frame.assign(group=0))
    assert set(group_of(from_file(data, split_file)).values()) == {0}


def test_a_refused_split_file_is_named(data: ImageTable, split_file: Path, refusal: Refusal) -> None:
    rows = data.rows.assign(sha256="0" * 64)
    assert str(split_file) in refusal(lambda: from_file(ImageTable(data.root, rows, data.excluded, None), split_file))


def conflict(n: int = 1) -> pd.DataFrame:
    """Files that were set aside because identical ones have other labels."""
    named = [[f"/data/x{i}.png", f"x{i}.png", "quarantined", "E_LABEL_CONFLICT", "x"] for i in range(n)]
    return pd.DataFrame(named, columns=["path", "relative", "state", "code", "why"])


def test_identical_files_with_different_labels_are_a_leak_of_a_given_split_alone(
    tmp_path: Path, refusal: Refusal
) -> None:
    clean = table(given_image_rows())
    data = ImageTable(clean.root, clean.rows, conflict(2), None)
    found = "0 patient keys and 0 groups of identical files are in two splits; 2 identical files have different labels"
    assert f"The given split leaks: {found}. Use" in refusal(lambda: make_split(data, OFFICIAL, seed=0), GateError)
    allowed = make_split(data, DataConfig(split="official", allow_leak=True), seed=0)
    assert allowed.notes[1:] == (f"LEAKY SPLIT, allowed by --allow-leak: {found}.",) and not allowed.leaky
    write_split(tmp_path / "split.csv", make_split(clean, DataConfig(), seed=0))
    assert found in refusal(lambda: from_file(data, tmp_path / "split.csv"), GateError)
    for kind in ("patient", "kfold", "image"):  # these divide what is left, and no copy is left
        assert not any("different labels" in note for note in make_split(data, DataConfig(split=kind), seed=0).notes)
    one = make_split(table([*given_image_rows(), *LEAKS["the same patient"][0]]), DataConfig(split="official", allow_leak=True), 0)  # fmt: skip
    assert one.notes[1:] == ("LEAKY SPLIT, allowed by --allow-leak: 1 patient key and 0 groups of identical files are in two splits.",)  # fmt: skip


@pytest.mark.parametrize("kind", ["patient", "kfold", "image"])
def test_every_division_of_our_own_says_that_given_folders_were_pooled(kind: str) -> None:
    pooled = "The given train/val/test parts were pooled"
    split = make_split(table(given_image_rows()), DataConfig(split=kind), seed=0)
    assert sum(note.startswith(pooled) for note in split.notes) == 1
    free = make_split(table(image_rows(20, 1, "A") + image_rows(20, 1, "B")), DataConfig(split=kind), seed=0)
    assert not any(note.startswith(pooled) for note in free.notes)


def test_patients_who_share_an_image_that_was_set_aside_are_one_group() -> None:
    rows = table(image_rows(10, 2, "A") + image_rows(10, 2, "B")).rows
    kin = rows["kin"].where(~rows["patient"].isin(["A--1", "B--3"]), "the same")
    for wide in (True, False):
        group = grouped(rows.assign(kin=kin), wide=wide)
        assert group["group"].nunique() == 19
        assert group.loc[group["patient"].isin(["A--1", "B--3"]), "group"].nunique() == 1


def test_folds_are_as_large_as_each_other() -> None:
    split = make_split(
        table(image_rows(40, 1, "A") + image_rows(20, 1, "B")), DataConfig(split="kfold", folds=5, fold=1), seed=0
    )
    assert pd.crosstab(split.rows["split"], split.rows["label"]).loc[["test", "valid", "train"]].to_numpy().tolist() == [
        [8, 4], [8, 4], [24, 12],
    ]  # fmt: skip


def test_what_is_missing_is_reported_by_its_name_and_number(
    data: ImageTable, split_file: Path, refusal: Refusal
) -> None:
    edit(split_file, lambda frame: frame.assign(split=frame["split"].replace("valid", "train")))
    assert "No image of class '007' is in valid" in refusal(lambda: from_file(data, split_file))
    images = image_rows(5, 1, "A", "train") + image_rows(1, 5, "B", "train") + image_rows(5, 1, "B", "test")
    assert "has 1 patient in the train" in refusal(lambda: make_split(table(images), OFFICIAL, seed=0))
    assert "has 2 patients in the data;" in refusal(
        lambda: make_split(table(image_rows(9, 1, "A") + image_rows(2, 1, "B")), DataConfig(), seed=0)
    )


# --- the division itself, worked out and pinned -------------------------------------------------------------------------


def test_free_groups_go_largest_first_to_the_part_that_is_furthest_behind() -> None:
    """One class, shares 3 : 1. Of sizes 4, 3, 1 dealt first (part 0 holds 4) the aim decides, by hand:

    3: part 0 would be 7 of 7, part 1 3 of 7, wished 5.25 : 1.75. Moving 3 to part 1 leaves (4, 3), off by 1.25 each;
    to part 0 (7, 0), off by 1.75 each. So part 1. 1: wished 6 : 2; (5, 3) is off by 1, (4, 4) by 2. So part 0.
    """
    part, counts = np.array([0, -1, -1]), np.array([[4], [1], [3]])
    _fill(part, counts, np.array([0.75, 0.25]), np.random.default_rng(0))
    assert part.tolist() == [0, 0, 1]


def test_a_rare_class_weighs_as_much_as_a_common_one() -> None:
    """Part 0 lacks 1 of 2 rare images, part 1 lacks 2 of 20 common ones: half of a class is more than a tenth.

    Shares 1 : 1; part 0 holds (10 common, 0 rare), part 1 (8, 1); the group brings (2, 1). In shares of the class,
    with it in part 0: common 12 against 8 (off by 2 / 20 each), rare 1 and 1; all images 13 : 9. In part 1: common
    even, rare 0 against 2 (off by 1 / 2 each); all images 10 : 12.
    """
    part, counts = np.array([0, 1, -1]), np.array([[10, 0], [8, 1], [2, 1]])
    _fill(part, counts, np.array([0.5, 0.5]), np.random.default_rng(0))
    assert part.tolist() == [0, 1, 0]


def test_single_groups_move_from_the_fullest_part_to_the_emptiest_while_that_helps() -> None:
    """Ten images of one class each in part 0, none missing there, two in part 1; wished is half and half."""
    counts = np.ones((12, 1), dtype=int)
    part = np.array([0] * 10 + [1] * 2)
    _even_out(part, counts, np.array([0.5, 0.5]))
    assert np.bincount(part).tolist() == [6, 6]
    # a group that is as large as the gap would only turn it round
    part, counts = np.array([0, 0, 1]), np.array([[4], [4], [4]])
    _even_out(part, counts, np.array([0.5, 0.5]))
    assert part.tolist() == [0, 0, 1]
    # nor does the last image of a class leave
    part, counts = np.array([0, 0, 0, 1]), np.array([[1, 0], [0, 6], [0, 6], [1, 4]])
    _even_out(part, counts, np.array([0.5, 0.5]))
    assert part[0] == 0


def test_within_a_hundredth_of_all_images_nothing_moves() -> None:
    """101 : 99 is off by 1 of 200 images and stays; 104 : 96 is off by 4 and is evened out to within 2."""
    for here, now in ((101, 101), (102, 102), (104, 102)):
        part = np.repeat([0, 1], [here, 200 - here])
        _even_out(part, np.ones((200, 1), dtype=int), np.array([0.5, 0.5]))
        assert np.bincount(part)[0] == now
        part = 1 - np.repeat([0, 1], [here, 200 - here])
        _even_out(part, np.ones((200, 1), dtype=int), np.array([0.5, 0.5]))
        assert np.bincount(part)[1] == now


def test_of_those_that_fit_the_group_moves_whose_class_is_in_excess() -> None:
    """Part 0 has 6 : 2 of the classes, part 1 2 : 2; of the first class 2 are too many there."""
    counts = np.repeat([[1, 0], [0, 1], [1, 0], [0, 1]], [6, 2, 2, 2], axis=0)
    part = np.repeat([0, 0, 1, 1], [6, 2, 2, 2])
    _even_out(part, counts, np.array([0.5, 0.5]))
    assert [np.bincount(part[counts[:, c] == 1]).tolist() for c in (0, 1)] == [[4, 4], [2, 2]]


def pinned(classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """24 groups of 1 to 5 images; each carries one class, and every fifth a second one."""
    rng = np.random.RandomState(seed)  # its streams are frozen
    sizes = rng.randint(1, 6, 24)
    groups = np.repeat(np.arange(24), sizes)
    labels = groups % classes
    odd = (groups % 5 == 0) & (np.arange(len(groups)) % 2 == 1)
    return groups, np.where(odd, (labels + 1) % classes, labels)


@pytest.mark.parametrize(
    ("classes", "seed", "expected"),
    [
        (2, 0, "112100000100101002102002"),
        (3, 1, "202112211102000000000021"),
        (4, 2, "222100110000010010022012"),
    ],
)
def test_a_division_stays_what_it_was(classes: int, seed: int, expected: str) -> None:
    """Part of each group. A table that is divided again by a newer version must put nobody into another part."""
    groups, labels = pinned(classes, seed)
    part = allocate(groups, labels, SHARES, np.random.default_rng(seed))
    first = [part[groups == group][0] for group in range(24)]
    assert "".join(map(str, first)) == expected


def test_a_split_of_a_seed_stays_what_it_was() -> None:
    split = make_split(table(image_rows(8, 1, "A") + image_rows(8, 2, "B")), DataConfig(), seed=0)
    assert "".join(part[1] for part in split.rows.drop_duplicates("patient")["split"]) == "eerrararearrrrar"


def test_a_group_may_move_where_one_image_of_its_class_stays() -> None:
    counts = np.array([[1, 0], [1, 0], [0, 2], [0, 1]])
    part = np.array([0, 0, 0, 1])
    _even_out(part, counts, np.array([0.5, 0.5]))
    assert part.tolist() in ([1, 0, 0, 1], [0, 1, 0, 1])


def test_a_part_that_is_behind_is_filled_although_none_is_far_ahead() -> None:
    """102, 102 and 96 of 300: nobody is more than 2 ahead, but the last is 4 behind, above the hundredth of 3."""
    part = np.repeat([0, 1, 2], [102, 102, 96])
    _even_out(part, np.ones((300, 1), dtype=int), np.full(3, 1 / 3))
    assert sorted(np.bincount(part)) == [97, 101, 102]


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, "000000120200100 200112102100110002000002021200"),
        (1, "111000000000100 121100011100020012100202200000"),
        (2, "000001010000001 102000012001000022002100121111"),
        (3, "000100111000000 021010100000220001011012122010"),
    ],
)
def test_what_is_filled_and_evened_out_stays_what_it_was(seed: int, expected: str) -> None:
    """30 groups of three classes; half are dealt at random, the others by _fill, and then _even_out from a random deal."""
    drawn = np.random.RandomState(seed)
    counts = drawn.randint(0, 4, (30, 3)) + np.eye(3, dtype=int)[np.arange(30) % 3]
    part = np.where(np.arange(30) < 15, np.arange(30) % 3, -1)
    _fill(part, counts, SHARES, np.random.default_rng(seed))
    evened = drawn.choice(3, 30, p=[0.2, 0.3, 0.5])
    _even_out(evened, counts, SHARES)
    assert "".join(map(str, part[15:])) + " " + "".join(map(str, evened)) == expected


def test_patients_have_one_count_and_their_keys_another(tmp_path: Path, write_image) -> None:
    """person7 of both subtypes may be one child, and so may two patients of whom one image is the same.

    The table of the splits, its note, the note on valid's two parts, and a metric's n_patients agree.
    """
    rng = np.random.default_rng(0)
    for i in range(1, 31):
        for subtype in ("bacteria", "virus"):
            write_image(tmp_path / "PNEUMONIA" / f"person{i}_{subtype}_{i}.png", rng.integers(0, 255, (9, 9), np.uint8))
            write_image(
                tmp_path / "NORMAL" / f"IM-{i:04d}-{'01'[subtype == 'virus']}.png",
                rng.integers(0, 255, (9, 9), np.uint8),
            )
    shutil.copy(tmp_path / "NORMAL" / "IM-0001-0.png", tmp_path / "NORMAL" / "IM-0099-0.png")
    table = build_table(tmp_path, DataConfig())
    split = make_split(table, DataConfig(), seed=0)
    counts = count(table, split)
    assert (counts.patients, counts.patient_keys) == (60, 91)  # 30 + 30 of 60 + 31
    for name, size in counts.splits.items():
        part = split.of(name)
        assert (size.patients, size.patient_keys) == (part["group"].nunique(), part["patient"].nunique())
        note = next(note for note in split.notes if note.startswith("Patient keys"))
        assert f"{name} has {size.patients} patients with {size.patient_keys} keys" in note
    valid, told = split.of("valid"), counts.splits["valid"]
    assert any(f"valid has {told.patients} patients" in note for note in cut_valid(split, table.classes, 0).notes)
    probs = np.tile([0.4, 0.6], (len(valid), 1))
    found = measure(probs, np.arange(len(valid)) % 2, clusters=valid["group"], patients=valid["patient"], positive=1, threshold=0.5, n_boot=20)  # fmt: skip
    assert found["accuracy"].n_patients == told.patients
    assert told.more_keys() == f" ({told.patient_keys} keys)" and told.patients < told.patient_keys
    assert counts.model_copy(update={"patient_keys": counts.patients}).more_keys() == ""


@pytest.mark.parametrize(("patient", "unit"), [("p", "patients"), ("", "images")])
def test_too_small_a_valid_set_of_unknown_patients_is_counted_in_images(patient: str, unit: str) -> None:
    rows = pd.DataFrame({"split": "valid", "group": range(8), "patient": patient, "label": list("ABABABAB")})
    (note,) = cut_valid(Split(rows=rows, kind="patient", leaky=False, notes=()), ["A", "B"], 0).notes
    assert f"valid has 8 {unit}, and 100 are needed" in note
