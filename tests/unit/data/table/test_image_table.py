"""A folder becomes the image table: facts per file, quarantine by code, and sets that cannot be used are refused."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.config import DataConfig
from plainfilm.data.errors import MEGAPIXELS, MOST_MEGAPIXELS
from plainfilm.data.image.decode import DecodeSpec, digest
from plainfilm.data.image.other_formats import NOT_AN_IMAGE
from plainfilm.data.split.splits import count, make_split
from plainfilm.data.table.image_table import ImageTable, build_table, scan_table
from plainfilm.data.table.saved_table import read_table, write_table
from plainfilm.errors import GateError
from plainfilm.runs.folder import RunDir
from wording import lacking

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


def test_an_image_is_read_where_so_many_pixels_are_admitted(tiny_cxr: Path, fresh_cache: Path) -> None:
    """Facts that the cache knows from a run that admitted more are no way around the limit."""
    Image.fromarray(np.zeros((1000, 1001), np.uint8)).save(tiny_cxr / "NORMAL" / "large.png")
    for admitted in (1, 2, 1):
        table = build_table(tiny_cxr, DataConfig(max_megapixels=admitted))
        assert excluded(table) == ({"NORMAL/large.png": "E_LARGE"} if admitted == 1 else {})
        assert len(table.rows) == (32 if admitted == 1 else 33)
    assert "--max-megapixels 2 admits it" in table.excluded["why"].iloc[0]


def test_the_option_has_the_bounds_of_the_readers() -> None:
    assert DataConfig().max_megapixels == DecodeSpec(8).megapixels == MEGAPIXELS
    assert DataConfig(max_megapixels=MOST_MEGAPIXELS).max_megapixels == MOST_MEGAPIXELS
    for wrong in (0, MOST_MEGAPIXELS + 1):
        with pytest.raises(ValueError, match="max_megapixels"):
            DataConfig(max_megapixels=wrong)


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
    (why,) = set(table.excluded["why"])
    assert lacking(why, "identical files", "labelled NORMAL and PNEUMONIA") == []
    assert (len(table.rows), table.found) == (31, 33)


def test_every_copy_of_a_conflict_is_quarantined(tiny_cxr: Path) -> None:
    for name in ("NORMAL/copy.png", "PNEUMONIA/copy.png"):
        shutil.copy(tiny_cxr / "NORMAL" / "phantom-00001-1.png", tiny_cxr / name)
    assert len(excluded(build_table(tiny_cxr, DataConfig()))) == 3


def test_label_conflicts_count_towards_the_accepted_number_of_quarantined_files(
    tiny_cxr: Path, refusal: Refusal
) -> None:
    for i, image in enumerate(sorted((tiny_cxr / "NORMAL").iterdir())[:3]):  # two files each
        shutil.copy(image, tiny_cxr / "PNEUMONIA" / f"copy{i}.png")
    message = refusal(lambda: build_table(tiny_cxr, DataConfig()))
    assert lacking(message, "6 of 35 images cannot be used", "E_LABEL_CONFLICT", "At most 5 files") == []
    assert build_table(tiny_cxr, DataConfig(max_bad="6")).count("quarantined") == 6
    (tiny_cxr / "NORMAL" / "broken.png").write_bytes(b"x")  # one damaged file more
    assert "7 of 36" in refusal(lambda: build_table(tiny_cxr, DataConfig(max_bad="6")))


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
    for image in sorted((root / "NORMAL").iterdir())[:count]:
        image.write_bytes(image.read_bytes()[:200])


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
    assert lacking(message, "6 of 20 images cannot be used", "'NORMAL/phantom-00001-1.png'", "E_CORRUPT: damaged") == []
    assert lacking(message, "At most 5 files or 1% may be quarantined", "Repair or remove them", "--max-bad") == []


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


def test_one_coloured_image_makes_the_set_three_channels(tiny_cxr: Path, write_image: Make) -> None:
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
    cfg = DataConfig(keep_label="NA,null", labels_as_text=True)
    rows = build_table(tmp_path / "list.csv", cfg).rows.assign(group=np.arange(6), role="", split="train")
    write_table(RunDir(tmp_path), tmp_path / "table.csv", rows)
    again = read_table(RunDir(tmp_path))
    assert list(again.columns) == list(rows.columns)
    for name in rows:
        assert list(again[name]) == list(rows[name]), name
    assert list(again["label"]) == labels
    assert list(again["patient"]) == ["007", "7", "", "", "", "1"]
    assert list(again["grey"]) == [True, False, False, False, False, False]
    assert again["grey"].dtype == bool
    assert again["group"].dtype == np.int64


@pytest.mark.parametrize(
    ("max_bad", "spoilt", "refused"),
    [("2", 2, False), ("2", 3, True), ("0", 1, True), ("30%", 6, False), ("30%", 7, True), ("35.5%", 7, False)],
)
def test_max_bad_is_a_number_of_files_or_a_share(
    tmp_path: Path, draw_cxr: Make, refusal: Refusal, max_bad: str, spoilt: int, refused: bool
) -> None:
    root = draw_cxr(tmp_path / "data", patients=10, images=1)
    spoil(root, spoilt)
    cfg = DataConfig(max_bad=max_bad)
    if refused:
        words = max_bad if "%" in max_bad else f"{max_bad} files"
        assert f"{spoilt} of 20 images cannot be used" in (message := refusal(lambda: build_table(root, cfg)))
        assert f"At most {words} may be quarantined" in message
        assert "--max-bad" in message
    else:
        assert len(build_table(root, cfg).rows) == 20 - spoilt


@pytest.mark.parametrize("text", ["many", "-1", "101%", "1.5", "5 %%", "%"])
def test_max_bad_that_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a number of files"):
        DataConfig(max_bad=text)


def test_duplicates_are_dropped_on_request_and_counted(tiny_cxr: Path) -> None:
    first = tiny_cxr / "NORMAL" / "phantom-00001-1.png"
    for i in (7, 8):
        (tiny_cxr / "NORMAL" / f"phantom-0009{i}-1.png").write_bytes(first.read_bytes())
    kept = build_table(tiny_cxr, DataConfig())
    assert (len(kept.rows), kept.count("duplicate"), kept.found) == (34, 0, 34)
    table = build_table(tiny_cxr, DataConfig(drop_duplicates=True))
    assert (len(table.rows), table.count("duplicate"), table.found) == (32, 2, 34)
    assert excluded(table) == {
        "NORMAL/phantom-00097-1.png": "E_DUPLICATE",
        "NORMAL/phantom-00098-1.png": "E_DUPLICATE",
    }
    assert set(table.excluded["why"]) == {"identical to NORMAL/phantom-00001-1.png"}
    counts = count(table, None)
    assert (counts.found, counts.used, counts.duplicates, counts.identical_files) == (34, 32, 2, 0)


def test_a_given_test_folder_keeps_its_duplicates(tmp_path: Path, draw_cxr: Make) -> None:
    draw_cxr(tmp_path / "train", patients=3, images=1)
    draw_cxr(tmp_path / "test", patients=2, images=1, first_patient=50)
    copies = {
        "test/NORMAL/phantom-00091-1.png": "test/NORMAL/phantom-00050-1.png",
        "train/NORMAL/phantom-00092-1.png": "train/NORMAL/phantom-00001-1.png",
        "train/NORMAL/phantom-00093-1.png": "test/NORMAL/phantom-00051-1.png",  # dropped here: test is not touched
    }
    for copy, original in copies.items():
        (tmp_path / copy).write_bytes((tmp_path / original).read_bytes())
    assert excluded(build_table(tmp_path, DataConfig(drop_duplicates=True))) == {
        "train/NORMAL/phantom-00092-1.png": "E_DUPLICATE",
        "train/NORMAL/phantom-00093-1.png": "E_DUPLICATE",
    }


def test_the_same_pixels_in_another_file_are_a_duplicate_too(tiny_cxr: Path) -> None:
    with Image.open(tiny_cxr / "NORMAL" / "phantom-00001-1.png") as image:
        image.save(tiny_cxr / "NORMAL" / "phantom-00099-1.bmp")
    rows = build_table(tiny_cxr, DataConfig()).rows.set_index("relative")
    assert rows.loc["NORMAL/phantom-00099-1.bmp", "duplicate_of"] == "NORMAL/phantom-00001-1.png"
    assert rows["sha256"].is_unique


def test_the_same_pixels_under_two_labels_are_both_quarantined(tiny_cxr: Path) -> None:
    with Image.open(tiny_cxr / "NORMAL" / "phantom-00001-1.png") as image:
        image.save(tiny_cxr / "PNEUMONIA" / "phantom-00099-1.bmp")
    table = build_table(tiny_cxr, DataConfig())
    assert set(excluded(table).values()) == {"E_LABEL_CONFLICT"}
    assert table.conflicts == (("NORMAL/phantom-00001-1.png", "PNEUMONIA/phantom-00099-1.bmp"),)
    assert (len(table.rows), table.found) == (31, 33)


def test_tiff_files_are_ignored_by_name_and_read_by_option(tiny_cxr: Path) -> None:
    with Image.open(tiny_cxr / "NORMAL" / "phantom-00001-1.png") as image:
        Image.fromarray(255 - np.asarray(image)).save(tiny_cxr / "NORMAL" / "phantom-00099-1.tif")
    table = build_table(tiny_cxr, DataConfig())
    assert excluded(table) == {"NORMAL/phantom-00099-1.tif": "TIFF, read with --tiff only"}
    assert len(build_table(tiny_cxr, DataConfig(tiff=True)).rows) == 33


def test_a_folder_of_tiff_files_says_how_they_are_read(tmp_path: Path, refusal: Refusal) -> None:
    for name in ("A/1.tif", "B/2.tiff"):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / name)
    assert "2 TIFF files are read with --tiff" in refusal(lambda: build_table(tmp_path, DataConfig()))


def two_names_of_one_child(root: Path, write_image: Make, label_of_copy: str) -> Path:
    """Each child has two patient keys, p<N>A and p<N>B, and one image under both."""
    for child in range(12):
        images = [np.random.default_rng([child, k]).integers(0, 256, (8, 8), dtype=np.uint8) for k in range(5)]
        label = "NORMAL" if child % 2 else "PNEUMONIA"
        other = label if label_of_copy == "same" else {"NORMAL": "PNEUMONIA", "PNEUMONIA": "NORMAL"}[label]
        for k, (key, folder, image) in enumerate(
            [("A", label, 0), ("A", label, 1), ("A", label, 2), ("B", label, 3), ("B", label, 4), ("B", other, 0)]
        ):
            write_image(root / folder / f"p{child}{key}_{k}.png", images[image])
    return root


@pytest.mark.parametrize(("label_of_copy", "drop"), [("same", False), ("same", True), ("other", False)])
def test_a_copy_that_is_set_aside_still_keeps_its_two_patients_together(
    tmp_path: Path, write_image: Make, label_of_copy: str, drop: bool
) -> None:
    root = two_names_of_one_child(tmp_path / "data", write_image, label_of_copy)
    cfg = DataConfig(drop_duplicates=drop, patient_pattern=r"^(p\d+[AB])_", max_bad="24")
    table = build_table(root, cfg)
    assert len(table.rows) == {("same", False): 72, ("same", True): 60, ("other", False): 48}[label_of_copy, drop]
    for seed in range(5):
        rows = make_split(table, cfg, seed).rows
        child = rows["patient"].str.extract(r"^p(\d+)")[0]
        assert (rows.groupby(child)["split"].nunique() == 1).all()


def test_kin_in_two_given_folders_are_a_leak_though_the_copy_was_dropped(
    tmp_path: Path, draw_cxr: Make, refusal: Refusal
) -> None:
    draw_cxr(tmp_path / "train", patients=4)
    draw_cxr(tmp_path / "test", patients=2, first_patient=50)
    shutil.copy(tmp_path / "test/NORMAL/phantom-00050-1.png", tmp_path / "train/NORMAL/phantom-00001-9.png")
    cfg = DataConfig(drop_duplicates=True, split="official")
    table = build_table(tmp_path, cfg)
    assert excluded(table) == {"train/NORMAL/phantom-00001-9.png": "E_DUPLICATE"}
    message = refusal(lambda: make_split(table, cfg, seed=0), GateError)
    assert "and 1 more by a copy that was set aside" in message


def test_dicom_files_are_found_under_any_name(tmp_path: Path) -> None:
    for i, name in enumerate(("1.2.840.113.1.0", "IM0001", "film.ima", "film.dcm", "notes.txt")):
        path = tmp_path / "AB"[i % 2] / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(128) + b"DICM" if name != "notes.txt" else b"DICM")
    table, found = scan_table(tmp_path, DataConfig())
    assert {Path(file.relative).name for file in found} == {"1.2.840.113.1.0", "IM0001", "film.ima", "film.dcm"}
    assert excluded(table)["A/notes.txt"] == NOT_AN_IMAGE
