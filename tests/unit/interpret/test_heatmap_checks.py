"""The heat-map checks on classifiers whose evidence is known and was put at a known position."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from scipy.stats import t as student

from plainfilm.interpret.heatmap_checks import (
    _blur,
    _in_cells,
    central_share,
    deletion,
    mean_metric,
    rank_correlation,
    ratio_metric,
)
from plainfilm.interpret.heatmap_study import _area_under
from plainfilm.plots.heatmaps import SHARES

RNG = np.random.default_rng(0)


def spotted(n: int = 6, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Dark noise with a bright square of 16 px at a random position; and heat exactly on the square."""
    rng = np.random.default_rng(1)
    images, heat = rng.integers(0, 40, (n, size, size), dtype=np.uint8), np.zeros((n, size, size), np.float32)
    for i, (r, c) in enumerate(rng.integers(0, (size - 16) // 4, (n, 2)) * 4):
        images[i, r : r + 16, c : c + 16] = 250
        heat[i, r : r + 16, c : c + 16] = 1
    return images, heat


def square_score(images: np.ndarray) -> np.ndarray:
    """Score for class 1: the share of a square of 256 px that is bright."""
    bright = np.clip((images > 200).sum(axis=(1, 2)) / 256, 0, 1)
    return np.stack([1 - bright, bright], axis=1)


def test_removing_the_hottest_patches_first_drops_the_score_at_once_and_last_keeps_it():
    images, heat = spotted()
    curves = deletion(images, heat, np.ones(6, int), np.arange(6), square_score)
    first, random, last = curves
    # the square is 16 of 256 patches, 6.25 %: removed at 10 %, untouched until 90 %
    assert (first[:, 0] == 1).all() and (first[:, 1:] == 0).all()
    assert (last[:, :-2] == 1).all()
    np.testing.assert_allclose(_area_under(first), 0.05)  # one triangle of 0.1 x 1
    np.testing.assert_allclose(random.mean(axis=0), 1 - SHARES, atol=0.2)
    assert (_area_under(first) < _area_under(random)).all() and (_area_under(random) < _area_under(last)).all()


def test_heat_in_the_wrong_place_is_no_better_than_chance():
    images, heat = spotted(40)
    elsewhere = np.roll(heat, 1, axis=0)
    first, random, _ = _area_under(deletion(images, elsewhere, np.ones(40, int), np.arange(40), square_score))
    assert abs((first - random).mean()) < 0.15 and (first - random).mean() > -0.1


def test_flat_heat_removes_patches_in_random_order_and_the_same_each_time():
    images, heat = spotted()
    flat = np.zeros_like(heat)
    one = deletion(images, flat, np.ones(6, int), np.arange(6), square_score)
    np.testing.assert_array_equal(one[0], one[1])
    np.testing.assert_array_equal(one, deletion(images, flat, np.ones(6, int), np.arange(6), square_score))
    # the order depends on the content of an image alone, not on its place in the list
    reverse = deletion(images[::-1], flat, np.ones(6, int), np.arange(6)[::-1], square_score)
    np.testing.assert_array_equal(one, reverse[:, ::-1])


def test_colour_images_and_sides_not_divisible_by_sixteen_work():
    images = RNG.integers(0, 256, (2, 50, 50, 3), dtype=np.uint8)

    def mean_grey(shown: np.ndarray) -> np.ndarray:
        grey = shown.mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - grey, grey], axis=1)

    curves = deletion(images, RNG.random((2, 50, 50)), np.array([1, 0]), np.arange(2), mean_grey)
    whole, gone = mean_grey(images), mean_grey(_blur(images))
    np.testing.assert_allclose(curves[:, 0, 0], whole[0, 1])
    np.testing.assert_allclose(curves[:, 1, -1], gone[1, 0])


def test_patches_are_means_of_their_pixels():
    heat = np.arange(36.0).reshape(1, 6, 6)
    wanted = heat[0].reshape(3, 2, 3, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(_in_cells(heat, 3)[0], wanted)
    uneven = _in_cells(np.arange(25.0).reshape(1, 5, 5), 2)[0]  # patches of 2 and 3 pixels a side
    np.testing.assert_allclose(uneven, [[3.0, 5.5], [15.5, 18.0]])


def test_rank_correlation_is_scipys():
    one, two = RNG.random((3, 32, 32)), RNG.random((3, 32, 32))
    two[1] = one[1] ** 3  # the same order
    two[2] = -one[2]
    found = rank_correlation(one, two)
    patches = [_in_cells(heat).reshape(3, -1) for heat in (one, two)]
    wanted = [spearmanr(patches[0][i], patches[1][i]).statistic for i in range(3)]
    np.testing.assert_allclose(found.ranks, wanted)
    assert found.ranks[1] > 0.9 and found.ranks[2] == pytest.approx(-1) and not found.flat.any()


def test_a_flat_map_has_zero_correlation_with_any():
    found = rank_correlation(np.zeros((1, 16, 16)), RNG.random((1, 16, 16)))
    assert found.ranks.tolist() == [0] and found.flat.tolist() == [True]


def test_the_central_field_has_half_of_the_area_and_half_of_uniform_heat():
    heat = np.zeros((4, 100, 100), np.float32)
    heat[0] = 0.5
    heat[1, 50, 50] = 1
    heat[2, 0, :] = 1
    shares, area = central_share(heat)
    assert area == pytest.approx(0.49)
    np.testing.assert_allclose(shares, [0.49, 1, 0, np.nan], rtol=1e-6)


def test_a_mean_has_a_student_interval_or_says_that_it_has_none():
    values = np.array([0.2, 0.5, 0.4, np.nan, 0.7])
    found = mean_metric(values, has_patients=True)
    wanted = student.interval(0.95, 3, loc=0.45, scale=np.std([0.2, 0.5, 0.4, 0.7], ddof=1) / 2)
    assert (found.ci_low, found.ci_high) == pytest.approx((max(0, wanted[0]), min(1, wanted[1])))
    assert (found.value, found.n, found.n_patients) == (pytest.approx(0.45), 4, 4)
    for lone in ([0.3], [0.3, 0.3]):
        found = mean_metric(np.array(lone), has_patients=False)
        assert (found.value, found.ci_low, found.n_patients) == (0.3, None, None) and "not estimable" in found.method
    assert mean_metric(np.array([np.nan]), has_patients=True).value is None


def test_a_ratio_over_a_constant_has_the_interval_of_the_mean():
    found = ratio_metric(np.array([1.0, 3.0]), np.array([2.0, 2.0]), has_patients=True)
    half = 12.7062 * 1 / 2  # 97.5 % quantile of t with 1 degree of freedom, standard error of 1 and 3, divisor
    assert (found.value, found.n, found.n_patients) == (1, 2, 2)
    np.testing.assert_allclose((found.ci_low, found.ci_high), (1 - half, 1 + half), rtol=1e-4)


def test_at_the_limits_of_a_ratio_a_t_test_is_just_significant():
    rng = np.random.default_rng(3)
    below = rng.uniform(0, 1, 20)
    above = 0.3 * below + 0.1 * rng.normal(size=20)
    found = ratio_metric(above, below, has_patients=False)
    assert found.ci_low < found.value < found.ci_high and "too narrow" in found.method
    for limit in (found.ci_low, found.ci_high):
        apart = above - limit * below
        assert abs(apart.mean()) / (apart.std(ddof=1) / 20**0.5) == pytest.approx(student.ppf(0.975, 19))


def test_a_ratio_over_what_may_be_nothing_has_no_interval():
    found = ratio_metric(np.array([0.1, 0.2, 0.3]), np.array([-1.0, 0.1, 1.1]), has_patients=True)
    assert found.value is not None and found.ci_low is None and "may be 0" in found.method
    assert ratio_metric(np.array([0.1]), np.array([0.5]), has_patients=True).ci_low is None
    assert ratio_metric(np.zeros(3), np.zeros(3), has_patients=True).value is None
    assert ratio_metric(np.zeros(0), np.zeros(0), has_patients=True).value is None


def test_the_interval_of_a_ratio_holds_it_in_95_of_100_samples_of_any_size():
    rng, held, of = np.random.default_rng(0), 0, 2000
    for _ in range(of):
        below = np.abs(rng.normal(0.4, 0.3, 12))  # some images hardly change
        found = ratio_metric(0.3 * below + 0.1 * rng.normal(size=12), below, has_patients=True)
        held += found.ci_low is None or found.ci_low <= 0.3 <= found.ci_high
    assert 0.935 <= held / of <= 0.965
