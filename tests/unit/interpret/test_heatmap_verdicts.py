"""A check of heat maps fails only where its interval excludes what matters; otherwise more images are needed."""

import math

import pytest

from plainfilm.interpret.heatmap_verdicts import HeatVerdict
from plainfilm.schemas.documents import Metric
from wording import lacking

T_7 = 2.364624  # 97.5 % quantile of Student's t with 7 degrees of freedom, from a printed table


def metric(value: float | None, low: float | None, high: float | None, n: int = 8) -> Metric:
    return Metric(value=value, ci_low=low, ci_high=high, n=n, n_patients=n, method="t")


def deletion(value: float, low: float, high: float, n: int = 8, available: int | None = None) -> HeatVerdict:
    return HeatVerdict.of_deletion(metric(value, low, high, n), available)


def test_eight_images_with_a_wide_interval_around_a_large_gain_are_no_failure():
    found = deletion(0.184, -0.080, 0.448)
    assert found.verdict == "not_enough_images" and found.says.startswith("NOT ENOUGH IMAGES TO TELL: ")
    assert "HEAT MAPS" not in found.says and lacking(found.says, "+0.184 [-0.080, +0.448]", "8 images") == []
    spread = 0.264 / T_7 * math.sqrt(8)
    assert found.needed == math.ceil((2.802 * spread / 0.184) ** 2) == 24
    assert found.says.endswith("about 24 are needed: --heat-maps 24.")


def test_more_images_than_there_are_cannot_be_asked_for():
    assert deletion(0.184, -0.080, 0.448, available=24).says.endswith("--heat-maps 24.")
    few = deletion(0.184, -0.080, 0.448, available=23).says
    assert "--heat-maps" not in few and few.endswith("about 24 are needed, and valid has 23 to choose from.")


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


def test_a_tiny_gain_is_not_printed_as_an_interval_of_no_width():
    assert "+3.1e-05 [+2.0e-05, +4.2e-05]" in deletion(3.1e-5, 2e-5, 4.2e-5).says


def test_without_an_interval_nothing_can_be_told():
    found = HeatVerdict.of_deletion(metric(0.3, None, None, 1))
    assert found.verdict == "not_enough_images" and found.needed is None
    assert HeatVerdict.of_randomised(metric(None, None, None, 0)).verdict == "not_enough_images"
    assert HeatVerdict.of_randomised(metric(0.1, None, None, 1)).verdict == "not_enough_images"


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
