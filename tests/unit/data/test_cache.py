"""Rows of a table as one array of pixels; a file that changed since the scan stops the work."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plainfilm.config import DataConfig
from plainfilm.data.cache import decode_rows
from plainfilm.data.decode import DecodeSpec, decode
from plainfilm.data.table import build_table

Refusal = Callable[..., str]


def test_the_pixels_of_each_row_stand_in_row_order(tiny_cxr: Path) -> None:
    rows = build_table(tiny_cxr, DataConfig()).rows.iloc[::-1]
    pixels = decode_rows(rows, DecodeSpec(24))
    assert (pixels.shape, pixels.dtype) == ((32, 24, 24), np.uint8)
    for row, found in zip(rows["path"], pixels, strict=True):
        np.testing.assert_array_equal(found, np.asarray(Image.open(row)))


def test_size_and_channels_are_those_of_the_spec(tiny_cxr: Path) -> None:
    rows = build_table(tiny_cxr, DataConfig()).rows.head(3)
    spec = DecodeSpec(10, channels=3)
    pixels = decode_rows(rows, spec)
    assert pixels.shape == (3, 10, 10, 3)
    np.testing.assert_array_equal(pixels[2], decode(rows["path"].iloc[2], spec))


def test_no_rows_give_no_pixels(tiny_cxr: Path) -> None:
    rows = build_table(tiny_cxr, DataConfig()).rows.head(0)
    assert decode_rows(rows, DecodeSpec(8)).shape == (0, 8, 8)


def test_progress_counts_every_row(tiny_cxr: Path) -> None:
    steps: list[tuple[int, int]] = []
    decode_rows(
        build_table(tiny_cxr, DataConfig()).rows.head(5),
        DecodeSpec(8),
        lambda done, of: steps.append((done, of)),
    )
    assert steps == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_a_file_that_changed_since_the_scan_is_refused_by_name(tiny_cxr: Path, refusal: Refusal) -> None:
    rows = build_table(tiny_cxr, DataConfig()).rows
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(rows["path"].iloc[4])
    message = refusal(lambda: decode_rows(rows, DecodeSpec(8)))
    assert f"{rows['relative'].iloc[4]!r} changed since it was scanned" in message
    assert "start a new run" in message


def test_a_file_that_is_gone_since_the_scan_is_refused_by_name(tiny_cxr: Path, refusal: Refusal) -> None:
    rows = build_table(tiny_cxr, DataConfig()).rows
    Path(rows["path"].iloc[4]).unlink()
    message = refusal(lambda: decode_rows(rows, DecodeSpec(8)))
    assert f"{rows['relative'].iloc[4]!r} cannot be read any more (E_READ" in message


@pytest.mark.parametrize(("bits", "refused"), [(12, False), (10, True), (None, True)])
def test_a_picture_deeper_than_the_spec_is_refused(
    tmp_path: Path, write_image: Callable[..., Path], refusal: Refusal, bits: int | None, refused: bool
) -> None:
    for i, name in enumerate(("A/1.png", "B/2.png")):
        write_image(tmp_path / name, np.array([[i, 4000]], np.uint16))
    rows = build_table(tmp_path, DataConfig()).rows
    spec = DecodeSpec(2, bits=bits)
    if refused:
        assert "'A/1.png' cannot be read any more (E_BITS" in refusal(lambda: decode_rows(rows, spec))
    else:
        assert decode_rows(rows, spec).max() == 249  # 4000 * 255 / 4095 = 249.08
