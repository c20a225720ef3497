"""The fixed list of changes: what each does to an image whose result is known."""

import numpy as np
import pytest

from plainfilm.data.synthetic.corruptions import CORRUPTIONS, corrupted

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(30, 220, (3, 64, 64), dtype=np.uint8)
KEYS = np.array([7, 2**62, 99])
FLAT = np.full((1, 64, 64), 100, dtype=np.uint8)
EDGE = np.repeat(np.repeat(np.array([[60, 180]], dtype=np.uint8), 32, axis=1), 64, axis=0)[None]


def one(name: str, images: np.ndarray = IMAGES) -> np.ndarray:
    return corrupted(images, name, KEYS[: len(images)]).astype(int)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_changes_the_images_a_little_and_keeps_their_form(name: str) -> None:
    changed = corrupted(IMAGES, name, KEYS)
    assert changed.shape == IMAGES.shape
    assert changed.dtype == np.uint8
    assert 0.3 < np.abs(changed.astype(int) - IMAGES).mean() < 60
    colour = np.repeat(IMAGES[..., None], 3, axis=-1)
    assert corrupted(colour, name, KEYS).shape == colour.shape


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_is_a_function_of_the_image_and_not_of_its_place(name: str) -> None:
    np.testing.assert_array_equal(corrupted(IMAGES[::-1], name, KEYS[::-1])[::-1], corrupted(IMAGES, name, KEYS))
    np.testing.assert_array_equal(corrupted(IMAGES[1:2], name, KEYS[1:2])[0], corrupted(IMAGES, name, KEYS)[1])


def test_grey_levels_follow_their_formulas() -> None:
    x = 100 / 255
    assert one("gamma-dark", FLAT)[0, 5, 5] == round(255 * x**1.4)
    assert one("gamma-light", FLAT)[0, 5, 5] == round(255 * x**0.7)
    assert one("contrast-low", FLAT)[0, 5, 5] == round(255 * ((x - 0.5) * 0.7 + 0.5))
    assert one("contrast-high", FLAT)[0, 5, 5] == round(255 * ((x - 0.5) * 1.3 + 0.5))


@pytest.mark.parametrize(("name", "sd"), [("noise", 0.03), ("noise-strong", 0.06)])
def test_noise_has_the_named_spread_and_is_another_one_for_another_image(name: str, sd: float) -> None:
    changed = one(name, np.repeat(FLAT, 2, axis=0)) - 100
    assert changed[0].std() == pytest.approx(255 * sd, rel=0.05)
    assert abs(np.corrcoef(changed[0].ravel(), changed[1].ravel())[0, 1]) < 0.06


def test_flat_images_are_left_by_what_acts_on_edges() -> None:
    for name in ("blur", "blur-strong", "sharpen", "sharpen-strong", "half-size"):
        np.testing.assert_array_equal(one(name, FLAT), FLAT)


def test_blur_softens_an_edge_and_sharpening_overshoots_it() -> None:
    row = {name: one(name, EDGE)[0, 32] for name in ("blur", "blur-strong", "sharpen", "sharpen-strong", "half-size")}
    assert 60 < row["blur"][31] < row["blur"][32] < 180
    assert row["blur-strong"][30] > row["blur"][30]
    assert row["sharpen-strong"][31] < row["sharpen"][31] < 60
    assert row["sharpen-strong"][32] > row["sharpen"][32] > 180
    assert row["half-size"][31] > 60


def test_a_worse_jpeg_is_further_away() -> None:
    far = [np.abs(one(name) - IMAGES).mean() for name in ("jpeg-95", "jpeg-60", "jpeg-30")]
    assert far == sorted(far)
    assert far[0] < far[2] / 2
