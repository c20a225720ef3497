"""A folder becomes the image table: facts per file, quarantine by code, and sets that cannot be used are refused."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plainfilm.config import DataConfig
from plainfilm.data.decode import digest
from plainfilm.data.table import ImageTable, build_table, read_table, write_table

Make = Callable[..., Path]
Refusal = Callable[..., str]


def excluded(table: ImageTable) -> dict[str, str]:
    """Relative path -> why it is not used."""
    return dict(zip(table.excluded["relative"], table.excluded["code"], strict=True))


def test_a_clean_folder_is_used_whole(tiny_cxr: Path) -> None:
    table = build_table(tiny_cxr, DataConfig())
    assert (len(table.rows), table.found, len(table.excluded)) == (32, 32, 0)
    assert table.classes == ["NORMAL", "PNEUMONIA"]
    assert (table.channels, table.bits, table.has_patients) == (1, None, True)
    row = table.rows.iloc[0]
    first = tiny_cxr / "NORMAL" / "phantom-00001-1.png"
    assert row["path"] == str(first)
    assert (row["relative"], row["label"], row["patient"]) == ("NORMAL/phantom-00001-1.png", "NORMAL", "phantom-00001")
    assert (row["width"], row["height"], row["mode"], row["grey"]) == (24, 24, "L", True)
    assert row["sha256"] == digest(first.read_bytes())
    assert row["bytes"] == first.stat().st_size
    assert (row["given"], row["duplicate_of"]) == ("", "")


def test_rows_come_in_the_order_of_the_walk(tiny_cxr: Path) -> None:
    relative = list(build_table(tiny_cxr, DataConfig()).rows["relative"])
    assert relative == sorted(relative)


def test_progress_counts_up_to_every_file(tiny_cxr: Path) -> None:
    steps: list[tuple[int, int]] = []
    build_table(tiny_cxr, DataConfig(), lambda done, of: steps.append((done, of)))
    assert steps == [(i, 32) for i in range(1, 33)]


def test_identical_bytes_under_two_classes_are_both_quarantined(tiny_cxr: Path) -> None:
    shutil.copy(tiny_cxr / "NORMAL" / "phantom-00001-1.png", tiny_cxr / "PNEUMONIA" / "copy.png")
    table = build_table(tiny_cxr, DataConfig())
    assert excluded(table) == {
        "NORMAL/phantom-00001-1.png": "E_LABEL_CONFLICT",
        "PNEUMONIA/copy.png": "E_LABEL_CONFLICT",
    }
    assert set(table.excluded["state"]) == {"quarantined"}
    assert set(table.excluded["why"]) == {"identical files are labelled NORMAL and PNEUMONIA"}
    assert (len(table.rows), table.found) == (31, 33)


def test_every_copy_of_a_conflict_is_quarantined(tiny_cxr: Path) -> None:
    for name in ("NORMAL/copy.png", "PNEUMONIA/copy.png"):
        shutil.copy(tiny_cxr / "NORMAL" / "phantom-00001-1.png", tiny_cxr / name)
    assert len(excluded(build_table(tiny_cxr, DataConfig()))) == 3


def test_many_label_conflicts_are_not_counted_as_damaged_files(tiny_cxr: Path) -> None:
    for i, film in enumerate(sorted((tiny_cxr / "NORMAL").iterdir())[:6]):
        shutil.copy(film, tiny_cxr / "PNEUMONIA" / f"copy{i}.png")
    assert build_table(tiny_cxr, DataConfig()).count("quarantined") == 12


def test_identical_files_of_one_class_stay_in_use_and_name_the_first(tiny_cxr: Path) -> None:
    shutil.copy(tiny_cxr / "NORMAL" / "phantom-00002-1.png", tiny_cxr / "NORMAL" / "a-copy.png")
    shutil.copy(tiny_cxr / "NORMAL" / "phantom-00002-1.png", tiny_cxr / "NORMAL" / "z-copy.png")
    rows = build_table(tiny_cxr, DataConfig()).rows
    copies = rows[rows["duplicate_of"] != ""]
    assert dict(zip(copies["relative"], copies["duplicate_of"], strict=True)) == {
        "NORMAL/phantom-00002-1.png": "NORMAL/a-copy.png",
        "NORMAL/z-copy.png": "NORMAL/a-copy.png",
    }
    assert len(rows) == 34


def spoil(root: Path, count: int) -> None:
    """Cut `count` files of the first class in half."""
    for film in sorted((root / "NORMAL").iterdir())[:count]:
        film.write_bytes(film.read_bytes()[:200])


def test_five_damaged_files_are_quarantined_and_the_rest_is_used(tmp_path: Path, draw_cxr: Make) -> None:
    root = draw_cxr(tmp_path / "data", patients=10, images=1)
    spoil(root, 5)
    table = build_table(root, DataConfig())
    assert (len(table.rows), table.count("quarantined"), table.found) == (15, 5, 20)
    assert set(table.excluded["code"]) == {"E_CORRUPT"}
    assert list(table.excluded["relative"]) == [f"NORMAL/phantom-{i:05d}-1.png" for i in range(1, 6)]
    assert table.excluded["path"].iloc[0] == str(root / "NORMAL" / "phantom-00001-1.png")


def test_six_damaged_files_of_twenty_are_refused(tmp_path: Path, draw_cxr: Make, refusal: Refusal) -> None:
    root = draw_cxr(tmp_path / "data", patients=10, images=1)
    spoil(root, 6)
    message = refusal(lambda: build_table(root, DataConfig()))
    assert "6 of 20 images cannot be used (first: 'NORMAL/phantom-00001-1.png', E_CORRUPT: damaged" in message
    assert "At most 5 files or 1% may be damaged. Repair or remove them" in message


def test_a_class_whose_files_are_all_damaged_is_refused(tmp_path: Path, draw_cxr: Make, refusal: Refusal) -> None:
    root = draw_cxr(tmp_path / "data", patients=3, images=1)
    spoil(root, 3)
    message = refusal(lambda: build_table(root, DataConfig()))
    assert "The class 'NORMAL' has no usable image" in message


def test_the_stored_depth_is_that_of_the_whole_set(tmp_path: Path, write_image: Make) -> None:
    for name, top in (("A/1.png", 900), ("A/2.png", 300), ("B/3.png", 3000)):
        write_image(tmp_path / name, np.array([[0, top]], np.uint16))
    write_image(tmp_path / "B" / "4.png", np.array([[0, 255]], np.uint8))
    assert build_table(tmp_path, DataConfig()).bits == 12


def test_the_depth_that_is_asked_for_is_taken_and_what_exceeds_it_is_quarantined(
    tmp_path: Path, write_image: Make
) -> None:
    for name, top in (("A/1.png", 900), ("A/2.png", 1024), ("B/3.png", 1023)):
        write_image(tmp_path / name, np.array([[0, top]], np.uint16))
    table = build_table(tmp_path, DataConfig(bits=10))
    assert table.bits == 10
    assert excluded(table) == {"A/2.png": "E_BITS"}
    assert table.excluded["why"].iloc[0] == "holds values above 1023, more than 10 bits"
    assert build_table(tmp_path, DataConfig(bits=16)).bits == 16


def test_one_coloured_picture_makes_the_set_three_channels(tiny_cxr: Path, write_image: Make) -> None:
    red = np.zeros((24, 24, 3), np.uint8)
    red[..., 0] = 200
    write_image(tiny_cxr / "NORMAL" / "stamp.png", red)
    assert build_table(tiny_cxr, DataConfig()).channels == 3


def test_a_set_whose_names_tell_no_patient_has_none(tmp_path: Path, write_image: Make) -> None:
    for label in "AB":
        write_image(tmp_path / label / "film.png", np.full((4, 4), ord(label), np.uint8))
    table = build_table(tmp_path, DataConfig())
    assert table.has_patients is False
    assert list(table.rows["patient"]) == ["", ""]


def test_a_pattern_finds_the_patients_and_one_that_fits_nothing_is_refused(
    tmp_path: Path, write_image: Make, refusal: Refusal
) -> None:
    for i, name in enumerate(("A/p1_a.png", "A/p1_b.png", "B/p2_a.png", "B/odd.png")):
        write_image(tmp_path / name, np.full((4, 4), i, np.uint8))
    rows = build_table(tmp_path, DataConfig(patient_pattern=r"^(p\d+)_")).rows
    assert dict(zip(rows["relative"], rows["patient"], strict=True)) == {
        "A/p1_a.png": "p1",
        "A/p1_b.png": "p1",
        "B/odd.png": "",
        "B/p2_a.png": "p2",
    }
    message = refusal(lambda: build_table(tmp_path, DataConfig(patient_pattern=r"^(q\d+)_")))
    assert "fits none of 4 file names" in message


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file names")
def test_a_table_that_is_saved_and_read_is_the_same_table(tmp_path: Path, write_image: Make) -> None:
    names = ["a.png", "b,c.png", 'd"e.png', "f\ng.png", "ü.png", "007.png"]
    for i, name in enumerate(names):
        write_image(tmp_path / "films" / name, np.full((4, 4, 3), (i, 0, 40 * i), np.uint8))
    labels, patients = ["NA", "NO", "null", "007", "7", "1e5"], ["007", "7", "NA", "", "None", "1.0"]
    quoted = ["films/" + name.replace('"', '""') for name in names]
    cells = zip(quoted, labels, patients, strict=True)
    (tmp_path / "list.csv").write_text(
        "path,label,patient\n" + "".join(f'"{path}",{label},{patient}\n' for path, label, patient in cells),
        encoding="utf-8",
    )
    rows = build_table(tmp_path / "list.csv", DataConfig()).rows.assign(group=np.arange(6), split="train")
    write_table(tmp_path / "table.csv", rows)
    again = read_table(tmp_path / "table.csv")
    assert list(again.columns) == list(rows.columns)
    for name in rows:
        assert list(again[name]) == list(rows[name]), name
    assert list(again["label"]) == labels
    assert list(again["patient"]) == patients
    assert list(again["grey"]) == [True, False, False, False, False, False]
    assert again["grey"].dtype == bool
    assert again["group"].dtype == np.int64
