"""A .zip or .npz as DATA is unpacked once into the cache, safely, and then is a folder."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.config import DataConfig
from plainfilm.data.archives import unpack, written, zip_file
from plainfilm.data.archives.stored_png import stored_png
from plainfilm.data.archives.unpack import data_folder, is_archive, lost_archive, naming_archive, put_back
from plainfilm.data.cache.admin import clear, entries
from plainfilm.data.cache.moved_data import find_moved
from plainfilm.data.errors import NotAsScannedError
from plainfilm.data.image.decode import load
from plainfilm.data.table.image_table import build_table
from plainfilm.errors import DataError
from wording import lacking

pytestmark = pytest.mark.usefixtures("fresh_cache")
NOISE = np.random.default_rng(5).integers(0, 256, (40, 12, 14), dtype=np.uint8)


def png(i: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(NOISE[i]).save(file, "PNG")
    return file.getvalue()


def zipped(path: Path, files: dict[str, bytes], **how: int) -> Path:
    with zipfile.ZipFile(path, "w", **how) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def class_folders(path: Path, top: str = "") -> Path:
    return zipped(path, {f"{top}{'AB'[i % 2]}/{i}.png": png(i) for i in range(8)})


def arrays(path: Path, **named: object) -> Path:
    np.savez(path, **named)
    return path


def medmnist(path: Path, images: np.ndarray = NOISE) -> Path:
    labels = (np.arange(40) % 2)[:, None].astype(np.uint8)
    parts = {"train": slice(0, 24), "val": slice(24, 32), "test": slice(32, 40)}
    named = {f"{name}_images": images[part] for name, part in parts.items()}
    return arrays(path, **named, **{f"{name}_labels": labels[part] for name, part in parts.items()})


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        data_folder(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def nothing_left(cache: Path) -> bool:
    return [path.name for path in (cache / "unpacked").iterdir()] in ([], [".lock"])


def test_a_zip_of_class_folders_is_the_same_table_as_its_folders(tmp_path: Path) -> None:
    path = class_folders(tmp_path / "set.zip", "wrapper/")
    zipfile.ZipFile(path).extractall(tmp_path / "by hand")
    by_zip, by_folder = (build_table(where, DataConfig()) for where in (path, tmp_path / "by hand"))
    columns = ["relative", "label", "patient", "given", "sha256", "content", "kin"]
    assert by_zip.rows[columns].equals(by_folder.rows[columns])
    assert "its 8 files were unpacked" in by_zip.notes[0] and by_zip.notes[1:] == by_folder.notes


def test_a_medmnist_file_is_a_given_split_with_its_own_pixels(tmp_path: Path) -> None:
    table = build_table(medmnist(tmp_path / "x.npz"), DataConfig())
    assert table.classes == ["0", "1"] and table.channels == 1 and not table.has_patients
    assert table.rows["given"].value_counts().to_dict() == {"train": 24, "valid": 8, "test": 8}
    row = table.rows[table.rows["relative"] == "val/1/val-000003.png"].iloc[0]
    np.testing.assert_array_equal(np.asarray(load(Path(row["path"]).read_bytes())), NOISE[24 + 3])
    assert "classes are the numbers 0, 1" in " ".join(table.notes)


def test_colour_and_a_single_set_are_read(tmp_path: Path) -> None:
    colour = np.stack([NOISE, NOISE // 2, 255 - NOISE], axis=-1)
    labels = np.arange(40, dtype=np.int64) % 3
    table = build_table(arrays(tmp_path / "x.npz", images=colour, labels=labels, extra=np.zeros(2)), DataConfig())
    assert table.classes == ["0", "1", "2"] and table.channels == 3 and set(table.rows["given"]) == {""}
    row = table.rows[table.rows["relative"] == "2/image-000005.png"].iloc[0]
    np.testing.assert_array_equal(np.asarray(load(Path(row["path"]).read_bytes())), colour[5])
    assert "not read: 1." in " ".join(table.notes)


def test_a_stored_png_has_the_same_bytes_for_ever() -> None:
    data = b"".join(stored_png([bytes(range(6))], 3, 2, 1))
    assert np.asarray(load(data)).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert hashlib.sha256(data).hexdigest() == "d1afdb4668aa1ff7e00680a0ef675e19d2ac93d8e70e8bc6d1cde3b46574810f"
    large = np.arange(300 * 300 * 3, dtype=np.uint32).astype(np.uint8).reshape(300, 300, 3)  # more than one block
    whole = b"".join(stored_png([large.tobytes()], 300, 300, 3))
    np.testing.assert_array_equal(np.asarray(load(whole)), large)
    assert b"".join(stored_png((row.tobytes() for row in large), 300, 300, 3)) == whole  # however its rows come
    full = np.zeros((5, 13_106), np.uint8)  # with the byte before each row 65,535: one block to its end
    np.testing.assert_array_equal(np.asarray(load(b"".join(stored_png([full.tobytes()], 13_106, 5, 1)))), full)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"train_images": NOISE, "train_labels": np.zeros((40, 14), np.uint8)}, "14 columns: several labels per image"),
        ({"train_images": NOISE.astype(np.float32), "train_labels": np.zeros(40, int)}, "float32"),
        ({"train_images": np.zeros((4, 8, 8, 8), np.uint8), "train_labels": np.zeros(4, int)}, r"\(4, 8, 8, 8\)"),
        ({"train_images": NOISE, "train_labels": np.zeros(40)}, "float64"),
        ({"train_images": NOISE, "train_labels": np.zeros(39, int)}, "40 images, and train_labels are 39"),
        ({"train_images": NOISE, "train_labels": np.full(40, -1)}, "the label -1"),
        ({"train_images": NOISE}, "the arrays train_images. Expected train_images, train_labels"),
        ({"a": NOISE}, "the arrays a. Expected"),
        ({"images": NOISE, "labels": np.zeros(40, int), "test_images": NOISE, "test_labels": np.zeros(40, int)}, "Expected"),
        ({"train_images": NOISE, "train_labels": np.array([None] * 40)}, "Python objects"),
        ({"train_images": np.asfortranarray(NOISE), "train_labels": np.zeros(40, int)}, r"by columns.*numpy\.ascontiguousarray"),
    ],
)  # fmt: skip
def test_other_arrays_are_refused_by_what_they_are(
    tmp_path: Path, fresh_cache: Path, named: dict[str, np.ndarray], said: str
) -> None:
    path = arrays(tmp_path / "x.npz", **named)
    with pytest.raises(DataError, match=said):
        data_folder(path)
    assert nothing_left(fresh_cache)


def test_a_header_that_claims_more_than_there_is_costs_nothing(tmp_path: Path) -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 999, 999)})
    labels = io.BytesIO()
    np.save(labels, np.zeros(40, np.uint8))
    path = zipped(tmp_path / "x.npz", {"images.npy": head.getvalue(), "labels.npy": labels.getvalue()})
    assert "1,000,000 images; at most 500,000" in refusal(path)
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": (40, 99, 99)})
    path = zipped(tmp_path / "y.npz", {"images.npy": head.getvalue() + bytes(500), "labels.npy": labels.getvalue()})
    assert "damaged, cut off" in refusal(path)


def only_head(shape: tuple[int, ...], kind: str = "|u1", data: bytes = b"") -> bytes:
    """The file of an array that states more than it holds."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        ((1, 15_000, 20_000), (1,), "images cannot be read: 20000 x 15000 pixels; at most 64000000 are read"),
        ((1, 2, 70_000, 3), (1,), "images cannot be read: 70000 x 2 pixels; each side may have 65,000"),
        ((500_001, 8, 8), (500_001,), "images holds 500,001 images; at most 500,000 are unpacked"),
        ((1, 8, 8), (60_000_000,), "it holds 1 images, and labels are 60,000,000"),
        ((1, 8, 8), (60_000_000, 1), "it holds 1 images, and labels are 60,000,000"),
        ((2, 8, 8), (2, 0), "it holds 2 images, and labels are 0"),
        ((-1, 8, 8), (1,), r"images is uint8 \(-1, 8, 8\)"),
        ((0, 8, 8), (0,), r"images is uint8 \(0, 8, 8\)"),
    ],
)
def test_sizes_are_compared_before_anything_is_read(
    tmp_path: Path, images: tuple[int, ...], labels: tuple[int, ...], said: str
) -> None:
    """The arrays have no bytes: to read any of them would say that the archive is cut off."""
    path = zipped(tmp_path / "x.npz", {"images.npy": only_head(images), "labels.npy": only_head(labels, "<i8")})
    with pytest.raises(DataError, match=said):
        data_folder(path, 64)


def test_a_larger_image_is_unpacked_where_it_is_admitted(tmp_path: Path) -> None:
    wide = np.zeros((1, 1000, 1001), np.uint8)
    path = arrays(tmp_path / "x.npz", images=wide, labels=np.zeros(1, int))
    with pytest.raises(DataError, match="at most 1000000 are read; --max-megapixels 2 admits it"):
        data_folder(path, 1)
    assert (data_folder(path, 2).path / "0" / "image-000000.png").is_file()


def peak_of(path: Path) -> int:
    """Bytes of Python memory that unpacking takes at most."""
    tracemalloc.start()
    try:
        with contextlib.suppress(DataError):
            data_folder(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_large_image_is_unpacked_in_parts(tmp_path: Path) -> None:
    large = np.arange(3000 * 4000 * 2, dtype=np.uint8).reshape(2, 4000, 3000)
    path = arrays(tmp_path / "x.npz", images=large, labels=np.zeros(2, int))
    assert peak_of(path) < 8_000_000  # one image has 12 MB
    for i in range(2):
        file = data_folder(path).path / "0" / f"image-00000{i}.png"
        np.testing.assert_array_equal(np.asarray(load(file.read_bytes())), large[i])


def test_a_header_as_long_as_a_file_is_not_read(tmp_path: Path) -> None:
    head = b"\x93NUMPY\x02\x00" + struct.pack("<I", 30_000_000) + bytes(30_000_000)
    path = zipped(tmp_path / "x.npz", {"images.npy": head, "labels.npy": only_head((1,))})
    assert peak_of(path) < 8_000_000
    assert "damaged, cut off" in refusal(path)


def test_names_are_counted_before_any_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = class_folders(tmp_path / "x.zip")
    data = path.read_bytes()
    path.write_bytes(data[:-14] + struct.pack("<HH", 1, 1) + data[-10:])  # the end record says that it is one
    monkeypatch.setattr(zip_file, "MOST_FILES", 7)
    monkeypatch.setattr(zipfile, "ZipInfo", lambda *_: pytest.fail("listed"))
    assert "it holds 8 files; at most 7 are unpacked" in refusal(path)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["1.png", "2.png"], "2 files under"),
        (["images/1.png", "images/2.png"], "Only one class was found"),
        ([], "No images under"),
    ],
)
def test_a_table_in_an_archive_is_named_where_it_is_missed(tmp_path: Path, names: list[str], said: str) -> None:
    files = {name: png(i) for i, name in enumerate(names)}
    path = zipped(tmp_path / "x.zip", {**files, "labels.csv": b"path,label\n"})
    with pytest.raises(DataError, match=said) as caught:
        build_table(path, DataConfig())
    sentence = "; to use it, unpack the archive and give the table as DATA."
    assert " The table 'labels.csv' in the archive was not read" in str(caught.value)
    assert str(caught.value).endswith(sentence)
    with pytest.raises(DataError) as caught:
        build_table(zipped(tmp_path / "y.zip", files), DataConfig())
    assert "not read" not in str(caught.value) and "folder above" not in str(caught.value)


def test_a_table_beside_class_folders_in_an_archive_is_a_note(tmp_path: Path) -> None:
    path = class_folders(tmp_path / "x.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("A/list.TSV", "path\tlabel\n")
    (note,) = [note for note in build_table(path, DataConfig()).notes if "not read" in note]
    assert note.startswith("The table (CSV) in the archive was not read; to use it")
    zipfile.ZipFile(path).extractall(tmp_path / "by hand")
    assert not any("not read" in note for note in build_table(tmp_path / "by hand", DataConfig()).notes)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "header", [b"(" * 900, b"{'descr':\n  1\n 2", b"{'descr': 1}", b"\xff", b"[" * 9 + b"]" * 9, b""]
)
def test_a_damaged_header_is_one_line(tmp_path: Path, header: bytes) -> None:
    """numpy reads a header as Python, after a repair for Python 2: both raise errors of their own."""
    head = b"\x93NUMPY\x01\x00" + (1000).to_bytes(2, "little") + header.ljust(999) + b"\n"
    path = zipped(tmp_path / "x.npz", {"images.npy": head, "labels.npy": npy(np.zeros(3, np.uint8))})
    assert "the header of an array in it is damaged" in refusal(path)


def test_an_array_that_is_its_own_transpose_has_no_order(tmp_path: Path) -> None:
    labels = npy((np.arange(40) % 2)[:, None]).replace(b"'fortran_order': False", b"'fortran_order': True ")
    path = zipped(tmp_path / "x.npz", {"images.npy": npy(NOISE), "labels.npy": labels})
    assert len(build_table(path, DataConfig()).rows) == 40


@pytest.mark.parametrize("name", ["../out.png", "/out.png", "A/nul.png", "a\\..\\..\\out.png"])
def test_an_unsafe_name_refuses_the_whole_archive(tmp_path: Path, fresh_cache: Path, name: str) -> None:
    path = zipped(tmp_path / "x.zip", {"A/1.png": png(1), name: png(2)})
    assert "Nothing was unpacked" in refusal(path)
    assert nothing_left(fresh_cache) and not list(tmp_path.rglob("out.png"))


def named_in(path: Path, coding: str) -> Path:
    """A zip of class folders whose names are in this character set, which it does not state."""
    placeholder, name = b"QQQQQQ", "entzündet".encode(coding)[:6].ljust(6, b"e")
    zipped(path, {f"{folder}/{i}.png": png(i) for i, folder in enumerate(["A", "A", placeholder.decode()] * 2)})
    path.write_bytes(path.read_bytes().replace(placeholder, name))
    return path


def test_names_are_utf_8_where_the_archive_states_nothing(tmp_path: Path) -> None:
    table = build_table(named_in(tmp_path / "x.zip", "utf-8"), DataConfig())
    assert table.classes == ["A", "entzü"] and "UTF-8" not in " ".join(table.notes)


def test_names_of_no_known_character_set_are_a_note(tmp_path: Path) -> None:
    said = " ".join(build_table(named_in(tmp_path / "x.zip", "cp1252"), DataConfig()).notes)
    assert "2 names in the archive are in no character set" in said
    assert "'entz\u207fn/2.png'" in said  # cp1252 has the u with dots at 0xFC, which is this in code page 437


def test_names_that_are_stated_stay(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"A/1.png": png(1), "─╝/2.png": png(2)})  # as UTF-8 of cp437: "ļ"
    assert build_table(path, DataConfig()).classes == ["A", "─╝"]


def test_links_are_left_out_and_counted(tmp_path: Path) -> None:
    path = class_folders(tmp_path / "x.zip")
    link = zipfile.ZipInfo("A/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    found = data_folder(path)
    assert not list(found.path.rglob("link.png")) and "1 links or devices" in found.notes[1]


def test_what_is_no_image_is_counted_as_in_a_folder(tmp_path: Path) -> None:
    path = class_folders(tmp_path / "x.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("A/inner.zip", path.read_bytes()[:99])
        archive.writestr("__MACOSX/A/._1.png", b"x")
    table = build_table(path, DataConfig())
    assert table.found == 10 and dict(zip(table.excluded["relative"], table.excluded["code"], strict=True)) == {
        "A/inner.zip": "an archive: unpack it; DATA itself may be a .zip or .npz, but not of predict", "__MACOSX/A/._1.png": "hidden",
    }  # fmt: skip


def test_bombs_are_refused_from_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipped(tmp_path / "x.zip", {"A/1.png": bytes(2_000_000)}, compression=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(zip_file, "_SMALL", 1_000_000)
    assert "2,000,000 bytes are packed into" in refusal(bomb)
    many = class_folders(tmp_path / "y.zip")
    monkeypatch.setattr(zip_file, "MOST_FILES", 7)
    assert "it holds 8 files" in refusal(many)
    monkeypatch.setattr(zip_file, "MOST_FILES", 8)
    monkeypatch.setattr(zip_file, "MOST_BYTES", 999)
    assert "at most 8 files and 999 bytes" in refusal(many)
    monkeypatch.setattr(zip_file, "MOST_BYTES", 10**9)
    monkeypatch.setattr(zip_file, "_MOST_LISTED", 99)
    assert "list of names is longer" in refusal(many)


def test_files_that_overlap_in_the_archive_are_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 200 names has the bytes of one packed file; sizes in the list alone would add up."""
    path = zipped(tmp_path / "x.zip", {"A/000.png": np.random.default_rng(0).bytes(50_000)})
    with zipfile.ZipFile(path, "a") as archive:
        first = archive.infolist()[0]
        for i in range(1, 200):
            twin = zipfile.ZipInfo(f"A/{i:03}.png")
            twin.CRC, twin.file_size, twin.compress_size, twin.header_offset = first.CRC, 50_000, 50_000, 0
            archive.filelist.append(twin)
        archive._didModify = True  # type: ignore[attr-defined]
    monkeypatch.setattr(zip_file, "_SMALL", 1_000_000)
    assert "10,000,000 bytes are packed into" in refusal(path)


@pytest.mark.parametrize("damage", ["text", "cut", "flipped", "bzip2", "encrypted"])
def test_a_damaged_or_odd_archive_is_refused(tmp_path: Path, fresh_cache: Path, damage: str) -> None:
    how = {"compression": zipfile.ZIP_BZIP2 if damage == "bzip2" else zipfile.ZIP_DEFLATED}
    path = zipped(tmp_path / "x.zip", {"A/1.png": png(1) * 3, "B/2.png": png(2) * 3}, **how)
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[80] ^= 255
    if damage == "encrypted":
        at = data.index(b"PK\1\2")
        data[at + 8] |= 1
    path.write_bytes({"text": b"hello", "cut": bytes(data[:-30])}.get(damage, bytes(data)))
    said = {"bzip2": "another method", "encrypted": "is encrypted"}.get(damage, "damaged, cut off, or no zip")
    assert said in refusal(path)
    assert nothing_left(fresh_cache)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\n", "no archive but a Git LFS pointer"),
        (b"\n<html><body>404", "no archive but an HTML page"),
        (b"\x1f\x8b\x08\x00", "no archive but an archive; unpack it"),
        (b"", "it is empty"),
    ],
)
def test_what_is_no_archive_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    assert said in refusal(path)


def test_a_path_too_long_for_the_system_is_the_reason(tmp_path: Path, fresh_cache: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"A/1.png": png(1), f"{'/'.join(['d' * 200] * 25)}/2.png": png(2)})
    said = refusal(path)
    assert "a path in it is too long" in said and "with room" not in said
    assert nothing_left(fresh_cache)


def test_archives_within_are_counted_where_nothing_else_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 archives in it are not opened: unpack each"):
        build_table(zipped(tmp_path / "x.zip", {"train.zip": b"PK", "test.zip": b"PK"}), DataConfig())


def test_a_list_beside_the_images_is_named(tmp_path: Path) -> None:
    files = {f"images/{i}.png": png(i) for i in range(4)}
    with pytest.raises(DataError, match=r"one class was found.*'labels\.csv' in the archive"):
        build_table(zipped(tmp_path / "x.zip", {**files, "labels.csv": b"path,label\n"}), DataConfig())


def test_it_is_unpacked_once_and_another_content_is_another_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = class_folders(tmp_path / "x.zip")
    first = data_folder(path)
    with monkeypatch.context() as patch:
        patch.setattr(unpack, "_unpack", lambda *_: pytest.fail("unpacked again"))
        assert data_folder(path) == first == data_folder(path.rename(tmp_path / "moved.zip"))
    other = data_folder(medmnist(tmp_path / "x.npz"))
    assert other.path != first.path and first.path.is_dir()


@pytest.mark.parametrize("first", ["zip", "npz"])
def test_the_same_bytes_are_the_same_images_under_any_name(tmp_path: Path, first: str) -> None:
    """A download that got the wrong ending, whichever name was opened first."""
    plain = class_folders(tmp_path / "folders.zip")
    for source, classes in ((plain, ["A", "B"]), (medmnist(tmp_path / "arrays.npz"), ["0", "1"])):
        for ending in (first, "zip", "npz"):
            path = tmp_path / f"{source.stem} again.{ending}"
            path.write_bytes(source.read_bytes())
            table = build_table(path, DataConfig())
            assert table.classes == classes and f"the archive {source.suffix}; its" in table.notes[0]


def test_a_changed_file_is_unpacked_again_and_a_touched_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = class_folders(tmp_path / "x.zip")
    victim = data_folder(path).path / "A" / "0.png"
    os.utime(victim, ns=(1, 1))
    with monkeypatch.context() as patch:
        patch.setattr(unpack, "_unpack", lambda *_: pytest.fail("unpacked again"))
        data_folder(path)
    kept = victim.stat()
    victim.write_bytes(bytes(kept.st_size))
    data_folder(path)
    assert victim.read_bytes() == png(0)
    if os.name != "nt":  # where no time tells it
        kept = victim.stat()
        victim.write_bytes(bytes(kept.st_size))
        os.utime(victim, ns=(kept.st_atime_ns, kept.st_mtime_ns))
        data_folder(path)
        assert victim.read_bytes() == png(0)


def test_files_are_not_read_again_where_nothing_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = class_folders(tmp_path / "x.zip")
    data_folder(path)
    monkeypatch.setattr(written, "_crc", lambda place: pytest.fail("read again"))
    data_folder(path)


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_file_that_the_archive_does_not_have_is_refused_and_kept(tmp_path: Path, kind: str) -> None:
    path = class_folders(tmp_path / "x.zip")
    mine = data_folder(path).path / "A" / "mine.png"
    (tmp_path / "elsewhere").mkdir()
    if kind == "file":
        mine.write_bytes(png(9))
    else:
        mine.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"mine\.png is not of the archive.*Move it"):
        data_folder(path)
    assert os.path.lexists(mine)
    mine.unlink()
    assert data_folder(path).path.is_dir()


@pytest.mark.parametrize("damage", ["gone", "short", "index"])
def test_a_damaged_folder_is_unpacked_again(tmp_path: Path, damage: str) -> None:
    path = class_folders(tmp_path / "x.zip")
    folder = data_folder(path).path
    victim = folder / "A" / "0.png"
    if damage == "index":
        (folder.parent / "index.json").write_text("{")
    elif damage == "short":
        victim.write_bytes(b"x")
    else:
        victim.unlink()
    assert data_folder(path).path == folder and victim.read_bytes() == png(0)


def test_the_cache_lists_it_and_clearing_it_costs_no_run(tmp_path: Path, fresh_cache: Path) -> None:
    path = class_folders(tmp_path / "x.zip")
    rows = build_table(path, DataConfig()).rows
    mine = fresh_cache / "unpacked" / "notes" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    beside = data_folder(path).path / "A" / "mine.png"
    beside.write_text("mine")
    assert [
        entry.files for entry in entries(fresh_cache) if entry.what == "unpacked archive given as DATA: 'x.zip'"
    ] == [9]
    clear(fresh_cache)
    assert not Path(rows["path"][0]).exists() and mine.exists() and beside.exists()
    assert put_back(rows, str(path)).equals(rows) and all(Path(name).is_file() for name in rows["path"])


def test_a_run_finds_its_images_in_another_cache(
    tmp_path: Path, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = class_folders(tmp_path / "x.zip")
    rows = build_table(path, DataConfig()).rows.assign(split="train")
    clear(fresh_cache)
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "other"))
    found = put_back(rows, str(path))
    assert all(Path(name).is_relative_to(tmp_path / "other") for name in found["file"])
    path.write_bytes(class_folders(tmp_path / "y.zip", "w/").read_bytes())  # another archive of the same name
    assert put_back(rows, str(path)).equals(rows)


def test_images_that_another_archive_lacks_are_said_of_the_archive(tmp_path: Path) -> None:
    rows = build_table(class_folders(tmp_path / "x.zip"), DataConfig()).rows.assign(split="train")
    other = class_folders(tmp_path / "other.zip", "wrapper/")
    with pytest.raises(DataError, match=r"not below .*other\.zip \(first"):
        find_moved(rows, data_folder(other).path, given=other)


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PLAINFILM_CACHE", str(tmp_path / "file"))
    assert "Set PLAINFILM_CACHE" in refusal(class_folders(tmp_path / "x.zip"))


def test_only_files_named_so_are_archives(tmp_path: Path) -> None:
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "list.csv").write_text("path,label\n")
    assert not is_archive(tmp_path / "folder.zip") and data_folder(tmp_path / "list.csv").path == tmp_path / "list.csv"
    assert is_archive(class_folders(tmp_path / "A.ZIP"))


def test_an_image_that_is_lost_names_the_archive_that_can_be_restored() -> None:
    with pytest.raises(DataError) as found, naming_archive("/secret/person/set.zip"):
        raise NotAsScannedError("A/1.png", "cannot be read any more (E_GONE: no such file)")
    assert lacking(str(found.value), "'A/1.png' of the archive set.zip cannot", "Restore set.zip as it was") == []
    assert "secret" not in str(found.value)
    for data in (None, "/secret/folder"):
        with pytest.raises(NotAsScannedError, match=r"^'A/1.png' changed. Restore it, give"), naming_archive(data):
            raise NotAsScannedError("A/1.png", "changed")
    assert lost_archive("/secret/set.npz")[0].startswith("set.npz: ") and lost_archive("/secret/folder") == []
