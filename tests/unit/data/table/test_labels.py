"""Labels and patients as a set: every kind is refused or noted."""

from __future__ import annotations

import string
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.base.command_line import shell_word
from plainfilm.config import DataConfig
from plainfilm.data.folders.walk import DataFiles, FoundFiles
from plainfilm.data.table.kinds import KINDS
from plainfilm.data.table.labels import check_labels
from plainfilm.errors import DataError


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "list.csv"
    path.touch()
    return path


def files(*labels: str, patients: list[str] | None = None) -> DataFiles:
    patients = patients or [""] * len(labels)
    return DataFiles(
        [
            FoundFiles(Path(f"{i}.png"), f"{i}.png", label, "", patient, i + 2)
            for i, (label, patient) in enumerate(zip(labels, patients, strict=True))
        ],
        [],
    )


def labels_of(done: DataFiles) -> list[str]:
    return [file.label for file in done.found]


def refused(found: DataFiles, path: Path, **options: object) -> str:
    with pytest.raises(DataError) as error:
        check_labels(found, DataConfig(**options), path)
    return str(error.value)


def test_plain_labels_and_patients_pass_without_a_word(listed):
    done = check_labels(files("NORMAL", "SICK", "SICK", patients=["p1", "p2", "p2"]), DataConfig(), listed)
    assert labels_of(done) == ["NORMAL", "SICK", "SICK"] and done.notes == ()
    assert [file.patient for file in done.found] == ["p1", "p2", "p2"]


# --- nearly equal ------------------------------------------------------------------------------------------------------

ALIKE = [("A", "a"), ("é", "e\u0301"), ("Covid 19", "Covid  19"), ("Covid 19", "Covid\u00a019"), ("A", "A\u200b"),
         ("COVID-19", "COVID\u201319")]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), ALIKE)
@pytest.mark.parametrize("folder", [True, False])
def test_labels_that_are_nearly_equal_are_refused_in_folders_and_tables(listed, tmp_path, first, second, folder):
    message = refused(files(first, second), tmp_path if folder else listed)
    assert message.startswith("The classes ") and "differ only in case, spaces, dashes or Unicode form" in message
    assert repr(first) in message and repr(second) in message
    assert "(0.png; 1.png)" in message or "(1.png; 0.png)" in message


def test_the_code_points_of_nearly_equal_labels_are_shown(listed):
    message = refused(files("é", "e\u0301"), listed)
    assert "U+00E9" in message and "U+0301" in message
    assert "U+" not in refused(files("A", "a"), listed)


def test_a_label_is_kept_in_composed_form(tmp_path):
    done = check_labels(files("e\u0301", "b"), DataConfig(), tmp_path)
    assert labels_of(done) == ["é", "b"] and unicodedata.is_normalized("NFC", labels_of(done)[0])


def test_spaces_around_a_label_are_removed_and_said(tmp_path):
    done = check_labels(files("A", "A ", "B"), DataConfig(), tmp_path)
    assert labels_of(done) == ["A", "A", "B"]
    assert done.notes == ("Spaces around a label are removed: 'A', 'A ' are one class, 'A'.",)


# --- missing ----------------------------------------------------------------------------------------------------------

MISSING = ["", "nan", "NaN", "None", "NULL", "NA", "n/a", "unknown", "?", "-", "#NV", "#REF!", "NaT", "-1", "-1.0"]


@pytest.mark.parametrize("cell", MISSING)
def test_a_missing_label_in_a_table_is_refused_with_its_row(listed, cell):
    message = refused(files("0", "1", cell, "1", "0"), listed)
    assert "1 of 5 rows without a label" in message and "(row 4)" in message and "--missing-label drop" in message
    assert (f"--keep-label {shell_word(cell)}." in message) == (cell != "")  # unquoted, '#NV' is a comment of the shell


@pytest.mark.parametrize("cell", MISSING)
def test_dropped_rows_are_counted_and_listed(listed, cell):
    done = check_labels(files("A", cell, "B", "B"), DataConfig(missing_label="drop"), listed)
    assert labels_of(done) == ["A", "B", "B"]
    assert [(row["relative"], row["state"], row["code"]) for row in done.ignored] == [("1.png", "ignored", "no label")]
    assert len(done.notes) == 1 and "1 of 4 rows without a label" in done.notes[0]


@pytest.mark.parametrize("cell", [*MISSING, "Unknown"])
def test_a_class_folder_is_never_missing(tmp_path, cell):
    done = check_labels(files("A", cell or "nan"), DataConfig(), tmp_path)
    assert labels_of(done) == ["A", cell or "nan"] and done.notes == ()


def test_a_class_really_named_so_can_be_kept(listed):
    done = check_labels(files("NA", "None", "B"), DataConfig(keep_label="NA, None"), listed)
    assert labels_of(done) == ["NA", "None", "B"] and done.notes == ()
    assert "'None'" in refused(files("NA", "None", "B"), listed, keep_label="NA")
    assert "'NA'" in refused(files("NA", "B"), listed, keep_label="nan")
    assert labels_of(check_labels(files("A", "B"), DataConfig(keep_label="NA"), listed)) == [
        "A",
        "B",
    ]  # an external set


def test_empty_lists_and_lists_of_a_missing_label_are_missing(listed):
    assert "2 of 4 rows without a label: an empty cell, 'nan' (rows 3, 4)" in refused(
        files("['A']", "['nan']", "[]", "['B']"), listed
    )


def test_a_missing_cell_beside_minus_one_and_one_drops_nothing_else(listed):
    done = check_labels(files("-1", "1", "", "-1", "1"), DataConfig(missing_label="drop"), listed)
    assert labels_of(done) == ["-1", "1", "-1", "1"]


def test_minus_one_is_a_class_only_beside_one_alone(listed):
    assert labels_of(check_labels(files("-1", "1", "1"), DataConfig(), listed)) == ["-1", "1", "1"]
    assert "'-1'" in refused(files("-1", "0", "1"), listed)


def test_at_most_five_rows_are_listed(listed):
    assert "(rows 3, 4, 5, 6, 7 and 2 more)" in refused(files("A", *[""] * 7), listed)


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_labels_equal_as_numbers_are_one_class_and_said(listed):
    done = check_labels(files("1", "1.0", "01", "0", "0", "0.0"), DataConfig(), listed)
    assert labels_of(done) == ["1", "1", "1", "0", "0", "0"]
    assert len(done.notes) == 1 and "01 and 1 and 1.0, 0 and 0.0." in done.notes[0]


def test_numbers_stay_text_on_request_and_in_folders(listed, tmp_path):
    for path, options in ((listed, {"labels_as_text": True}), (tmp_path, {})):
        done = check_labels(files("1", "1.0", "01"), DataConfig(**options), path)
        assert labels_of(done) == ["1", "1.0", "01"] and done.notes == ()


QUANTITIES = {
    "fractions": [f"{i / 8}" for i in range(32)],
    "few fractions": ["0.5", "1.5"] * 10,
    "one fraction": ["0", "1", "2.5"] * 10,
    "one image a value": [str(i) for i in range(20)],
    "two images a value": [str(i) for i in range(10)] * 2,
    "ages": [str(age) for age in range(20, 28)] * 4,
    "a decimal comma": ["23,4", "25,1", "19,9"] * 4,
    "measurements beside text": ["0.5", "1.5", "2.5", "nd"] * 3,
    "large and small": ["1e-5", "1e+300", "2"] * 4,
}
CLASSES = {
    "two": ["0", "1"],
    "two written as floats": ["0.0", "1.0"],
    "grades": [str(i) for i in range(5)] * 3,
    "digits": [str(i) for i in range(10)] * 3,
    "a subset of digits": ["3", "5", "8"] * 3,
    "numbers from 1": [str(i) for i in range(1, 9)] * 4,
    "codes with many images": [str(i) for i in range(20, 28)] * 30,
    "grades beside text": ["4", "5", "4a", "4b"] * 3,
    "a release beside text": ["2.5", "x", "y", "z"],
    "codes with an E": ["1E30", "1E31", "1E50"] * 3,
    "codes of twenty digits": ["10000000000000000001", "10000000000000000002"] * 3,
}


@pytest.mark.parametrize("name", QUANTITIES)
def test_a_quantity_is_no_class(listed, name):
    labels = QUANTITIES[name]
    message = refused(files(*labels), listed)
    numbers = [label for label in labels if label != "nd"]
    assert "a quantity, not a class" in message and f"on {len(numbers)} images" in message
    done = check_labels(files(*labels), DataConfig(labels_as_text=True), listed)
    assert labels_of(done) == labels


@pytest.mark.parametrize("name", CLASSES)
def test_numbers_may_be_classes(listed, name):
    done = check_labels(files(*CLASSES[name]), DataConfig(), listed)
    assert labels_of(done) == CLASSES[name] and done.notes == ()


def test_many_numbers_are_said(listed):
    done = check_labels(files(*[str(i) for i in range(12)] * 3), DataConfig(), listed)
    assert done.notes == ("The labels are 12 different numbers (0 to 11); each is taken as a class of its own.",)


# --- several labels ---------------------------------------------------------------------------------------------------

SEVERAL = {
    "bar": "Effusion|Mass",
    "semicolon": "Effusion; Mass",
    "list": "['Effusion', 'Mass']",
    "json": '["Effusion","Mass"]',
}


@pytest.mark.parametrize("cell", SEVERAL.values(), ids=SEVERAL)
def test_several_labels_per_image_are_refused(listed, cell):
    message = refused(files("No Finding", cell, "Mass", "Mass", "Effusion"), listed)
    assert "several labels per image in 1 of 5 rows" in message and "row 3" in message
    assert "--one-label Mass" in message and "Mass (3), Effusion (2)" in message


@pytest.mark.parametrize("cell", SEVERAL.values(), ids=SEVERAL)
def test_one_label_is_present_or_absent_by_whole_tokens(listed, cell):
    found = files("No Finding", cell, "Mass", "Effusions", "Effusion")
    done = check_labels(found, DataConfig(one_label="effusion"), listed)
    assert labels_of(done) == ["no Effusion", "Effusion", "no Effusion", "no Effusion", "Effusion"]
    assert done.notes[-1].startswith("ONE LABEL: 'Effusion' is on 2 of 5 images")


@pytest.mark.parametrize("label", ["Lunge, rechts", "left lung", "pre/post", "A & E", "mild and moderate"])
def test_a_label_whose_parts_are_no_labels_is_one_label(listed, label):
    assert labels_of(check_labels(files(label, "other", "mild"), DataConfig(), listed)) == [label, "other", "mild"]


def test_one_label_counts_the_images_of_every_cell(listed):
    done = check_labels(files("Effusion", "Mass", "Effusion, Mass"), DataConfig(one_label="Mass"), listed)
    assert labels_of(done) == ["no Mass", "Mass", "Mass"]


@pytest.mark.parametrize("cell", ["effusion", "effusion|Mass", "Effusion|mass"])
def test_one_label_does_not_take_another_spelling_for_absence(listed, tmp_path, cell):
    cells = ["Effusion", "Mass", cell, "Mass"]
    assert "differ only in case" in refused(files(*cells), listed, one_label="Effusion")
    if "|" not in cell:
        assert "differ only in case" in refused(files(*cells), tmp_path, one_label="Effusion")


def test_one_label_is_compared_in_composed_form(listed):
    done = check_labels(files("Caf\u00e9", "Mass"), DataConfig(one_label="Cafe\u0301"), listed)
    assert labels_of(done) == ["Caf\u00e9", "no Caf\u00e9"]


def test_one_label_sets_a_class_of_folders_against_the_rest(tmp_path):
    done = check_labels(files("A|B", "B", "C"), DataConfig(one_label="B"), tmp_path)
    assert labels_of(done) == ["no B", "B", "no B"]


@pytest.mark.parametrize(("name", "words"), [("Nodule", "found Effusion, Mass"), ("Mass", "all 2 images")])
def test_one_label_must_tell_two_classes_apart(listed, name, words):
    assert words in refused(files("Mass", "Mass|Effusion"), listed, one_label=name)


def test_a_missing_cell_is_not_an_absent_label(listed):
    assert "1 of 3 rows without a label" in refused(files("Mass", "", "Effusion|Mass"), listed, one_label="Effusion")


def test_lists_of_one_lose_their_brackets(listed):
    done = check_labels(files("['A']", "['B']", "['B']"), DataConfig(), listed)
    assert labels_of(done) == ["A", "B", "B"] and "the brackets are removed" in done.notes[0]


def test_folder_names_are_one_label(tmp_path):
    assert labels_of(check_labels(files("A|B", "C;D"), DataConfig(), tmp_path)) == ["A|B", "C;D"]


# --- patients ---------------------------------------------------------------------------------------------------------


def patients_of(cells: list[str], path: Path) -> tuple[list[str], tuple[str, ...]]:
    done = check_labels(files(*["A", "B"] * len(cells), patients=cells * 2), DataConfig(), path)
    return [file.patient for file in done.found][: len(cells)], done.notes


def test_missing_patients_are_their_own_and_said(listed):
    found, notes = patients_of(["7", "nan", "Unknown", " ", "7", "-1"], listed)
    assert found == ["7", "", "", "", "7", ""]
    assert notes == ("'-1', 'Unknown', 'nan' in the patient column is read as no patient (6 of 12 rows).",)


# --- as a whole -------------------------------------------------------------------------------------------------------

WORDS = st.one_of(
    st.sampled_from(
        ["A", "a", " A", "B", "NA", "nan", "", "?", "1", "1.0", "01", "0", "-1", "2.5", "A|B", "['A']", "é", "e\u0301"]
    ),
    st.text(string.printable, max_size=4),
)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=40), st.sampled_from(["refuse", "drop"]), st.booleans())
def test_nothing_is_dropped_or_joined_without_a_word(listed, cells, missing, text):
    found = files(*[label for label, _ in cells], patients=[patient.strip() for _, patient in cells])
    try:
        done = check_labels(found, DataConfig(missing_label=missing, labels_as_text=text), listed)
    except DataError:
        return
    said = " ".join(done.notes)
    assert len(done.found) + len(done.ignored) == len(cells)
    assert bool(done.ignored) == ("--missing-label drop" in said)
    before, after = (
        {file.label for file in each.found if file.relative in {f.relative for f in done.found}}
        for each in (found, done)
    )
    if len(after) < len(before):
        assert "one class" in said or "brackets" in said
    kept = {file.relative: file for file in done.found}
    people = [(old.patient, kept[old.relative].patient) for old in found.found if old.relative in kept]
    if len({new for _, new in people if new}) < len({old for old, _ in people if old}):
        assert "patient" in said


def test_every_kind_says_what_it_found():
    assert len({kind.found for kind in KINDS}) == len(KINDS)
    assert {kind.exit_code for kind in KINDS} == {0, 2}
    assert all(kind.words.endswith((".", "}")) for kind in KINDS)


def test_a_table_whose_rows_are_all_left_out_leaves_none(listed):
    found = DataFiles([FoundFiles(Path("0.png"), "0.png", "NA", line=2)], [])
    assert check_labels(found, DataConfig(missing_label="drop"), listed).found == []


@pytest.mark.parametrize(
    ("other", "points"), [("NOR\u041cAL", "U+041C"), ("n\u043ermal", "U+043E"), ("\u039dORMAL", "U+039D")]
)
@pytest.mark.parametrize("table", [True, False])
def test_classes_that_look_alike_in_two_scripts_are_noted_once(listed, tmp_path, other, points, table):
    done = check_labels(files("NORMAL", other, "SICK", "SI\u0421K"), DataConfig(), listed if table else tmp_path)
    (note,) = done.notes
    assert points in note and "read the same and are two classes" in note and "0.png" in note and "1.png" in note
    assert check_labels(files("\u043d\u043e\u0440\u043c\u0430", "norma"), DataConfig(), listed).notes == ()
