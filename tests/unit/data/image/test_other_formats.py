"""What is no image of ours is named, with what makes images of it."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from plainfilm.data.errors import DecodeError
from plainfilm.data.image.decode import SUFFIXES, TIFF_SUFFIXES, load
from plainfilm.data.image.other_formats import NOT_AN_IMAGE, instead_of_an_image, rule_of


def saved(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(file, kind)
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.png", b"x")
    return file.getvalue()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.jp2", "a JPEG 2000: convert it to PNG: opj_decompress"), ("A.HEIC", "a HEIC: convert"), ("b.nii.gz", "a volume"),
        ("b.nii", "a volume"), ("c.npy", "a NumPy array: save PNG"), ("d.svg", "an SVG drawing: convert"), ("e.PDF", "a PDF: take"),
        ("f.gif", "a GIF: convert"), ("g.zip", "an archive: unpack it"), ("h.npz", "an archive"), ("i.tar.gz", "an archive"),
        ("j.avif", "an AVIF"), ("k.tga", "an ICO, TGA or PSD"), ("l.pbm", "a bitmap or float of Netpbm"),
        ("notes.txt", NOT_AN_IMAGE), ("npy", NOT_AN_IMAGE),
    ],
)  # fmt: skip
def test_the_ending_says_what_a_file_is_and_what_converts_it(name: str, said: str) -> None:
    assert rule_of(name).startswith(said)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (saved("GIF"), "a GIF; convert it to PNG"), (saved("JPEG2000"), "a JPEG 2000; convert"), (zipped(), "an archive; unpack it"),
        (array(), "a NumPy array; save"), (b"%PDF-1.7", "a PDF; take its images out"), (b"<svg xmlns=''>", "an SVG drawing"),
        (bytes(344) + b"n+1\0", "a volume"), (b"\0\0\0\x18ftypheic", "a HEIC"), (b"P4\n1 1\n\0", "a bitmap or float of Netpbm"),
    ],
)  # fmt: skip
def test_a_file_under_another_name_is_told_by_its_content(data: bytes, said: str) -> None:
    with pytest.raises(DecodeError) as caught:
        load(data)
    assert caught.value.code == "E_FORMAT" and f"{NOT_AN_IMAGE} image but {said}" in caught.value.fact


def test_what_is_read_is_in_no_row() -> None:
    assert {name for name in SUFFIXES | TIFF_SUFFIXES if rule_of(f"a{name}") != NOT_AN_IMAGE} == set()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xef\xbb\xbf<!DOCTYPE html><html>", "an HTML page"),
        (b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>', "an XML text"),
        (b"<Error><Code>NoSuchKey</Code></Error>", "an XML text"),
        (b'{"message": "not found"}', "a JSON text"),
        (b' [\n {"a": 1}]', "a JSON text"),
    ],
)
def test_what_a_server_sends_for_an_error_is_named(data: bytes, said: str) -> None:
    with pytest.raises(DecodeError) as caught:
        load(data)
    assert f"image but {said}, such as a server sends" in caught.value.fact


def test_a_drawing_in_xml_is_none() -> None:
    assert "XML text" not in instead_of_an_image(b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>')
