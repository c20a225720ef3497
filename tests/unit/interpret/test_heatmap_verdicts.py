"""A check of heat maps fails only where its interval excludes what matters; otherwise more images are needed."""

import math

import pytest

from plainfilm.interpret.heatmap_verdicts import HeatVerdict
from plainfilm.schemas.documents import Metric
from wording import lacking

T_7 = 2.364624  # 97.5 % quantile of Student's t with 7 degrees of freedom, from a printed table


def metric(value: float | None, low: float | None, high: float | None, n: int = 8) -> Metric:
    return Metric(value=value, ci_low=low, ci_high=high, n=n, n_patients=n, method="t")


def deletion(
    value: float, low: float, high: float, n: int = 8, available: int | None = None, change: float = 1.0
) -> HeatVerdict:
    """Of a gain with this interval where removing everything changes the score of every image by `change`."""
    share = metric(value / change, low / change, high / change, n)
    return HeatVerdict.of_deletion(metric(value, low, high, n), share, metric(change, None, None, n), available)


def test_eight_images_with_a_wide_interval_around_a_large_gain_are_no_failure():
    found = deletion(0.184, -0.080, 0.448)
    assert found.verdict == "not_enough_images" and found.says.startswith("NOT ENOUGH IMAGES TO TELL: ")
    assert "HEAT MAPS" not in found.says and lacking(found.says, "+0.184 [-0.080, +0.448]", "8 images") == []
    spread = 0.264 / T_7 * math.sqrt(8)
    assert found.needed == math.ceil((2.802 * spread / 0.184) ** 2) == 24
    assert found.says.endswith(
        "If effect and spread stay as measured, about 24 images decide it four times in five: --heat-maps 24."
    )


def test_more_images_than_there_are_cannot_be_asked_for():
    assert deletion(0.184, -0.080, 0.448, available=24).says.endswith("--heat-maps 24.")
    few = deletion(0.184, -0.080, 0.448, available=23).says
    assert "--heat-maps" not in few and few.endswith("four times in five; there are 23 to choose from.")


@pytest.mark.parametrize(
    ("interval", "verdict", "words"),
    [
        ((0.10, 0.02, 0.18), "passed", "lowers the score sooner"),
        ((0.00, -0.02, 0.02), "failed", "HEAT MAPS DO NOT SHOW WHAT THE SCORE DEPENDS ON"),
        ((0.02, 0.01, 0.03), "failed", "HEAT MAPS DO NOT SHOW WHAT THE SCORE DEPENDS ON"),  # above 0, but too small to matter
        ((-0.005, -0.017, 0.007), "failed", "HEAT MAPS DO NOT SHOW WHAT THE SCORE DEPENDS ON"),  # Grad-CAM of the paper's network
        ((0.0, -0.05, 0.05), "not_enough_images", "NOT ENOUGH IMAGES"),
        ((-0.1, -0.2, -0.01), "failed", "HEAT MAPS MISLEAD"),
        ((-0.1, -0.3, 0.1), "not_enough_images", "NOT ENOUGH IMAGES"),
    ],
)  # fmt: skip
def test_the_deletion_verdict_follows_the_interval(interval, verdict, words):
    found = deletion(*interval)
    assert found.verdict == verdict and words in found.says
    assert (found.needed is not None) is (verdict == "not_enough_images")


@pytest.mark.parametrize("change", [1.0, 0.3, 0.05])
@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        ((0.40, 0.20, 0.60), "passed"),
        ((0.02, 0.01, 0.03), "failed"),
        ((-0.005, -0.017, 0.007), "failed"),
        ((-0.2, -0.3, -0.1), "failed"),
        ((0.40, -0.20, 1.00), "not_enough_images"),
    ],
)
def test_maps_are_judged_alike_however_far_the_score_can_fall(change, share, verdict):
    """A temperature of 20 leaves the maps as they are and makes every gain a twentieth."""
    found = deletion(*(change * limit for limit in share), change=change)
    assert found.verdict == verdict
    assert f"of the {change:.2g} that removing everything changes" in found.says


def test_a_score_that_hardly_depends_on_the_image_is_said_to_and_its_maps_are_not_blamed():
    tiny = metric(2.8e-4, 2.0e-4, 3.5e-4, 31)
    found = HeatVerdict.of_deletion(tiny, metric(0.4, 0.3, 0.5, 31), metric(7e-4, 5e-4, 9e-4, 31))
    assert found.verdict == "not_judged" and found.needed is None and "HEAT MAPS" not in found.says
    assert lacking(found.says, "THE SCORE HARDLY DEPENDS ON DETAIL", "7.0e-04 [5.0e-04, 9.0e-04]", "0.01") == []
    wide = HeatVerdict.of_deletion(tiny, metric(0.4, 0.3, 0.5, 31), metric(7e-3, 2e-3, 1.2e-2, 31))
    assert wide.verdict == "passed"  # the change may be above 0.01
    one = HeatVerdict.of_deletion(metric(0.0, None, None, 1), metric(0.0, None, None, 1), metric(0.0, None, None, 1))
    assert one.verdict == "not_enough_images"


def test_where_even_the_change_may_be_nothing_more_images_are_asked_for():
    change = metric(0.3, -0.1, 0.7)  # spread 0.4 / t * sqrt(8)
    found = HeatVerdict.of_deletion(metric(0.1, -0.1, 0.3), metric(0.33, None, None), change)
    assert found.verdict == "not_enough_images"
    assert found.needed == math.ceil((2.802 * 0.4 / T_7 * math.sqrt(8) / 0.3) ** 2) == 20


def test_a_tiny_gain_is_not_printed_as_an_interval_of_no_width():
    assert "+3.1e-05 [+2.0e-05, +4.2e-05]" in deletion(3.1e-5, 2e-5, 4.2e-5).says


def test_without_an_interval_nothing_can_be_told():
    found = deletion_of_one(0.3)
    assert found.verdict == "not_enough_images" and found.needed is None
    assert HeatVerdict.of_randomised(metric(None, None, None, 0)).verdict == "not_enough_images"


def deletion_of_one(value: float) -> HeatVerdict:
    return HeatVerdict.of_deletion(*[metric(number, None, None, 1) for number in (value, value, 1.0)])


@pytest.mark.parametrize("alike", [0.1, 0.5, 0.8, 1.0])
def test_one_image_decides_nothing_about_random_weights(alike):
    found = HeatVerdict.of_randomised(metric(alike, None, None, 1))
    assert found.verdict == "not_enough_images" and "HEAT MAPS" not in found.says
    assert "one image" in found.says and f"{alike:.2f}" in found.says


@pytest.mark.parametrize(
    ("interval", "verdict", "words"),
    [
        ((0.1, 0.0, 0.2), "passed", "Random weights give different heat maps"),
        ((0.8, 0.7, 0.9), "failed", "HEAT MAPS DO NOT DEPEND ON WHAT WAS LEARNED"),
        ((1.0, None, None), "failed", "HEAT MAPS DO NOT DEPEND ON WHAT WAS LEARNED"),
        ((0.49, None, None), "passed", "rank correlation 0.49; maps count as similar from 0.5"),
        ((0.4, 0.3, 0.5), "not_enough_images", "may or may not give similar heat maps"),
        ((0.6, 0.4, 0.8), "not_enough_images", "may or may not give similar heat maps"),
    ],
)
def test_the_random_weights_verdict_follows_the_interval(interval, verdict, words):
    found = HeatVerdict.of_randomised(metric(*interval))
    assert found.verdict == verdict and words in found.says


def test_no_number_is_named_where_the_value_is_at_the_limit():
    found = HeatVerdict.of_randomised(metric(0.5001, 0.3, 0.7))
    assert found.verdict == "not_enough_images" and found.needed is None and "needed" not in found.says
