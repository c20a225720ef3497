"""Which names are splits, and which only look like one."""

import re
from pathlib import Path

import pytest

from plainfilm.data.folders.split_names import BESIDE, SPELLINGS, parts_in, split_of

PAGE = Path(__file__).parents[4] / "docs" / "how-to" / "folders.md"


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("train", "train Train TRAIN training train_set train-set trainset TrainSet seg_train Train\u00a0Data TrainData traindata train_images"),
        ("valid", "val Val valid VALID validation Validation validate dev Dev val_set valset valid-data"),
        ("test", "test Test TEST testing test_set testset seg_test TestData images_test"),
    ],
)  # fmt: skip
def test_common_spellings(part: str, names: str) -> None:
    assert {name: split_of(name) for name in [*names.split(" "), f"{part} Data", f" {part} "]} == dict.fromkeys(
        [*names.split(" "), f"{part} Data", f" {part} "], part
    )


@pytest.mark.parametrize(
    "name",
    ["", "test tube", "trainer", "trains", "testis", "testicle", "contest", "valve", "valley", "value", "development",
     "device", "developed", "validated", "invalid", "untested", "protest", "detest", "trained", "restraint", "strain",
     "test strip", "val d'or", "set", "data", "images", "seg", "train_test", "train vs test", "test2", "pretest",
     "latest", "attest", "evaluation", "TESTosterone", "training needed", "positive test", "dev kit", "covid_test"],
)  # fmt: skip
def test_a_class_is_no_split(name: str) -> None:
    assert split_of(name) == ""


@pytest.mark.parametrize(
    ("name", "parts"),
    [("chest_train", {"train"}), ("train_test", {"train", "test"}), ("test tube", {"test"}), ("testis", set()), ("valve", set())],
)  # fmt: skip
def test_the_parts_that_a_name_has_as_words(name: str, parts: set[str]) -> None:
    assert parts_in(name) == parts


def test_the_page_lists_every_spelling() -> None:
    text = PAGE.read_text(encoding="utf-8")
    table = {
        cells[0]: set(re.findall(r"`([^`]+)`", cells[1])) for cells in re.findall(r"^\| (\w+) \| (.+) \|$", text, re.M)
    }
    assert {part: table[part] for part in SPELLINGS} == {part: set(words) for part, words in SPELLINGS.items()}
    assert table["beside"] == set(BESIDE)
