"""How many patients: closed forms by hand, exact enumeration, and what more of anything must do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from plainfilm.errors import UsageError
from plainfilm.evaluate.planning.design import Design
from plainfilm.evaluate.planning.formula import design_effect, formula_patients
from plainfilm.evaluate.planning.question import Question
from plainfilm.evaluate.planning.search import MOST, _next, _times_needed, _Tried, fewest_patients, share_met
from plainfilm.evaluate.planning.study import Simulation
from plainfilm.evaluate.stats.intervals import proportion

# norm.ppf: 0.975 -> 1.959964, 0.8 -> 0.841621, 0.9 -> 1.281552, 0.95 -> 1.644854, 0.97 -> 1.880794


def question(metric="sensitivity", value=0.95, *, sizes=(1,), prevalence=0.5, **given) -> Question:
    rest = {"other": None, "width": None, "power": 0.8, "icc": 0.3, "correlation": 0.5}
    return Question(metric, value, design=Design.of_one_class(np.array(sizes), prevalence), **rest | given)


def fewest(*words, draws=100, seed=0, **given) -> int:
    return fewest_patients(Simulation(question(*words, **given), draws, seed)).n


def test_the_simple_formula_of_a_rate():
    """4 x 1.959964^2 x 0.95 x 0.05 / 0.06^2 = 202.74 images, of half of the patients, of four images each."""
    assert formula_patients(question(width=0.06)) == pytest.approx(405.49, abs=0.01)
    assert formula_patients(question(width=0.06, sizes=(4,)), alike=False) == pytest.approx(101.37, abs=0.01)


def test_the_design_effect_of_a_rate_is_kishs():
    """1 + (4 - 1) 0.3; and of sizes 1 and 3 the image has 2.5 in its patient on average."""
    assert design_effect(question(sizes=(4,))) == pytest.approx(1.9)
    assert design_effect(question(sizes=(1, 3))) == pytest.approx(1 + 1.5 * 0.3)
    assert design_effect(question("auroc")) == 1
    assert formula_patients(question(width=0.06, sizes=(4,))) == pytest.approx(1.9 * 101.37, abs=0.02)


def test_the_simple_formula_of_an_area():
    """DeLong's variance of 0.9 is 0.022405 (1/n+ + 1/n-): 1 / 2 pi of the integral of exp(-1.281552^2 / (1 + sin t)) over
    0..pi/6, by Simpson's rule. (2 x 1.959964 / 0.04)^2 x 4 x 0.022405 = 860.7 patients. Hanley & McNeil's exponential
    form (Radiology 1982;143:29), 0.02541 in place of 0.022405, gives 976 and is known to be larger."""
    assert formula_patients(question("auroc", 0.9, width=0.04)) == pytest.approx(860.7, rel=0.003)


def test_the_simple_formula_of_two_areas():
    """Variances 0.0050621 and 0.0096917, covariance 0.0025136 (the same integral to asin(0.25)), by hand:
    (2.801585 / 0.02)^2 x 4 x 0.0097266 = 763.4 patients."""
    asked = question("auroc", 0.97, other=0.95)
    assert formula_patients(asked) == pytest.approx(763.4, rel=0.005)


def test_the_simple_formula_of_two_rates_is_mcnemars():
    """Discordant 0.07538 + 0.02538, less the squared difference: (2.801585 / 0.05)^2 x 0.09827 = 308.5 images."""
    asked = question("accuracy", 0.95, other=0.9, correlation=0.3)
    assert formula_patients(asked) == pytest.approx(308.5, rel=0.001)


def test_the_power_of_delongs_test_at_the_patients_of_the_formula():
    asked, draws = question("auroc", 0.97, other=0.95), 300
    met = share_met(asked, Simulation(asked, draws, 0).outcomes(763))
    assert met == pytest.approx(0.8, abs=3 * (0.16 / draws) ** 0.5)


def test_the_width_of_the_area_s_interval_at_the_patients_of_the_formula():
    """The formula is for the expected width; plainfilm's interval is at most a little wider (logit scale, t, a prior)."""
    asked = question("auroc", 0.9, width=0.06, sizes=(1, 3), icc=0.5)
    widths = Simulation(asked, 60, 0).outcomes(round(formula_patients(asked)))
    assert 0.97 < np.median(widths) / 0.06 < 1.12


def test_the_fewest_patients_are_those_of_the_enumeration():
    """Accuracy 0.9, one image each: the share of counts whose interval is narrow enough, for each number of patients."""
    asked = question("accuracy", 0.9, width=0.12)
    found = fewest_patients(Simulation(asked, 1000, 0))

    def exact(n: int) -> float:
        images = np.arange(n)
        made = [proportion(images < k, images) for k in range(n + 1)]
        narrow = np.array([each.high - each.low <= 0.12 for each in made])
        return float(binom.pmf(np.arange(n + 1), n, 0.9)[narrow].sum())

    assert exact(found.n) > 0.8 - 0.05
    assert exact(round(0.93 * found.n)) < 0.8  # 7 % fewer are too few
    assert found.low <= found.n <= found.high and found.high < 1.2 * found.low
    assert share_met(asked, found.outcomes) >= 0.8


@pytest.mark.parametrize(
    ("one", "more"),
    [
        ({"width": 0.08}, {"width": 0.06}),
        ({"width": 0.08, "power": 0.6}, {"width": 0.08, "power": 0.95}),
        ({"width": 0.08, "prevalence": 0.5}, {"width": 0.08, "prevalence": 0.2}),
        ({"width": 0.08, "sizes": (4,), "icc": 0.1}, {"width": 0.08, "sizes": (4,), "icc": 0.6}),
        ({"other": 0.85}, {"other": 0.88}),
        ({"other": 0.85, "correlation": 0.4}, {"other": 0.85, "correlation": 0.1}),
        ({"other": 0.85, "power": 0.7}, {"other": 0.85, "power": 0.9}),
    ],
)
def test_what_asks_for_more_takes_more_patients(one, more):
    assert 1.1 * fewest(**one) < fewest(**more)


def test_more_images_of_each_patient_take_fewer_patients_but_more_images():
    single, four = fewest(width=0.08), fewest(width=0.08, sizes=(4,))
    assert four < 0.9 * single < single < 0.9 * 4 * four


def test_equal_seeds_give_equal_numbers_and_others_lie_within_the_limits():
    found = [fewest_patients(Simulation(question(width=0.1), 200, seed)) for seed in (0, 0, 1, 2)]
    assert found[0].n == found[1].n and np.array_equal(found[0].outcomes, found[1].outcomes)
    assert not np.array_equal(found[0].outcomes, found[2].outcomes)
    assert max(each.low for each in found) <= min(each.high for each in found)


def test_times_needed_follows_the_square_root_law():
    """Twice too wide: four times; power 0.5 instead of 0.8: (2.801585 / 1.959964)^2 = 2.0432 times."""
    assert _times_needed(question(width=0.06), np.full(10, 0.12), 0.8) == pytest.approx(4)
    half = np.repeat([0.01, 0.9], 50)
    assert _times_needed(question(other=0.9), half, 0.8) == pytest.approx(2.0432, abs=1e-4)
    assert _times_needed(question(other=0.9), half, 0.5) == pytest.approx(1)
    widths = np.linspace(0.01, 0.1, 10)  # the eighth is the first that 80 % do not exceed
    assert _times_needed(question(width=0.08), widths, 0.8) == pytest.approx(1)
    assert _times_needed(question(width=0.0799), widths, 0.8) > 1


def test_what_any_ten_patients_show_needs_no_search():
    assert fewest("accuracy", 0.9, width=0.9) == 10


@pytest.mark.parametrize("given", [{"width": 0.0005}, {"other": 0.9499}, {"width": 0.06, "prevalence": 1e-5}])
def test_what_no_study_can_show_is_refused(given):
    with pytest.raises(UsageError, match="More than 100,000 patients would be needed"):
        fewest(**given)


class SquareRootLaw(Simulation):
    """A hundred studies whose widths are known: 1.00, 1.01, ... 1.99 over sqrt(n)."""

    def outcomes(self, patients: int) -> np.ndarray:
        return (1 + np.arange(100) / 100) / patients**0.5


def test_the_number_and_its_limits_by_hand():
    """The 80th width is 1.79 / sqrt(n): 0.1 from 1.79^2 x 100 = 320.4 on. A hundred studies cannot distinguish shares of
    0.8 +- 1.96 sqrt(0.16 / 100) = 0.7216..0.8784: the 73rd width, 1.72^2 x 100 = 295.8, and the 88th, 1.87^2 x 100 = 349.7.
    """
    found = fewest_patients(SquareRootLaw(question(width=0.1), 100, 0))
    assert 321 <= found.n <= 324
    assert (found.low, found.high) == (295, 350)


def test_once_the_number_is_enclosed_both_ends_say_where_to_go():
    """153 need 1.25 times as many, 192 need 0.8: half way on the scale of logarithms, 153 sqrt(192 / 153) = 171.4."""
    low, high = _Tried(153, 1.25), _Tried(192, 0.8)
    assert _next(high, low, high) == 171
    assert _next(low, low, _Tried(MOST + 1, 1.0)) == 191  # 153 x 1.25, while nothing above is known
