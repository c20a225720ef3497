"""The abstain band: limits by hand, and its coverage for new patients of the same kind."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plainfilm.evaluate.operating.conformal import _one_each, fit_band, in_set, is_singleton, patients_needed
from plainfilm.runs.card import AbstainBand

VOCAB = ["NORMAL", "PNEUMONIA"]


def draw(n, seed, images=1, skill=1.5):
    """Scores of `n` patients; images of one patient share most of their noise. Not calibrated on purpose."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.7
    x = rng.normal(size=n) + skill * (2 * truth - 1)
    x = np.repeat(x, images) + 0.4 * rng.normal(size=n * images)
    p = 1 / (1 + np.exp(-3 * x))
    return np.column_stack([1 - p, p]), np.repeat(truth, images).astype(int), np.repeat(np.arange(n), images)


def test_the_limits_by_hand():
    """Nine patients of each class at 0.9: the lowest score is the limit (place 1 = floor(10 * 0.1))."""
    p = np.concatenate([np.linspace(0.05, 0.45, 9), np.linspace(0.55, 0.95, 9)])
    probs, targs = np.column_stack([1 - p, p]), np.repeat([0, 1], 9)
    band = fit_band(probs, targs, np.arange(18), VOCAB, level=0.9, seed=0)
    assert band.lowest == pytest.approx({"NORMAL": 0.55, "PNEUMONIA": 0.55})
    assert band.patients == {"NORMAL": 9, "PNEUMONIA": 9}
    eight = np.r_[0:8, 9:18]
    assert fit_band(probs[eight], targs[eight], eight, VOCAB, level=0.9, seed=0) is None
    assert (patients_needed(0.9), patients_needed(0.95), patients_needed(0.5)) == (9, 19, 1)


def test_a_patient_with_many_images_counts_once():
    probs, targs, groups = draw(60, seed=1, images=5)
    band = fit_band(probs, targs, groups, VOCAB, level=0.9, seed=0)
    assert sum(band.patients.values()) == 60
    rows = _one_each(np.arange(300), groups, np.random.default_rng(0))
    assert groups[rows].tolist() == list(range(60))


def test_prediction_sets_by_hand():
    band = AbstainBand(level=0.9, lowest={"NORMAL": 0.4, "PNEUMONIA": 0.5}, patients={})
    p = np.array([0.2, 0.55, 0.7, 0.45])  # NORMAL alone, both, PNEUMONIA alone, NORMAL alone but predicted PNEUMONIA
    probs = np.column_stack([1 - p, p])
    assert in_set(band, probs, VOCAB).tolist() == [[True, False], [True, True], [False, True], [True, False]]
    assert is_singleton(band, probs, np.array([0, 1, 1, 1]), VOCAB).tolist() == [True, False, True, False]


def test_a_score_too_low_for_every_class_abstains():
    band = AbstainBand(level=0.5, lowest={"NORMAL": 0.9, "PNEUMONIA": 0.9}, patients={})
    assert not is_singleton(band, np.array([[0.6, 0.4]]), np.array([0]), VOCAB).any()


@pytest.mark.parametrize("images", [1, 4])
@pytest.mark.parametrize("level", [0.8, 0.9])
def test_coverage_of_new_patients_is_nominal_within_two_standard_deviations(level, images):
    """200 bands of 150 patients, each tried on 400 new ones; the guarantee is level .. level + 1 / (n + 1) per class."""
    found = {0: [], 1: []}
    for seed in range(200):
        probs, targs, groups = draw(150, seed, images)
        band = fit_band(probs, targs, groups, VOCAB, level=level, seed=seed)
        new, truth, _ = draw(400, 10_000 + seed, 1)
        possible = in_set(band, new, VOCAB)[np.arange(400), truth]
        for k in (0, 1):
            found[k].append(possible[truth == k].mean())
    for k, patients in ((0, 45), (1, 105)):
        sd = np.std(found[k], ddof=1) / np.sqrt(len(found[k]))
        assert level - 2 * sd <= np.mean(found[k]) <= level + 1 / (patients + 1) + 2 * sd, (k, np.mean(found[k]), sd)


def test_all_images_of_a_patient_instead_of_one_would_break_the_guarantee_where_patients_differ_in_images():
    """A tenth of the patients are hard and have 20 images each: counted by image they set the limit far too low."""
    rng = np.random.default_rng(0)
    hard = np.arange(200) < 20
    images = np.where(hard, 20, 1)
    groups, score = np.repeat(np.arange(200), images), np.repeat(np.where(hard, 0.1, 0.9), images)
    score = score + 0.01 * rng.random(len(score))
    p = np.concatenate([score, 1 - score])
    probs, targs = np.column_stack([1 - p, p]), np.repeat([1, 0], len(score))
    band = fit_band(probs, targs, np.r_[groups, 200 + groups], VOCAB, level=0.8, seed=0)
    assert band.lowest["PNEUMONIA"] > 0.85  # by images it would be 0.1
    new = rng.random(2000) < 0.1
    assert (np.where(new, 0.105, 0.905) >= band.lowest["PNEUMONIA"]).mean() > 0.8


@given(st.integers(0, 2**32 - 1), st.floats(0.6, 0.95))
@settings(max_examples=30, deadline=None)
def test_a_higher_level_rules_out_less(seed, level):
    probs, targs, groups = draw(120, seed)
    low, high = (fit_band(probs, targs, groups, VOCAB, level=at, seed=0) for at in (level - 0.1, level))
    if high is not None:
        assert all(high.lowest[name] <= low.lowest[name] for name in VOCAB)
