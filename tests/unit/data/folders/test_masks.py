"""Masks among images: found by their two values and their names, and nothing else is taken for one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plainfilm.config import DataConfig
from plainfilm.data.table.image_table import build_table
from wording import lacking

Write = Callable[..., Path]
Refusal = Callable[..., str]

IMAGE = np.arange(64, dtype=np.uint8).reshape(8, 8)
MASK = np.where(IMAGE > 20, 255, 0).astype(np.uint8)
EMPTY = np.zeros((8, 8), np.uint8)
DEEP = (IMAGE * 100).astype(np.uint16)


def write(root: Path, write_image: Write, forms: dict[str, np.ndarray]) -> Path:
    """Four files of each form 'folder/{i}.png', each with pixels of its own."""
    for form, pixels in forms.items():
        for i in range(4):
            shifted = np.roll(pixels, i, axis=1) if pixels is not EMPTY else pixels
            write_image(root / form.format(i=i), shifted)
    return root


@pytest.mark.parametrize(
    ("masks", "images", "todo"),
    [
        ("A_masks/{i}.png", "A/{i}.png", "Move the masks out of DATA"),
        ("A/seg/{i}.png", "A/scan/{i}.png", "--under scan reads the images alone"),
        ("A/{i}_mask.png", "A/{i}.png", "Move the masks out of DATA"),
        ("A/{i}.bmp", "A/{i}.png", "Move the masks out of DATA"),
        ("A/part/{i}.png", "A/{i}.png", "Move the masks out of DATA"),
    ],
)
def test_masks_are_refused_with_where_they_lie(
    tmp_path: Path, write_image: Write, refusal: Refusal, masks: str, images: str, todo: str
) -> None:
    root = write(tmp_path, write_image, {images: IMAGE, masks: MASK, "B/b{i}.png": 255 - IMAGE})
    message = refusal(lambda: build_table(root, DataConfig()))
    folder = masks.rpartition("/")[0]
    assert lacking(message, f"4 images in {folder!r}", "two values", "they are masks", todo, "in a CSV") == []


@pytest.mark.parametrize(
    "forms",
    [
        {"A/{i}.png": MASK, "B/{i}.png": 255 - MASK},  # all images have two values
        {"A/{i}.png": IMAGE, "B/{i}.png": 255 - IMAGE},  # names shared, no mask
        {"A/a{i}.png": IMAGE, "B/b{i}.png": MASK},  # two values, names of their own
        {"A/{i}.png": DEEP, "B/{i}.png": DEEP[::-1]},
    ],
)
def test_what_is_no_mask_is_read(tmp_path: Path, write_image: Write, forms: dict[str, np.ndarray]) -> None:
    assert len(build_table(write(tmp_path, write_image, forms), DataConfig()).rows) == 8


def test_images_of_one_value_are_no_masks(tmp_path: Path, write_image: Write) -> None:
    for i in range(4):
        write_image(tmp_path / "A" / f"{i}.png", np.full((8, 8), 10 * i, np.uint8))
        write_image(tmp_path / "B" / f"{i}.png", np.roll(IMAGE, i, axis=1))
    assert len(build_table(tmp_path, DataConfig()).rows) == 8


def test_a_damaged_file_among_shared_names_is_quarantined_as_ever(tmp_path: Path, write_image: Write) -> None:
    root = write(tmp_path, write_image, {"A/{i}.png": IMAGE, "B/{i}.png": 255 - IMAGE})
    (root / "A" / "0.png").write_bytes(b"x")
    assert list(build_table(root, DataConfig()).excluded["code"]) == ["E_FORMAT"]
