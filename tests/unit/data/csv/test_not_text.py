"""Files that are no table are recognised by content; a text never is one of them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from plainfilm.data.csv.dialect import read_rows
from plainfilm.data.csv.not_text import kind_of
from plainfilm.errors import DataError


def image(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(file, kind)
    return file.getvalue()


def archive(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name in names:
            made.writestr(name, "x")
    return file.getvalue()


def arrays() -> bytes:
    file = io.BytesIO()
    np.savez(file, train_images=np.zeros(2), train_labels=np.zeros(2))
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (image("PNG"), "a PNG image"), (image("JPEG"), "a JPEG image"), (image("BMP"), "a BMP image"),
        (image("GIF"), "a GIF image"), (image("TIFF"), "a TIFF image"), (image("WEBP"), "a WebP image"),
        (bytes(128) + b"DICM", "a DICOM file"), (b"%PDF-1.7", "a PDF"), (arrays(), "a NumPy .npz file of 2 arrays"),
        (archive("xl/workbook.xml", "a.xml"), "an Excel workbook"), (archive("A/1.png", "B/2.png"), "a ZIP archive of 2 files"),
        (archive("a.npy", "b.txt"), "a ZIP archive of 2 files"), (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
        (b"\xd0\xcf\x11\xe0", "an old Excel workbook"), (b"\x93NUMPY\x01", "a NumPy .npy file"), (b"\x1f\x8b", "a gzip archive"),
    ],
)  # fmt: skip
def test_the_kind_is_said(data: bytes, kind: str):
    assert kind_of(data) == kind


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40))
def test_text_is_no_kind_of_file(text: str):
    if not text.startswith(("%PDF", "GIF8", "Rar!", "PAR1", "SQLite format 3")) and text[128:132] != "DICM":
        assert kind_of(text.encode()) == ""
    assert kind_of(b"BMI,label\n1,2\n") == ""  # begins like a bitmap


@pytest.mark.parametrize("name", ["a.npy", "A/1.png"])
def test_an_archive_of_another_ending_says_how_it_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "set.tar.gz"
    path.write_bytes(archive(name))
    with pytest.raises(DataError, match=r"Give it the ending \.zip or \.npz"):
        read_rows(path)
