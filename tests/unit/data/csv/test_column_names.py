"""Names of columns: their spellings, those that could be the patient or the split, and those that could not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plainfilm.data.csv.column_names import MEANINGS, SYNONYMS, could_be_patient, could_be_split, flags_a_part, means

PAGE = Path(__file__).parents[4] / "docs" / "how-to" / "tables.md"


@pytest.mark.parametrize(
    ("name", "meaning", "rank"),
    [
        ("path", "path", 0), ("PATH", "path", 0), ("Image Index", "path", 1), ("image_id", "path", 1), ("file-name", "path", 1),
        ("FilePath", "path", 1), ("dicom_id", "path", 1), ("img", "path", 1), ("ImageID", "path", 1), ("id_code", "path", 1),
        ("Label", "label", 0), ("dx", "label", 1), ("Finding Labels", "label", 1), ("lbl", "label", 1), ("Class", "label", 1),
        ("Patient", "patient", 0), ("Patient ID", "patient", 1), ("PatientID", "patient", 1), ("patient_id", "patient", 1),
        ("subject", "patient", 1), ("SUBJECT_ID", "patient", 1), ("case", "patient", 1), ("case_id", "patient", 1),
        ("Split", "split", 0), ("fold", "split", 1), ("set", "split", 1), ("phase", "split", 1), ("Dataset_type", "split", 1),
        ("path_length", "path", None), ("dx_type", "label", None), ("Patient Age", "patient", None), ("dataset", "split", None),
        ("id", "path", None), ("y", "label", None), ("mask_path", "path", None),
    ],
)  # fmt: skip
def test_a_name_means_what_the_field_means_by_it(name: str, meaning: str, rank: int | None):
    assert means(name, meaning) == rank
    assert all(means(name, other) is None for other in MEANINGS if other != meaning)


@pytest.mark.parametrize(
    ("name", "rank"),
    [
        *[(name, 0) for name in ("patientKey", "PATIENT_CODE", "anon_subject", "subj no", "case number", "Person", "MRN",
                                 "pid", "participantId", "pat_nr", "Patienten-Nr", "animal", "patientid", "patient name",
                                 "nhs_number", "NHS No", "examinee", "mouse_id", "donor")],
        *[(name, 1) for name in ("lesion_id", "StudyInstanceUID", "study_id", "accession", "exam", "SeriesInstanceUID",
                                 "id", "ID", "", "Unnamed: 0", "lesionid", "studyuid")],
        *[(name, 2) for name in ("record_id", "recordid", "hospital_id", "HospitalID", "hospitalid", "client", "name", "exam_number", "Study No",
                                 "patient_id_type", "patient_date_key", "accession no", "member name", "medical record number",
                                 "medical record", "unit number", "slide", "ScanID", "video_no", "uid", "code", "eye")],
        *[(name, None) for name in ("Patient Age", "Patient Gender", "patient_sex", "StudyDate", "study_time", "PatientPosition",
                                    "SeriesDescription", "series number", "patient birth date", "age", "site", "hospital", "1",
                                    "grade", "patch", "pattern", "path", "subtype", "Follow-up #", "view", "caseload", "casein",
                                    "number of nodules", "number of exams", "exam count", "study index", "patient_age", "scanner",
                                    "weight", "hospital name", "unit", "record_date", "scan type", "sample_weight", "client age",
                                    "video_quality", "class name", "file name", "number", "site_id", "key finding", "health")],
    ],
)  # fmt: skip
def test_who_could_be_a_patient(name: str, rank: int | None):
    assert could_be_patient(name) == rank


@pytest.mark.parametrize("name", ["cv_fold", "cv", "crossval", "kfold", "Subset2", "foldId", "data split"])  # fmt: skip
def test_what_could_be_a_split(name: str):
    assert could_be_split(name)


@pytest.mark.parametrize(
    "name",
    ["is_train", "train", "Training", "test", "is_test", "val", "in_validation", "is_training_image", "test_images"],
)
def test_what_flags_a_part(name: str):
    assert flags_a_part(name) and not could_be_split(name)


@pytest.mark.parametrize("name", ["test_result", "trained", "valid_until", "site", "is_sick", ""])
def test_what_flags_no_part(name: str):
    assert not flags_a_part(name)


@pytest.mark.parametrize("name", ["dataset", "test_result", "settings", "unfolded", "valid", "trained", "site", "offset", "", "phase", "cvd", "cvs"])  # fmt: skip
def test_what_could_not_be_a_split(name: str):
    assert not could_be_split(name)


def test_the_page_lists_every_spelling():
    """A row of the table on the page: | meaning | `name`, `name`, ... |"""
    rows = dict(re.findall(r"^\| (\w+) \| (`.*`) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert {meaning: tuple(re.findall(r"`([^`]+)`", cells)) for meaning, cells in rows.items()} == SYNONYMS
