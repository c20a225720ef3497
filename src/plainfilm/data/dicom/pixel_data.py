"""From the elements of a DICOM data set to the stored values of one frame: header, codecs, limits."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import MutableSequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from plainfilm.data.dicom.codestream import (
    JPEG,
    JPEG_2000,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
    coded_size,
    codestream,
    refuse_another,
)
from plainfilm.data.errors import DecodeError
from plainfilm.data.image.costly import refuse_costly, refuse_large

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.pixels.decoders.base import Decoder
    from pydicom.uid import UID

GREY = ("MONOCHROME1", "MONOCHROME2")
_PALETTE = ("PALETTE COLOR",)
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PRIMARIES = ("Red", "Green", "Blue")
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_PIXEL_VRS = ("OB", "OW", "OB or OW", "OF", "OD", "UN", None)  # UN and None, of implicit VR: the dictionary says which
# Everything that is ever read from a data set: these hold kilobytes ...
SMALL = (
    "SpecificCharacterSet", "PatientID", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth",
    "VOILUTFunction", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
    *(f"{c}PaletteColorLookupTable{part}" for c in PRIMARIES for part in ("Descriptor", "Data")),
    *(f"Segmented{c}PaletteColorLookupTableData" for c in PRIMARIES),
)  # fmt: skip
BULKY = (  # ... and these megabytes
    *_PIXELS, "ModalityLUTSequence", "VOILUTSequence", "PerFrameFunctionalGroupsSequence",
    "SharedFunctionalGroupsSequence",
)  # fmt: skip
# Decoder packages of pydicom 3; for lossless JPEG pylibjpeg-libjpeg would work too, but it is under GPL-3.
_PACKAGES = {
    **dict.fromkeys((JPEG, JPEG_EXTENDED), "pillow"),
    **dict.fromkeys(JPEG_LOSSLESS, "python-gdcm"),
    **dict.fromkeys(JPEG_LS, "pyjpegls"),
    **dict.fromkeys(JPEG_2000, "pylibjpeg pylibjpeg-openjpeg"),
}
_PREFERRED = ("pillow", "pyjpegls", "pylibjpeg", "gdcm")  # gdcm prints to stderr
_MOST_READS = 300_000
_UNDEFINED = 0xFFFFFFFF
_MOST_OFFSETS = 2**22  # bytes of an offset table: a million frames


class CountedBytes(io.BytesIO):
    """A file that limits its number of reads: 8 bytes of an empty item cost pydicom about 1 KB."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.size, self.reads = len(data), 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        if self.reads > _MOST_READS:
            raise DecodeError("E_LARGE", "far more elements than an image needs")
        return super().read(size)


@dataclass(frozen=True)
class Header:
    """The Image Pixel module, checked; `low` is the lowest bit of a pixel, `keyword` the element with the pixels."""

    keyword: str
    photometric: str
    rows: int
    columns: int
    samples: int
    allocated: int
    bits: int
    low: int
    signed: bool
    frames: int

    @property
    def is_float(self) -> bool:
        return self.keyword != "PixelData"


def words(dataset: Dataset, keyword: str) -> np.ndarray | None:
    """The 16-bit words of an element, uint16 (n,), None where it is absent or empty.

    Taken from the bytes: the VR (US, SS or OW) depends on other elements and is often wrong.
    """
    element: Any = dataset.get_item(keyword, keep_deferred=True)
    if element is None or not element.value:
        return None
    return np.frombuffer(element.value, "<u2" if element.is_little_endian else ">u2").astype(np.uint16)


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence, none where it is absent."""
    from pydicom.filereader import read_sequence

    element: Any = dataset.get_item(keyword, keep_deferred=True)
    if element is None or not element.value:
        return []
    if not isinstance(element.value, bytes):  # of undefined length: read already
        return list(element.value)
    file, implicit = CountedBytes(element.value), element.is_implicit_VR or element.VR == "UN"
    return list(read_sequence(file, implicit, element.is_little_endian, file.size, "iso8859"))


def number(dataset: Dataset, keyword: str) -> float | None:
    """The first value of an element, finite, None where it is absent or empty."""
    value = dataset.get(keyword)
    if isinstance(value, MutableSequence):
        value = value[0] if value else None
    if value is None or value == "":
        return None
    if not math.isfinite(float(value)):
        raise DecodeError("E_CORRUPT", f"{keyword} is not a finite number")
    return float(value)


def _integer(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    value = number(dataset, keyword)
    if value is None and default is None:
        raise DecodeError("E_CORRUPT", f"{keyword} is missing")
    if value is not None and value != int(value):
        raise DecodeError("E_CORRUPT", f"{keyword} is not a whole number")
    return int(value) if value is not None else int(default or 0)


def header_of(dataset: Dataset, megapixels: int) -> Header:
    """The checked header.

    Raises:
        DecodeError: E_FORMAT no image; E_CORRUPT missing or impossible; E_LARGE; E_BITS more than 16.
    """
    present = [keyword for keyword in _PIXELS if keyword in dataset]
    if not present:
        raise DecodeError("E_FORMAT", "no pixel data: not an image, or cut off before the pixels")
    _refuse_no_bytes(dataset, present[0])
    photometric = str(dataset.get("PhotometricInterpretation") or "").strip()
    if not photometric:
        raise DecodeError("E_CORRUPT", "PhotometricInterpretation is missing")
    if photometric not in GREY + _PALETTE + COLOUR:  # not quoted: anything may stand there
        raise DecodeError("E_FORMAT", f"a photometric interpretation other than {', '.join(GREY + _PALETTE + COLOUR)}")
    rows, columns = _integer(dataset, "Rows"), _integer(dataset, "Columns")
    refuse_large(columns, rows, megapixels)
    samples, allocated = _integer(dataset, "SamplesPerPixel"), _integer(dataset, "BitsAllocated")
    is_float = present[0] != "PixelData"
    bits = allocated if is_float else _integer(dataset, "BitsStored")
    if bits > 16 and not is_float:
        raise DecodeError("E_BITS", f"{bits} bits; at most 16 are read")
    signed = not is_float and _integer(dataset, "PixelRepresentation") == 1
    low = 0 if is_float else _integer(dataset, "HighBit", bits - 1) + 1 - bits
    # An empty or zero number of frames is common, and means one.
    frames = _integer(dataset, "NumberOfFrames", 1) or 1
    sound = min(rows, columns, frames, bits) > 0 and 0 <= low <= allocated - bits
    if not sound or samples != (3 if photometric in COLOUR else 1) or (signed and samples == 3):
        raise DecodeError("E_CORRUPT", "impossible rows, columns, frames, samples or bits")
    return Header(present[0], photometric, rows, columns, samples, allocated, bits, low, signed, frames)


def _refuse_no_bytes(dataset: Dataset, keyword: str) -> None:
    """Refuse pixels whose VR makes them a list or a sequence: 8 MB of empty items take seconds and 700 MB."""
    element: Any = dataset.get_item(keyword, keep_deferred=True)
    if element.VR not in _PIXEL_VRS:
        raise DecodeError("E_CORRUPT", "found pixels of another kind than bytes, expected VR OB or OW")


def frame_index(header: Header, frame: int | None) -> int:
    """Which frame to read, counted from 0.

    Raises:
        DecodeError: E_FRAMES none of several is chosen, or the chosen one does not exist.
    """
    if frame is None and header.frames != 1:
        raise DecodeError("E_FRAMES", f"{header.frames} frames; one image per file is expected", " (--frame picks one)")
    if frame is not None and not 0 <= frame < header.frames:
        frames = "frame" if header.frames == 1 else "frames"
        raise DecodeError("E_FRAMES", f"{header.frames} {frames}; there is no frame {frame}")
    return frame or 0


def stored_pixels(dataset: Dataset, syntax: UID, header: Header, index: int) -> tuple[np.ndarray, str]:
    """One frame's stored values, (h, w) or (h, w, 3), and their colour space; unused bits are not masked yet.

    Raises:
        DecodeError: E_CODEC the decoder is missing; E_CORRUPT the frame is damaged or of another size.
    """
    from pydicom.encaps import get_frame
    from pydicom.pixels.decoders.base import get_decoder

    if not syntax.is_encapsulated:
        _refuse_coded(dataset, header)
        return _decoded(dataset, get_decoder(syntax), "", index)
    plugin = "" if syntax == RLE else _plugin(syntax, header)
    tables: Any = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    offsets = tables if all(tables) else None
    data = dataset["PixelData"].value
    if struct.unpack_from("<4xL", data)[0] > _MOST_OFFSETS:
        raise DecodeError("E_CORRUPT", "the offset table of the frames is missing or far too long")
    coded = get_frame(CountedBytes(data), index, number_of_frames=header.frames, extended_offsets=offsets)
    refuse_another(coded, syntax)
    if syntax == RLE:
        return _from_rle(coded, header), header.photometric
    if coded_size(coded) != (header.rows, header.columns) or header.low:
        raise DecodeError("E_CORRUPT", "the compressed image has another size than the header says")
    refuse_costly(coded)
    array, space = _decoded(dataset, get_decoder(syntax), plugin, index)
    # Lossy codecs overshoot, and a mask would turn white into black; for the others the unused bits must be masked.
    if syntax in JPEG_LS + JPEG_2000 and header.bits < header.allocated:
        lowest = -(2 ** (header.bits - 1)) if header.signed else 0
        np.clip(array, lowest, lowest + 2**header.bits - 1, out=array)
    return array, space


def _decoded(dataset: Dataset, decoder: Decoder, plugin: str, index: int) -> tuple[np.ndarray, str]:
    options: Any = {"view_only": True, "correct_unused_bits": False}  # displayed() masks; a copy would be wasted
    array, facts = decoder.as_array(dataset, index=index, raw=True, decoding_plugin=plugin, **options)
    return array, str(facts["photometric_interpretation"])


def _plugin(syntax: UID, header: Header) -> str:
    """The decoder plugin: the same on every machine that has it, so that a file always gives the same pixels."""
    from pydicom.pixels.decoders.base import get_decoder

    name = f"{syntax.name} ({syntax})"
    if syntax not in _PACKAGES:
        raise DecodeError("E_CODEC", f"no decoder is known for {name}; save the image uncompressed")
    plugins = set(get_decoder(syntax).available_plugins)
    if syntax == JPEG_EXTENDED and header.bits != 8:
        plugins -= {"pillow", "gdcm"}
        if not plugins:
            raise DecodeError("E_CODEC", f"{name} of {header.bits} bits; save the image uncompressed (dcmdjpeg does)")
    if header.samples == 3 and header.bits > 8:
        plugins -= {"pillow"}  # keeps 8 bits of deep colour
    if not plugins:
        raise DecodeError("E_CODEC", f"{name} needs a decoder: pip install {_PACKAGES[syntax]}")
    return min(plugins, key=(*_PREFERRED, *sorted(plugins)).index)


def _refuse_coded(dataset: Dataset, header: Header) -> None:
    """Refuse compressed pixels under an uncompressed transfer syntax: they would be read as noise."""
    element: Any = dataset.get_item(header.keyword, keep_deferred=True)
    size = header.rows * header.columns * header.samples * header.allocated * header.frames // 8
    is_longer = len(element.value) > size + 2
    if element.length == _UNDEFINED or (is_longer and codestream(element.value)):
        raise DecodeError("E_CORRUPT", "found compressed pixels, expected plain ones by the transfer syntax")


def _from_rle(coded: bytes, header: Header) -> np.ndarray:
    """PS3.5 annex G: one segment per sample and byte, the highest byte first.

    pydicom unpacks each segment to its end before it checks the size: 64 MB become 4 GB.
    """
    depth, size = header.allocated // 8, header.rows * header.columns
    count, *starts = struct.unpack_from("<16L", coded)
    if count != header.samples * depth or header.allocated % 8:
        raise DecodeError("E_CORRUPT", "the number of RLE segments does not fit the header")
    ends = [*starts[1:count], len(coded)]
    planes = np.empty((header.samples, size, depth), np.uint8)
    for k, (start, end) in enumerate(zip(starts, ends, strict=False)):
        planes[k // depth, :, k % depth] = np.frombuffer(_unpacked(coded[start:end], size), np.uint8)
    values = planes.view(f">u{depth}").reshape(header.samples, header.rows, header.columns)
    return values[0] if header.samples == 1 else np.moveaxis(values, 0, 2)


def _unpacked(segment: bytes, size: int) -> bytearray:
    """The first `size` bytes of a PackBits segment (PS3.5 G.3.2)."""
    unpacked, at = bytearray(), 0
    most = min(len(segment), 3 * size + 1024)  # twice the size where no value repeats and each is a run of its own
    while len(unpacked) < size and at < most:
        head = segment[at]
        if head < 128:
            unpacked += segment[at + 1 : at + 2 + head]
            at += 2 + head
        else:
            unpacked += segment[at + 1 : at + 2] * (257 - head) if head > 128 else b""
            at += 2 if head > 128 else 1
    if len(unpacked) < size and most < len(segment):
        raise DecodeError("E_LIMIT", "an RLE segment far longer than its pixels need")
    if len(unpacked) < size:
        raise DecodeError("E_CORRUPT", "cut off: an RLE segment is too short")
    return unpacked[:size]
