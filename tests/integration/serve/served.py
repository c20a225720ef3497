"""A running `plainfilm serve`, what is sent to it, and images with known scores."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from plainfilm.data.synthetic.film import draw_phantom

PLANTED = (
    "PatientName", "PatientID", "PatientBirthName", "PatientAddress", "PatientComments", "OtherPatientNames", "EthnicGroup",
    "Occupation", "InstitutionName", "InstitutionAddress", "ReferringPhysicianName", "PhysiciansOfRecord", "OperatorsName",
    "StationName", "StudyDescription", "SeriesDescription", "ProtocolName", "AccessionNumber", "StudyID", "ImageComments",
    "RequestingPhysician", "RequestedProcedureDescription", "PerformedProcedureStepDescription", "AdmissionID", "MilitaryRank",
    "PatientReligiousPreference", "PatientTelephoneNumbers", "ResponsiblePerson", "AdditionalPatientHistory", "Allergies",
    "MedicalAlerts", "DeviceSerialNumber", "ManufacturerModelName", "SoftwareVersions", "BodyPartExamined", "BurnedInAnnotation",
    "ContrastBolusAgent", "Manufacturer",
)  # fmt: skip


def drawn_png(number: int, size_px: int = 48) -> bytes:
    """A drawn radiograph as PNG; each number is a different one."""
    film = draw_phantom(size_px, seed=77, patient=number, k=1, opacity=bool(number % 2))
    return encoded(film)


def progressive(scans: int, side: int) -> bytes:
    """A JPEG whose last scan is repeated: much work in few bytes."""
    file = io.BytesIO()
    Image.fromarray(np.full((side, side), 77, np.uint8)).save(file, "JPEG", progressive=True)
    jpeg = file.getvalue()
    return jpeg[:-2] + jpeg[jpeg.rindex(b"\xff\xda") : -2] * scans + jpeg[-2:]


def encoded(pixels: np.ndarray) -> bytes:
    """uint8 (h, w) as PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def planted_dicom(number: int) -> bytes:
    """A DICOM film with 40 planted values, each of which begins with CANARY."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the date that is none
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
        for i, tag in enumerate(PLANTED):
            setattr(dataset, tag, f"CANARY{i:02d}{number:03d}")
        dataset.add_new(0x00100030, "DA", f"CANARYBORN{number}")  # no date at all: pydicom would quote it
        dataset.add_new(0x00090010, "LO", f"CANARYOWN{number}")
        film = draw_phantom(48, seed=78, patient=number, k=1, opacity=False).astype("<u2") * 16
        dataset.Rows = dataset.Columns = 48
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.PixelRepresentation, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 0, 16, 12, 11
        dataset.PixelData = film.tobytes()
        file = io.BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        return file.getvalue()


def form(images: list[bytes], names: list[str] | None = None) -> tuple[bytes, dict[str, str]]:
    """A multipart body and its headers; quotes, line ends and NUL in names are left to the names."""
    names = names or [f"{i}.png" for i in range(len(images))]
    parts = [
        b'--cut\r\nContent-Disposition: form-data; name="file"; filename="'
        + name.encode("utf-8", "surrogatepass").replace(b'"', b"%22").replace(b"\r", b"%0D").replace(b"\n", b"%0A")
        + b'"\r\n\r\n' + image + b"\r\n"
        for image, name in zip(images, names, strict=True)
    ]  # fmt: skip
    return b"".join(parts) + b"--cut--\r\n", {"Content-Type": "multipart/form-data; boundary=cut"}


@dataclass
class Response:
    """Status, headers (names in lower case) and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body's document."""
        return json.loads(self.body)


def ask(port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Response:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers or {}, encode_chunked=not isinstance(body, bytes | None))
        response = connection.getresponse()
        return Response(
            response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        )
    finally:
        connection.close()


def post(port: int, images: list[bytes], path: str = "/predict", names: list[str] | None = None) -> Response:
    """POST /predict with one part per image."""
    body, headers = form(images, names)
    return ask(port, "POST", path, body, headers)


class Served:
    """`plainfilm serve` in a process of its own, with its own empty folders, on a free port."""

    def __init__(
        self, bundle: Path, folder: Path, *options: str, program: tuple[str, ...] = ("-m", "plainfilm")
    ) -> None:
        self.folder = folder
        for name in ("tmp", "home", "here"):
            (folder / name).mkdir(parents=True)
        env = {
            **os.environ, "TMPDIR": str(folder / "tmp"), "HOME": str(folder / "home"), "PLAINFILM_CACHE": str(folder / "home" / "cache"),
            "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        command = [sys.executable, *program, "serve", str(bundle), "--port", "0", *options]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=env, cwd=folder / "here")
        late = threading.Timer(60, self.process.kill)
        late.start()
        assert self.process.stdout
        self.address = self.process.stdout.readline().decode().strip()
        late.cancel()
        assert self.address, self.log()
        self.port = int(self.address.rstrip("/").rpartition(":")[2])

    def log(self) -> str:
        """Everything that it printed on stderr."""
        return (self.folder / "log").read_text(encoding="utf-8")

    def left(self) -> list[Path]:
        """Files that it left anywhere but in its log."""
        return [path for path in self.folder.rglob("*") if path.is_file() and path.name != "log"]

    def peak_mb(self) -> float:
        """Largest memory so far (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) / 1000

    def memory_mb(self) -> float:
        """Memory now (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0]) / 1000

    def stop(self) -> int:
        """Ctrl-C, and the exit code."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()  # nothing where it has ended
            if self.process.stdout:
                self.process.stdout.close()
