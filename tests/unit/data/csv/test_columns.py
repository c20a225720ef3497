"""Which column means what: options, own names, synonyms; and no column that could be the patient or the split is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plainfilm.config import DataConfig
from plainfilm.data.csv.columns import Columns, find_columns, options_that_fit, path_column, refuse_for_folder
from plainfilm.data.csv.dialect import TextRows
from plainfilm.errors import DataError, UsageError
from wording import lacking

Refusal = Callable[..., str]
LIST = Path("list.csv")


def rows(header: str, *lines: str) -> TextRows:
    cells = [line.split(",") for line in lines or [",".join(["x"] * len(header.split(",")))]]
    return TextRows(header.split(","), [(i, row) for i, row in enumerate(cells, start=2)])


def find(table: TextRows, **options: Any) -> Columns:
    return find_columns(LIST, table, DataConfig(**options))


def places(found: Columns) -> tuple[int | None, ...]:
    return found.path, found.label, found.patient, found.split


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("path,label", (0, 1, None, None)),
        ("split,label,patient,path", (3, 1, 2, 0)),
    ],
)
def test_columns_by_their_own_names_need_no_note(header: str, expected: tuple[int | None, ...]):
    found = find(rows(header, ",".join("train" if name == "split" else "x" for name in header.split(","))))
    assert places(found) == expected and found.notes == ()


def test_columns_that_are_not_used_are_named_beside_those_by_their_own_names():
    found = find(rows("path,label,age,site", "a,A,50,x", "b,B,60,y"))
    assert found.notes == ("Columns of the table: path from 'path', label from 'label'; not used: 'age', 'site'.",)


def test_what_a_synonym_was_taken_for_is_said_with_what_is_left():
    found = find(rows("Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender",
                      "1.png,Mass,0,1,58,M", "2.png,Mass,1,1,58,M", "3.png,None,0,2,58,M"))  # fmt: skip
    assert places(found) == (0, 1, 3, None)
    assert found.notes == (
        "Columns of the table: path from 'Image Index', label from 'Finding Labels', patient from 'Patient ID'; "
        "not used: 'Follow-up #', 'Patient Age', 'Patient Gender'.",
    )


def test_another_case_is_said_too():
    assert find(rows("Path,LABEL")).notes == ("Columns of the table: path from 'Path', label from 'LABEL'.",)


def test_the_own_name_comes_before_a_synonym_and_the_other_is_named():
    found = find(rows("filename,path,label,dx,age"))
    assert places(found) == (1, 2, None, None)
    assert found.notes == (
        "Columns of the table: path from 'path', label from 'label'; not used: 'filename', 'dx', 'age'.",
    )


def test_at_most_eight_columns_are_listed():
    (note,) = find(rows("img,label," + ",".join(f"c{i}" for i in range(11)))).notes
    assert note.endswith("'c6', 'c7' and 3 more.")


@pytest.mark.parametrize(
    ("header", "meaning", "said"),
    [
        ("image,file,label", "path", "'image', 'file' could all be the path. Choose one: --path-column image."),
        ("Path,path,label", "path", "'Path', 'path' could all be the path. Choose one: --path-column Path."),
        ("path,dx,target", "label", "'dx', 'target' could all be the label. Choose one: --label-column dx."),
        ("path,label,Patient ID,case", "patient", "Choose one: --patient-column 'Patient ID', or --patient-column none."),
        ("path,label,fold,phase", "split", "Choose one: --split-column fold, or --split-column none."),
    ],
)  # fmt: skip
def test_two_columns_for_one_meaning_are_refused(refusal: Refusal, header: str, meaning: str, said: str):
    assert said in refusal(lambda: find(rows(header)))


def test_an_option_decides_between_them():
    table = rows("path,dx,target,patient_id,case,fold,phase", "a,A,1,p,q,train,1")
    found = find(table, label_column="target", patient_column="case", split_column="fold")
    assert places(found) == (0, 2, 4, 5)
    assert found.notes[0].endswith("; not used: 'dx', 'patient_id', 'phase'.")


def test_an_option_may_name_any_column_and_one_column_twice():
    found = find(rows("patientId,Target", "a,1", "b,0"), path_column="patientId", patient_column="patientId")
    assert places(found) == (0, 1, 0, None)


@pytest.mark.parametrize(("option", "value"), [("patient_column", "pid"), ("label_column", "LABEL"), ("path_column", "none")])  # fmt: skip
def test_a_named_column_that_does_not_exist_is_refused_with_those_that_do(refusal: Refusal, option: str, value: str):
    said = refusal(lambda: find(rows("path,label,a b"), **{option: value}), UsageError)
    assert said == f"--{option.replace('_', '-')} {value!r}: list.csv has no such column; its columns are 'path', 'label', 'a b'. Give one of these."  # fmt: skip


@pytest.mark.parametrize("header", ["a.png,A", "img/0.JPG,A", "A,x/y.dcm,p1"])
def test_a_list_without_a_header_is_refused_with_its_first_line(refusal: Refusal, header: str):
    said = refusal(lambda: find(rows(header)))
    assert said == f"list.csv has no header: its first line is '{header}'. Put a line above it that names the columns: path,label[,patient][,split]."  # fmt: skip


def test_what_is_no_header_either_shows_its_first_line(refusal: Refusal):
    said = refusal(lambda: find(rows("p0000_1,NORMAL")))
    assert lacking(said, "no column for the path", "first line", "'p0000_1', 'NORMAL'", "--path-column NAME") == []


FLAGS = ("path,Mass,Lung Edema,age", "a,1,0.0,7", "b,0,1.0,9", "c,,-1,9")


def test_one_column_per_class_is_several_labels_per_image(refusal: Refusal):
    said = refusal(lambda: find(rows(*FLAGS)))
    assert lacking(said, "no column for the label", "'Mass', 'Lung Edema' hold 0 and 1: several labels per image") == []
    assert said.endswith("--one-label 'Lung Edema' trains 'Lung Edema' present against absent.")


def test_one_label_takes_its_own_column(refusal: Refusal):
    found = find(rows(*FLAGS), one_label="lung edema")
    assert (found.label, found.flag) == (2, "Lung Edema")
    assert "label from 'Lung Edema'" in found.notes[0] and "not used: 'Mass', 'age'" in found.notes[0]
    assert "--one-label 'age' is none of them" in refusal(lambda: find(rows(*FLAGS), one_label="age"))


def test_a_table_with_a_label_column_takes_its_labels_from_there():
    found = find(rows("path,label,Mass,Edema", "a,x,1,0", "b,y,0,1"), one_label="Mass")
    assert (found.label, found.flag) == (1, "")


def test_a_column_named_twice_is_refused(refusal: Refusal):
    assert "names the column 'label' twice" in refusal(lambda: find(rows("path,label,label")))


@pytest.mark.parametrize("name", ["lesion_id", "study_id", "patientCode", "anon subject", "id", "accession"])
def test_a_column_that_could_be_the_patient_is_asked_for(refusal: Refusal, name: str):
    table = rows(f"path,label,{name}", "a,A,7", "b,A,7", "c,B,8")
    said = refusal(lambda: find(table))
    typed = name if " " not in name else repr(name)
    assert said == (
        f"list.csv: {name!r} could be the patient: it holds the same value in several rows. "
        f"--patient-column {typed} uses it; --patient-column none leaves it out."
    )
    assert find(table, patient_column=name).patient == 2
    found = find(table, patient_column="none")
    assert found.patient is None
    assert found.notes == (f"Columns of the table: path from 'path', label from 'label', no patient as asked; not used: {name!r}.",)  # fmt: skip


def listed(name: str, cells: str, times: int = 1) -> TextRows:
    """Rows of classes A and B in turn, with the cells in one more column."""
    return rows(f"path,label,{name}", *(f"{i},{'AB'[i % 2]},{cell}" for i, cell in enumerate(cells.split() * times)))


@pytest.mark.parametrize("name", ["nhs_number", "record_id", "hospital_id", "client", "name", "exam_number", "Study No",
                                  "patient_id_type", "patient_date_key"])  # fmt: skip
@pytest.mark.parametrize("cells", ["p1 p1 p2 p3", "7 7 8 9", "7.0 7.0 8.0 9.0"])
def test_repeated_ids_are_asked_for_under_any_name_of_a_person_or_exam(refusal: Refusal, name: str, cells: str):
    said = refusal(lambda: find(listed(name, cells)))
    assert f"{name!r} could be the patient: it holds the same value in several rows" in said


@pytest.mark.parametrize(
    ("name", "cells"),
    [("age", "50 50 60 70"), ("sex", "F M F M"), ("view", "PA AP PA LL"), ("site", "x y z x"), ("hospital", "x y z x"),
     ("scanner", "a b c a"), ("weight", "60 60 70 80"), ("number of nodules", "0 1 2 0"), ("patient_age", "50 50 60 70"),
     ("patient_sex", "F M F M"), ("study_date", "2020-01-01 2020-01-01 2020-01-02 2020-01-03"),
     ("patient_age_code", "1.5 1.5 2.5 3.5"), ("patient_birth_key", "1.2.1950 1.2.1950 3.4.1960 5.6.1970"), ("eye", "L L R R"),
     ("exam_number", "1 2 1 2"), ("record_id", "a b c d")],
)  # fmt: skip
def test_what_describes_an_image_is_left_out_and_named(name: str, cells: str):
    found = find(listed(name, cells))
    assert found.patient is None and found.notes[0].endswith(f"; not used: {name!r}.")


def test_few_values_with_many_rows_each_are_categories(refusal: Refusal):
    assert find(listed("hospital_id", "x y z", times=11)).patient is None
    assert "could be the patient" in refusal(lambda: find(listed("hospital_id", "x y z", times=10)))
    assert "could be the patient" in refusal(lambda: find(listed("record_id", "a b c d e f g h i j k", times=20)))


def test_a_code_of_the_label_is_no_patient(refusal: Refusal):
    table = rows("path,label,code", "a,A,J1", "b,B,J2", "c,C,J3", "d,A,J1")
    assert find(table).patient is None
    assert "'code' could be the patient" in refusal(
        lambda: find(rows("path,label,code", "a,A,J1", "b,B,J2", "c,C,J3", "d,D,J1"))
    )
    assert "'code' could be the patient" in refusal(
        lambda: find(rows("path,label,code", "a,A,J1", "b,B,J2", "c,A,J3", "d,A,J1"))
    )


def test_a_column_in_which_no_value_repeats_joins_nothing_and_is_only_named():
    found = find(rows("path,label,study_id", "a,A,7", "b,A,8", "c,B,", "d,B,"))
    assert found.patient is None and found.notes[0].endswith("; not used: 'study_id'.")


@pytest.mark.parametrize("name", ["Unnamed: 0", ""])
def test_an_index_without_a_name_is_left_out_unless_it_could_be_the_patient(refusal: Refusal, name: str):
    spelled = repr(name) if name else "column 1 (without a name)"
    assert find(rows(f"{name},path,label", "0,a,A", "1,b,B")).notes[0].endswith(f"; not used: {spelled}.")
    said = refusal(lambda: find(rows(f"{name},path,label", "0,a,A", "0,b,B")))
    assert f"{spelled} could be the patient" in said and "Give it a name to use it; --patient-column none" in said
    beside = find(rows(f"{name},path,label,patient", "0,a,A,p", "0,b,B,q"))
    assert (beside.patient, beside.notes[0].endswith(f"; not used: {spelled}.")) == (3, True)


def test_a_second_patient_column_that_joins_patients_of_the_first_is_refused(refusal: Refusal):
    within = rows("path,label,patient,subject_id", "a,A,p,1", "b,A,p,2", "c,B,q,3")
    assert find(within).patient == 2 and find(within).notes[0].endswith("; not used: 'subject_id'.")
    across = rows("path,label,patient,subject_id", "a,A,p,1", "b,A,p,2", "c,B,q,2")
    said = refusal(lambda: find(across))
    assert "'subject_id' could be the patient" in said
    assert "--patient-column subject_id uses it; --patient-column patient leaves it out" in said
    assert find(across, patient_column="patient").patient == 2
    empty = rows("path,label,patient,subject_id", "a,A,,1", "b,A,,1")
    assert "'subject_id' could be the patient" in refusal(lambda: find(empty))


def test_a_study_beside_a_patient_raises_no_doubt():
    assert find(rows("path,label,patient_id,study_no,lesion", "a,A,p,1,1", "b,A,q,1,1")).patient == 2


@pytest.mark.parametrize("name", ["fold", "set", "phase", "cv_fold"])
def test_numbers_are_no_split(refusal: Refusal, name: str):
    table = rows(f"path,label,{name}", "a,A,0", "b,B,1")
    said = refusal(lambda: find(table))
    assert said == (
        f"list.csv: {name!r} could be the split: it holds '0'. Expected train, valid or test in every row; "
        "--split-column none leaves it out."
    )
    assert find(table, split_column="none").split is None


def test_a_column_of_train_and_test_is_asked_for_whatever_its_name(refusal: Refusal):
    table = rows("path,label,source", "a,A,TRAIN", "b,B,Test")
    assert "'source' could be the split: it holds 'TRAIN'. --split-column source uses it" in refusal(
        lambda: find(table)
    )
    assert find(table, split_column="source").split == 2
    assert find(rows("path,label,source", "a,A,train", "b,B,site 2")).split is None


@pytest.mark.parametrize(
    "cells", ["tr te", "trn tst", "TR va ts", "fold1 fold2", "train1 train2 test", "development holdout"]
)
def test_a_column_of_other_names_of_parts_is_asked_for(refusal: Refusal, cells: str):
    lines = [f"{i},A,{cell}" for i, cell in enumerate(cells.split())]
    said = refusal(lambda: find(rows("path,label,dataset", *lines)))
    assert (
        f"'dataset' could be the split: it holds {cells.split()[0]!r}. Expected train, valid or test in every row"
        in said
    )


@pytest.mark.parametrize(
    "cells", ["TR1 TR2 TR3", "TR MR", "tr tr", "train train", "NIH MIMIC", "1 2", "PCR-test antigen-test", "tr te x"]
)
def test_a_column_of_other_words_is_no_split(cells: str):
    found = find(rows("path,label,dataset", *(f"{i},A,{cell}" for i, cell in enumerate(cells.split()))))
    assert found.split is None and found.notes[0].endswith("; not used: 'dataset'.")


def test_a_second_split_column_in_short_that_says_the_same_raises_no_doubt():
    assert find(rows("path,label,split,cv", "a,A,train,tr", "b,B,test,te")).split == 2


@pytest.mark.parametrize("name", ["case", "subject"])
@pytest.mark.parametrize("cells", ["01", ("case", "control"), ("yes", "no")])
def test_cases_and_controls_are_asked_for_and_no_patients(refusal: Refusal, name: str, cells: str):
    lines = [f"{i},{'AB'[i % 2]},{cells[i % 2]}" for i in range(6)]
    said = refusal(lambda: find(rows(f"path,label,{name}", *lines)))
    assert f"--patient-column {name} uses it; --patient-column none leaves it out" in said


@pytest.mark.parametrize("name", ["test", "training", "is_train", "val"])
def test_a_column_named_as_a_part_is_asked_for_only_where_it_says_yes_and_no(refusal: Refusal, name: str):
    for yes, no in (("1", "0"), ("True", "False"), ("train", "test")):
        assert "could be the split" in refusal(lambda: find(rows(f"path,label,{name}", f"a,A,{yes}", f"b,B,{no}")))  # noqa: B023
    for one, other in (("pos", "neg"), ("2", "5"), ("0.25", "1")):
        assert find(rows(f"path,label,{name}", f"a,A,{one}", f"b,B,{other}")).split is None


@pytest.mark.parametrize("name", ["cv"])
def test_measured_numbers_are_no_split(refusal: Refusal, name: str):
    assert find(rows(f"path,label,{name}", "a,A,0.25", "b,B,1")).split is None
    assert f"{name!r} could be the split: it holds '2'" in refusal(
        lambda: find(rows(f"path,label,{name}", "a,A,2", "b,B,1"))
    )


def test_a_second_split_column_must_say_the_same(refusal: Refusal):
    same = rows("path,label,split,is_fold", "a,A,train,Training", "b,B,test,TEST")
    assert find(same).split == 2 and find(same).notes[0].endswith("; not used: 'is_fold'.")
    other = rows("path,label,split,fold", "a,A,train,0", "b,B,test,1")
    said = refusal(lambda: find(other))
    assert "'fold' could be the split: it holds '0'" in said and "--split-column split leaves it out" in said
    assert find(other, split_column="split").split == 2


def test_an_empty_column_is_no_doubt():
    found = find(rows("path,label,patientCode,cv_fold", "a,A,,", "b,B,,"))
    assert places(found) == (0, 1, None, None) and "not used: 'patientCode', 'cv_fold'" in found.notes[0]


def test_a_name_with_control_characters_is_escaped(refusal: Refusal):
    assert "\x1b" not in refusal(lambda: find(rows("path,\x1b[31mred")))


def test_the_column_of_paths_alone_needs_no_certainty_about_the_others(refusal: Refusal):
    table = rows("img,label,lesion_id", "a,A,1", "b,B,1")
    assert path_column(LIST, table, DataConfig()) == 0
    assert path_column(LIST, table, DataConfig(path_column="lesion_id")) == 2
    assert "no column for the path" in refusal(lambda: path_column(LIST, rows("a,b"), DataConfig()))


def test_options_hold_for_another_table_as_far_as_it_has_the_columns(tmp_path: Path):
    cfg = DataConfig(path_column="img", label_column="dx", patient_column="none", suffix=".png")
    assert options_that_fit(LIST, rows("img,label,none"), cfg) == {"path_column": "img", "suffix": ".png"}
    assert options_that_fit(tmp_path, None, cfg) == {}  # a folder


@pytest.mark.parametrize(("option", "value"), [("suffix", ".png"), ("patient_column", "none"), ("label_column", "dx")])
def test_an_option_of_tables_is_refused_for_a_folder(refusal: Refusal, option: str, value: str):
    said = refusal(lambda: refuse_for_folder(Path("images"), DataConfig(**{option: value})), UsageError)
    assert f"--{option.replace('_', '-')} is for tables, and images is a folder" in said
    refuse_for_folder(Path("images"), DataConfig())


def test_a_refusal_names_its_kind(refusal: Refusal):
    assert "no column for the label" in refusal(lambda: find(rows("path,age")), DataError)
