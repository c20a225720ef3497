"""The walk and the labels: a fixed order, a rule for every file set aside, and refusals that name what was found."""

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plainfilm.config import DataConfig
from plainfilm.data.folders import walk as folders
from plainfilm.data.folders.class_folders import label_by_folder
from plainfilm.data.folders.walk import UNREADABLE, walk
from plainfilm.data.image.other_formats import NOT_AN_IMAGE
from plainfilm.data.table.image_table import build_table
from plainfilm.data.table.saved_table import write_table
from plainfilm.errors import DataError
from plainfilm.runs.folder import RunDir
from wording import lacking

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights that Windows does not give")
needs_fifo = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")

Write = Callable[..., Path]
Refusal = Callable[..., str]


def touch(root: Path, *names: str) -> None:
    """Files whose content nobody reads here."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def rules(root: Path, follow_links: bool = False) -> dict[str, str]:
    """Relative path -> rule, in the order of the walk."""
    return {path.relative_to(root).as_posix(): rule for path, rule in walk(root, follow_links)}


def labels(root: Path) -> dict[str, tuple[str, str]]:
    """Relative path -> (label, given)."""
    found = label_by_folder(root, walk(root)).found
    return {file.relative: (file.label, file.given) for file in found}


def test_the_walk_is_sorted_by_name_whatever_the_disk_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "B/2.png", "A/10.png", "A/9.png", "A/sub/1.png", "a/1.png")
    expected = ["A/10.png", "A/9.png", "A/sub/1.png", "B/2.png", "a/1.png"]
    scandir = os.scandir
    for turned in (False, True):

        def disk_order(path: Path, turned: bool = turned) -> contextlib.nullcontext[list[os.DirEntry[str]]]:
            with scandir(path) as entries:
                return contextlib.nullcontext(sorted(entries, key=lambda entry: entry.name, reverse=turned))

        monkeypatch.setattr(folders.os, "scandir", disk_order)
        assert list(rules(tmp_path)) == expected


def test_hidden_and_system_files_are_set_aside_as_hidden(tmp_path: Path) -> None:
    touch(tmp_path, "A/1.png", "A/._1.png", "A/.DS_Store", ".git/deep/2.png", "__MACOSX/A/3.png", "A/__MacOSX/4.png")
    assert rules(tmp_path) == {
        ".git/deep/2.png": "hidden",
        "A/.DS_Store": "hidden",
        "A/._1.png": "hidden",
        "A/1.png": "",
        "A/__MacOSX/4.png": "hidden",
        "__MACOSX/A/3.png": "hidden",
    }


def test_only_suffixes_of_images_count_and_their_case_does_not(tmp_path: Path) -> None:
    images = ["1.png", "2.PNG", "3.jpg", "4.JPEG", "5.jpe", "6.bmp", "7.dcm"]
    others = ["notes.txt", "9.xyz", "png", "10.png.csv"]
    touch(tmp_path, *images, *others)
    assert {name for name, rule in rules(tmp_path).items() if not rule} == set(images)
    assert {rule for name, rule in rules(tmp_path).items() if name in others} == {NOT_AN_IMAGE}


@needs_links
def test_links_are_set_aside_unless_they_are_asked_for(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    touch(elsewhere, "1.png")
    touch(root, "A/0.png")
    (root / "B").symlink_to(elsewhere)
    (root / "A" / "2.png").symlink_to(elsewhere / "1.png")
    assert rules(root) == {"A/0.png": "", "A/2.png": "link", "B": "link"}
    assert rules(root, follow_links=True) == {"A/0.png": "", "A/2.png": "", "B/1.png": ""}


@needs_links
def test_a_loop_of_links_ends_and_shows_each_file_once(tmp_path: Path) -> None:
    touch(tmp_path, "A/1.png", "A/deep/2.png", "B/3.png")
    (tmp_path / "A" / "deep" / "up").symlink_to(tmp_path)
    (tmp_path / "B" / "sideways").symlink_to(tmp_path / "A")
    assert rules(tmp_path, follow_links=True) == {"A/1.png": "", "A/deep/2.png": "", "B/3.png": ""}


@needs_links
def test_a_link_to_nothing_is_a_broken_link(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert rules(tmp_path, follow_links=True) == {"gone.png": "broken link"}


@needs_links
def test_a_link_to_itself_is_a_broken_link(tmp_path: Path) -> None:
    (tmp_path / "round.png").symlink_to("round.png")
    assert rules(tmp_path, follow_links=True) == {"round.png": "broken link"}


@needs_fifo
def test_a_fifo_with_an_image_name_is_set_aside_and_never_opened(tmp_path: Path, write_image: Write) -> None:
    for label in "AB":
        write_image(tmp_path / label / "1.png", np.full((4, 4), ord(label), np.uint8))
    os.mkfifo(tmp_path / "A" / "pipe.png")  # to open it would wait for a writer for ever
    assert rules(tmp_path)["A/pipe.png"] == "not a regular file"
    assert build_table(tmp_path, DataConfig()).count("ignored") == 1


def test_an_unreadable_folder_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Refusal
) -> None:
    touch(tmp_path, "A/1.png", "B/2.png")
    scandir = os.scandir

    def no_entry(path: Path) -> object:
        if Path(path).name == "B":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(folders.os, "scandir", no_entry)
    message = refusal(lambda: list(walk(tmp_path)))
    assert str(tmp_path / "B") in message
    assert "Permission denied" in message


def test_the_class_is_the_first_folder_however_deep_the_image_lies(tmp_path: Path) -> None:
    touch(tmp_path, "NORMAL/1.png", "NORMAL/2019/05/2.png", "PNEUMONIA/3.png")
    assert labels(tmp_path) == {
        "NORMAL/1.png": ("NORMAL", ""),
        "NORMAL/2019/05/2.png": ("NORMAL", ""),
        "PNEUMONIA/3.png": ("PNEUMONIA", ""),
    }


def test_train_val_and_test_folders_become_the_given_split(tmp_path: Path) -> None:
    touch(tmp_path, "train/A/1.png", "train/B/2.png", "val/A/3.png", "val/B/deep/4.png", "test/A/5.png", "test/B/6.png")
    assert labels(tmp_path) == {
        "train/A/1.png": ("A", "train"),
        "train/B/2.png": ("B", "train"),
        "val/A/3.png": ("A", "valid"),
        "val/B/deep/4.png": ("B", "valid"),
        "test/A/5.png": ("A", "test"),
        "test/B/6.png": ("B", "test"),
    }


@pytest.mark.parametrize("names", [("Training", "Validation", "Testing"), ("TRAIN", "valid", "Test")])
def test_other_spellings_of_the_given_folders_are_known(tmp_path: Path, names: tuple[str, str, str]) -> None:
    touch(tmp_path, *(f"{name}/{label}/{label}.png" for name in names for label in "AB"))
    assert [labels(tmp_path)[f"{name}/A/A.png"][1] for name in names] == ["train", "valid", "test"]


def test_a_class_may_be_named_train_when_images_lie_right_in_it(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.png", "car/2.png")
    assert labels(tmp_path) == {"train/1.png": ("train", ""), "car/2.png": ("car", "")}


def test_the_extras_of_the_kaggle_archive_are_counted_and_nothing_is_used_twice(tmp_path: Path) -> None:
    inside = [f"{split}/{label}/{split}{label}.jpeg" for split in ("train", "val", "test") for label in "AB"]
    touch(tmp_path, *inside, *(f"chest_xray/{name}" for name in inside))
    touch(tmp_path, "__MACOSX/train/A/._trainA.jpeg", ".DS_Store", "train/.DS_Store", "train/loose.jpeg", "readme.txt")
    files = label_by_folder(tmp_path, walk(tmp_path))
    found, ignored = files.found, files.ignored
    assert sorted(file.relative for file in found) == sorted(inside)
    assert Counter(row["code"] for row in ignored) == {
        "outside train, val and test": 6,
        "hidden": 3,
        "outside a class folder": 1,
        NOT_AN_IMAGE: 1,
    }
    assert {row["state"] for row in ignored} == {"ignored"}


def test_found_is_used_plus_quarantined_plus_ignored(tiny_cxr: Path) -> None:
    touch(tiny_cxr, "loose.png", "NORMAL/.hidden.png", "NORMAL/notes.txt", "NORMAL/broken.png")
    table = build_table(tiny_cxr, DataConfig())
    assert (table.found, len(table.rows)) == (36, 32)
    assert (table.count("quarantined"), table.count("ignored")) == (1, 3)
    assert dict(zip(table.excluded["relative"], table.excluded["code"], strict=True)) == {
        "NORMAL/.hidden.png": "hidden",
        "NORMAL/broken.png": "E_FORMAT",
        "NORMAL/notes.txt": NOT_AN_IMAGE,
        "loose.png": "outside a class folder",
    }


@pytest.mark.parametrize("layout", [("", ""), ("train/", "test/")])
def test_classes_that_differ_in_case_only_are_refused(
    tmp_path: Path, refusal: Refusal, layout: tuple[str, str]
) -> None:
    first, second = layout
    touch(tmp_path, f"{first}NORMAL/1.png", f"{first}ILL/2.png", f"{second}Normal/3.png", f"{second}ILL/4.png")
    if first == second and len(list(tmp_path.iterdir())) == 2:
        pytest.skip("this file system does not tell the case of names apart")
    message = refusal(lambda: build_table(tmp_path, DataConfig()))
    assert "'NORMAL' and 'Normal' differ only in case" in message


@pytest.mark.parametrize("layout", ["", "train/"])
def test_an_empty_class_folder_is_refused_by_name(tmp_path: Path, refusal: Refusal, layout: str) -> None:
    touch(tmp_path, f"{layout}NORMAL/1.png", f"{layout}COVID/readme.txt")
    message = refusal(lambda: labels(tmp_path))
    assert lacking(message, "class folder 'COVID'", "holds no image", "1 other class does") == []
    assert "Add its images, or remove the folder" in message


def test_hidden_folders_are_no_empty_classes(tmp_path: Path) -> None:
    touch(tmp_path, "A/1.png", "B/2.png", ".git/config", "__MACOSX/x.png")
    assert set(labels(tmp_path)) == {"A/1.png", "B/2.png"}


def test_a_class_missing_from_the_test_folder_alone_is_no_empty_class(tmp_path: Path) -> None:
    touch(tmp_path, "train/A/1.png", "train/B/2.png", "test/A/3.png")
    assert len(labels(tmp_path)) == 3


def test_one_class_is_refused_by_name(tmp_path: Path, write_image: Write, refusal: Refusal) -> None:
    write_image(tmp_path / "NORMAL" / "1.png", np.zeros((4, 4), np.uint8))
    message = refusal(lambda: build_table(tmp_path, DataConfig()))
    assert "Only one class was found ('NORMAL')" in message
    assert "two or more classes" in message


def test_a_folder_without_images_is_refused_with_what_lies_there(tmp_path: Path, refusal: Refusal) -> None:
    touch(tmp_path, "NORMAL/1.gif", "NORMAL/2.gif", "readme.txt")
    message = refusal(lambda: build_table(tmp_path, DataConfig()))
    assert f"No images under {tmp_path} (3 other files)" in message
    assert "Expected DATA/<class>/ with PNG" in message


def test_images_in_no_class_folder_are_refused_with_their_number(tmp_path: Path, refusal: Refusal) -> None:
    touch(tmp_path, "1.png", "2.jpg", "notes.txt")
    message = refusal(lambda: build_table(tmp_path, DataConfig()))
    assert f"2 files under {tmp_path} lie in no class folder" in message
    assert "Expected DATA/<class>/ with PNG" in message


def test_a_path_that_is_not_there_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    message = refusal(lambda: build_table(tmp_path / "nowhere", DataConfig()))
    assert "nowhere does not exist" in message
    assert "Give a folder" in message


@needs_fifo
def test_data_that_is_neither_folder_nor_file_is_refused(tmp_path: Path, refusal: Refusal) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in refusal(lambda: build_table(tmp_path / "pipe", DataConfig()))


@needs_links
def test_class_folders_that_are_links_are_refused_with_the_option_that_enters_them(
    tmp_path: Path, draw_cxr: Write, refusal: Refusal
) -> None:
    drawn = draw_cxr(tmp_path / "drawn")
    (tmp_path / "data" / "NORMAL").mkdir(parents=True)
    (drawn / "NORMAL").rename(tmp_path / "data" / "NORMAL" / "here")
    (tmp_path / "data" / "PNEUMONIA").symlink_to(drawn / "PNEUMONIA")
    assert "--follow-links" in refusal(lambda: build_table(tmp_path / "data", DataConfig()))
    assert len(build_table(tmp_path / "data", DataConfig(follow_links=True)).rows) == 32


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are not Unicode")
def test_a_name_that_is_not_unicode_is_refused_or_set_aside_and_never_a_crash(tiny_cxr: Path) -> None:
    # What an archive from an old Windows leaves behind: an umlaut as one byte.
    first = next((tiny_cxr / "NORMAL").glob("*.png"))
    os.rename(first, os.fsencode(tiny_cxr / "NORMAL") + b"/M\xfcller.png")
    try:
        table = build_table(tiny_cxr, DataConfig())
    except DataError as error:
        str(error).encode("utf-8")  # can be printed and logged
    else:
        assert table.found == 32
        write_table(RunDir(tiny_cxr), tiny_cxr / "table.csv", table.rows)
        write_table(RunDir(tiny_cxr), tiny_cxr / "excluded.csv", table.excluded)


def test_test_and_val_without_train_are_given_folders_and_not_classes(tmp_path: Path, write_image) -> None:
    for given in ("test", "val"):
        for label in ("NORMAL", "SICK"):
            for i in range(3):
                write_image(
                    tmp_path / given / label / f"{given}{label}{i}.png", np.full((8, 8), 40 * i + len(label), np.uint8)
                )
    found = label_by_folder(tmp_path, walk(tmp_path)).found
    assert {(file.given, file.label) for file in found} == {
        (g, c) for g in ("test", "valid") for c in ("NORMAL", "SICK")
    }


def test_a_class_may_be_named_test(tmp_path: Path, write_image) -> None:
    for label in ("control", "test"):
        write_image(tmp_path / label / "patient1" / "a.png", np.zeros((8, 8), np.uint8))
    files = label_by_folder(tmp_path, walk(tmp_path))
    found, ignored = files.found, files.ignored
    assert {file.label for file in found} == {"control", "test"}
    assert not ignored


def test_a_folder_may_be_as_deep_as_the_system_allows(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(1200):  # deeper than Python's recursion limit
        deep /= "d"
        deep.mkdir()
    (deep / "a.png").write_bytes(b"")
    assert [path for path, _ in walk(tmp_path)] == [deep / "a.png"]
    (deep / "a.png").unlink()  # shutil.rmtree, by which pytest cleans up, is recursive
    while deep != tmp_path:
        deep.rmdir()
        deep = deep.parent


def test_where_it_is_wanted_an_unreadable_folder_is_a_row_and_the_others_are_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/1.png", "b/2.png", "c/3.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    scandir = os.scandir

    def refuse(folder: Path) -> object:
        if Path(folder).name == "b":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    found = [(path.relative_to(tmp_path).as_posix(), rule) for path, rule in walk(tmp_path, unreadable=True)]
    assert found == [("a/1.png", ""), ("b", UNREADABLE), ("c/3.png", "")]
