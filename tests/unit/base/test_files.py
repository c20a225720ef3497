"""A file is written completely or not at all, and leftovers of a killed writer are found."""

from __future__ import annotations

import os

import pytest

from plainfilm.base.files import TEMP_PREFIX, atomic_file, atomic_write, sweep


def test_atomic_write_replaces_the_whole_file(tmp_path):
    path = tmp_path / "sub" / "a.txt"
    atomic_write(path, "first, and longer")
    atomic_write(path, "second")
    assert path.read_text() == "second"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_leftover(tmp_path, monkeypatch, step):
    path = tmp_path / "a.txt"
    atomic_write(path, "old")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space"):
        atomic_write(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_folders_above_a_file_that_failed_are_removed_and_no_others(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(KeyError), atomic_file(tmp_path / "there" / "a" / "b" / "rows.csv"):
        raise KeyError
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]
    with pytest.raises(KeyError), atomic_file(tmp_path / "new" / "a" / "rows.csv") as file:
        (tmp_path / "new" / "of-others.csv").touch()
        file.write(b"half")
        raise KeyError
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["new", "of-others.csv", "there"]
    with atomic_file(tmp_path / "new" / "a" / "rows.csv") as file:
        file.write(b"whole")
    assert (tmp_path / "new" / "a" / "rows.csv").read_bytes() == b"whole"


def test_sweep_removes_the_leftovers_of_a_killed_writer(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / f"{TEMP_PREFIX}x").write_text("half")
    (tmp_path / "keep.txt").write_text("whole")
    folder = tmp_path / "checkpoints" / f"{TEMP_PREFIX}y"  # as export makes one
    folder.mkdir()
    (folder / f"{TEMP_PREFIX}z").write_text("half of a half")
    (folder / "model.onnx").write_text("whole")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep.txt").write_text("whole")
    (tmp_path / "checkpoints" / f"{TEMP_PREFIX}link").symlink_to(outside)
    assert sweep(tmp_path) == 4
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["checkpoints", "keep.txt", "keep.txt", "outside"]
