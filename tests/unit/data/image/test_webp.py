"""WebP: read as PNG is; size and kind are taken from the header before anything is allocated."""

from __future__ import annotations

import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from plainfilm.data.errors import DecodeError
from plainfilm.data.image import sandbox
from plainfilm.data.image.cheap import may_cost
from plainfilm.data.image.costly import refuse_costly
from plainfilm.data.image.decode import DecodeSpec, decode_bytes, inspect, load
from plainfilm.data.image.webp import webp_size

NOISE = np.random.default_rng(3).integers(0, 256, (12, 20), dtype=np.uint8)


def webp(pixels: np.ndarray, **save: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", **save)
    return file.getvalue()


def vp8x(width: int, height: int, flags: int = 0) -> bytes:
    body = bytes([flags, 0, 0, 0]) + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + body


def test_lossless_grey_gives_the_pixels_of_the_png() -> None:
    data = webp(NOISE, lossless=True)
    assert inspect(data).grey and inspect(data).channels == 3
    np.testing.assert_array_equal(np.asarray(load(data).convert("L")), NOISE)


def test_colour_alpha_and_orientation_are_kept() -> None:
    colour = np.dstack([NOISE, NOISE // 2, 255 - NOISE])
    np.testing.assert_array_equal(np.asarray(load(webp(colour, lossless=True))), colour)
    alpha = np.dstack([colour, np.full(NOISE.shape, 0, np.uint8)])
    assert decode_bytes(webp(alpha, lossless=True, exact=True), DecodeSpec(8)).max() == 0  # transparent is black
    exif = Image.Exif()
    exif[0x0112] = 6
    assert load(webp(NOISE, lossless=True, exif=exif)).size == (12, 20)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (webp(NOISE, lossless=True), (20, 12)),  # VP8L
        (webp(np.dstack([NOISE] * 3)), (20, 12)),  # VP8
        (webp(NOISE, lossless=True, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"), (20, 12)),  # VP8X
        (vp8x(16383, 9999), (16383, 9999)),
        (b"RIFF\0\0\0\0WEBPVP8 ", (0, 0)),
        (b"RIFF\0\0\0\0WEBPabcd", (0, 0)),
    ],
)
def test_the_size_is_in_the_header(data: bytes, size: tuple[int, int]) -> None:
    assert webp_size(data) == size


def test_a_bomb_is_refused_before_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(DecodeError, match="E_LARGE: 16383 x 16383 pixels"):
        load(vp8x(16383, 16383))


def test_large_and_animated_ones_are_decoded_apart() -> None:
    assert not may_cost(webp(NOISE)) and may_cost(vp8x(5000, 5000)) and may_cost(vp8x(20, 12, 2))
    refuse_costly(vp8x(5000, 5000))


def test_a_lossless_one_that_may_have_many_tables_is_decoded_apart() -> None:
    """295 KB with a table for each 8 x 8 pixels took 405 MB."""
    for side, costly in ((256, False), (257, True)):
        assert may_cost(webp(np.zeros((256, side), np.uint8), lossless=True)) is costly
        assert not may_cost(webp(np.zeros((256, side), np.uint8)))


def test_an_animation_needs_a_frame() -> None:
    file = io.BytesIO()
    other = Image.fromarray(255 - NOISE)
    Image.fromarray(NOISE).save(file, "WEBP", save_all=True, append_images=[other], lossless=True)
    with pytest.raises(DecodeError, match="E_FRAMES: 2 frames"):
        load(file.getvalue())
    np.testing.assert_array_equal(np.asarray(load(file.getvalue(), frame=1).convert("L")), 255 - NOISE)


@pytest.mark.parametrize("lossless", [True, False])
def test_a_file_that_is_cut_off_is_refused(lossless: bool) -> None:
    data = webp(np.tile(NOISE, (4, 4)), lossless=lossless)
    for cut in range(1, len(data) - 1, 7):
        with pytest.raises(DecodeError):
            load(data[:cut])


def flat(side: int) -> bytes:
    """A black VP8L of side x side pixels: each code has one symbol, so that no bits follow whatever the size."""
    data = bytes.fromhex("524946461a000000574542505650384c0e0000002f3fdfcf07071011fd0f4444ff03")
    bits = int.from_bytes(data[21:25], "little") >> 28 << 28 | side - 1 | side - 1 << 14
    return data[:21] + bits.to_bytes(4, "little") + data[25:]


@pytest.mark.skipif(sys.platform != "linux", reason="a child's memory is limited on Linux only")
def test_one_that_takes_too_much_memory_is_not_called_damaged() -> None:
    """8,000 pixels a side fail when it is opened, 7,000 at the frame; a damaged one of 3,000 needs little of either."""
    small = flat(3000)
    with sandbox.used("on"):
        assert sandbox.pixels_of(small, DecodeSpec(8)).shape == (8, 8)
        for data, said in ((flat(8000), "E_LIMIT: .* memory"), (flat(7000), "E_LIMIT: .* memory"),
                           (small[:26] + b"\xff" * 8, "E_CORRUPT"), (small[:-6], "E_CORRUPT")):  # fmt: skip
            with pytest.raises(DecodeError, match=said):
                sandbox.pixels_of(data, DecodeSpec(8))
