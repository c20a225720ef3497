"""Words of masks in names: whole words, never part of one, and not where they say that there is no mask."""

from pathlib import Path

import pytest

from plainfilm.data.folders.class_folders import label_by_folder
from plainfilm.data.folders.mask_names import may_say_masks, says_masks
from plainfilm.data.folders.walk import walk


@pytest.mark.parametrize(
    "name", ["masks", "Mask", "ground truth", "Ground_Truth", "GroundTruth", "gt", "labels 2", "segmentations"]
)
def test_some_names_say_masks_alone(name: str) -> None:
    assert says_masks(name, alone=True) and says_masks(name) and may_say_masks(name)


@pytest.mark.parametrize(
    "name", ["lung masks", "infection-masks", "lung_segmentation", "lungMask", "expert annotations"]
)
def test_other_words_may_stand_beside_them(name: str) -> None:
    assert says_masks(name) and may_say_masks(name) and not says_masks(name, alone=True)


@pytest.mark.parametrize("name", ["seg", "_seg_2", "roi", "lesion", ".lbl", "superpixels"])
def test_of_some_words_pixels_decide(name: str) -> None:
    assert may_say_masks(name) and not says_masks(name)


@pytest.mark.parametrize(
    "name",
    ["masked", "unmask", "no_mask", "with_mask", "WithoutMask", "Lung Segmentation Data", "truth", "ground", "", "12"],
)
def test_other_names_say_nothing(name: str) -> None:
    assert not may_say_masks(name) and not says_masks(name)


def read(root: Path, *tops: str) -> tuple[set[str], str]:
    """The split folders that are read of `tops`, each with two classes, and the notes."""
    for top in tops:
        for label in "AB":
            (root / top / label).mkdir(parents=True)
            (root / top / label / "1.png").write_bytes(b"x")
    files = label_by_folder(root, walk(root))
    return {file.relative.split("/")[0] for file in files.found if file.given}, " ".join(files.notes)


@pytest.mark.parametrize(
    "tops", [("train", "train_seg"), ("Train", "seg-Train", "test", "test_seg"), ("train", "trainSeg", "seg_val")]
)
def test_a_second_folder_of_a_split_that_says_masks_is_set_aside_with_a_note(
    tmp_path: Path, tops: tuple[str, ...]
) -> None:
    splits, notes = read(tmp_path, *tops)
    plain = {top for top in tops if "seg" not in top.casefold()}
    assert splits == plain
    assert f"{2 * (len(tops) - len(plain))} images lie beside the split folders and are not used." in notes


@pytest.mark.parametrize("tops", [("seg_train", "seg_test"), ("train", "seg_test"), ("train", "train_set", "test")])
def test_the_word_alone_is_a_split(tmp_path: Path, tops: tuple[str, ...]) -> None:
    assert read(tmp_path, *tops)[0] == {*tops}
