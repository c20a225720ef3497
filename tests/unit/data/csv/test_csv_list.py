"""A CSV of images: every cell is text, and whatever is wrong with it is refused by name."""

import csv as csv_module
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from plainfilm.config import DataConfig
from plainfilm.data.csv.column_names import SYNONYMS
from plainfilm.data.csv.csv_list import read_column, read_csv
from plainfilm.data.split.splits import make_split
from plainfilm.data.table.image_table import build_table
from plainfilm.data.table.saved_table import read_table, write_table
from plainfilm.errors import DataError, UsageError
from plainfilm.runs.folder import RunDir

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
    write_table(RunDir(image_folder), image_folder / "table.csv", table.rows.assign(group=0, split="train"))
    assert list(read_table(RunDir(image_folder))["label"]) == labels


def test_patients_007_and_7_are_two_patients_and_7_and_7_0_one(image_folder: Path) -> None:
    path = csv(image_folder, "path,label,patient\n0.png,A,007\n1.png,A,7\n2.png,B,7.0\n3.png,B,\n")
    table = build_table(path, DataConfig())
    assert list(table.rows["patient"]) == ["007", "7", "7", ""]
    assert list(table.rows["wide"]) == ["007", "7", "7", ""]
    assert table.notes[0].endswith("as one patient each: 1.") and "kept apart: 2." in table.notes[1]


def test_the_csv_tells_the_patient_and_the_file_name_only_where_it_is_silent(
    tmp_path: Path, write_image: Callable[..., Path]
) -> None:
    names = [f"phantom-0000{patient}-{k}.png" for patient in (1, 2) for k in (1, 2)]
    for i, name in enumerate(names):
        write_image(tmp_path / name, np.full((4, 4), i, np.uint8))
    cells = zip(names, "ABAB", ["anna", "", "", ""], strict=True)
    table = build_table(csv(tmp_path, "\n".join(["path,label,patient", *map(",".join, cells)])), DataConfig())
    assert list(table.rows["patient"]) == ["anna", "anna", "phantom-00002", "phantom-00002"]
    assert table.notes[0].startswith("3 of 4 images have no patient in the table: 1 have that of")


def test_an_empty_patient_column_is_said(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    names = [f"phantom-0000{patient}-1.png" for patient in (1, 2)]
    for i, name in enumerate(names):
        write_image(tmp_path / name, np.full((4, 4), i, np.uint8))
    table = build_table(csv(tmp_path, f"path,label,patient\n{names[0]},A,\n{names[1]},B,\n"), DataConfig())
    assert list(table.rows["patient"]) == ["phantom-00001", "phantom-00002"]
    assert [note[:28] for note in table.notes] == ["The patient column is empty;"]


def test_a_patient_column_and_a_pattern_are_refused_together(image_folder: Path, refusal: Refusal) -> None:
    path = csv(image_folder, "path,label,subject\n0.png,A,p\n1.png,B,q\n")
    message = refusal(lambda: read_csv(path, DataConfig(patient_pattern=r"^(\d)")), UsageError)
    assert "'subject'" in message and "--patient-column none uses the pattern" in message
    cfg = DataConfig(patient_pattern=r"^(\d)", patient_column="none")
    assert list(build_table(path, cfg).rows["patient"]) == ["0", "1"]


def test_paths_are_relative_to_the_csv_and_columns_come_in_any_order(image_folder: Path) -> None:
    (image_folder / "sub").mkdir()
    (image_folder / "0.png").rename(image_folder / "sub" / "0.png")
    path = csv(image_folder, "label,note,path\nA,x,sub/0.png\nB,y,1.png\n")
    first, second = read_csv(path).found
    assert (first.path, first.relative, first.label) == (image_folder / "sub" / "0.png", "sub/0.png", "A")
    assert (second.relative, second.label) == ("1.png", "B")


def test_windows_line_ends_a_byte_order_mark_and_spaces_round_cells_are_no_part_of_the_text(image_folder: Path) -> None:
    path = csv(image_folder, "\ufeffpath, label ,patient\r\n0.png, A , p1\r\n1.png,B,p2\r\n")
    assert [(file.relative, file.label.strip(), file.patient) for file in read_csv(path).found] == [
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
    write_table(RunDir(tmp_path), tmp_path / "table.csv", table.rows.assign(group=0, split="train"))
    assert list(read_table(RunDir(tmp_path))["relative"]) == names


def test_split_names_are_read_in_their_usual_spellings(image_folder: Path) -> None:
    path = csv(image_folder, "path,label,split\n0.png,A,train\n1.png,A,Val\n2.png,B,validation\n3.png,B, TEST \n")
    assert [file.given for file in read_csv(path).found] == ["train", "valid", "valid", "test"]


def test_an_empty_split_column_gives_no_split(image_folder: Path) -> None:
    assert {file.given for file in read_csv(csv(image_folder, "path,label,split\n0.png,A,\n1.png,B,\n")).found} == {""}


def test_rows_without_a_path_are_counted_and_the_first_is_named(image_folder: Path, refusal: Refusal) -> None:
    message = refusal(lambda: read_csv(csv(image_folder, "path,label\n0.png,A\n,B\n\n2.png,B\n ,A\n")))
    assert "2 of 4 rows have no path (first: row 3)" in message
    assert "Fill them in, or remove the rows" in message


def test_a_missing_label_is_named_by_its_row_in_the_file_blank_lines_included(
    image_folder: Path, refusal: Refusal
) -> None:
    path = csv(image_folder, "path,label\n0.png,A\n\n\n1.png,\n")
    assert "an empty cell (row 5)" in refusal(lambda: build_table(path, DataConfig()))


def test_empty_labels_and_patients_are_handed_on_with_their_line(image_folder: Path) -> None:
    found = read_csv(csv(image_folder, "path,label,patient\n0.png,A,p\n\n\n1.png, ,\n")).found
    assert [(file.label, file.patient, file.line) for file in found] == [("A", "p", 2), (" ", "", 5)]


@pytest.mark.parametrize(("header", "missing"), [("path,outcome", "label"), ("picture,label", "path")])
def test_a_missing_column_is_named_with_those_that_are_there(
    image_folder: Path, refusal: Refusal, header: str, missing: str
) -> None:
    message = refusal(lambda: read_csv(csv(image_folder, f"{header}\nx,A\n")))
    assert f"has no column for the {missing}; the columns of its first line are " in message
    assert "Expected path,label[,patient][,split]" in message and f"--{missing}-column NAME" in message


def test_columns_are_found_by_the_field_s_names_and_all_that_is_unusual_is_said(image_folder: Path) -> None:
    text = "sep=;\nImage Index;Finding Labels;Patient ID;fold\n.\\0;Mass;7;train\n1;Edema;8;test\n"
    files = read_csv(csv(image_folder, text, "utf-16"), DataConfig(suffix=".png"))
    assert [(file.relative, file.label, file.patient, file.given, file.line) for file in files.found] == [
        ("0.png", "Mass", "7", "train", 3),
        ("1.png", "Edema", "8", "test", 4),
    ]
    assert files.notes == (
        "The table was read as UTF-16 text separated by semicolons.",
        "Columns of the table: path from 'Image Index', label from 'Finding Labels', patient from 'Patient ID', split from 'fold'.",
        "In the table, 1 of 2 paths are written with backslashes and .png is appended to 2 of 2 paths.",
    )
    table = build_table(image_folder / "list.csv", DataConfig(suffix=".png"))
    assert table.notes == files.notes and list(table.rows["patient"]) == ["7", "8"]


def test_an_ordinary_csv_needs_no_note(image_folder: Path) -> None:
    assert read_csv(csv(image_folder, "path,label,patient,split\n0.png,A,p,train\n1.png,B,q,test\n")).notes == ()


def test_the_option_names_the_column(image_folder: Path) -> None:
    path = csv(image_folder, "img,dx,grade,who\n0.png,A,1,p\n1.png,B,2,p\n")
    cfg = DataConfig(label_column="grade", patient_column="who")
    assert [(file.label, file.patient) for file in read_csv(path, cfg).found] == [("1", "p"), ("2", "p")]


def test_a_folder_refuses_the_options_of_tables(image_folder: Path, refusal: Refusal) -> None:
    assert "--suffix is for tables" in refusal(lambda: build_table(image_folder, DataConfig(suffix=".png")), UsageError)


def test_a_column_named_twice_is_refused(image_folder: Path, refusal: Refusal) -> None:
    assert "names the column 'label' twice" in refusal(
        lambda: read_csv(csv(image_folder, "path,label,label\n0.png,A,B\n"))
    )


@pytest.mark.parametrize("row", ["0.png,mild, left", "0.png"])
def test_rows_with_other_than_the_headers_cells_are_refused(image_folder: Path, refusal: Refusal, row: str) -> None:
    message = refusal(lambda: read_csv(csv(image_folder, f"path,label\n{row}\n1.png,B\n")))
    assert "row 2 has" in message
    assert "the header 2" in message
    assert "Quote separators inside cells" in message


@pytest.mark.parametrize("text", ["path,label\n", "path,label\n\n\n"])
def test_a_header_without_rows_is_refused(image_folder: Path, refusal: Refusal, text: str) -> None:
    assert "has a header but no rows" in refusal(lambda: read_csv(csv(image_folder, text)))


def test_an_empty_file_is_refused(image_folder: Path, refusal: Refusal) -> None:
    assert "is empty. Expected a first line path,label" in refusal(lambda: read_csv(csv(image_folder, "")))


def test_a_path_named_twice_is_refused(image_folder: Path, refusal: Refusal) -> None:
    message = refusal(lambda: read_csv(csv(image_folder, "path,label\n0.png,A\n1.png,B\n0.png,B\n")))
    assert "names '0.png' 2 times" in message
    assert "Keep one row per image" in message


def test_a_path_named_twice_in_two_spellings_is_refused(image_folder: Path, refusal: Refusal) -> None:
    # Else the table and the split file hold one name twice, and the split file is refused when it is read back.
    for again in ("./0.png", "x/../0.png", str(image_folder / "0.png")):
        (image_folder / "x").mkdir(exist_ok=True)
        text = f"path,label\n0.png,A\n{again},A\n1.png,B\n"
        assert "0.png' 2 times" in refusal(lambda: read_csv(csv(image_folder, text)))  # noqa: B023


def test_files_that_do_not_exist_are_counted_and_the_first_is_named(image_folder: Path, refusal: Refusal) -> None:
    message = refusal(lambda: read_csv(csv(image_folder, "path,label\n0.png,A\ngone.png,B\nlost.png,B\n")))
    assert "2 of 3 files do not exist (first: 'gone.png')" in message
    assert "relative to the CSV's folder" in message


def test_an_unknown_split_is_refused_by_name(image_folder: Path, refusal: Refusal) -> None:
    message = refusal(lambda: read_csv(csv(image_folder, "path,label,split\n0.png,A,train\n1.png,B,holdout\n")))
    assert "the split column 'split' holds 'holdout'" in message
    assert "Expected train, valid or test" in message


def test_a_split_column_that_is_filled_in_part_is_refused(image_folder: Path, refusal: Refusal) -> None:
    message = refusal(
        lambda: read_csv(csv(image_folder, "path,label,split\n0.png,A,train\n1.png,B,\n2.png,B,\n3.png,B,test\n"))
    )
    assert "the split column 'split' is empty in 2 of 4 rows" in message
    assert "in every row, or no split column" in message


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


def test_a_column_is_read_by_the_path_of_each_image_as_the_run_reads_it(image_folder: Path) -> None:
    path = csv(image_folder, "pic;dx;site\n.\\0;A; x \n1.png;B;\n")
    cfg = DataConfig(path_column="pic", suffix=".png")
    found = read_column(path, "site", cfg)
    assert found is not None and found["0.png"] == "x" and found["1.png"] == ""
    assert [found[file.relative] for file in read_csv(path, cfg).found] == ["x", ""]
    assert read_column(path, "age", cfg) is None


def test_a_column_is_read_from_another_table_by_its_own_names(image_folder: Path) -> None:
    path = csv(image_folder, "filename,label,site\n0.png,A,x\n")
    assert read_column(path, "site", DataConfig(path_column="img")) == {"0.png": "x"}


# What a table can hold, and how programs write it
CELLS = st.text(st.sampled_from("aB7 ,;|\t\"'.é\u00fc\u20ac-\n"), max_size=6)
ENDINGS = {"utf-8": "", "utf-8-sig": "", "utf-16": "UTF-16", "cp1252": "cp1252"}
FREE = ["age", "Site", "patient_sex", "Follow-up #", "View Position", "study date"]
DOUBTFUL = ["lesion_id", "study", "cv_fold", "patientCode", "is_train", "", "Unnamed: 0", "id", "subset", "person"]


@st.composite
def spelled(draw: st.DrawFn, meaning: str) -> str:
    name = draw(st.sampled_from([meaning, *SYNONYMS[meaning]]))
    joint = draw(st.sampled_from(["_", "-", " ", ""]))
    return draw(st.sampled_from([str, str.upper, str.title]))(name.replace(" ", joint))


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]], dict[str, list[str]]]:
    """Header, rows, and the true cells of each meaning; patient and split may be absent."""
    meanings = ["path", "label", *draw(st.sets(st.sampled_from(["patient", "split"])))]
    n = draw(st.integers(2, 9))
    true = {"path": [f"{i}.png" for i in range(n)]}
    true["label"] = draw(st.lists(CELLS, min_size=n, max_size=n))
    true["patient"] = draw(st.lists(CELLS, min_size=n, max_size=n))
    true["split"] = draw(st.lists(st.sampled_from(["train", "VAL", "Test"]), min_size=n, max_size=n))
    columns = [(draw(spelled(meaning)), true[meaning]) for meaning in meanings]
    for name in draw(st.lists(st.sampled_from(FREE), unique=True, max_size=2)):
        columns.append((name, draw(st.lists(CELLS, min_size=n, max_size=n))))
    columns = draw(st.permutations(columns))
    rows = [list(cells) for cells in zip(*(cells for _, cells in columns), strict=True)]
    return [name for name, _ in columns], rows, {meaning: true[meaning] for meaning in meanings}


def written(header: list[str], rows: list[list[str]], separator: str, ending: str) -> str:
    file = io.StringIO(newline="")
    # the writer leaves a line feed unquoted where lines end in CR
    quoting = csv_module.QUOTE_ALL if ending == "\r" else csv_module.QUOTE_MINIMAL
    csv_module.writer(file, delimiter=separator, lineterminator=ending, quoting=quoting).writerows([header, *rows])
    return file.getvalue()


@pytest.fixture(scope="module")
def nine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nine files; nothing in them is read here."""
    folder = tmp_path_factory.mktemp("nine")
    for i in range(9):
        (folder / f"{i}.png").touch()
    return folder


@settings(max_examples=200, deadline=None)
@given(
    tables(),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(sorted(ENDINGS)),
    st.data(),
)
def test_a_table_in_any_dialect_order_and_spelling_reads_back(nine, table, separator, ending, encoding, data) -> None:
    header, rows, true = table
    text = written(header, rows, separator, ending)
    assume(encoding != "cp1252" or not re.search(r"[^\0-\x7f]{2}", text))  # taken for another script
    if data.draw(st.booleans(), "sep="):
        text = f"sep={separator}{ending}{text}"
    files = read_csv(csv(nine, text, encoding))
    expected = {meaning: [cell.strip() for cell in cells] for meaning, cells in true.items()}
    assert [file.relative for file in files.found] == expected["path"]
    assert [file.label for file in files.found] == true["label"]
    assert [file.patient for file in files.found] == expected.get("patient", [""] * len(rows))
    parts = {"train": "train", "VAL": "valid", "Test": "test"}
    assert [file.given for file in files.found] == (
        [parts[cell] for cell in expected["split"]] if "split" in expected else [""] * len(rows)
    )
    said = " ".join(files.notes)
    for meaning in true:
        (name,) = [name for name in header if name.casefold() == meaning or f"{meaning} from {name!r}" in said]
        assert name == meaning or f"{meaning} from {name!r}" in said
    assert ("cp1252" in said) is (encoding == "cp1252" and not text.isascii()) and ("UTF-16" in said) is (
        encoding == "utf-16"
    )


@settings(max_examples=200, deadline=None)
@given(tables(), st.lists(st.sampled_from(DOUBTFUL), unique=True, min_size=1, max_size=3), st.data())
def test_a_column_that_could_be_the_patient_or_the_split_is_never_lost_in_silence(nine, table, names, data) -> None:
    header, rows, _ = table
    values = st.sampled_from(["", "0", "1", "2", "train", "test", "p7"])
    extra = [data.draw(st.lists(values, min_size=len(rows), max_size=len(rows))) for _ in names]
    rows = [[*cells, *more] for cells, *more in zip(rows, *extra, strict=True)]
    refused, spelled_names = "", [repr(name) if name else "without a name" for name in names]
    try:
        said = " ".join(read_csv(csv(nine, written([*header, *names], rows, ",", "\n"))).notes)
    except DataError as error:
        said, refused = "", str(error)
    if said:
        assert [name for name in spelled_names if name not in said] in ([], ["without a name"])
        assert "without a name" in said or "" not in names or "Empty cells after the last column" in said
    else:
        assert any(name in refused for name in spelled_names)


def test_a_column_of_0_and_1_is_present_absent_or_missing(image_folder: Path, refusal: Refusal) -> None:
    text = "path,Mass,Edema\n0.png,1,0\n1.png,0.0,1\n2.png,1.0,1\n3.png,-1,0\n4.png,,1\n"
    found = read_csv(csv(image_folder, text), DataConfig(one_label="Mass")).found
    assert [file.label for file in found] == ["Mass", "no Mass", "Mass", "-1", ""]
    message = refusal(lambda: build_table(csv(image_folder, text), DataConfig(one_label="Mass")))
    assert "2 of 5 rows without a label: an empty cell, '-1' (rows 5, 6)" in message
    table = build_table(csv(image_folder, text), DataConfig(one_label="Mass", missing_label="drop"))
    assert list(table.rows["label"]) == ["Mass", "no Mass", "Mass"]
    assert table.notes[-1].startswith("ONE LABEL: 'Mass' is on 2 of 3 images")


def test_spaces_around_labels_are_removed_and_said(image_folder: Path) -> None:
    table = build_table(csv(image_folder, "path,label\n0.png,A\n1.png,A \n2.png, B\n3.png, B\n"), DataConfig())
    assert list(table.rows["label"]) == ["A", "A", "B", "B"]
    assert table.notes == ("Spaces around a label are removed: 'A', 'A ' are one class, 'A'.",)


@pytest.mark.parametrize(
    ("name", "yes", "parts"),
    [
        ("is_train", "1", {"1": "train", "0": "test"}),
        ("isTrain", "True", {"1": "train", "0": "test"}),
        ("is_test", "1.0", {"1": "test", "0": "train"}),
        ("is_valid", "1", {"1": "valid", "0": "train"}),
        ("is_training_image", "1", {"1": "train", "0": "test"}),
    ],
)
def test_a_column_of_1_and_0_is_the_split_where_it_is_named(image_folder, refusal: Refusal, name, yes, parts) -> None:
    no = {"1": "0", "True": "False", "1.0": "0.0"}[yes]
    path = csv(image_folder, f"path,label,{name}\n0.png,A,{yes}\n1.png,B,{no}\n2.png,A,{yes}\n")
    said = f"1 as {parts['1']} and 0 as {parts['0']}"
    assert f"--split-column {name} uses it, {said}" in refusal(lambda: read_csv(path))
    found = read_csv(path, DataConfig(split_column=name))
    assert [file.given for file in found.found] == [parts["1"], parts["0"], parts["1"]]
    assert f"In the split column '{name}', 1 is read as {parts['1']} and 0 as {parts['0']}." in found.notes


@pytest.mark.parametrize(
    ("name", "cells"), [("is_train", "012"), ("is_train", "111"), ("holdout", "011"), ("in_train_test", "011")]
)
def test_other_columns_of_numbers_are_no_split(image_folder, refusal: Refusal, name, cells) -> None:
    rows = "".join(f"{i}.png,A,{cell}\n" for i, cell in enumerate(cells))
    path = csv(image_folder, f"path,label,{name}\n{rows}")
    assert "Expected train, valid or test in every row" in refusal(
        lambda: read_csv(path, DataConfig(split_column=name))
    )
