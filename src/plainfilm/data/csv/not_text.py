"""What a file is that was given as a table and is none, by its first bytes."""

from __future__ import annotations

import io
import zipfile

from plainfilm.data.dicom.read import is_dicom

_BEGINNINGS = {
    b"\xff\xd8\xff": "a JPEG image", b"\x89PNG": "a PNG image", b"GIF8": "a GIF image", b"II*\0": "a TIFF image",
    b"MM\0*": "a TIFF image", b"\0\0\0\x0cjP": "a JPEG 2000 image", b"%PDF": "a PDF",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook", b"\x1f\x8b": "a gzip archive", b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive", b"\x93NUMPY": "a NumPy .npy file", b"\x89HDF": "an HDF5 file", b"PAR1": "a Parquet file",
    b"SQLite format 3": "an SQLite database", b"\x80\x04\x95": "a Python pickle",
}  # fmt: skip
_PARTS = {"xl/workbook.xml": "an Excel workbook", "content.xml": "an OpenDocument file", "word/document.xml": "a Word document"}  # fmt: skip


def kind_of(data: bytes) -> str:
    """'a PNG image' for bytes that are known to be no text, '' for any other.

    Nothing is unpacked; of a ZIP archive only the list of names is read.
    """
    if is_dicom(data):
        return "a DICOM file"
    if data.startswith(b"PK\x03\x04"):
        return _zip_kind(data)
    if data.startswith(b"BM") and b"\0" in data[:64]:  # a text may begin with these two letters
        return "a BMP image"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "a WebP image"
    return next((kind for begin, kind in _BEGINNINGS.items() if data.startswith(begin)), "")


def _zip_kind(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return "a ZIP archive or an Excel workbook"
    if names and all(name.endswith(".npy") for name in names):
        return f"a NumPy .npz file of {len(names)} arrays"
    return next((kind for part, kind in _PARTS.items() if part in names), f"a ZIP archive of {len(names)} files")
