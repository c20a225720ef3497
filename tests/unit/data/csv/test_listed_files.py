"""The files that a table names, in any spelling; and what is proposed where they are not found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from plainfilm.data.csv.listed_files import find_files, relative_of, spellings

Refusal = Callable[..., str]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """list.csv beside a.png, b.PNG, sub/c.jpg and sub/d.v2."""
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "b.PNG", "sub/c.jpg", "sub/d.v2"):
        (tmp_path / name).touch()
    return tmp_path / "list.csv"


@pytest.mark.parametrize(
    ("cell", "suffix", "plain"),
    [
        (" a ", ".png", "a.png"), ("a.png", ".png", "a.png"), ("a.JPG", ".png", "a.JPG"), ("d.v2", ".png", "d.v2.png"),
        ("sub\\a", None, "sub/a"), ("a", None, "a"), ("scan.0001", ".dcm", "scan.0001.dcm"),
    ],
)  # fmt: skip
def test_a_path_has_two_spellings(cell: str, suffix: str | None, plain: str):
    assert spellings(cell, suffix) == (cell, plain)


def test_files_are_found_by_either_slash_with_spaces_and_from_the_root(table: Path):
    cells = ["a.png", ".\\sub\\c.jpg", " b.PNG ", "./sub/d.v2", str(table.parent / "a.png")]
    names, notes = find_files(table, cells, None)
    assert names == ["a.png", "./sub/c.jpg", "b.PNG", "./sub/d.v2", str(table.parent / "a.png")]
    assert [relative_of(name) for name in names[:4]] == ["a.png", "sub/c.jpg", "b.PNG", "sub/d.v2"]
    assert notes == ("In the table, 1 of 5 paths are written with backslashes.",)


def test_a_file_whose_name_holds_a_space_or_a_backslash_comes_first(table: Path):
    (table.parent / " a.png").touch()
    (table.parent / "x\\y.png").touch()
    assert find_files(table, [" a.png", "x\\y.png"], None) == ([" a.png", "x\\y.png"], ())


def test_a_suffix_is_appended_where_there_is_none_and_that_is_counted(table: Path):
    assert find_files(table, ["a", "sub\\c.jpg"], ".png") == (
        ["a.png", "sub/c.jpg"],
        ("In the table, 1 of 2 paths are written with backslashes and .png is appended to 1 of 2 paths.",),
    )
    assert find_files(table, ["sub/d.v2", "a"], ".png")[0] == ["sub/d.v2", "a.png"]  # it exists without


@pytest.mark.parametrize(
    ("cells", "suffix", "said"),
    [
        (["a", "sub/gone"], None, "2 of 2 files do not exist (first: 'a'). Paths are relative to the CSV's folder."),
        (["a", "gone"], ".png", "1 of 2 files do not exist (first: 'gone'). Paths"),
        (["a"], None, "With .png appended all of them do: --suffix .png."),
        (["sub/c"], None, "With .jpg appended all of them do: --suffix .jpg."),
        (["sub/c"], ".png", "exactly one file of each name (first: 'sub/c.jpg'). Write these paths into the table."),
        (["c"], None, "With .jpg appended all of them do: --suffix .jpg."),
        (["c", "d"], None, "exactly one file of each name (first: 'sub/c.jpg')"),
        (["C:\\old\\c.jpg"], None, "exactly one file of each name (first: 'sub/c.jpg')"),
        (["sub"], None, "1 of 1 files do not exist (first: 'sub'). Paths"),
        ([f"{'x' * 300}.png"], None, "1 of 1 files do not exist"),
    ],
)  # fmt: skip
def test_what_may_be_meant_by_missing_files_is_proposed(
    table: Path, refusal: Refusal, cells: list[str], suffix: str | None, said: str
):
    assert said in refusal(lambda: find_files(table, cells, suffix))


def test_a_name_lies_in_a_folder_below_where_only_one_file_has_it(table: Path):
    assert find_files(table, ["c.jpg", "a.png", "d.v2"], None) == (
        ["sub/c.jpg", "a.png", "sub/d.v2"],
        ("In the table, 2 of 3 paths are names whose only file lies in a folder below.",),
    )
    (note,) = find_files(table, ["c"], ".jpg")[1]
    assert (
        note
        == "In the table, .jpg is appended to 1 of 1 paths and 1 of 1 paths are names whose only file lies in a folder below."
    )


def test_a_name_that_two_folders_hold_is_not_proposed(table: Path, refusal: Refusal):
    (table.parent / "other").mkdir()
    (table.parent / "other" / "c.jpg").touch()
    assert refusal(lambda: find_files(table, ["c.jpg"], None)).endswith("Paths are relative to the CSV's folder.")
