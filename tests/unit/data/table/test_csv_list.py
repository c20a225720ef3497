"""A CSV of images: every cell is text, and whatever is wrong with it is refused by name."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plainfilm.config import DataConfig
from plainfilm.data.split.splits import make_split
from plainfilm.data.table.csv_list import read_csv
from plainfilm.data.table.image_table import build_table, read_table, write_table

Refusal = Callable[..., str]


@pytest.fixture
def image_folder(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """A folder with 0.png .. 8.png, all different."""
    for i in range(9):
        write_image(tmp_path / f"{i}.png", np.full((4, 4), 20 * i, np.uint8))
    return tmp_path


def csv(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "list.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_labels_that_resemble_nothing_or_numbers_survive_where_told_to(image_folder: Path) -> None:
    labels = ["NA", "None", "007", "NO", "null", "nan", "1.0", "true", "N/A"]
    keep = DataConfig(keep_label="NA,None,null,nan,N/A", labels_as_text=True)
    path = csv(image_folder, "path,label\n" + "".join(f"{i}.png,{label}\n" for i, label in enumerate(labels)))
    assert [file.label for file in read_csv(path).found] == labels
    table = build_table(path, keep)
    assert list(table.rows["label"]) == labels
    write_table(image_folder / "table.csv", table.rows.assign(group=0, split="train"))
    assert list(read_table(image_folder / "table.csv")["label"]) == labels


def test_patients_007_and_7_are_two_patients_and_7_and_7_0_one(image_folder: Path) -> None:
    path = csv(image_folder, "path,label,patient\n0.png,A,007\n1.png,A,7\n2.png,B,7.0\n3.png,B,\n")
    table = build_table(path, DataConfig())
    assert list(table.rows["patient"]) == ["007", "7", "7", ""]
    assert list(table.rows["wide"]) == ["007", "7", "7", ""]
    assert "1 patients are spelled" in table.notes[0] and "2 patients differ from another one" in table.notes[1]


def test_the_csv_tells_the_patient_and_the_file_name_only_where_it_is_silent(
    tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    for i, name in enumerate(("phantom-00001-1.png", "phantom-00001-2.png")):
        write_image(tmp_path / name, np.full((4, 4), i, np.uint8))
    path = csv(tmp_path, "path,label,patient\nphantom-00001-1.png,A,anna\nphantom-00001-2.png,B,\n")
    assert list(build_table(path, DataConfig()).rows["patient"]) == ["anna", "phantom-00001"]


def test_paths_are_relative_to_the_csv_and_columns_come_in_any_order(image_folder: Path) -> None:
    (image_folder / "sub").mkdir()
    (image_folder / "0.png").rename(image_folder / "sub" / "0.png")
    path = csv(image_folder, "label,note,path\nA,x,sub/0.png\nB,y,1.png\n")
    first, second = read_csv(path).found
    assert (first.path, first.relative, first.label) == (image_folder / "sub" / "0.png", "sub/0.png", "A")
    assert (second.relative, second.label) == ("1.png", "B")


def test_windows_line_ends_a_byte_order_mark_and_spaces_round_cells_are_no_part_of_the_text(image_folder: Path) -> None:
    path = csv(image_folder, "\ufeffpath, label ,patient\r\n0.png, A , p1\r\n1.png,B,p2\r\n")
    assert [(file.relative, file.label, file.patient) for file in read_csv(path).found] == [
        ("0.png", "A", "p1"),
        ("1.png", "B", "p2"),
    ]


def test_blank_lines_are_no_rows(image_folder: Path) -> None:
    assert len(read_csv(csv(image_folder, "path,label\n\n0.png,A\n\n1.png,B\n\n")).found) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file names")
def test_commas_quotes_and_line_ends_inside_quotes_belong_to_the_cell(
    tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    names = ["a,b.png", 'say "ah".png', "two\nlines.png"]
    for i, name in enumerate(names):
        write_image(tmp_path / name, np.full((4, 4), i, np.uint8))
    path = csv(
        tmp_path, 'path,label\n"a,b.png","mild, left"\n"say ""ah"".png","say ""ah"""\n"two\nlines.png","two\nlines"\n'
    )
    table = build_table(path, DataConfig())
    assert list(table.rows["relative"]) == names
    assert list(table.rows["label"]) == ["mild, left", 'say "ah"', "two\nlines"]
    write_table(tmp_path / "table.csv", table.rows.assign(group=0, split="train"))
    assert list(read_table(tmp_path / "table.csv")["relative"]) == names


def test_split_names_are_read_in_their_usual_spellings(image_folder: Path) -> None:
    path = csv(image_folder, "path,label,split\n0.png,A,train\n1.png,A,Val\n2.png,B,validation\n3.png,B, TEST \n")
    assert [file.given for file in read_csv(path).found] == ["train", "valid", "valid", "test"]


def test_an_empty_split_column_gives_no_split(image_folder: Path) -> None:
    assert {file.given for file in read_csv(csv(image_folder, "path,label,split\n0.png,A,\n1.png,B,\n")).found} == {""}


def test_rows_without_a_path_are_counted_and_the_first_is_named(image_folder: Path, refusal: Refusal) -> None:
    message = refusal(lambda: read_csv(csv(image_folder, "path,label\n0.png,A\n,B\n2.png,B\n")))
    assert "1 of 3 rows have no path (first: row 3)" in message
    assert "Fill them in, or remove the rows" in message


def test_a_missing_label_is_named_by_its_row_in_the_file_blank_lines_included(
    image_folder: Path, refusal: Refusal
) -> None:
    path = csv(image_folder, "path,label\n0.png,A\n\n\n1.png,\n")
    assert "an empty cell (row 5)" in refusal(lambda: build_table(path, DataConfig()))


@pytest.mark.parametrize(
    ("header", "missing", "meant"),
    [("path,labels", "label", "labels"), ("Path,label", "path", "Path"), ("filepath,label", "path", "filepath")],
)
def test_a_missing_column_is_named_with_what_may_be_meant(
    image_folder: Path, refusal: Refusal, header: str, missing: str, meant: str
) -> None:
    message = refusal(lambda: read_csv(csv(image_folder, f"{header}\n0.png,A\n")))
    assert f"has no column {missing!r} (is {meant!r} meant?)" in message
    assert "Expected path,label[,patient][,split]" in message


def test_a_file_with_semicolons_gets_the_hint_to_use_commas(image_folder: Path, refusal: Refusal) -> None:
    message = refusal(lambda: read_csv(csv(image_folder, "path;label\n0.png;A\n1.png;B\n")))
    assert "path;label" in message
    assert "commas" in message
    assert "is 'path;label' meant" not in message


def test_a_column_named_twice_is_refused(image_folder: Path, refusal: Refusal) -> None:
    assert "names a column twice: path,label,label" in refusal(
        lambda: read_csv(csv(image_folder, "path,label,label\n0.png,A,B\n"))
    ).replace(", ", ",")


@pytest.mark.parametrize("row", ["0.png,mild, left", "0.png"])
def test_rows_with_other_than_the_headers_cells_are_refused(image_folder: Path, refusal: Refusal, row: str) -> None:
    message = refusal(lambda: read_csv(csv(image_folder, f"path,label\n{row}\n1.png,B\n")))
    assert "row 2 has" in message
    assert "the header 2" in message
    assert "Quote commas" in message


@pytest.mark.parametrize("text", ["path,label\n", "path,label\n\n\n"])
def test_a_header_without_rows_is_refused(image_folder: Path, refusal: Refusal, text: str) -> None:
    assert "has a header but no rows" in refusal(lambda: read_csv(csv(image_folder, text)))


def test_an_empty_file_is_refused(image_folder: Path, refusal: Refusal) -> None:
    assert "has no column 'path'" in refusal(lambda: read_csv(csv(image_folder, "")))


def test_a_path_named_twice_is_refused(image_folder: Path, refusal: Refusal) -> None:
    message = refusal(lambda: read_csv(csv(image_folder, "path,label\n0.png,A\n1.png,B\n0.png,B\n")))
    assert "names '0.png' 2 times" in message
    assert "Keep one row per image" in message


def test_a_path_named_twice_in_two_spellings_is_refused(image_folder: Path, refusal: Refusal) -> None:
    # Else the table and the split file hold one name twice, and the split file is refused when it is read back.
    assert "0.png" in refusal(lambda: read_csv(csv(image_folder, "path,label\n0.png,A\n./0.png,A\n1.png,B\n")))


def test_files_that_do_not_exist_are_counted_and_the_first_is_named(image_folder: Path, refusal: Refusal) -> None:
    message = refusal(lambda: read_csv(csv(image_folder, "path,label\n0.png,A\ngone.png,B\nlost.png,B\n")))
    assert "2 of 3 files do not exist (first: 'gone.png')" in message
    assert "relative to the CSV's folder" in message


def test_an_unknown_split_is_refused_by_name(image_folder: Path, refusal: Refusal) -> None:
    message = refusal(lambda: read_csv(csv(image_folder, "path,label,split\n0.png,A,train\n1.png,B,holdout\n")))
    assert "the split 'holdout'" in message
    assert "Expected train, valid or test" in message


def test_a_split_column_that_is_filled_in_part_is_refused(image_folder: Path, refusal: Refusal) -> None:
    message = refusal(
        lambda: read_csv(csv(image_folder, "path,label,split\n0.png,A,train\n1.png,B,\n2.png,B,\n3.png,B,test\n"))
    )
    assert "2 rows without a split" in message
    assert "in every row, or no split column" in message


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_file_that_is_not_utf8_is_refused(image_folder: Path, refusal: Refusal, encoding: str) -> None:
    message = refusal(lambda: read_csv(csv(image_folder, "path,label\n0.png,Fülle\n", encoding)))
    assert "not UTF-8 text; if it is a CSV, save it as UTF-8" in message


@pytest.mark.parametrize(
    ("begins", "kind"),
    [(b"\xff\xd8\xff\xe0", "a JPEG image"), (b"\x89PNG\r\n", "a PNG image"), (b"%PDF-1.7\n", "a PDF"),
     (b"PK\x03\x04", "a ZIP archive or an Excel workbook"), (bytes(128) + b"DICM", "a DICOM file")],
)  # fmt: skip
def test_a_file_that_is_no_csv_is_called_what_it_is(tmp_path: Path, refusal: Refusal, begins: bytes, kind: str) -> None:
    (tmp_path / "film.csv").write_bytes(begins + b"\n0.png,A\n")
    message = refusal(lambda: build_table(tmp_path / "film.csv", DataConfig()))
    assert message.startswith(f"{tmp_path / 'film.csv'} is {kind}. Expected a folder of class folders")
    assert "or a CSV with columns path,label[,patient][,split]" in message and "Error" not in message


def test_a_quote_that_is_never_closed_is_refused_in_a_long_file_too(image_folder: Path, refusal: Refusal) -> None:
    # 200,000 characters are more than one cell may hold; a missing quote makes the rest of the file one cell.
    text = 'path,label\n0.png,"A\n' + "1.png,B\n" * 25_000
    assert "list.csv" in refusal(lambda: read_csv(csv(image_folder, text)))


def test_the_split_column_is_the_official_split(image_folder: Path) -> None:
    splits = ["train"] * 6 + ["test"] * 2
    rows = "".join(f"{i}.png,{'AB'[i % 2]},{split}\n" for i, split in enumerate(splits))
    table = build_table(csv(image_folder, "path,label,split\n" + rows), DataConfig())
    split = make_split(table, DataConfig(split="official"), seed=0)
    assert list(split.of("test")["relative"]) == ["6.png", "7.png"]
