"""From the values stored in a DICOM image to the image as it is displayed.

Modality, VOI and polarity (PS3.3 C.11.1, C.11.2, C.7.6.3.1.2) are one function of the stored value: it is computed once
for each of the at most 65,536 values, then applied as a table: exact, fast, and without a float copy of the image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from plainfilm.data.dicom.pixel_data import COLOUR, GREY, PRIMARIES, Header, items, number, words
from plainfilm.data.errors import DecodeError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_STRIP = 2_000_000  # pixels
_FUNCTIONAL_GROUPS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")


def displayed(dataset: Dataset, header: Header, index: int, stored: np.ndarray, space: str) -> np.ndarray:
    """The frame as it is displayed: uint8 (h, w) with 0 = black, or (h, w, 3) RGB.

    Args:
        stored: from stored_pixels(), with its colour space `space`.
    Raises:
        DecodeError: E_CORRUPT an impossible transform; E_VALUES float pixels outside 0..1, or a transform with
            non-finite results; E_BITS luma and chroma above 8 bits.
    """
    sources = _sources(dataset, index)
    if header.is_float:
        return _by_strips(stored, lambda strip: _to_uint8(_grey(_checked(strip), 0, 1, sources, header.photometric)))
    patterns = np.arange(2**header.bits)
    values = patterns - 2**header.bits * (header.signed & (patterns >= 2 ** (header.bits - 1)))
    if header.photometric in GREY:
        table = _to_uint8(_grey(values, int(values.min()), int(values.max()), sources, header.photometric))
        table[_is_padding(dataset, values)] = 0
    elif header.photometric in COLOUR:
        table = _to_uint8(patterns / patterns[-1])
    else:
        table = np.stack([_to_uint8(_palette(dataset, primary, values)) for primary in PRIMARIES], axis=-1)
    to_rgb = header.photometric in COLOUR and space != "RGB"
    if to_rgb and not space.startswith("YBR_FULL"):
        raise DecodeError("E_CORRUPT", "a colour space that only compressed pixels have")
    if to_rgb and header.bits != 8:
        raise DecodeError("E_BITS", "luma and chroma that are not of 8 bits; save the image as RGB")

    def show(strip: np.ndarray) -> np.ndarray:
        shown: np.ndarray = table[_pattern(strip, header)]
        return _rgb(shown) if to_rgb else shown

    return _by_strips(stored, show)


def _pattern(strip: np.ndarray, header: Header) -> np.ndarray:
    """The pixel's own bits alone: old files keep overlays in the bits above them, and sign extension fills those."""
    unsigned = strip.view(strip.dtype.str.replace("i", "u"))
    pattern: np.ndarray = (unsigned >> header.low) & (2**header.bits - 1)
    return pattern


def _by_strips(stored: np.ndarray, show: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`show` applied to all rows, a few at a time: the temporaries of 64 million pixels would need gigabytes."""
    step = max(1, _STRIP // stored.shape[1])
    first = show(stored[:step])
    pixels = np.empty((len(stored), *first.shape[1:]), np.uint8)
    pixels[:step] = first
    for top in range(step, len(stored), step):
        pixels[top : top + step] = show(stored[top : top + step])
    return pixels


def _to_uint8(unit: np.ndarray) -> np.ndarray:
    pixels: np.ndarray = np.rint(unit * 255.0).astype(np.uint8)
    return pixels


def _rgb(ybr: np.ndarray) -> np.ndarray:
    from pydicom.pixels.processing import convert_color_space

    return convert_color_space(ybr, "YBR_FULL", "RGB")


def _checked(values: np.ndarray) -> np.ndarray:
    if not (values.min() >= 0 and values.max() <= 1):  # false for NaN too
        raise DecodeError("E_VALUES", "float pixels outside 0..1")
    return values.astype(np.float64)


def _sources(dataset: Dataset, index: int) -> list[Dataset]:
    """Where transforms may be, the frame's own first: enhanced images keep them in functional groups."""
    groups = items(dataset, "PerFrameFunctionalGroupsSequence")[index : index + 1]
    groups += items(dataset, "SharedFunctionalGroupsSequence")[:1]
    return [item for group in groups for keyword in _FUNCTIONAL_GROUPS for item in items(group, keyword)[:1]] + [
        dataset
    ]


def _grey(values: np.ndarray, low: float, high: float, sources: list[Dataset], photometric: str) -> np.ndarray:
    """Stored values of a type with range low..high as they are displayed, 0 (black) to 1 (white)."""
    with np.errstate(all="ignore"):  # checked below
        unit = _voi(*_modality(values, low, high, sources), sources)
    if not np.isfinite(unit).all():
        raise DecodeError("E_VALUES", "a rescale or window with non-finite results")
    unit = np.clip(unit, 0.0, 1.0)
    # MONOCHROME1 alone decides: "the minimum sample value is intended to be displayed as white after any VOI gray
    # scale transformations". PresentationLUTShape is not read. INVERSE "shall be used if Photometric Interpretation
    # is MONOCHROME1", IDENTITY else (General Image and DX modules): it repeats the same information, and an XOR of
    # the two turns every conforming DX film into its negative (nroduit/Weasis#372). Where the two contradict each
    # other, in all known files the shape is the wrong one (dcm4che/dcm4che#944).
    shown: np.ndarray = 1.0 - unit if photometric == "MONOCHROME1" else unit
    return shown


def _modality(values: np.ndarray, low: float, high: float, sources: list[Dataset]) -> tuple[np.ndarray, float, float]:
    """PS3.3 C.11.1: the table if there is one, else the linear rescale; with the range of its output."""
    for source in sources:
        for item in items(source, "ModalityLUTSequence")[:1]:
            return _looked_up(item, values, low)
    for source in sources:
        slope, intercept = number(source, "RescaleSlope"), number(source, "RescaleIntercept")
        if slope is not None or intercept is not None:
            slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
            if slope == 0:
                raise DecodeError("E_CORRUPT", "RescaleSlope is 0")
            low, high = sorted((low * slope + intercept, high * slope + intercept))
            return values * slope + intercept, low, high
    return values, low, high


def _voi(values: np.ndarray, low: float, high: float, sources: list[Dataset]) -> np.ndarray:
    """PS3.3 C.11.2: the first table, else the first window, else the whole range, as 0..1."""
    for source in sources:
        for item in items(source, "VOILUTSequence")[:1]:
            shown, _, top = _looked_up(item, values, low)
            return shown / top
    for source in sources:
        centre, width = number(source, "WindowCenter"), number(source, "WindowWidth")
        if centre is None and width is None:
            continue
        function = str(source.get("VOILUTFunction") or "LINEAR").strip()
        if centre is None or width is None or function not in _WINDOWS:
            raise DecodeError("E_CORRUPT", "a window without its centre, its width or a known function")
        if width <= 0 or (width < 1 and function == "LINEAR"):
            raise DecodeError("E_CORRUPT", "a window without a width")
        return _WINDOWS[function](values, centre, width)
    return (values - low) / (high - low)


def _linear(x: np.ndarray, centre: float, width: float) -> np.ndarray:
    """C.11.2.1.2.1: of the integers 0..255, centre 128 and width 256 select all."""
    if width == 1:
        return (x > centre - 0.5).astype(np.float64)
    return (x - (centre - 0.5)) / (width - 1) + 0.5


def _linear_exact(x: np.ndarray, centre: float, width: float) -> np.ndarray:
    return (x - centre) / width + 0.5


def _sigmoid(x: np.ndarray, centre: float, width: float) -> np.ndarray:
    return 1 / (1 + np.exp(-4 * (x - centre) / width))


_WINDOWS = {"LINEAR": _linear, "LINEAR_EXACT": _linear_exact, "SIGMOID": _sigmoid}


def _looked_up(item: Dataset, values: np.ndarray, low: float) -> tuple[np.ndarray, float, float]:
    """A Modality or VOI LUT (C.11.1.1, C.11.2.1.1) at `values`, and the range of its bits."""
    size, first, bits = _descriptor(words(item, "LUTDescriptor"), signed=low < 0)
    table = _entries(words(item, "LUTData"), size)
    at = np.clip(np.rint(values) - first, 0, size - 1).astype(np.int64)
    return table[at].astype(np.float64), 0, 2**bits - 1


def _palette(dataset: Dataset, primary: str, values: np.ndarray) -> np.ndarray:
    """One primary of the palette (C.7.9.2, C.7.6.3.1.5) at `values`, 0..1."""
    name = f"{primary}PaletteColorLookupTable"
    size, first, bits = _descriptor(words(dataset, f"{name}Descriptor"), signed=int(values.min()) < 0)
    data, segments = words(dataset, f"{name}Data"), words(dataset, f"Segmented{name}Data")
    table = _expanded(segments, size, bits) if data is None else _entries(data, size)
    unit: np.ndarray = np.clip(table[np.clip(values - first, 0, size - 1)] / (2**bits - 1), 0, 1)
    return unit


def _descriptor(descriptor: np.ndarray | None, *, signed: bool) -> tuple[int, int, int]:
    """Number of entries, first value mapped, bits per entry."""
    if descriptor is None or len(descriptor) != 3 or not 1 <= descriptor[2] <= 16:
        raise DecodeError("E_CORRUPT", "a lookup table without a valid descriptor")
    size, first, bits = (int(word) for word in descriptor)
    return size or 2**16, first - 2**16 if signed and first >= 2**15 else first, bits


def _entries(data: np.ndarray | None, size: int) -> np.ndarray:
    """Entries of 16 bits, or of 8 bits packed two to a word."""
    if data is not None and len(data) == size:
        return data
    if data is not None and len(data) == (size + 1) // 2:
        return data.astype("<u2").view(np.uint8)[:size]
    raise DecodeError("E_CORRUPT", "a lookup table whose length differs from its descriptor")


def _expanded(data: np.ndarray | None, size: int, bits: int) -> np.ndarray:
    """A segmented palette (C.7.9.2), expanded."""
    if data is None:
        raise DecodeError("E_CORRUPT", "a palette without data")
    depth = 8 if bits <= 8 else 16
    codes = (data.astype("<u2").view(np.uint8) if depth == 8 else data).tolist()
    table: list[int] = []
    _expand(codes, 0, len(codes), size, depth, table)
    if len(table) < size:
        raise DecodeError("E_CORRUPT", "a palette whose length differs from its descriptor")
    return np.array(table[:size])


def _expand(
    codes: list[int], at: int, count: int, size: int, depth: int, table: list[int], *, copy: bool = False
) -> None:
    """Up to `count` segments from `at` on, appended to `table` until it has `size` entries."""
    while count and at + 1 < len(codes) and len(table) < size:
        kind, length = codes[at], codes[at + 1]
        count, at = count - 1, at + 2
        if kind == 0:
            table += codes[at : at + length]
            at += length
        elif kind == 1:
            table += np.rint(np.linspace(table[-1], codes[at], length + 1)[1:]).astype(int).tolist()
            at += 1
        elif kind == 2 and not copy:  # "shall not point to or copy another indirect segment": no endless loops
            place = codes[at : at + 32 // depth]
            offset = sum(part << (depth * i) for i, part in enumerate(place)) // (depth // 8)
            _expand(codes, offset, length, size, depth, table, copy=True)
            at += len(place)
        else:
            raise DecodeError("E_CORRUPT", "a palette with impossible segments")


def _is_padding(dataset: Dataset, values: np.ndarray) -> np.ndarray:
    """Which stored values are padding (C.7.5.1.1.2), not image: bool like `values`, all False without padding."""
    value, limit = words(dataset, "PixelPaddingValue"), words(dataset, "PixelPaddingRangeLimit")
    if value is None:
        return np.zeros(len(values), bool)
    ends = [int(value[0]), int((value if limit is None else limit)[0])]
    if values.min() < 0:
        ends = [end - 2**16 if end >= 2**15 else end for end in ends]
    padding: np.ndarray = (values >= min(ends)) & (values <= max(ends))
    return padding
