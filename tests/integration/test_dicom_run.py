"""A tree of DICOM files through audit, train, evaluate and interpret: whole patients, and not one tag value anywhere."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from typer.testing import CliRunner

from plainfilm.cli import app

pytestmark = [pytest.mark.slow, pytest.mark.campaign]  # .ci/run asks for this file

TEXT_TAGS = [
    "PatientName",
    "PatientBirthName",
    "PatientAddress",
    "PatientComments",
    "OtherPatientNames",
    "EthnicGroup",
    "Occupation",
    "InstitutionName",
    "InstitutionAddress",
    "ReferringPhysicianName",
    "PhysiciansOfRecord",
    "OperatorsName",
    "StationName",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "AccessionNumber",
    "StudyID",
    "ImageComments",
    "RequestingPhysician",
    "RequestedProcedureDescription",
    "PerformedProcedureStepDescription",
    "AdmissionID",
    "MilitaryRank",
    "PatientReligiousPreference",
    "PatientTelephoneNumbers",
    "ResponsiblePerson",
    "AdditionalPatientHistory",
    "Allergies",
    "MedicalAlerts",
    "DeviceSerialNumber",
    "ManufacturerModelName",
    "SoftwareVersions",
    "BodyPartExamined",
    "BurnedInAnnotation",
    "ContrastBolusAgent",
]


def canary(tag: str, patient: int) -> str:
    return f"CANARY{tag[:6].upper()}{patient:03d}"


def write_film(path: Path, patient: int, k: int, opacity: bool) -> None:
    rng = np.random.default_rng([patient, k])
    pixels = rng.normal(1500, 150, (48, 48))
    if opacity:
        pixels[10:24, 8:22] += 1200
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the invalid date, which pydicom quotes
        film(pixels, patient).save_as(made(path), enforce_file_format=True)


def made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def film(pixels: np.ndarray, patient: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    for tag in TEXT_TAGS:
        setattr(dataset, tag, canary(tag, patient))
    dataset.PatientID = f"CANARYID{patient:03d}"
    dataset.add_new(0x00100030, "DA", f"CANARYBIRTH{patient:03d}")  # no date at all: pydicom would quote it
    dataset.add_new(0x00090010, "LO", f"CANARYPRIVATE{patient:03d}")
    dataset.Rows = dataset.Columns = 48
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME1"
    dataset.PixelRepresentation, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 0, 16, 12, 11
    dataset.PixelData = (4095 - pixels.clip(0, 4095)).astype("<u2").tobytes()
    return dataset


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which everything was done, and all that was printed."""
    folder = tmp_path_factory.mktemp("dicom")
    number = 0
    for label in ("NORMAL", "PNEUMONIA"):
        for _ in range(9):
            number += 1
            for k in range(3):
                suffix = ("", ".dcm", ".DCM")[k]  # scanners often write none
                write_film(folder / "data" / label / f"{number * 7 + k:06d}{suffix}", number, k, label == "PNEUMONIA")
    whole = (folder / "data" / "NORMAL" / "000007").read_bytes()
    for i, cut in enumerate((200, 900, len(whole) - 500)):
        (folder / "data" / "NORMAL" / f"broken-{i}.dcm").write_bytes(whole[:cut])
    printed = ""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PLAINFILM_CACHE", str(folder / "cache"))
        for words in (
            "audit data --size 40 --out audit -v",
            "split data --out split.csv -v",
            "train data --size 40 --epochs 1 --batch-size 8 --out run -v --positive PNEUMONIA",
            "evaluate run --split test -v",
            "interpret run -v",
            "report run --names -v",
            "evaluate run --json",
            "audit missing -v",
        ):
            done = CliRunner().invoke(app, words.split())
            assert done.exit_code == (2 if "missing" in words else 0), done.output
            printed += done.stdout + done.stderr
    return folder, printed


def test_no_tag_value_is_printed_or_written_anywhere(work: tuple[Path, str]) -> None:
    folder, printed = work
    assert "CANARY" not in printed
    searched = 0
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_relative_to(folder / "data"):
            searched += 1
            assert b"CANARY" not in path.read_bytes(), path
    assert searched > 20
    assert b"CANARY" in (folder / "data" / "NORMAL" / "000007").read_bytes()  # the search would have found it


def test_patients_are_whole_and_known_by_a_keyed_hash(work: tuple[Path, str]) -> None:
    folder, _ = work
    table = pd.read_csv(folder / "run" / "table.csv", dtype=str, keep_default_na=False)
    assert len(table) == 54
    assert table["patient"].nunique() == 18
    assert table["patient"].str.fullmatch(r"dicom-[0-9a-f]{16}").all()
    assert (table.groupby("patient")["split"].nunique() == 1).all()
    key = folder / "cache" / "patient.key"
    assert len(key.read_bytes()) == 32
    if os.name == "posix":
        assert key.stat().st_mode & 0o077 == 0


def test_the_stored_depth_and_the_polarity_are_used(work: tuple[Path, str]) -> None:
    from plainfilm.data.image.decode import DecodeSpec, decode

    folder, _ = work
    pixels = decode(folder / "data" / "PNEUMONIA" / "000070", DecodeSpec(48)).astype(float)
    expected = np.rint((1500 + 1200) * 255 / 4095)  # bright where the opacity is: MONOCHROME1 turned round
    assert abs(pixels[12:22, 10:20].mean() - expected) < 4
    assert abs(pixels[30:, 30:].mean() - np.rint(1500 * 255 / 4095)) < 4


def test_damaged_dicom_files_are_quarantined_by_code(work: tuple[Path, str]) -> None:
    folder, _ = work
    audit = json.loads((folder / "audit" / "audit.json").read_text(encoding="utf-8"))
    assert {row["path"]: row["code"] for row in audit["quarantined"]} == {
        f"NORMAL/broken-{i}.dcm": "E_CORRUPT" for i in range(3)
    }
    assert audit["classes"]["NORMAL"]["depth"] == {"12": 27}
