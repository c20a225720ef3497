"""Folders by meaning: each kind of folder is read as its owner meant it, or refused in one line, and notes say how."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plainfilm.config import DataConfig
from plainfilm.data.folders.class_folders import label_by_folder
from plainfilm.data.folders.split_names import split_of
from plainfilm.data.folders.walk import DataFiles, walk
from plainfilm.data.image.other_formats import NOT_AN_IMAGE
from plainfilm.data.table.image_table import build_table
from plainfilm.errors import ConfigError, DataError
from wording import lacking

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights that Windows does not give")
Refusal = Callable[..., str]


def touch(root: Path, *names: str) -> Path:
    """Files whose content nobody reads here; a name that ends in '/' is an empty folder."""
    for name in names:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(b"x")
    return root


def read(root: Path, **how: str) -> DataFiles:
    return label_by_folder(root, walk(root), **how)


def labels(files: DataFiles) -> dict[str, str]:
    """Relative path -> 'given:label', or the label alone."""
    return {file.relative: f"{file.given}:{file.label}".lstrip(":") for file in files.found}


def ignored(files: DataFiles) -> dict[str, str]:
    return {row["relative"]: row["code"] for row in files.ignored}


def said(files: DataFiles, *facts: str) -> list[str]:
    return lacking(" ".join(files.notes), *facts)


# --- split folders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "valid", "test"),
    [("TRAIN", "DEV", "TEST"), ("Train Data", "Val Data", "Test Data"), ("train_set", "validate", "test-set"),
     ("seg_train/seg_train", "val", "seg_test/seg_test"), ("trainset", "valset", "testset")],
)  # fmt: skip
@pytest.mark.parametrize("wrapper", ["", "chest/", "archive/chest/"])
def test_split_folders_in_common_spellings(tmp_path: Path, train: str, valid: str, test: str, wrapper: str) -> None:
    parts = {"train": train, "valid": valid, "test": test}
    names = {f"{wrapper}{folder}/{c}/{part}{c}.png": f"{part}:{c}" for part, folder in parts.items() for c in "AB"}
    files = read(touch(tmp_path, *names, "__MACOSX/a/1.png"))
    assert labels(files) == names
    assert ignored(files) == {"__MACOSX/a/1.png": "hidden"}
    plain = {"train", "training", "val", "valid", "validation", "test", "testing"}
    spelled = [f"{folder} as {part}" for part, folder in parts.items() if folder.casefold() not in plain]
    assert said(files, *spelled) == []
    assert any("entered" in note for note in files.notes) is bool(wrapper)
    assert not said(files, "single folder" if wrapper == "chest/" else "2 folders") if wrapper else True


def test_a_train_folder_with_splits_in_it_is_a_wrapper(tmp_path: Path) -> None:
    names = [f"train/{part}/{label}/1.png" for part in ("train", "test") for label in "AB"]
    files = read(touch(tmp_path, *names))
    assert labels(files) == {name: f"{name.split('/')[1]}:{name.split('/')[2]}" for name in names}
    assert not said(files, "single folder was entered", "split folders are inside")


def test_train_alone_with_its_classes_is_a_split_and_no_wrapper(tmp_path: Path) -> None:
    files = read(touch(tmp_path, "train/A/1.png", "train/B/1.png"))
    assert labels(files) == {"train/A/1.png": "train:A", "train/B/1.png": "train:B"}
    assert files.notes == ()


@pytest.mark.parametrize(
    "names",
    [["train/1.png", "test/2.png"], ["train/1.png", "test/A/2.png"], ["chest_train/A/1.png", "chest_test/A/2.png"],
     ["train/1.png"], ["Training/1.png", "test1/2.png", "val/3.png"], ["train/1.png", "test/2.png", "extra/3.png"],
     ["Train1/1.png", "Test1/2.png"], ["train1/A/1.png", "train1/B/2.png", "train2/A/3.png", "test/A/4.png"],
     ["development/A/1.png", "holdout/A/2.png"], ["DATA2/train1/A/1.png", "DATA2/test1/A/2.png"]],
)  # fmt: skip
def test_classes_that_are_named_as_splits_are_refused(tmp_path: Path, refusal: Refusal, names: list[str]) -> None:
    message = refusal(lambda: read(touch(tmp_path, *names)))
    assert lacking(message, "named as splits", "DATA/train/<class>/*.png", "one folder per split", "write a CSV") == []
    assert "--label-pattern" not in message


def test_flat_split_folders_whose_names_begin_with_the_class_are_refused_with_the_pattern(
    tmp_path: Path, refusal: Refusal
) -> None:
    names = [f"{part}/{label}.{i}.jpg" for part in ("train", "test") for label in ("cat", "dog") for i in range(2)]
    message = refusal(lambda: read(touch(tmp_path, *names)))
    assert lacking(message, "named as splits", "cat, dog", r"--label-pattern '^([A-Za-z]+)[ _.-]'") == []
    files = read(tmp_path, pattern=r"^([A-Za-z]+)[ _.-]")
    assert labels(files) == {name: f"{name[: name.index('/')]}:{name.split('/')[1][:3]}" for name in names}


@pytest.mark.parametrize("names", [["test/1.png", "control/2.png"], ["Dev/p1/1.png", "test tube/p1/2.png", "x/3.png"],
                                   ["train/1.png", "car/2.png", "plane/3.png"], ["testis/1.png", "valve/2.png"]])  # fmt: skip
def test_a_class_may_be_named_as_a_split_beside_other_classes(tmp_path: Path, names: list[str]) -> None:
    assert labels(read(touch(tmp_path, *names))) == {name: name.split("/")[0] for name in names}


def test_a_flat_test_folder_is_unlabelled_and_offered_to_predict(tmp_path: Path) -> None:
    names = ["train/A/1.png", "train/B/2.png", "train/loose.png", "test/t1.png", "test/t2.png", "test/notes.txt"]
    files = read(touch(tmp_path, *names))
    assert labels(files) == {"train/A/1.png": "train:A", "train/B/2.png": "train:B"}
    assert ignored(files) == {
        "train/loose.png": "outside a class folder",
        "test/t1.png": "unlabelled: test has no class folders",
        "test/t2.png": "unlabelled: test has no class folders",
        "test/notes.txt": NOT_AN_IMAGE,
    }
    assert said(files, "2 images in test", "unlabelled", "plainfilm predict BUNDLE DATA/test scores them") == []


def test_a_flat_test_folder_in_a_wrapper_is_offered_in_words_that_name_no_wrapper(tmp_path: Path) -> None:
    files = read(touch(tmp_path, "Doe/x/train/A/1.png", "Doe/x/train/B/2.png", "Doe/x/test/t1.png"))
    assert said(files, "predict BUNDLE FOLDER scores them; FOLDER is test inside DATA.") == []
    assert not any("..." in note or "Doe" in note for note in files.notes)


@pytest.mark.parametrize("twins", ["train training", "Train train"])
def test_two_folders_of_one_split_are_pooled_and_that_is_said(tmp_path: Path, twins: str) -> None:
    names = [f"{top}/{label}/{top}.png" for top in (*twins.split(), "test") for label in "AB"]
    files = read(touch(tmp_path, *names))
    assert set(labels(files).values()) == {"train:A", "train:B", "test:A", "test:B"}
    assert files.notes == (f"Several folders are pooled as one split: {' and '.join(sorted(twins.split()))} as train.",)


def test_a_flat_folder_is_not_said_to_be_pooled(tmp_path: Path) -> None:
    files = read(touch(tmp_path, "train/A/1.png", "train/B/2.png", "test/A/3.png", "testing/4.png"))
    assert not any("pooled" in note for note in files.notes) and said(files, "1 images in testing", "unlabelled") == []


def test_folders_named_like_splits_beside_the_split_folders_are_counted(tmp_path: Path) -> None:
    files = read(touch(tmp_path, "train/A/1.png", "train/B/2.png", "train2/A/3.png", "Doe/4.png", "holdout/A/5.png"))
    note = "3 images lie beside the split folders and are not used; 2 of them lie in folders named like splits"
    assert said(files, note) == []


def test_a_pattern_takes_no_folder_named_like_a_split_in_silence(tmp_path: Path) -> None:
    names = ["Train1/cat1.png", "Train1/dog2.png", "Test1/cat3.png"]
    assert (
        "Folders named like splits were not taken as splits."
        in read(touch(tmp_path, *names), pattern=r"^([a-z]+)\d").notes
    )


@pytest.mark.parametrize("twin", ["normal", "NORMAL ", "Normal", "NOR\u200bMAL"])
def test_a_test_folder_whose_classes_are_written_otherwise_is_refused_as_that(
    tmp_path: Path, refusal: Refusal, twin: str
) -> None:
    root = touch(tmp_path, "train/NORMAL/1.png", "train/SICK/2.png", f"test/{twin}/3.png")
    assert {file.label for file in read(root).found} == {"NORMAL", "SICK", twin}
    if twin != "NORMAL ":  # spaces around a label are removed, with a note
        assert "differ only in case, spaces, dashes or Unicode form" in refusal(lambda: build_table(root, DataConfig()))


def test_a_test_folder_of_other_classes_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    names = ["train/A/1.png", "train/B/2.png", "test/unknown/3.png"]
    message = refusal(lambda: read(touch(tmp_path, *names)))
    assert lacking(message, "class folders of test (unknown)", "none of train's (A, B)") == []


def test_images_beside_the_split_folders_and_splits_inside_classes_are_said(tmp_path: Path) -> None:
    files = read(touch(tmp_path / "a", "train/A/1.png", "train/B/2.png", "extra/A/3.png", "4.png"))
    assert said(files, "2 images lie beside the split folders") == []
    files = read(touch(tmp_path / "b", "A/train/1.png", "A/test/2.png", "B/train/3.png"))
    assert labels(files) == {"A/train/1.png": "A", "A/test/2.png": "A", "B/train/3.png": "B"}
    assert said(files, "test 1, train 2 images", "not taken as a split") == []


def test_sites_that_hold_the_classes_are_read_as_classes_and_that_is_said(tmp_path: Path) -> None:
    names = [f"{site}/{label}/1.png" for site in ("north", "south") for label in ("A", "B")]
    files = read(touch(tmp_path, *names))
    assert set(labels(files).values()) == {"north", "south"}
    assert said(files, "Most of the 2 class folders hold folders of the same 2 names") == []
    assert "north" not in " ".join(files.notes)


def test_most_of_the_folders_are_enough_and_a_pattern_reads_them(tmp_path: Path) -> None:
    names = [f"{10253 + p}/{c}/{k}.png" for p in range(6) for c in "01"[: 1 if p == 3 else 2] for k in range(2)]
    assert said(read(touch(tmp_path, *names)), "Most of the 6 class folders", "--label-pattern '/([^/]+)/[^/]+$'") == []
    files = read(tmp_path, pattern="/([^/]+)/[^/]+$")
    assert {file.label for file in files.found} == {"0", "1"}


@pytest.mark.parametrize(("names", "persons"), [("pat00 pat01 pat02", True), ("s1 s2", True), ("Patient 1,Patient 2", True),
                                                ("p53 wildtype", False), ("stage1 stage2", False), ("grade_1 grade_2", False)])  # fmt: skip
def test_classes_that_are_named_as_persons_are_said_to_be(tmp_path: Path, names: str, persons: bool) -> None:
    folders = names.split("," if "," in names else " ")
    notes = " ".join(read(touch(tmp_path, *(f"{name}/1.png" for name in folders))).notes)
    assert ("named as persons are" in notes) is persons


# --- wrappers ----------------------------------------------------------------------------------------------------


def test_a_single_folder_that_holds_the_classes_is_entered(tmp_path: Path) -> None:
    files = read(touch(tmp_path, "Doe/A/1.png", "Doe/B/2/3.png", "__MACOSX/Doe/._1.png", ".DS_Store", "readme.txt"))
    assert labels(files) == {"Doe/A/1.png": "A", "Doe/B/2/3.png": "B"}
    assert files.notes == (
        "DATA's single folder was entered: the class folders are inside.",
    )  # no name: it may be a person's


@pytest.mark.parametrize("other", ["B/", "B/readme.txt"])
def test_a_folder_that_is_not_alone_is_no_wrapper(tmp_path: Path, refusal: Refusal, other: str) -> None:
    message = refusal(lambda: read(touch(tmp_path, "A/p1/1.png", "A/p2/2.png", other)))
    assert lacking(message, "class folder 'B' holds no image") == []


def test_one_class_with_its_images_is_no_wrapper(tmp_path: Path) -> None:
    for i, names in enumerate((["A/1.png", "A/p1/2.png", "A/p2/3.png"], ["A/2019/05/1.png"])):
        assert set(labels(read(touch(tmp_path / str(i), *names))).values()) == {"A"}


def test_a_class_folder_as_data_says_to_give_the_folder_above(tmp_path: Path, refusal: Refusal) -> None:
    root = touch(tmp_path, "NORMAL/p1.png", "NORMAL/p2.png", "SICK/p3.png")
    message = refusal(lambda: build_table(root / "NORMAL", DataConfig()))
    assert lacking(message, "2 files", f"give the folder above: {root}") == []


@needs_links
def test_links_that_hide_images_are_counted(tmp_path: Path, refusal: Refusal) -> None:
    root, other = touch(tmp_path / "data", "A/1.png", "B/2.png"), touch(tmp_path / "other", "3.png", "notes.txt")
    os.symlink(other / "3.png", root / "A" / "3.png")
    os.symlink(other, root / "A" / "more")
    os.symlink(other / "notes.txt", root / "A" / "notes.txt")
    os.symlink(other / "nowhere.png", root / "A" / "gone.png")
    assert said(read(root), "2 images or folders", "--follow-links enters them") == []
    assert label_by_folder(root, walk(root, True)).notes == ()
    shutil.rmtree(root / "B")
    (root / "A" / "1.png").unlink()
    assert "2 links are entered with --follow-links" in refusal(lambda: build_table(root, DataConfig()))


# --- classes in names ----------------------------------------------------------------------------------------------


def test_classes_in_file_names(tmp_path: Path) -> None:
    names = ["cloudy1.jpg", "cloudy2.jpg", "rain1.jpg", "sub/rain2.jpg", "notes.jpg", "readme.txt"]
    files = read(touch(tmp_path, *names), pattern=r"^([a-z]+)\d")
    assert labels(files) == {
        "cloudy1.jpg": "cloudy",
        "cloudy2.jpg": "cloudy",
        "rain1.jpg": "rain",
        "sub/rain2.jpg": "rain",
    }
    assert ignored(files)["notes.jpg"] == "name does not fit --label-pattern"
    assert said(files, "4 images", "1 images have no such name") == []
    assert labels(read(tmp_path, pattern=r"^(sub)/")) == {"sub/rain2.jpg": "sub"}  # in the path, for it holds a '/'


def test_a_pattern_that_fits_no_name_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    message = refusal(lambda: build_table(touch(tmp_path, "a1.png", "b1.png"), DataConfig(label_pattern="^(x)")))
    assert lacking(message, "--label-pattern fits none of 2 file names") == []


def test_a_folder_without_classes_proposes_a_pattern_that_fits(tmp_path: Path, refusal: Refusal) -> None:
    root = touch(tmp_path / "a", *(f"{label}{i}.png" for label in ("cloudy", "rain") for i in range(2)))
    message = refusal(lambda: build_table(root, DataConfig()))
    assert lacking(message, "4 files", "cloudy, rain", r"--label-pattern '^([A-Za-z]+)\d'") == []
    root = touch(tmp_path / "b", "p1.png", "p2.png", "p3.png")  # one beginning only
    assert "--label-pattern" not in refusal(lambda: build_table(root, DataConfig()))


@pytest.mark.parametrize("option", ["under", "label_pattern"])
def test_options_of_folders_are_refused_for_a_list(tiny_cxr: Path, refusal: Refusal, option: str) -> None:
    (tiny_cxr / "list.csv").write_text("path,label\n")
    message = refusal(lambda: build_table(tiny_cxr / "list.csv", DataConfig(**{option: "(x)"})), ConfigError)
    assert f"--{option.replace('_', '-')} is for a folder" in message


# --- masks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "masks", ["masks", "Mask", "labels", "annotations", "ground_truth", "Ground Truth", "segmentations"]
)
@pytest.mark.parametrize("form", ["{c}/images/{i}.png {c}/{m}/{i}.png", "{c}/{i}.png {c}/{m}/{i}.png", "images/{c}/{i}.png {m}/{c}/{i}.png",
                                  "train/{c}/images/{i}.png train/{c}/{m}/{i}.png", "data/{c}/images/{i}.png data/{c}/{m}/{i}.png"])  # fmt: skip
def test_folders_of_masks_are_refused_by_name(tmp_path: Path, refusal: Refusal, masks: str, form: str) -> None:
    names = [name.format(c=c, i=i, m=masks) for name in form.split() for c in "AB" for i in range(2)]
    message = refusal(lambda: read(touch(tmp_path, *names)))
    first = next(name for name in names if masks in name)
    assert lacking(message, f"'{masks}'", "masks", "--under images", f"first: {first!r}") == []
    assert ("Move the masks away" in message) == ("images" not in form)
    if "images" in form:
        files = read(tmp_path, under="images")
        assert {name.rpartition(":")[2] for name in labels(files).values()} == {"A", "B"}
        assert set(labels(files)) == {name for name in names if "images" in name}
        assert set(ignored(files).values()) == {"not below a folder images"}
        assert said(files, "4 others were not used") == []


@pytest.mark.parametrize(
    "names", [["mask/1.png", "no_mask/2.png"], ["A/masks/1.png", "B/masks/2.png"], ["masks/1.png", "label/2.png"]]
)
def test_a_name_of_masks_without_images_beside_it_is_no_reason(tmp_path: Path, names: list[str]) -> None:
    assert labels(read(touch(tmp_path, *names))) == {name: name.split("/")[0] for name in names}


@pytest.mark.parametrize("masks", ["lung masks", "Infection_Mask", "lungSegmentation"])
@pytest.mark.parametrize("form", ["{c}/imgs/{i}.png {c}/{m}/{i}.png", "imgs/{c}/{i}.png {m}/{c}/{i}.png"])
def test_beside_images_a_word_of_masks_is_enough(tmp_path: Path, refusal: Refusal, masks: str, form: str) -> None:
    names = [name.format(c=c, i=i, m=masks) for name in form.split(maxsplit=1) for c in "AB" for i in range(2)]
    message = refusal(lambda: read(touch(tmp_path, *names)))
    assert lacking(message, f"'{masks}'", "masks", "--under imgs") == []
    assert len(read(tmp_path, under="imgs").found) == 4


def test_elsewhere_a_word_of_masks_among_others_is_not(tmp_path: Path) -> None:
    names = ["A/face mask/1.png", "A/2.png", "B/no mask/3.png", "B/mask/no mask/4.png", "B/5.png"]
    assert len(read(touch(tmp_path, *names[:3])).found) == 3


def test_a_class_without_the_folder_that_is_asked_for_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    names = ["A/images/1.png", "B/images/2.png", "C/imgs/3.png", "B/masks/4.png"]
    message = refusal(lambda: read(touch(tmp_path, *names), under="images"))
    assert lacking(message, "class folder 'C'", "none below a folder 'images'") == []
    message = refusal(lambda: build_table(tmp_path, DataConfig(under="pixels")))
    assert lacking(message, "None of 4 images", "--under") == []


# --- any folder ----------------------------------------------------------------------------------------------------

WORDS = [
    "A",
    "B",
    "normal",
    "train",
    "Test Data",
    "val",
    "seg_train",
    "test",
    "images",
    "masks",
    "p1",
    "valve",
    "__MACOSX",
    ".x",
]
PATHS = st.lists(st.sampled_from(WORDS), max_size=4).flatmap(
    lambda folders: st.sampled_from(["1.png", "2.jpg", "A3.png", "b.txt"]).map(lambda name: "/".join([*folders, name]))
)


def is_said(given_split: str, above: list[str], inside: list[str], notes: str) -> bool:
    """Whether one reading of a file's folders, those above its class and those inside, is as the notes say."""
    splits = [split_of(name) for name in above]
    return (
        ((given_split in splits) if given_split else not any(splits))
        and ("entered" in notes or all(part and part == given_split for part in splits))
        and (not any(map(split_of, inside)) or "not taken as a split" in notes)
    )


@given(st.sets(PATHS, min_size=1, max_size=14), st.sampled_from(["", "Doe/", "x/y/"]), st.sampled_from([None, "images"]),
       st.sampled_from([None, r"^([A-Z])\d"]))  # fmt: skip
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_file_of_any_folder_is_used_or_ignored_with_a_reason_and_nothing_is_taken_in_silence(
    tmp_path: Path, names: set[str], wrapper: str, under: str | None, pattern: str | None
) -> None:
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    root = touch(tmp_path / "data", *(wrapper + name for name in names))
    try:
        files = read(root, **{key: value for key, value in (("under", under), ("pattern", pattern)) if value})
    except DataError:
        return
    used, left = [file.relative for file in files.found], ignored(files)
    assert sorted([*used, *left]) == sorted(wrapper + name for name in names)
    assert all(left.values())
    for file in files.found:
        *folders, name = file.relative.split("/")
        assert under is None or under in folders
        if under:
            folders.remove(under)
        if pattern:
            assert file.label == name[0]
            continue
        places = [i for i, folder in enumerate(folders) if folder == file.label]
        assert any(is_said(file.given, folders[:i], folders[i + 1 :], " ".join(files.notes)) for i in places)


def test_what_counts_as_said() -> None:
    """Of the helper of the test above."""
    assert is_said("train", ["seg_train"], [], "") and is_said("", [], ["valve"], "")
    assert not is_said("", ["train"], [], "entered") and not is_said("", ["Doe"], [], "")
    assert not is_said("", [], ["test"], "") and not is_said("test", ["train"], [], "")


@pytest.mark.parametrize(
    ("name", "pattern", "inner"),
    [
        ("A/1.png", None, ()),
        ("A/ann/x/1.png", None, ("ann", "x")),
        ("train/A/ann/1.png", None, ("ann",)),
        ("A /ann/1.png", None, ("ann",)),  # check_labels() takes the space away later
        ("site/A/ann/1.png", "^[^/]+/([^/]+)/", ("ann",)),
        ("ann/A1.png", r"^([A-Z])\d", ()),
    ],
)
def test_a_file_knows_its_folders_below_the_class(
    tmp_path: Path, name: str, pattern: str | None, inner: tuple[str, ...]
) -> None:
    other = name.replace("A", "B")
    files = read(touch(tmp_path, name, other), **({} if pattern is None else {"pattern": pattern})).found
    assert {file.relative: file.inner for file in files} == {name: inner, other: inner}
