"""One picture stored twelve ways: the same tensor, and the same answer of a network."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from plainfilm.config import ModelConfig
from plainfilm.data.image.decode import DecodeSpec, decode_bytes
from plainfilm.data.loaders.block import _as_image
from plainfilm.models.build import build_model

SIZE = 48
y, x = np.mgrid[0:SIZE, 0:SIZE]
# No symmetry, so that a wrong turn is seen; smooth, so that JPEG keeps it within a few grey levels.
FILM = (40 + 2.2 * x + 1.5 * y + 20 * np.sin(x / 7)).clip(0, 255).astype(np.uint8)
DEEP = FILM.astype(np.uint16) * 257


def stored(image: Image.Image | np.ndarray, kind: str, **save: object) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **save)
    return file.getvalue()


def dicom(pixels: np.ndarray, photometric: str, bits: int) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *pixels.shape, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = photometric, 0
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelData = pixels.tobytes()
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def with_exif_turn(pixels: np.ndarray) -> bytes:
    """Stored lying on its side, with the EXIF mark that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    return stored(np.rot90(pixels), "PNG", exif=exif)


def ways() -> dict[str, tuple[bytes, int]]:
    """Name -> bytes, and by how many grey levels they may differ."""
    grey, opaque = Image.fromarray(FILM), Image.new("L", (SIZE, SIZE), 255)
    return {
        "8-bit PNG": (stored(grey, "PNG"), 0),
        "16-bit PNG": (stored(DEEP, "PNG"), 0),
        "RGB PNG": (stored(grey.convert("RGB"), "PNG"), 0),
        "palette PNG": (stored(grey.convert("P"), "PNG"), 0),
        "grey and alpha PNG": (stored(Image.merge("LA", [grey, opaque]), "PNG"), 0),
        "RGBA PNG": (stored(grey.convert("RGBA"), "PNG"), 0),
        "EXIF-turned PNG": (with_exif_turn(FILM), 0),
        "BMP": (stored(grey, "BMP"), 0),
        "DICOM MONOCHROME2": (dicom(FILM, "MONOCHROME2", 8), 0),
        "DICOM MONOCHROME1": (dicom(255 - FILM, "MONOCHROME1", 8), 0),
        "16-bit DICOM MONOCHROME1": (dicom(65535 - DEEP, "MONOCHROME1", 16), 0),
        "12-bit DICOM": (dicom(np.rint(FILM / 255 * 4095).astype(np.uint16), "MONOCHROME2", 12), 0),
        "CMYK JPEG": (stored(grey.convert("CMYK"), "JPEG", quality=100, subsampling=0), 4),
        "JPEG": (stored(grey, "JPEG", quality=100), 4),
    }


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return build_model(ModelConfig(), 2, SIZE, seed=0).eval()


def answer(network: torch.nn.Module, pixels: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network(_as_image(pixels[None]).float() / 255).numpy()


@pytest.mark.parametrize("way", ways())
@pytest.mark.parametrize("channels", [1, 3])
def test_one_picture_is_one_tensor_and_one_answer(way: str, channels: int, network: torch.nn.Module) -> None:
    data, levels = ways()[way]
    pixels = decode_bytes(data, DecodeSpec(SIZE, channels=channels, bits=16))
    expected = FILM if channels == 1 else np.repeat(FILM[..., None], 3, axis=2)
    assert np.abs(pixels.astype(int) - expected).max() <= levels
    if levels == 0:
        np.testing.assert_array_equal(answer(network, pixels), answer(network, expected))
    else:
        np.testing.assert_allclose(answer(network, pixels), answer(network, expected), atol=0.01)


def test_there_are_twelve_ways_and_more() -> None:
    assert len(ways()) >= 12
