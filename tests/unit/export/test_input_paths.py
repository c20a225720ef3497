"""Which files the words of a command line name: globs walk like folders, and a walk is bounded."""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plainfilm.data.folders import walk as folders
from plainfilm.errors import UsageError
from plainfilm.export import input_paths
from plainfilm.export.input_paths import AGAIN, Inputs, few_or_agreed, image_paths

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights that Windows does not give")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def named(*words: object, follow_links: bool = False) -> tuple[list[str], dict[str, int]]:
    left_out = Counter[str]()
    return list(image_paths(Inputs([str(word) for word in words], follow_links=follow_links), left_out)), left_out


@pytest.fixture
def loop(tmp_path, monkeypatch) -> Path:
    """Two images, and a link back up: by glob.glob() 82 paths."""
    touch(tmp_path, "loop/a/1.png", "loop/b/2.png")
    (tmp_path / "loop/a/up").symlink_to("..")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@needs_links
@pytest.mark.parametrize("follow_links", [False, True])
def test_a_link_back_up_gives_each_image_once(loop, follow_links):
    assert len(glob.glob("loop/**/*.png", recursive=True)) > 80
    found, left_out = named("loop/**/*.png", follow_links=follow_links)
    assert found == ["loop/a/1.png", "loop/b/2.png"]
    assert left_out["link"] == (0 if follow_links else 1)
    assert named("loop", follow_links=follow_links)[0] == found


@needs_links
def test_links_are_followed_only_when_asked_and_a_word_is_taken_as_it_is(tmp_path, monkeypatch):
    touch(tmp_path, "far/x.png", "in/y.png")
    (tmp_path / "in/far").symlink_to(tmp_path / "far")
    (tmp_path / "in/z.png").symlink_to(tmp_path / "far/x.png")
    monkeypatch.chdir(tmp_path)
    assert named("in/*.png") == (["in/y.png"], {"link": 1})
    assert named("in/**") == (["in/y.png"], {"link": 2})
    assert named("in/*/*.png", follow_links=True)[0] == ["in/far/x.png"]
    assert named("in/z.png")[0] == ["in/z.png"]
    assert named("in/far")[0] == ["in/far/x.png"]


@needs_links
def test_what_is_set_aside_by_a_folder_and_by_a_glob_counts_once(tmp_path, monkeypatch):
    """One link and one text; two links to one image are two."""
    touch(tmp_path, "far/x.png", "in/y.png", "in/note.txt")
    (tmp_path / "in/z.png").symlink_to(tmp_path / "far/x.png")
    monkeypatch.chdir(tmp_path)
    text = "not a PNG, JPEG, BMP, WebP, PGM, PPM or DICOM"
    assert named("in", "in/*.png", "./in") == (["in/y.png"], {"link": 1, text: 1, AGAIN: 2})
    (tmp_path / "in/zz.png").symlink_to(tmp_path / "far/x.png")
    assert named("in/*.png", "in/z*")[1] == {"link": 2}


def test_a_file_named_itself_has_a_row_each_time_one_that_was_walked_has_one(tmp_path, monkeypatch):
    touch(tmp_path, "d/1.png", "d/2.png")
    monkeypatch.chdir(tmp_path)
    assert named("d/1.png", "d/1.png") == (["d/1.png", "d/1.png"], {})
    assert named("d", "d/*.png", "./d") == (["d/1.png", "d/2.png"], {AGAIN: 4})
    assert named("d/1.png", "d/*.png")[0] == ["d/1.png", "d/1.png", "d/2.png"]


def test_two_names_of_one_file_are_one_where_the_file_system_counts_no_inodes(tmp_path, monkeypatch):
    """Windows: st_ino may be 0. Taken for an inode it would make every file one."""
    touch(tmp_path, "1.png", "2.png")
    plain = os.stat
    monkeypatch.setattr(folders.os, "stat", lambda path: os.stat_result((*plain(path)[:1], 0, *plain(path)[2:])))
    assert named(tmp_path / "*.png", tmp_path)[0] == [str(tmp_path / "1.png"), str(tmp_path / "2.png")]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pattern=st.lists(
        st.sampled_from(["**", "*", "a", "a*", "?", "[ab]", "x.png", "*.png", ".*"]), min_size=1, max_size=4
    )
)
def test_a_glob_names_the_files_that_python_names(tmp_path, pattern):
    """Without links; the folders that glob.glob() gives are walked here."""
    touch(tmp_path, "x.png", "a/x.png", "a/b/y.png", "ab/x.png", "b/a/x.png", "b/.h/x.png", ".h/x.png", "a/a/a/x.png")
    whole = os.path.join(tmp_path, *pattern)
    expected = {Path(path) for path in glob.glob(whole, recursive=True) if os.path.isfile(path)}
    found = named(whole)[0] if glob.has_magic(whole) else []
    below = {Path(path) for path in glob.glob(whole, recursive=True) if os.path.isdir(path)}
    got = {Path(path) for path in found if path != whole}
    if glob.has_magic(whole):
        assert expected <= got and len(found) == len(set(found))
        assert all(path in expected or any(folder in path.parents for folder in below) for path in got)


def few(*words: object, most: int, stdin: list[bytes] | None = None, agree: bool = False) -> list[str]:
    asked: list[str] = []

    def says(question: str) -> bool:
        asked.append(question)
        return agree

    found = list(few_or_agreed(Inputs([str(word) for word in words], stdin or []), Counter(), says, most))
    return [*asked, *found]


def test_more_files_than_a_person_expects_are_asked_about_before_any_is_scored(tmp_path):
    touch(tmp_path, *(f"{i}.png" for i in range(4)), "note.txt")
    names = [str(tmp_path / f"{i}.png") for i in range(4)]
    assert few(tmp_path, most=5) == names  # four images and a text are five files
    with pytest.raises(UsageError, match=r"More than 4 files are named; counting stopped at 5. .*--yes"):
        few(tmp_path, most=4)
    with pytest.raises(UsageError, match="More than 3 files"):
        few(tmp_path / "*.txt", most=3)  # what was looked at counts, not what fits
    question, *found = few(tmp_path, most=2, agree=True)
    assert "More than 2 files" in question and found == names


def test_a_folder_of_more_files_is_not_even_listed(tmp_path, monkeypatch):
    touch(tmp_path, *(f"{i:02}.png" for i in range(40)))
    taken = []
    plain = os.scandir

    class Counted:
        def __init__(self, path):
            self.entries = plain(path)

        def __enter__(self):
            return (taken.append(entry) or entry for entry in self.entries)

        def __exit__(self, *_):
            self.entries.close()

    monkeypatch.setattr(folders.os, "scandir", Counted)
    for word in (tmp_path, tmp_path / "*.png"):
        taken.clear()
        with pytest.raises(UsageError):
            few(word, most=5)
        assert len(taken) == 6


def test_names_that_a_person_or_a_list_gave_are_not_counted(tmp_path):
    touch(tmp_path, "1.png", "2.png", "3.png")
    names = [str(tmp_path / f"{i}.png") for i in (1, 2, 3)]
    assert few(*names, most=1) == names
    assert few("-", most=1, stdin=[name.encode() for name in names]) == names
    assert few("-", names[0], most=0, stdin=[str(tmp_path).encode()]) == [*names, names[0]]


def test_the_limit_of_the_command_is_that_of_its_help():
    from plainfilm.cli.commands import predict

    assert input_paths.MANY == 100_000 and "100,000" in Path(predict.__file__).read_text(encoding="utf-8")


@needs_links
def test_a_link_to_itself_ends_no_glob(tmp_path):
    touch(tmp_path, "a/x.png")
    (tmp_path / "self").symlink_to("self")
    assert named(tmp_path / "**" / "*.png", tmp_path)[0] == [str(tmp_path / "a" / "x.png")]
