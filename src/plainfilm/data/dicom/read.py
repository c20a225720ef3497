"""read_dicom(): the bytes of a DICOM file become the image as it is displayed, and nothing else leaves the file.

A DICOM file holds names, dates and comments beside its pixels, and pydicom's warnings, log records and exceptions
quote them. So only the elements needed for the image are read, pydicom is silenced while it works, and every
error is a sentence of our own that quotes no element. The 128-byte preamble is never read.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import threading
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plainfilm.data.dicom.display import displayed
from plainfilm.data.dicom.pixel_data import BULKY, SMALL, CountedBytes, frame_index, header_of, stored_pixels
from plainfilm.data.errors import MEGAPIXELS, NO_MEMORY, DecodeError, how_to_admit, most_bytes

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.uid import UID

_MARK = b"DICM"
_DICOMDIR = "1.2.840.10008.1.3.10"
_UNDEFINED = 0xFFFFFFFF
_MOST_SMALL = 2**18  # bytes; a palette has half as many, and a 200 MB list of numbers would become 20 GB of objects
# These quote what they read in warnings or debug records; PIL does so for the EXIF data of an embedded JPEG.
_NOISY_LOGGERS = frozenset({"pydicom", "PIL", "pylibjpeg", "libjpeg", "openjpeg", "rle", "jpeg_ls", "gdcm"})
# catch_warnings swaps process-wide filters: two threads inside at once would leave the wrong ones behind.
_QUIET = threading.Lock()


@dataclass(frozen=True)
class _DicomImage:
    """One frame as it is displayed.

    `pixels` is uint8 (h, w), grey as on a MONOCHROME2 display (0 = black), or uint8 (h, w, 3), RGB. `photometric` is
    the file's PhotometricInterpretation, one of pixel_data.GREY, _PALETTE and COLOUR. `bits` is BitsStored (32 or 64
    for float pixels). `patient` is 'dicom-' and 16 hex digits of the keyed hash of PatientID, or ''.
    """

    pixels: np.ndarray
    photometric: str
    bits: int
    patient: str


def is_dicom(data: bytes) -> bool:
    """True when the bytes have the DICM prefix (PS3.10, 7.1); without it nothing is guessed."""
    return data[128:132] == _MARK


def read_dicom(
    data: bytes, frame: int | None = None, key: bytes | None = None, megapixels: int = MEGAPIXELS
) -> _DicomImage:
    """The image in a DICOM file, after its modality and VOI transforms (display.displayed()).

    Args:
        frame: counted from 0; None: the only one.
        key: secret of the keyed hash that replaces PatientID; without it `patient` is ''.
    Raises:
        DecodeError: E_FORMAT no DICOM image; E_CORRUPT damaged, cut off or without a required element; E_LARGE too
            many pixels or bytes; E_LIMIT a side too long, or more memory or parts than an image needs; E_FRAMES not the one requested frame; E_CODEC a compression without its decoder;
            E_BITS above 16 bits; E_VALUES values outside the range of float pixels. No message quotes an element.
    """
    if not is_dicom(data):
        raise DecodeError("E_FORMAT", "not a DICOM file")
    # Outside the try, since a broken installation of pydicom or a plugin is not the file's fault; also creates its loggers.
    import pydicom.pixels.decoders  # noqa: F401

    try:
        with _quiet():
            return _read(data, frame, key, megapixels)
    except DecodeError as error:
        code, why, hint = error.code, error.fact, error.why[len(error.fact) :]
    except MemoryError:
        code, why, hint = "E_LIMIT", NO_MEMORY, ""
    except ImportError:  # a broken installation too
        raise
    except Exception as error:  # noqa: BLE001 - pydicom and its decoders raise anything
        code, why, hint = "E_CORRUPT", f"damaged or cut off ({type(error).__name__})", ""
    # Raised again outside the handlers: pydicom's exception would stay in __context__ and the data set in the frames
    # of the traceback, and pretty tracebacks print both.
    raise DecodeError(code, why, hint) from None


def _read(data: bytes, frame: int | None, key: bytes | None, megapixels: int) -> _DicomImage:
    dataset, syntax = _parsed(data, megapixels)
    header = header_of(dataset, megapixels)
    index = frame_index(header, frame)
    stored, space = stored_pixels(dataset, syntax, header, index)
    pixels = displayed(dataset, header, index, stored, space)
    return _DicomImage(pixels, header.photometric, header.bits, _patient(dataset, key))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No warning and no log record of the libraries for the duration, and no validation of values that are not used."""
    from pydicom import config

    with _QUIET, warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        loggers = [log for log in list(logging.root.manager.loggerDict.values()) if isinstance(log, logging.Logger)]
        switched = [log for log in loggers if log.name.split(".")[0] in _NOISY_LOGGERS and not log.disabled]
        for log in switched:
            log.disabled = True  # a level or a filter of the parent would not stop a child that has its own handler
        try:
            yield
        finally:
            for log in switched:
                log.disabled = False


def _parsed(data: bytes, megapixels: int) -> tuple[Dataset, UID]:
    """The elements needed for the image, and the transfer syntax; every other element is skipped unread."""
    from pydicom.filereader import read_dataset
    from pydicom.tag import Tag

    file = CountedBytes(data)
    file.seek(128 + len(_MARK))
    meta = read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag >> 16 != 2)
    if str(meta.get("MediaStorageSOPClassUID", "")) == _DICOMDIR:
        raise DecodeError("E_FORMAT", "a DICOMDIR, the index of other files")
    syntax = _transfer_syntax(meta)
    if syntax.is_deflated:
        file = CountedBytes(_inflated(data[file.tell() :], megapixels))
    small, bulky = [Tag(keyword) for keyword in SMALL], [Tag(keyword) for keyword in BULKY]
    tags = [*small, *bulky]
    dataset = read_dataset(file, syntax.is_implicit_VR, syntax.is_little_endian, specific_tags=tags)  # type: ignore[arg-type] # invariant list
    lengths = [
        (element.length, len(element.value), element.tag in small)  # type: ignore[union-attr] # bytes are raw elements
        for element in dataset.elements()
        if isinstance(element.value, bytes)
    ]
    if file.tell() > file.size or any(said not in (found, _UNDEFINED) for said, found, _ in lengths):
        raise DecodeError("E_CORRUPT", "cut off: an element extends beyond the end of the file")
    if any(found > _MOST_SMALL for _, found, is_small in lengths if is_small):
        raise DecodeError("E_CORRUPT", "an element of the header is far too long")
    return dataset, syntax


def _transfer_syntax(meta: Dataset) -> UID:
    from pydicom.uid import UID

    syntax = UID(str(meta.get("TransferSyntaxUID") or ""))
    if not syntax:
        raise DecodeError("E_CORRUPT", "no transfer syntax is given, and none is guessed")
    if syntax.type != "Transfer Syntax":  # not quoted: it may hold anything
        raise DecodeError("E_CODEC", "a transfer syntax that the DICOM standard does not know")
    return syntax


def _inflated(body: bytes, megapixels: int) -> bytes:
    """The data set of a deflated file, at most so many bytes of it: pydicom would inflate a zip bomb to its end."""
    most = most_bytes(megapixels)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    dataset = inflater.decompress(body, most + 1)
    if len(dataset) > most:
        raise DecodeError("E_LARGE", f"inflates to more than {most} bytes", how_to_admit(megapixels))
    if not inflater.eof:
        raise DecodeError("E_CORRUPT", "cut off: the deflated data do not end")
    return dataset


def _patient(dataset: Dataset, key: bytes | None) -> str:
    """Keyed hash of PatientID; '' where there is no key or no ID."""
    from pydicom.charset import convert_encodings, decode_bytes

    element = dataset.get_item("PatientID", keep_deferred=True)
    if not key or element is None or not isinstance(element.value, bytes):
        return ""
    # Decoded, so that a patient has one hash in Latin-1 and in UTF-8 files; from the bytes, since pydicom checks, splits
    # and quotes values.
    encodings = convert_encodings(dataset.get("SpecificCharacterSet"))
    name = decode_bytes(element.value, encodings, set()).strip(" \0\t\r\n")
    digest = hmac.new(key, name.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
    return f"dicom-{digest[:16]}" if name else ""
