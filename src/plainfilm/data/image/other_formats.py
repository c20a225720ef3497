"""Files that are no images of this project: what each is, and what makes images of it.

A file is known by its ending where it is only listed, and by its first bytes where it was opened under another name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NOT_AN_IMAGE = "not a PNG, JPEG, BMP, WebP, PGM, PPM or DICOM"


@dataclass(frozen=True)
class _Kind:
    """A kind of file: `name`, endings in lower case, first bytes (each with its place), and what to do (`cure`)."""

    name: str
    endings: tuple[str, ...]
    begins: tuple[tuple[int, bytes], ...]
    cure: str


ARCHIVES = (".zip", ".npz", ".tar", ".tar.gz", ".tgz", ".gz", ".7z", ".rar")
_KINDS = (
    _Kind("a Git LFS pointer to one", (), ((0, b"version https://git-lfs"),), "fetch the images with: git lfs pull"),
    _Kind("a JPEG 2000", (".jp2", ".j2k", ".j2c", ".jpx", ".jpf"), ((4, b"jP  \r\n"), (0, b"\xff\x4f\xff\x51")),
          "convert it to PNG: opj_decompress"),
    _Kind("a HEIC", (".heic", ".heif", ".hif"), ((4, b"ftypheic"), (4, b"ftypheix"), (4, b"ftypmif1")),
          "convert it to PNG: heif-convert"),
    _Kind("an AVIF", (".avif",), ((4, b"ftypavif"),), "convert it to PNG: avifdec"),
    _Kind("a GIF", (".gif",), ((0, b"GIF8"),), "convert it to PNG: magick"),
    _Kind("an ICO, TGA or PSD", (".ico", ".tga", ".psd"), ((0, b"8BPS"),), "convert it to PNG: magick"),
    _Kind("a bitmap or float of Netpbm", (".pbm", ".pam", ".pfm"), ((0, b"P1\n"), (0, b"P4\n"), (0, b"P7\n"), (0, b"Pf\n")),
          "convert it to PGM: pamtopnm"),
    _Kind("an SVG drawing", (".svg",), ((0, b"<svg"),), "convert it to PNG: rsvg-convert"),
    _Kind("a PDF", (".pdf",), ((0, b"%PDF"),), "take its images out: pdfimages -png"),
    _Kind("a volume (NIfTI, NRRD, MetaImage)", (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"), ((344, b"n+1\0"), (0, b"NRRD")),
          "save its slices as PNG: med2image"),
    _Kind("a NumPy array", (".npy",), ((0, b"\x93NUMPY"),), "save PNG, or one .npz of train_images and train_labels"),
    _Kind("an archive", ARCHIVES, ((0, b"PK\3\4"), (0, b"\x1f\x8b"), (0, b"7z\xbc\xaf"), (0, b"Rar!")),
          "unpack it; DATA itself may be a .zip or .npz, but not of predict"),
)  # fmt: skip
_JSON = re.compile(rb'\{\s*("|\})|\[\s*[\{"\]]')
_HTML = (b"<!doctype html", b"<html")


def rule_of(name: str) -> str:
    """Why a file of this name is not read, and what converts it."""
    lower = name.casefold()
    fits = (kind for kind in _KINDS if lower.endswith(kind.endings))
    return next((f"{kind.name}: {kind.cure}" for kind in fits), NOT_AN_IMAGE)


def instead_of_an_image(data: bytes) -> str:
    """' but a GIF; convert it to PNG: magick' for bytes that are known to be no image of ours, else ''."""
    start = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip()  # a mark of UTF-8
    if start.lower().startswith(_HTML):
        return " but an HTML page, such as a server sends in place of a file; fetch it again"
    if start.startswith(b"<Error>") or (start.startswith(b"<?xml") and b"<svg" not in start):
        return " but an XML text, such as a server sends for an error; fetch it again"
    if _JSON.match(start):
        return " but a JSON text, such as a server sends for an error; fetch it again"
    for kind in _KINDS:
        if any(data[at : at + len(begin)] == begin for at, begin in kind.begins):
            return f" but {kind.name}; {kind.cure}"
    return ""
