"""How tables of images spell the columns path, label, patient and split, and which names could be one of them."""

from __future__ import annotations

import re
from collections.abc import Collection

from plainfilm.data.folders.split_names import split_of

# Compared without case, spaces, '_' and '-'. Names of public sets: NIH ChestX-ray14 (Image Index, Finding Labels,
# Patient ID), HAM10000 (image_id, dx), MIMIC-CXR (dicom_id, subject_id), PadChest (ImageID, PatientID), APTOS (id_code).
SYNONYMS = {
    "path": (
        "image", "images", "img", "imgs", "file", "files", "filename", "file name", "filepath", "file path", "image path",
        "img path", "image file", "image file path", "image name", "img name", "Image Index", "image id", "img id", "id code",
        "dicom", "dicom id", "dicom path", "dicom file", "relative path",
    ),
    "label": (
        "labels", "lbl", "class", "classes", "class name", "label name", "target", "targets", "diagnosis", "dx",
        "Finding Labels", "finding", "findings", "category", "pathology", "disease", "ground truth", "gt",
    ),
    "patient": (
        "patients", "patient id", "patient name", "patient key", "patient number", "pid", "subject", "subjects",
        "subject id", "case", "case id", "person", "person id", "participant", "participant id", "mrn",
    ),
    "split": (
        "splits", "fold", "folds", "set", "subset", "partition", "phase", "dataset split", "data split", "split name",
        "usage", "dataset type",
    ),
}  # fmt: skip
MEANINGS = tuple(SYNONYMS)
_GAPS = re.compile(r"[\s_-]")
_FOLDED = {meaning: {_GAPS.sub("", name).casefold() for name in names} for meaning, names in SYNONYMS.items()}

_PEOPLE = frozenset({
    "pat", "patid", "patno", "pt", "ptno", "pid", "mrn", "mrno", "caseno", "casenumber", "fallnummer", "fallnr", "dossier", "nhs", "ptid", "case", "cases", "person", "persons", "people", "individual", "proband", "donor",
    "examinee", "animal", "mouse", "mice", "identity",
})  # fmt: skip
_PEOPLE_STEMS = (
    "patient",
    "pacient",
    "pazient",
    "subj",
    "sujet",
    "participant",
    "volunteer",
    "versuchsperson",
    "患者",
    "病人",
    "пациент",
)
_WITHIN = frozenset({
    "study", "studies", "series", "exam", "exams", "examination", "accession", "lesion", "lesions", "session",
    "encounter",
})  # fmt: skip
_DESCRIBES = frozenset({
    "age", "sex", "gender", "race", "ethnicity", "date", "time", "year", "month", "day", "birth", "weight",
    "height", "size", "bmi", "position", "orientation", "description", "comment", "comments", "note", "notes",
    "history", "status", "type", "side", "laterality", "modality", "protocol",
})  # fmt: skip
_COUNTS = frozenset({
    "no", "nr", "num", "number", "index", "count",
})  # fmt: skip
# A name made of these and _KEYS may be an id, which its cells decide: 'client', 'exam no', 'record_id', 'slide name'.
_BY_CELLS = frozenset({
    "record", "client", "member", "eye", "slide", "specimen", "sample", "scan", "video", "chart", "surname", "lastname",
    "initials", "identifier", "uid", "uuid", "pseudonym", "hash", "key", "code", "study", "exam", "examination", "accession",
    "encounter",
})  # fmt: skip
_KEYS = frozenset({"id", "uid", "identifier", "key", "code", "no", "nr", "num", "number", "hash", "pseudonym"})
_BY_KEY = frozenset({"hospital", "unit", "medical", "health", "insurance"})  # 'hospital number'; 'hospital' is a site
_PARTS = frozenset({
    "split", "splits", "fold", "folds", "kfold", "cv", "crossval", "xval", "subset", "partition", "trainset", "testset",
})  # fmt: skip
_PART_FLAGS = frozenset({"train", "training", "test", "val", "valid", "validation", "holdout"})  # also with is, in


def means(name: str, meaning: str) -> int | None:
    """How surely a column means path, label, patient or split: 0 by its own name, 1 by a synonym, None not by its name."""
    folded = _GAPS.sub("", name).casefold()
    return 0 if folded == meaning else 1 if folded in _FOLDED[meaning] else None


def could_be_patient(name: str) -> int | None:
    """0: the name speaks of persons; 1: of what lies within one person, such as a study or a lesion, or of an id alone,
    or there is no name; 2: of an id, if the cells are like one ('client', 'exam no', 'patient_id_type'); None: of none of
    these, or of an attribute ('Patient Age')."""
    words = _words(name)
    people = bool(words & _PEOPLE) or any(word.startswith(_PEOPLE_STEMS) for word in words)
    if words & _DESCRIBES:
        return 2 if people and words & _KEYS else None
    if people:
        return 0
    if (words & _WITHIN and not words & _COUNTS) or words == {"id"} or is_unnamed(name):
        return 1
    return 2 if _is_key(words) else None


def _is_key(words: set[str]) -> bool:
    stems = {_stem(word) if _stem(word) in _BY_CELLS | _BY_KEY else word for word in words}
    if stems & _BY_KEY:
        return bool(words & {*_KEYS, "record"} or words - stems) and stems <= _BY_KEY | _KEYS | {"record"}
    return stems == {"name"} or (bool(stems & _BY_CELLS) and stems <= _BY_CELLS | _KEYS | {"name"})


def could_be_split(name: str) -> bool:
    """True for a name that speaks of a part of the data set, such as 'cv_fold' or 'is_train'."""
    return bool(_words(name) & _PARTS)


def flags_a_part(name: str) -> bool:
    """True for a name that is one part, such as 'is_train' or 'test': its cells tell a split from a result of a test."""
    return bool(_words(name) & _PART_FLAGS) and _words(name) <= _PART_FLAGS | {"is", "in", "image", "images"}


def _parts_of_flag(name: str) -> dict[str, str]:
    """What 1 and 0 say in a column that flags_a_part: {'1': 'train', '0': 'test'} for 'is_train'; {} where that is not plain.

    The rest of train is test, as in CUB-200 (is_training_image); that of valid and test is train.
    """
    parts = {split_of(word) for word in _words(name) & _PART_FLAGS}
    part = parts.pop() if len(parts) == 1 and flags_a_part(name) else ""
    return {"1": part, "0": "test" if part == "train" else "train"} if part else {}


def flagged_parts(name: str, said: Collection[str]) -> dict[str, str]:
    """The part of 1 and of 0 in a column such as 'is_train' that says these and nothing else; {} for any other."""
    return _parts_of_flag(name) if set(said) == {"0", "1"} else {}


def is_unnamed(name: str) -> bool:
    """True for no name, also as pandas writes it."""
    return not name or re.fullmatch(r"Unnamed: \d+", name) is not None


def _words(name: str) -> set[str]:
    """'StudyInstanceUID' -> study, instance, uid; 'patientId' -> patient, id."""
    words = {word.casefold() for word in re.findall(r"[A-Z]+(?![a-z])|[^\W\d_][^\W\d_A-Z]*", name)}
    return words | set(map(_stem, words))


def _stem(word: str) -> str:
    """lesionid -> lesion, studyuid -> study."""
    return re.sub(r"u?id$", "", word) if len(word) > 5 else word
