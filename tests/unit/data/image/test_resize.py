"""Pixels to the network's size: three named ways, and the common low-pass path."""

import numpy as np
import pytest
from PIL import Image

from plainfilm.data.image.resize import _LOWPASS_SIGMA_PX, harmonised, resize

WIDE = np.zeros((2, 4), np.uint8)
WIDE[:, 1:3] = 200


def test_squish_uses_the_whole_image_whatever_its_aspect() -> None:
    np.testing.assert_array_equal(resize(np.full((2, 4), 9, np.uint8), 2, "squish"), [[9, 9], [9, 9]])
    half = np.repeat(np.repeat(np.array([[10, 90]], np.uint8), 4, axis=0), 4, axis=1)  # (4, 8): left 10, right 90
    small = resize(half, 2, "squish")
    assert small[0, 0] < 40 < 60 < small[0, 1]


def test_crop_takes_the_middle_square() -> None:
    np.testing.assert_array_equal(resize(WIDE, 2, "crop"), np.full((2, 2), 200))
    np.testing.assert_array_equal(resize(WIDE.T, 2, "crop"), np.full((2, 2), 200))


def test_pad_keeps_the_aspect_and_adds_black() -> None:
    flat = np.full((2, 4), 200, np.uint8)
    np.testing.assert_array_equal(resize(flat, 4, "pad"), [[0] * 4, [200] * 4, [200] * 4, [0] * 4])
    np.testing.assert_array_equal(resize(flat.T, 4, "pad"), np.array([[0, 200, 200, 0]] * 4))
    assert resize(np.full((1, 999), 7, np.uint8), 8, "pad").sum() == 7 * 8  # one row stays, however thin


@pytest.mark.parametrize("mode", ["squish", "pad", "crop"])
@pytest.mark.parametrize("shape", [(5, 9), (9, 5, 3), (7, 7)])
def test_every_mode_gives_the_size_and_keeps_the_channels(mode: str, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert resize(pixels, 7, mode).shape == (7, 7, *shape[2:])


def test_an_image_of_the_right_size_is_left_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 7), dtype=np.uint8)
    for mode in ("squish", "pad", "crop"):
        np.testing.assert_array_equal(resize(pixels, 7, mode), pixels)


def test_the_lowpass_is_the_gaussian_it_says() -> None:
    from scipy.ndimage import gaussian_filter

    pixels = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    expected = gaussian_filter(pixels.astype(np.float64), _LOWPASS_SIGMA_PX, mode="nearest", truncate=4)
    assert np.abs(harmonised(pixels, 40, "squish", None) - expected).max() <= 0.51


def test_what_is_above_the_band_is_gone_and_what_is_below_stays() -> None:
    x = np.arange(64)
    fine = np.tile(128 + 100 * np.cos(np.pi * x), (64, 1)).astype(np.uint8)  # every other pixel
    coarse = np.tile(128 + 100 * np.cos(2 * np.pi * x / 32), (64, 1)).astype(np.uint8)
    assert np.ptp(harmonised(fine, 64, "squish", None)[:, 8:-8]) <= 1
    assert np.ptp(harmonised(coarse, 64, "squish", None)) > 180


def test_a_flat_image_stays_what_it_is() -> None:
    np.testing.assert_array_equal(harmonised(np.full((9, 9), 77, np.uint8), 5, "squish", None), np.full((5, 5), 77))


@pytest.mark.parametrize("levels", [2, 5, 32])
def test_requantise_leaves_that_many_even_levels(levels: int) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    found = np.unique(harmonised(ramp, 64, "squish", levels))
    steps = np.rint(np.arange(levels) * 255 / (levels - 1))
    assert set(found) <= set(steps.astype(int))
    assert len(found) == levels


def test_two_storages_of_one_scene_come_closer() -> None:
    """The purpose: an image that was stored small and one that was stored large differ less afterwards."""
    scene = np.random.default_rng(1).integers(0, 256, (16, 16), dtype=np.uint8)
    large = np.asarray(Image.fromarray(scene).resize((256, 256), Image.Resampling.BICUBIC))
    small = np.asarray(Image.fromarray(large).resize((48, 48), Image.Resampling.LANCZOS))
    noisy = (large + np.random.default_rng(2).normal(0, 12, large.shape)).clip(0, 255).astype(np.uint8)

    def gap(make: object) -> float:
        a, b = make(noisy).astype(float), make(small).astype(float)  # type: ignore[operator]
        return float(np.abs(a - b).mean())

    assert gap(lambda p: harmonised(p, 64, "squish", None)) < 0.5 * gap(lambda p: resize(p, 64))
