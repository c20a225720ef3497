"""Which names are splits, and which only look like one."""

import re
from pathlib import Path

import pytest

from plainfilm.data.folders.split_names import BESIDE, DOUBTFUL, SPELLINGS, likely_part, split_of, splits_among

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
    "names",
    ["Train1 Test1", "train1 test train2", "train_1 train_2", "development holdout", "derivation validation extra",
     "Hold-out development", "chest_train chest_test", "chest_train chest_holdout other", "train evaluation", "test val extra",
     "tr te", "trn tst", "fold1 fold2 fold3", "training inference", "test(1) test(2)", "train", "TRAIN2",
     "a_train1 b_train2", "imagesTr imagesTs"],
)  # fmt: skip
def test_splits_among_classes(names: str) -> None:
    assert splits_among(names.split()) == sorted(set(names.split()) - {"extra", "other"})


@pytest.mark.parametrize(
    "names",
    ["", "test,control", "development delay,normal", "normal development,delayed development", "fold,no fold", "testis,valve",
     "train,car,plane", "Dev,test tube,x", "test1,control", "TR1,TR2,TR3,TR4,TR5", "TR,MR,AR", "TR,VA,US,DE", "trains,tests",
     "needs evaluation,healthy", "test_positive,test_negative", "pre-training,post-training", "inferior,superior", "developmental,acquired", "te,control", "1,2,3", "PCR,antigen test"],
)  # fmt: skip
def test_names_that_stay_classes(names: str) -> None:
    assert splits_among(names.split(",")) == []


def test_the_page_lists_every_spelling() -> None:
    text = PAGE.read_text(encoding="utf-8")
    table = {
        cells[0]: set(re.findall(r"`([^`]+)`", cells[1])) for cells in re.findall(r"^\| (\w+) \| (.+) \|$", text, re.M)
    }
    assert {part: table[part] for part in SPELLINGS} == {part: set(words) for part, words in SPELLINGS.items()}
    assert table["beside"] == set(BESIDE)
    assert set(re.findall(r"`([^`]+)`", text.split("Also refused as classes")[1].split("\n")[0])) == set(DOUBTFUL)


@pytest.mark.parametrize(
    ("name", "part"),
    [("Train 2", "train"), ("dev", "valid"), ("tr", "train"), ("TST", "test"), ("te_3", "test"), ("fold4", "fold"),
     ("holdout", "holdout"), ("PCR test", ""), ("NIH", ""), ("0", ""), ("", ""), ("set", ""), ("train test", "")],
)  # fmt: skip
def test_a_cell_that_says_a_part_and_nothing_else(name: str, part: str) -> None:
    assert likely_part(name) == part
