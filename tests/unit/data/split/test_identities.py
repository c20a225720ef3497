"""Every class is one patient: what a split of such data is called, keeps together, and refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plainfilm.base.events import silent
from plainfilm.config import DataConfig, load_config
from plainfilm.data.split.identities import without_identities
from plainfilm.data.split.splits import make_split
from plainfilm.data.table.image_table import ImageTable, build_table
from plainfilm.errors import DataError, GateError
from plainfilm.pipeline.prepare import prepare
from plainfilm.schemas.documents import marks
from wording import lacking

Refusal = Callable[..., str]
FACES = r"/(s\d+)/"


@pytest.fixture
def faces(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """Three people, each a class with ten images; 0 and 1 of s1 are identical."""
    for person in (1, 2, 3):
        for k in range(10):
            seed = 100 * person + (max(k, 1) if person == 1 else k)
            image = np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)
            write_image(tmp_path / "faces" / "all" / f"s{person}" / f"{k}.png", image)
    rows = [f"all/s{p}/{k}.png,s{p},person{p}" for p in (1, 2, 3) for k in range(10)]
    (tmp_path / "faces" / "list.csv").write_text("\n".join(["path,label,patient", *rows]), encoding="utf-8")
    return tmp_path / "faces" / "list.csv"


def table(path: Path, **options: object) -> ImageTable:
    return build_table(path, DataConfig(**options))  # type: ignore[arg-type]


def test_a_split_by_image_recognises_identities_and_is_not_leaky(faces: Path) -> None:
    split = make_split(table(faces), DataConfig(split="image"), seed=0)
    assert (split.kind, split.leaky) == ("image", False)
    assert marks(list(split.notes)) == "IDENTITY RECOGNITION: "
    assert "every class is one patient; the score tells identities apart, not a finding" in split.notes[0]
    assert not [note for note in split.notes if "LEAKY" in note or "No patient key" in note]
    assert (split.rows.groupby("label")["split"].nunique() == 3).all()


def test_identical_images_of_one_identity_stay_together_and_count_once(faces: Path) -> None:
    for seed in range(12):
        rows = make_split(table(faces), DataConfig(split="image"), seed).rows
        copies = rows[rows["relative"].isin(["all/s1/0.png", "all/s1/1.png"])]
        assert copies["split"].nunique() == 1 and copies["group"].nunique() == 1
        assert rows["group"].nunique() == 29


def test_the_counts_of_such_a_split_know_no_patient(faces: Path) -> None:
    ready = prepare(load_config(options={"data.path": str(faces), "data.split": "image"}), silent)
    assert not ready.table.has_patients
    assert (ready.counts.patients, ready.counts.used) == (None, 30)


@pytest.mark.parametrize("kind", ["patient", "kfold"])
def test_a_split_by_patient_is_refused_and_names_the_other(faces: Path, kind: str, refusal: Refusal) -> None:
    message = refusal(lambda: make_split(table(faces), DataConfig(split=kind), 0), DataError)
    assert lacking(message, "Every class is one patient (3 classes)", "--split image", "IDENTITY RECOGNITION") == []


@pytest.mark.parametrize("kind", ["official", "given"])
def test_given_parts_that_share_each_patient_are_refused(faces: Path, kind: str, refusal: Refusal) -> None:
    whole = table(faces)
    parts = np.array(["train", "train", "valid", "test"])[np.arange(len(whole.rows)) % 4]
    shared = ImageTable(whole.root, whole.rows.assign(given=parts), whole.excluded, None)
    if kind == "official":
        assert "Every class is one patient" in refusal(lambda: make_split(shared, DataConfig(split=kind), 0), DataError)
        return
    line = refusal(lambda: make_split(shared, DataConfig(split=kind), 0), GateError)
    assert "3 patient keys" in line
    allowed = make_split(shared, DataConfig(split=kind, allow_leak=True), 0)
    assert allowed.leaky and marks(list(allowed.notes)) == "LEAKY SPLIT: "


def test_a_class_of_one_image_is_no_identity(faces: Path) -> None:
    """Of one image nobody can be recognised: one such class, and the data is not of identities."""
    whole = table(faces)
    for first, recognised in ((9, False), (8, True)):  # the first class keeps one image, or two
        few = ImageTable(whole.root, whole.rows.iloc[first:].reset_index(drop=True), whole.excluded, None)
        assert without_identities(few, "image")[1] is recognised


def test_the_split_file_of_such_a_split_is_taken_back(faces: Path, tmp_path: Path) -> None:
    made = make_split(table(faces), DataConfig(split="image"), 0)
    frame = made.rows[["relative", "group", "split"]].rename(columns={"relative": "path"})
    frame.to_csv(tmp_path / "split.csv", index=False)
    again = make_split(table(faces), DataConfig(split=str(tmp_path / "split.csv")), 0)
    assert (again.kind, again.leaky, marks(list(again.notes))) == ("file", False, "IDENTITY RECOGNITION: ")
    assert list(again.rows["split"]) == list(made.rows["split"])


def test_folders_are_identities_where_a_pattern_says_so(faces: Path) -> None:
    """s1/ and s2/ without a pattern may be anything: then each image is its own patient, and by image is leaky."""
    folders = faces.parent / "all"
    assert make_split(table(folders), DataConfig(split="image"), 0).leaky
    said = table(faces.parent / "list.csv", patient_pattern=FACES, patient_column="none")
    assert not make_split(said, DataConfig(split="image"), 0).leaky


@pytest.mark.parametrize(
    "patients",
    [
        ["p1", "p1", "p1", "p1"],  # one patient is every class
        ["p1", "p1", "p2", "p3"],  # one class has two
        ["p1", "p1", "p2", ""],  # an image without a key
        ["p1", "p2", "p3", "p4"],
    ],
)
def test_other_data_stays_leaky_by_image(patients: list[str], faces: Path) -> None:
    few = table(faces)
    rows = few.rows.iloc[[2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 16, 17]].reset_index(drop=True)
    keys = [key for key in patients for _ in range(3)]
    split = make_split(ImageTable(few.root, rows.assign(patient=keys, wide=keys), pd.DataFrame(few.excluded), None),
                       DataConfig(split="image"), 0)  # fmt: skip
    assert split.leaky and marks(list(split.notes)) == "LEAKY SPLIT: "
