"""The cache folder is listed and cleared; what is not ours stays, whatever its name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock, Timeout

from plainfilm.config import DataConfig
from plainfilm.data.archives.unpack import data_folder
from plainfilm.data.cache import admin
from plainfilm.data.cache.admin import clear, entries
from plainfilm.data.cache.rows import decode_rows
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.data.synthetic.phantom import write_phantom
from plainfilm.data.table.image_table import build_table


@pytest.fixture
def filled(tiny_cxr: Path, fresh_cache: Path) -> Path:
    decode_rows(build_table(tiny_cxr, DataConfig()).rows, DecodeSpec(16))
    write_phantom(fresh_cache / "phantom-0.1.0" / "12-32px-seed0", images=12, size_px=32)
    (fresh_cache / "phantom-0.1.0" / ".24-32px-seed1.partial-77" / "NORMAL").mkdir(parents=True)
    return fresh_cache


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_every_part_is_listed_with_its_size(filled: Path) -> None:
    listed = {entry.what: entry for entry in entries(filled)}
    assert set(listed) == {
        "32 images, 16 px, grey, squish", "what the scan found in each file", "drawn phantom set",
        "left by a killed process",
    }  # fmt: skip
    assert listed["32 images, 16 px, grey, squish"].bytes >= 32 * 16 * 16
    assert listed["drawn phantom set"].files == 12


def test_clearing_removes_what_was_listed_and_keeps_the_key(filled: Path) -> None:
    (filled / "patient.key").write_bytes(bytes(32))
    before = entries(filled)
    assert [entry.name for entry in clear(filled)] == [entry.name for entry in before]
    assert entries(filled) == []
    assert everything(filled) == {"patient.key"}  # another key would give every DICOM patient another name


def test_what_is_not_ours_stays(filled: Path, tmp_path: Path) -> None:
    """Somebody named a folder with his own work in it as the cache."""
    keyed = next(path for path in (filled / "decoded").iterdir())
    foreign = [
        "facts/thesis.txt", "decoded/mystudy/img.png", "phantom-study/p1/scan.dcm", "notes.txt",
        f"decoded/{keyed.name}/results.json", "phantom-0.1.0/12-32px-seed0/NORMAL/mine.png", "decoded/0123456789abcdef/a.npy",
    ]  # fmt: skip
    for name in foreign:
        (filled / name).parent.mkdir(parents=True, exist_ok=True)
        (filled / name).write_text("mine")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / f"{'a' * 24}.npy").write_text("mine")
    (filled / "decoded" / "fedcba9876543210").symlink_to(elsewhere)
    clear(filled)
    assert set(foreign) <= everything(filled)
    assert (elsewhere / f"{'a' * 24}.npy").read_text() == "mine"


def test_nothing_is_removed_while_another_process_writes(filled: Path) -> None:
    before = everything(filled)
    locked = sorted((filled / "facts").iterdir())[0]
    with FileLock(locked / ".lock"), pytest.raises(Timeout):
        clear(filled)
    assert everything(filled) - {name for name in everything(filled) if name.endswith(".lock")} == {
        name for name in before if not name.endswith(".lock")
    }


def test_a_lock_that_another_process_took_since_stays(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a third process would lock another file of that name, and both would write."""
    taken, remove_empty = FileLock(sorted((filled / "facts").iterdir())[0] / ".lock"), admin._remove_empty

    def late(folder: Path) -> None:
        taken.acquire(timeout=5)
        remove_empty(folder)

    monkeypatch.setattr(admin, "_remove_empty", late)
    clear(filled)
    with pytest.raises(Timeout):
        FileLock(taken.lock_file).acquire(timeout=0)
    taken.release(force=True)


def test_the_lock_of_all_archives_is_never_removed(tiny_cxr: Path, tmp_path: Path, fresh_cache: Path) -> None:
    data_folder(Path(shutil.make_archive(str(tmp_path / "x"), "zip", tiny_cxr)))
    with (fresh_cache / "unpacked" / ".lock").open() as before:
        assert clear(fresh_cache)
        assert os.path.samestat(os.fstat(before.fileno()), (fresh_cache / "unpacked" / ".lock").stat())
    assert entries(fresh_cache) == []


def test_after_clearing_the_pixels_are_made_again(filled: Path, tiny_cxr: Path) -> None:
    rows = build_table(tiny_cxr, DataConfig()).rows
    first = decode_rows(rows, DecodeSpec(16))[:]
    clear(filled)
    np.testing.assert_array_equal(decode_rows(rows, DecodeSpec(16))[:], first)


@pytest.mark.parametrize("about", [{}, [], {"spec": {}}, {"spec": {"size_px": 32}}])
def test_an_index_that_says_nothing_usable_is_listed_as_that(fresh_cache: Path, about: object) -> None:
    folder = fresh_cache / "decoded" / "0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / f"{'0' * 16}.json").write_text(json.dumps({"block": {"rows": [], "about": about}}))
    (entry,) = entries(fresh_cache)
    assert entry.what == "no intact block"


def test_a_folder_in_place_of_a_file_is_not_ours_and_stops_nothing(filled: Path) -> None:
    keyed = next(path for path in (filled / "decoded").iterdir())
    block, lock = keyed / f"{'0' * 24}.npy", keyed / ".lock"
    block.mkdir()
    (block / "mine.txt").write_text("mine")
    lock.unlink(missing_ok=True)
    lock.mkdir()
    drawn = filled / "phantom-0.1.0" / "12-32px-seed0" / "NORMAL" / "phantom-00000-0.png"
    drawn.unlink(missing_ok=True)
    drawn.mkdir()
    (drawn / "mine.txt").write_text("mine")
    assert len(clear(filled)) == len({entry.name for entry in entries(filled)}) + 2  # facts and the killed set are gone
    assert everything(filled) == {path.relative_to(filled).as_posix() + "/mine.txt" for path in (block, drawn)}
