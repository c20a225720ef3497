"""Rows of a table as one array of pixels; a file that changed since the scan stops the work."""

import errno
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from plainfilm.base.files import TEMP_PREFIX
from plainfilm.config import DataConfig
from plainfilm.data.cache import rows as cache
from plainfilm.data.cache import store
from plainfilm.data.cache.row_file import RowFile
from plainfilm.data.cache.rows import decode_rows
from plainfilm.data.cache.store import CacheBlock, Store
from plainfilm.data.errors import NotAsScannedError
from plainfilm.data.image.decode import DecodeSpec, decode, read_bytes
from plainfilm.data.table.image_table import build_table
from wording import lacking

Refusal = Callable[..., str]


def test_the_pixels_of_each_row_are_in_row_order(tiny_cxr: Path) -> None:
    rows = build_table(tiny_cxr, DataConfig()).rows.iloc[::-1]
    pixels = decode_rows(rows, DecodeSpec(24))
    assert (pixels.shape, pixels.dtype) == ((32, 24, 24), np.uint8)
    for row, found in zip(rows["path"], pixels, strict=True):
        np.testing.assert_array_equal(found, np.asarray(Image.open(row)))


def test_size_and_channels_are_those_of_the_spec(tiny_cxr: Path) -> None:
    rows = build_table(tiny_cxr, DataConfig()).rows.head(3)
    spec = DecodeSpec(10, channels=3)
    pixels = decode_rows(rows, spec)
    assert pixels.shape == (3, 10, 10, 3)
    np.testing.assert_array_equal(pixels[2], decode(rows["path"].iloc[2], spec))


def test_no_rows_give_no_pixels(tiny_cxr: Path) -> None:
    rows = build_table(tiny_cxr, DataConfig()).rows.head(0)
    assert decode_rows(rows, DecodeSpec(8)).shape == (0, 8, 8)


def test_progress_counts_every_row(tiny_cxr: Path) -> None:
    steps: list[tuple[int, int]] = []
    decode_rows(
        build_table(tiny_cxr, DataConfig()).rows.head(5),
        DecodeSpec(8),
        lambda done, of: steps.append((done, of)),
    )
    assert steps == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


@pytest.mark.usefixtures("fresh_cache")
def test_a_file_that_changed_since_the_scan_is_refused_by_name(tiny_cxr: Path, refusal: Refusal) -> None:
    rows = build_table(tiny_cxr, DataConfig()).rows
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(rows["path"].iloc[4])
    message = refusal(lambda: decode_rows(rows, DecodeSpec(8)), NotAsScannedError)
    assert f"{rows['relative'].iloc[4]!r} changed since it was scanned" in message
    assert "start a new run" in message


@pytest.mark.usefixtures("fresh_cache")
def test_a_file_that_is_gone_since_the_scan_is_refused_by_name(tiny_cxr: Path, refusal: Refusal) -> None:
    rows = build_table(tiny_cxr, DataConfig()).rows
    Path(rows["path"].iloc[4]).unlink()
    message = refusal(lambda: decode_rows(rows, DecodeSpec(8)), NotAsScannedError)
    assert f"{rows['relative'].iloc[4]!r} cannot be read any more (E_READ" in message


@pytest.mark.parametrize(("bits", "refused"), [(12, False), (10, True), (None, True)])
def test_an_image_deeper_than_the_spec_is_refused(
    tmp_path: Path, write_image: Callable[..., Path], refusal: Refusal, bits: int | None, refused: bool
) -> None:
    for i, name in enumerate(("A/1.png", "B/2.png")):
        write_image(tmp_path / name, np.array([[i, 4000]], np.uint16))
    rows = build_table(tmp_path, DataConfig()).rows
    spec = DecodeSpec(2, bits=bits)
    if refused:
        assert "'A/1.png' cannot be read any more (E_BITS" in refusal(
            lambda: decode_rows(rows, spec), NotAsScannedError
        )
    else:
        assert decode_rows(rows, spec)[:].max() == 249  # 4000 * 255 / 4095 = 249.08


SPEC = DecodeSpec(16)


@pytest.fixture
def rows(tiny_cxr: Path, fresh_cache: Path) -> pd.DataFrame:
    return build_table(tiny_cxr, DataConfig()).rows


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of every file that is read from now on."""
    paths: list[str] = []

    def read(path: Path | str, megapixels: int) -> bytes:
        paths.append(str(path))
        return read_bytes(path, megapixels)

    monkeypatch.setattr(cache, "read_bytes", read)
    return paths


def block_files(folder: Path, suffix: str) -> list[Path]:
    return sorted((folder / "decoded").rglob(f"*{suffix}"))


def decoded_one_by_one(rows: pd.DataFrame, spec: DecodeSpec) -> np.ndarray:
    return np.stack([decode(path, spec) for path in rows["path"]])


def test_a_second_time_no_file_is_opened_and_the_pixels_are_the_same(rows: pd.DataFrame, opened: list[str]) -> None:
    first = decode_rows(rows, SPEC)[:]
    assert sorted(opened) == sorted(rows["path"])
    opened.clear()
    np.testing.assert_array_equal(decode_rows(rows, SPEC)[:], first)
    assert opened == []


def test_with_and_without_the_cache_the_pixels_are_the_same(rows: pd.DataFrame, fresh_cache: Path) -> None:
    without = decode_rows(rows, SPEC, keep=False)[:]
    assert block_files(fresh_cache, ".npy") == []
    np.testing.assert_array_equal(decode_rows(rows, SPEC)[:], without)
    np.testing.assert_array_equal(without, decoded_one_by_one(rows, SPEC))


def test_only_what_is_missing_is_decoded(rows: pd.DataFrame, opened: list[str]) -> None:
    decode_rows(rows.iloc[:20], SPEC)
    opened.clear()
    pixels = decode_rows(rows.iloc[10:], SPEC)[:]
    assert sorted(opened) == sorted(rows["path"].iloc[20:])
    np.testing.assert_array_equal(pixels, decoded_one_by_one(rows.iloc[10:], SPEC))


def test_identical_files_are_decoded_and_kept_once(tiny_cxr: Path, fresh_cache: Path, opened: list[str]) -> None:
    original = tiny_cxr / "NORMAL" / "phantom-00001-1.png"
    (tiny_cxr / "NORMAL" / "phantom-00099-1.png").write_bytes(original.read_bytes())
    rows = build_table(tiny_cxr, DataConfig()).rows
    pixels = decode_rows(rows, SPEC)
    assert (len(pixels), len(opened)) == (33, 32)
    assert [len(np.load(path)) for path in block_files(fresh_cache, ".npy")] == [32]


@pytest.mark.parametrize("what", ["changed since it was scanned", "cannot be read any more (E_READ"])
def test_asked_for_the_files_too_a_warm_cache_hides_no_change(
    tiny_cxr: Path, fresh_cache: Path, refusal: Refusal, what: str
) -> None:
    """The second of two identical files, which is never decoded, counts like any other."""
    twin = tiny_cxr / "NORMAL" / "phantom-00099-1.png"
    twin.write_bytes((tiny_cxr / "NORMAL" / "phantom-00001-1.png").read_bytes())
    rows = build_table(tiny_cxr, DataConfig()).rows
    assert len(decode_rows(rows, SPEC, files_too=True)) == 33
    if "changed" in what:
        Image.fromarray(np.zeros((24, 24), np.uint8)).save(twin)
    else:
        twin.unlink()
    assert len(decode_rows(rows, SPEC)) == 33  # from the cache alone
    message = refusal(lambda: decode_rows(rows, SPEC, files_too=True), NotAsScannedError)
    assert "phantom-00099-1.png" in message and what in message


@pytest.mark.parametrize(
    "other",
    [
        DecodeSpec(17),
        DecodeSpec(16, channels=3),
        DecodeSpec(16, resize="pad"),
        DecodeSpec(16, bits=12),
        DecodeSpec(16, harmonise=True),
        DecodeSpec(16, harmonise=True, requantise=16),
        DecodeSpec(16, tiff=True),
        DecodeSpec(16, frame=0),
    ],
)
def test_another_preprocessing_is_another_cache(rows: pd.DataFrame, opened: list[str], other: DecodeSpec) -> None:
    decode_rows(rows, SPEC)
    opened.clear()
    np.testing.assert_array_equal(decode_rows(rows, other)[:], decoded_one_by_one(rows, other))
    assert len(opened) == len(rows)


def test_more_admitted_pixels_need_no_new_cache(rows: pd.DataFrame, opened: list[str]) -> None:
    decode_rows(rows, SPEC)
    opened.clear()
    np.testing.assert_array_equal(decode_rows(rows, replace(SPEC, megapixels=300))[:], decode_rows(rows, SPEC)[:])
    assert opened == [] and "megapixels" not in str(cache.about_pixels(SPEC))  # nor is an older one rebuilt


def test_another_version_of_what_decodes_is_another_cache(
    rows: pd.DataFrame, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    decode_rows(rows, SPEC)
    opened.clear()
    monkeypatch.setattr(cache.decode, "VERSION", cache.decode.VERSION + 1)
    decode_rows(rows, SPEC)
    assert len(opened) == len(rows)


def test_a_file_edited_under_the_same_size_and_time_is_seen(tiny_cxr: Path, fresh_cache: Path) -> None:
    rows = build_table(tiny_cxr, DataConfig()).rows
    decode_rows(rows, SPEC)
    path = Path(rows["path"].iloc[3])
    Image.fromarray(np.asarray(Image.open(path))).save(path, compress_level=0)
    rows = build_table(tiny_cxr, DataConfig()).rows
    decode_rows(rows, SPEC)
    before, pixels = path.stat(), np.asarray(Image.open(path)).copy()
    pixels[12, 12] ^= 0xFF
    Image.fromarray(pixels).save(path, compress_level=0)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    rows = build_table(tiny_cxr, DataConfig()).rows
    np.testing.assert_array_equal(decode_rows(rows, SPEC)[:], decoded_one_by_one(rows, SPEC))


def flip_bit(path: Path, rng: np.random.Generator, first: int = 0, last: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[int(rng.integers(first, last or len(data)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def cut(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(path.read_bytes()[: int(rng.integers(0, path.stat().st_size))])


def damage_pixel(folder: Path, rng: np.random.Generator) -> None:
    flip_bit(block_files(folder, ".npy")[0], rng, first=128)


def damage_header(folder: Path, rng: np.random.Generator) -> None:
    flip_bit(block_files(folder, ".npy")[0], rng, last=128)


def cut_pixels(folder: Path, rng: np.random.Generator) -> None:
    cut(block_files(folder, ".npy")[0], rng)


def damage_index(folder: Path, rng: np.random.Generator) -> None:
    flip_bit(block_files(folder, ".json")[0], rng)


def cut_index(folder: Path, rng: np.random.Generator) -> None:
    cut(block_files(folder, ".json")[0], rng)


def swap_rows(folder: Path, rng: np.random.Generator) -> None:
    """Somebody's own index, whole in itself, that gives the first file the second one's pixels."""
    path = block_files(folder, ".json")[0]
    body = json.loads(path.read_text())["block"]
    first, second = body["rows"][0][0], body["rows"][1][0]
    body["rows"][0][0], body["rows"][1][0] = second, first
    path.write_text(json.dumps({"block": body, "check": "0" * 64}))


def lose_pixels(folder: Path, rng: np.random.Generator) -> None:
    block_files(folder, ".npy")[0].unlink()


def pickled(folder: Path, rng: np.random.Generator) -> None:
    np.save(block_files(folder, ".npy")[0], np.array([{"a": 1}], dtype=object), allow_pickle=True)


DAMAGES = [damage_pixel, damage_header, cut_pixels, damage_index, cut_index, swap_rows, lose_pixels, pickled]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_never_gives_a_wrong_pixel(
    rows: pd.DataFrame, fresh_cache: Path, damage: Callable[[Path, np.random.Generator], None]
) -> None:
    expected = decoded_one_by_one(rows, SPEC)
    rng = np.random.default_rng(0)
    for _ in range(12):
        decode_rows(rows, SPEC)
        damage(fresh_cache, rng)
        np.testing.assert_array_equal(decode_rows(rows, SPEC)[:], expected)
    shutil.rmtree(fresh_cache)


def test_the_damage_that_is_tested_would_be_seen_without_the_check(
    rows: pd.DataFrame, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode_rows(rows, SPEC)
    damage_pixel(fresh_cache, np.random.default_rng(0))
    monkeypatch.setattr(CacheBlock, "intact", lambda *_: True)
    monkeypatch.setattr(RowFile, "_is_right", lambda *_: True)
    assert (decode_rows(rows, SPEC)[:] != decoded_one_by_one(rows, SPEC)).any()


def test_a_damaged_block_is_reported_and_replaced(rows: pd.DataFrame, fresh_cache: Path) -> None:
    decode_rows(rows, SPEC)
    damage_pixel(fresh_cache, np.random.default_rng(1))
    notes: list[str] = []
    decode_rows(rows, SPEC, on_note=notes.append)
    assert len(notes) == 1 and lacking(notes[0], "cache", "damaged", "decoded again") == []
    notes.clear()
    decode_rows(rows, SPEC, on_note=notes.append)
    assert notes == []
    assert len(block_files(fresh_cache, ".npy")) == 1


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EROFS, "Read-only")])
def test_where_the_cache_cannot_be_written_memory_is_used_and_a_note_says_so(
    rows: pd.DataFrame, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch, fault: OSError
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(store, "atomic_write", refuse)
    notes: list[str] = []
    np.testing.assert_array_equal(decode_rows(rows, SPEC, on_note=notes.append)[:], decoded_one_by_one(rows, SPEC))
    assert len(notes) == 1
    assert fault.strerror in notes[0]
    assert "memory" in notes[0]
    assert block_files(fresh_cache, ".npy") == []


def test_a_nearly_full_disk_is_left_alone(
    rows: pd.DataFrame, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "has_room_for", lambda *_: False)
    notes: list[str] = []
    decode_rows(rows, SPEC, on_note=notes.append)
    assert "nearly full" in notes[0]
    assert block_files(fresh_cache, ".npy") == []


def test_a_cache_folder_that_is_a_file_is_no_obstacle(
    rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "file"))
    notes: list[str] = []
    assert len(decode_rows(rows, SPEC, on_note=notes.append)) == len(rows)
    assert "decoding into memory" in notes[0]


def test_rows_are_read_as_from_an_array(rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_BLOCK_BYTES", 5 * 16 * 16)  # seven blocks
    pixels, array = decode_rows(rows, SPEC), decoded_one_by_one(rows, SPEC)
    assert len(pixels.blocks) == 7
    mask = np.arange(len(rows)) % 3 == 0
    for which in (0, -1, np.int64(7), slice(3, 20), slice(None), slice(0, 0), [4, 4, 1], np.array([31, 0]), mask):
        np.testing.assert_array_equal(pixels[which], array[which])
    np.testing.assert_array_equal(pixels.part(mask)[1:], array[mask][1:])
    assert (pixels.shape, pixels.ndim, len(pixels), pixels.nbytes) == (array.shape, 3, 32, array.nbytes)
    pixels[0][:] = 0  # a copy: the block stays as it is
    np.testing.assert_array_equal(pixels[0], array[0])


def build_and_die(rows: pd.DataFrame, seconds: float) -> None:
    """A process that fills the cache and is killed after `seconds`, or had finished before."""
    child = os.fork()
    if child == 0:
        decode_rows(rows, SPEC)
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def kill_builds(rows: pd.DataFrame, folder: Path, monkeypatch: pytest.MonkeyPatch, kills: int) -> int:
    """Builds killed at moments spread over the time of a whole one; returns how many left a part behind."""
    monkeypatch.setattr(cache, "_BLOCK_BYTES", 2 * 16 * 16)  # sixteen blocks
    expected = decoded_one_by_one(rows, SPEC)
    started = time.perf_counter()
    decode_rows(rows, SPEC)
    whole = time.perf_counter() - started
    partial = 0
    for moment in np.linspace(0.02, 1.0, kills):
        shutil.rmtree(folder)
        build_and_die(rows, whole * moment)
        partial += 0 < len(block_files(folder, ".json")) < 16
        np.testing.assert_array_equal(decode_rows(rows, SPEC)[:], expected)
        indexed = {path.stem for path in block_files(folder, ".json")}
        assert {path.stem for path in block_files(folder, ".npy")} == indexed
        assert not list(folder.rglob(f"{TEMP_PREFIX}*"))
    return partial


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork; the kill needs one")
@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.campaign)])
def test_a_killed_build_never_leaves_a_wrong_pixel(
    rows: pd.DataFrame, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    assert kill_builds(rows, fresh_cache, monkeypatch, kills) >= 1  # else no kill fell into the build


def test_two_processes_build_together_and_each_file_is_decoded_once(rows: pd.DataFrame, fresh_cache: Path) -> None:
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(decode_rows(rows, SPEC)[:])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found in results:
        np.testing.assert_array_equal(found, decoded_one_by_one(rows, SPEC))
    assert len(results) == 4
    assert sum(len(np.load(path)) for path in block_files(fresh_cache, ".npy")) == len(rows)
