"""The keyed draw of augmentation parameters: a function of content and time, within the profile's limits."""

import numpy as np
import pytest

from plainfilm.base.seeds import AUGMENT, uniform
from plainfilm.data.loaders.augment import PROFILES, Profile, draw, draw_texture, natural_note

KEYS = np.random.default_rng(0).integers(0, 2**62, 2000)
ONCE = np.zeros(len(KEYS), dtype=np.int64)


def angles(matrix: np.ndarray) -> np.ndarray:
    """Degrees, where nothing is mirrored."""
    return np.rad2deg(np.arctan2(matrix[:, 1, 0], matrix[:, 1, 1]))


def test_no_profile_is_the_identity() -> None:
    drawn = draw(PROFILES["none"], 0, 0, 0, KEYS, ONCE)
    np.testing.assert_array_equal(drawn.matrix, np.tile([[1, 0, 0], [0, 1, 0]], (len(KEYS), 1, 1)))
    np.testing.assert_array_equal(drawn.gain, 1)
    np.testing.assert_array_equal(drawn.bias, 0)


def test_shapes_and_types_are_those_torch_takes() -> None:
    drawn = draw(PROFILES["natural"], 1, 0, 3, KEYS[:5], ONCE[:5])
    assert (drawn.matrix.shape, drawn.gain.shape, drawn.bias.shape) == ((5, 2, 3), (5,), (5,))
    assert {drawn.matrix.dtype, drawn.gain.dtype, drawn.bias.dtype} == {np.dtype(np.float32)}


def test_a_draw_follows_the_content_and_not_its_place_in_the_batch() -> None:
    order = np.random.default_rng(1).permutation(len(KEYS))
    there, here = (draw(PROFILES["natural"], 5, 1, 2, keys, ONCE) for keys in (KEYS, KEYS[order]))
    np.testing.assert_array_equal(there.matrix[order], here.matrix)
    np.testing.assert_array_equal(there.gain[order], here.gain)
    alone = draw(PROFILES["natural"], 5, 1, 2, KEYS[7:8], ONCE[:1])
    np.testing.assert_array_equal(alone.matrix[0], there.matrix[7])
    np.testing.assert_array_equal(alone.bias[0], there.bias[7])


def test_a_draw_is_the_keyed_stream_of_seed_phase_epoch_content_and_appearance() -> None:
    profile = Profile(contrast=0.2, brightness=0.1)
    drawn = draw(profile, 5, 1, 2, np.array([77]), np.array([3]))
    bright, contrast = (2 * uniform(5, AUGMENT, 1, 2, 77, 3, j) - 1 for j in (4, 5))
    assert drawn.bias[0] == pytest.approx(0.1 * bright, rel=1e-6)
    assert drawn.gain[0] == pytest.approx(1 + 0.2 * contrast, rel=1e-6)


@pytest.mark.parametrize("other", [(6, 1, 2, 0), (5, 0, 2, 0), (5, 1, 3, 0), (5, 1, 2, 1)])
def test_another_seed_phase_epoch_or_appearance_gives_another_draw(other: tuple[int, int, int, int]) -> None:
    seed, phase, epoch, times = other
    first = draw(PROFILES["radiograph"], 5, 1, 2, KEYS, ONCE)
    second = draw(PROFILES["radiograph"], seed, phase, epoch, KEYS, ONCE + times)
    assert np.mean(first.gain == second.gain) < 0.01
    assert abs(np.corrcoef(first.gain, second.gain)[0, 1]) < 0.09  # 1 / sqrt(2000) = 0.022; four of these
    assert abs(np.corrcoef(angles(first.matrix), angles(second.matrix))[0, 1]) < 0.09


def test_the_parameters_of_one_image_are_drawn_apart() -> None:
    drawn = draw(PROFILES["radiograph"], 0, 0, 0, KEYS, ONCE)
    scale = np.hypot(drawn.matrix[:, 0, 0], drawn.matrix[:, 1, 0])
    columns = [
        angles(drawn.matrix),
        scale,
        drawn.matrix[:, 0, 2],
        drawn.matrix[:, 1, 2],
        drawn.gain,
        drawn.bias,
    ]
    correlation = np.corrcoef(columns) - np.eye(6)
    assert np.abs(correlation).max() < 0.09


@pytest.mark.parametrize("name", ["radiograph", "natural"])
def test_a_draw_stays_within_the_profile_and_uses_all_of_it(name: str) -> None:
    profile = PROFILES[name]
    drawn = draw(profile, 0, 0, 0, KEYS, ONCE)
    flipped = np.linalg.det(drawn.matrix[:, :, :2]) < 0
    for values, limit in (
        (angles(drawn.matrix), profile.rotate_deg),
        (np.sqrt(np.abs(np.linalg.det(drawn.matrix[:, :, :2].astype(np.float64)))) - 1, profile.zoom),
        (drawn.matrix[:, 0, 2] / 2, profile.shift),  # coordinates run from -1 to 1: a shift of 1 is two units
        (drawn.matrix[:, 1, 2] / 2, profile.shift),
        (drawn.bias, profile.brightness),
        (drawn.gain - 1, profile.contrast),
    ):
        assert np.abs(values).max() <= limit * (1 + 1e-5)
        assert values.max() > 0.98 * limit
        assert values.min() < -0.98 * limit
        assert abs(values.mean()) < 0.06 * limit  # sd of the mean: limit / sqrt(3 * 2000) = 0.013 limit
    assert abs(flipped.mean() - profile.flip) < 0.05  # sd 0.011 at one half


def test_radiographs_are_never_mirrored() -> None:
    assert PROFILES["radiograph"].flip == 0
    drawn = draw(PROFILES["radiograph"], 0, 0, 0, KEYS, ONCE)
    assert (np.linalg.det(drawn.matrix[:, :, :2]) > 0).all()


def test_a_flip_mirrors_left_and_right_only() -> None:
    drawn = draw(Profile(flip=1.0), 0, 0, 0, KEYS[:3], ONCE[:3])
    np.testing.assert_array_equal(drawn.matrix, np.tile([[-1, 0, 0], [0, 1, 0]], (3, 1, 1)))


def test_an_aspect_stretches_one_axis_as_much_as_it_shrinks_the_other() -> None:
    drawn = draw(Profile(aspect=0.4), 0, 0, 0, KEYS, ONCE)
    x, y = drawn.matrix[:, 0, 0], drawn.matrix[:, 1, 1]
    np.testing.assert_allclose(x * y, 1, rtol=1e-6)
    log = np.log(x / y)
    assert -0.4 <= log.min() < -0.39 and 0.39 < log.max() <= 0.4 and abs(log.mean()) < 0.03  # sd of the mean 0.005
    np.testing.assert_array_equal(drawn.matrix[:, [0, 1], [1, 0]], 0)


def test_holes_lie_inside_half_of_the_images_and_cover_no_more_than_asked() -> None:
    drawn = draw_texture(Profile(erase=0.2), 0, 0, 0, KEYS, ONCE)
    assert drawn is not None
    left, top, right, bottom, grey = drawn.hole.T
    area = (right - left) * (bottom - top)
    there = area > 0
    assert abs(there.mean() - 0.5) < 0.05 and 0.19 < area.max() <= 0.2001
    assert drawn.hole.min() >= 0 and drawn.hole.max() <= 1 + 1e-6
    ratio = ((right - left) / np.where(there, bottom - top, 1))[there]
    assert 0.499 < ratio.min() < 0.55 and 1.8 < ratio.max() < 2.001
    assert grey.min() < 0.01 and grey.max() > 0.99


def test_only_robust_and_strong_change_texture_and_half_of_the_images_keep_each_part() -> None:
    assert {name for name, p in PROFILES.items() if draw_texture(p, 0, 0, 0, KEYS, ONCE) is not None} == {
        "robust",
        "strong",
    }
    profile = PROFILES["robust"]
    drawn = draw_texture(profile, 0, 0, 0, KEYS, ONCE)
    assert drawn is not None
    for values, neutral, low, high in (
        (np.log(drawn.power), 0, -profile.gamma, profile.gamma),
        (drawn.detail, 0, -profile.blur, profile.sharpen),
        (drawn.noise_sd, 0, 0, profile.noise),
    ):
        changed = values[values != neutral]
        assert abs(len(changed) / len(values) - 0.5) < 0.05  # sd 0.011
        assert low * 1.001 - 1e-6 <= changed.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < changed.max() <= high * 1.001
    again = draw_texture(profile, 0, 0, 0, KEYS[::-1], ONCE)
    np.testing.assert_array_equal(again.noise_seed[::-1], drawn.noise_seed)
    assert len(np.unique(drawn.noise_seed)) == len(KEYS)
    assert (drawn.hole[:, 2] == drawn.hole[:, 0]).all()  # robust has none


def test_natural_is_proposed_for_colour_and_only_in_place_of_the_default():
    mostly, half, none = np.arange(10) < 1, np.arange(10) < 5, np.zeros(0, bool)  # grey
    (note,) = natural_note(mostly)
    assert note.startswith("9 of 10 images are in colour. For photographs --augment natural")
    assert (
        natural_note(half) == natural_note(none) == natural_note(np.ones(4, bool)) == []
    )  # an X-ray saved as RGB is grey
    assert natural_note(mostly, "natural") == natural_note(mostly, "strong") == []
