"""Differences to the best row: limits of two levels, floors of p, comparisons, and verdicts over seeds."""

from __future__ import annotations

import numpy as np
import pytest

from plainfilm.pipeline.compare import compare_runs
from plainfilm.schemas.compare import Difference

T_95, T_90 = 2.022691, 1.684875  # Student's t, 39 degrees of freedom
SEEDS_95, SEEDS_90 = 4.302653, 2.919986  # two degrees of freedom


def differences(runs, margin=None, metric="auroc") -> list[Difference]:
    found = compare_runs([run.root for run in runs], margin=margin)
    return [row.differences[metric] for row in found.rows[1:]]


@pytest.fixture
def pair(save_run):
    return [save_run("a", noise=1), save_run("b", noise=2, options={"model.dense": 64})]


@pytest.mark.parametrize("metric", ["auroc", "accuracy"])
def test_the_90_limits_are_those_of_the_same_draws_at_another_level(pair, metric):
    (found,) = differences(pair, 0.5, metric)
    assert (found.high_90 - found.low_90) / (found.ci_high - found.ci_low) == pytest.approx(T_90 / T_95, rel=1e-5)
    assert (found.low_90 + found.high_90) / 2 == pytest.approx(found.value)
    assert (found.margin, found.verdict) == (0.5, "equivalent")


def test_without_a_margin_there_is_no_verdict(pair):
    (found,) = differences(pair)
    assert (found.margin, found.verdict, found.low_90, found.high_90) == (None, None, None, None)
    assert found.verdict_text() == ""


def test_the_margin_decides_between_equivalent_and_undecided(pair):
    """The same limits: just inside and just outside of the margin."""
    (found,) = differences(pair, 0.5)
    reach = max(abs(found.low_90), abs(found.high_90))
    assert differences(pair, reach + 1e-6)[0].verdict == "equivalent"
    assert differences(pair, reach - 1e-6)[0].verdict == "undecided"


def test_a_clear_difference_is_different_and_its_p_is_the_fewest_of_its_draws(save_run):
    runs = [save_run("a", skill=4.0), save_run("b", skill=0.3, noise=5, options={"model.dense": 64})]
    (found,) = differences(runs, 0.01)
    assert (found.verdict, found.verdict_text(), found.comparisons) == ("different", "different", 1)
    assert found.p == found.p_holm == 1 / 10_000 and found.p_is_floor and found.p_holm_is_floor
    wide = differences(runs, 0.9)[0]
    assert wide.verdict_text() == "equivalent within 0.9, though different from 0"


def test_floors_after_holm_are_those_of_all_pairs(save_run):
    """Rows a and b differ in nothing, c is far below both: its p are floors, 3 x 1/10,000 after Holm."""
    runs = [save_run("a", skill=4.0, noise=1), save_run("b", skill=4.0, noise=1, options={"model.dense": 60}),
            save_run("c", skill=0.2, noise=2, options={"model.dense": 64})]  # fmt: skip
    same, below = differences(runs)
    assert below.p_holm == pytest.approx(3 / 10_000) and below.p_holm_is_floor and below.p_is_floor
    assert (same.p, same.p_holm, same.p_is_floor, same.p_holm_is_floor) == (1, 1, False, False)
    assert same.comparisons == below.comparisons == 3


def test_an_exact_p_of_few_patients_is_no_floor(save_run):
    """Six patients of one image: 2 of 64 exchanges are as extreme at best, and that p is exact."""
    runs = [save_run("a", skill=30.0, patients=6, images=1), save_run("b", skill=-30.0, patients=6, images=1, options={"model.dense": 64})]  # fmt: skip
    (found,) = differences(runs)
    assert found.value == pytest.approx(-1) and found.p == 2 / 64
    assert not found.p_is_floor and not found.p_holm_is_floor


def test_three_seeds_must_be_within_the_margin_too(save_run):
    """Patients say that the means differ little; the seeds, one of which is far off, do not."""
    skills = {"a": (2.0, 2.0, 2.0), "b": (1.9, 1.9, 1.2)}
    runs = [save_run(f"{name}-seed{seed}", seed=seed, skill=skill, patients=200, noise=7, options={"model.dense": dense})
            for name, dense in (("a", 64), ("b", 8)) for seed, skill in enumerate(skills[name])]  # fmt: skip
    (found,) = differences(runs, 0.5)
    ratio = (found.seeds_high_90 - found.seeds_low_90) / (found.seeds_high - found.seeds_low)
    assert ratio == pytest.approx(SEEDS_90 / SEEDS_95, rel=1e-5)
    patients, seeds = (max(map(abs, limits)) for limits in
                       ((found.low_90, found.high_90), (found.seeds_low_90, found.seeds_high_90)))  # fmt: skip
    assert patients < seeds
    assert differences(runs, seeds + 1e-6)[0].verdict == "equivalent"
    between = differences(runs, (patients + seeds) / 2)[0]
    assert (between.distinguishable, between.verdict) == (False, "undecided")


def test_two_seeds_have_no_limits_of_their_own(save_run):
    runs = [save_run(f"{name}-seed{seed}", seed=seed, noise=dense + seed, options={"model.dense": dense})
            for name, dense in (("a", 64), ("b", 8)) for seed in (0, 1)]  # fmt: skip
    (found,) = differences(runs, 0.5)
    assert (found.seeds_low, found.seeds_low_90) == (None, None) and found.verdict == "equivalent"


def test_the_same_margin_is_applied_to_accuracy(pair):
    found = compare_runs([run.root for run in pair], margin=0.3).rows[1].differences
    assert {name: each.margin for name, each in found.items()} == {"auroc": 0.3, "accuracy": 0.3}
    assert np.all([each.verdict in ("equivalent", "undecided", "different") for each in found.values()])
