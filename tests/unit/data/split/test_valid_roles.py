"""Valid is split by patient into a part for model selection and a part for calibration."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainfilm.data.split.splits import Split
from plainfilm.data.split.valid_roles import (
    _MIN_PATIENTS,
    BOTH,
    CALIBRATE,
    SELECT,
    calibrates,
    cut_valid,
    selects,
    untouched,
)
from plainfilm.data.table.saved_table import COLUMNS, read_table, write_table
from plainfilm.runs.folder import RunDir
from wording import lacking

CLASSES = ["NORMAL", "PNEUMONIA"]


def split_of(valid_patients: int, images: int = 2, share: float = 0.25) -> Split:
    """`share` of the valid patients are NORMAL; two train and two test patients beside them."""
    rows = []
    for patient in range(valid_patients + 4):
        label = CLASSES[patient >= share * valid_patients]
        part = "valid" if patient < valid_patients else "train" if patient % 2 else "test"
        rows += [
            {
                **dict.fromkeys(COLUMNS, ""), "relative": f"{patient}-{k}", "label": label, "group": patient, "split": part,
                "bytes": 1, "width": 8, "height": 8, "depth": 8, "channels": 1, "quantisation": 0, "grey": True,
            }
            for k in range(images)
        ]  # fmt: skip
    return Split(pd.DataFrame(rows), "patient", False, ("earlier",))


def test_each_half_has_half_the_images_of_each_class_and_whole_patients():
    rows = cut_valid(split_of(200), CLASSES, seed=3).rows
    valid = rows[rows["split"] == "valid"]
    assert pd.crosstab(valid["role"], valid["label"]).to_dict() == {
        "NORMAL": {CALIBRATE: 50, SELECT: 50}, "PNEUMONIA": {CALIBRATE: 150, SELECT: 150},
    }  # fmt: skip
    assert (valid.groupby("group")["role"].nunique() == 1).all()
    assert set(rows.loc[rows["split"] != "valid", "role"]) == {""}


def test_the_cut_is_a_function_of_the_seed():
    one, again, other = (cut_valid(split_of(120), CLASSES, seed).rows["role"].tolist() for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_a_cut_that_is_made_again_has_one_column_of_roles():
    once = cut_valid(split_of(120), CLASSES, seed=1)
    again = cut_valid(once, CLASSES, seed=1)
    pd.testing.assert_frame_equal(again.rows, once.rows)
    assert list(once.rows.columns[-2:]) == ["role", "split"]


def test_the_split_itself_and_its_notes_stay():
    before = split_of(_MIN_PATIENTS)
    after = cut_valid(before, CLASSES, seed=0)
    pd.testing.assert_frame_equal(after.rows.drop(columns="role"), before.rows)
    assert after.notes == ("earlier",)


@pytest.mark.parametrize(
    ("patients", "share", "why"),
    [
        (_MIN_PATIENTS - 1, 0.5, "99 patients, and 100 are needed to split it"),
        (150, 1 / 150, "too few patients to split it"),
    ],
)
def test_too_few_patients_serve_both_and_the_note_says_why(patients, share, why):
    found = cut_valid(split_of(patients, share=share), CLASSES, seed=0)
    assert set(found.rows.loc[found.rows["split"] == "valid", "role"]) == {BOTH}
    assert found.notes[1].startswith("ONE VALID SET ")
    assert lacking(found.notes[1], "epoch", "temperature", "threshold", "band", "gate") == []
    assert selects(found.rows).sum() == calibrates(found.rows).sum() == 2 * patients
    assert not untouched(found.rows).any()


@given(st.integers(0, 10_000), st.integers(100, 160), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_who_selects_never_calibrates(seed, patients, images):
    rows = cut_valid(split_of(patients, images), CLASSES, seed).rows
    first, second = set(rows.loc[selects(rows), "group"]), set(rows.loc[calibrates(rows), "group"])
    assert not first & second
    assert first | second == set(rows.loc[rows["split"] == "valid", "group"])
    assert np.array_equal(untouched(rows), selects(rows))


def test_the_cut_is_read_back_and_an_older_table_has_one_set_for_all(tmp_path):
    rows = cut_valid(split_of(120), CLASSES, seed=0).rows
    new, old = RunDir(tmp_path / "new"), RunDir(tmp_path / "old")
    write_table(new, new.table, rows)
    assert read_table(new)["role"].tolist() == rows["role"].tolist()
    write_table(old, old.table, rows.drop(columns="role"))
    older = read_table(old)
    assert calibrates(older).tolist() == selects(older).tolist() == (older["split"] == "valid").tolist()
    assert set(older.loc[older["split"] != "valid", "role"]) == {""}


def in_a_file(roles: dict[int, str]) -> Split:
    """A split file with these roles by patient; every other valid patient selects."""
    split = split_of(120)
    rows = split.rows
    role = [roles.get(patient, SELECT) if part == "valid" else "" for patient, part in zip(rows["group"], rows["split"], strict=True)]  # fmt: skip
    return Split(rows.assign(role=role), "file", False, ("earlier",))


def test_roles_of_a_split_file_stay_whatever_the_seed():
    split = in_a_file({3: CALIBRATE, 70: CALIBRATE})
    for seed in (0, 1):
        rows = cut_valid(split, CLASSES, seed).rows
        assert set(rows.loc[calibrates(rows), "group"]) == {3, 70}
        assert list(rows.columns)[-2:] == ["role", "split"]
    assert cut_valid(split, CLASSES, 0).notes == ("earlier",)


def test_a_file_that_gives_all_of_valid_both_roles_says_so():
    notes = cut_valid(in_a_file(dict.fromkeys(range(120), BOTH)), CLASSES, 0).notes
    assert lacking(notes[1], "ONE VALID SET", "split file") == []


def test_a_file_that_parts_a_patient_is_refused(refusal):
    split = in_a_file({})
    first = split.rows.index[split.rows["group"] == 5][0]
    split.rows.loc[first, "role"] = CALIBRATE
    assert lacking(refusal(lambda: cut_valid(split, CLASSES, 0)), "two roles: 1", "select") == []
