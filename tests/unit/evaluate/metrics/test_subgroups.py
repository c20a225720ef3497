"""Subgroups: metrics of parts by hand, what is not estimable, and a gap test with few false positives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from plainfilm.evaluate.metrics.measure import measure
from plainfilm.evaluate.metrics.sample import Sample, make_sample
from plainfilm.evaluate.metrics.subgroups import _draws_for, _SubgroupPair, _two_sided_p, subgroup_table
from plainfilm.evaluate.stats import subgroup_permutation
from plainfilm.evaluate.stats.auroc_interval import Ranked, _variance, auroc_interval, curve, shared_gap
from plainfilm.evaluate.stats.intervals import Interval, difference, proportion
from plainfilm.evaluate.stats.multiple_testing import holm
from plainfilm.evaluate.stats.subgroup_permutation import Sides
from wording import lacking

VOCAB = ["NORMAL", "PNEUMONIA"]
RATES = ("auroc", "sensitivity", "specificity", "ppv", "npv")


def rates(group) -> dict:
    """The metrics of a subgroup that `measure` gives too."""
    return {name: metric for name, metric in group.metrics.items() if name in RATES}


def sample_of(p, y, ids=None) -> Sample:
    p, y = np.asarray(p, float), np.asarray(y, int)
    ids = np.arange(len(y)) if ids is None else ids
    return make_sample(np.stack([1 - p, p], 1), y, ids, ids, positive=1, threshold=0.5)


def drawn(seed: int = 0, n: int = 240, images: int = 1):
    """Scores, truth, patients and a subgroup name per patient that has nothing to do with either."""
    rng = np.random.default_rng(seed)
    ids = np.arange(n) // images
    y = (rng.random(n) < 0.5)[ids]
    p = 1 / (1 + np.exp(-(2.0 * y - 1 + rng.normal(size=n)[ids] + 0.5 * rng.normal(size=n))))
    return p, y, ids, np.where(rng.random(n)[ids] < 0.4, "east", "west")


def test_each_subgroup_has_the_metrics_of_its_images_alone():
    p, y, ids, site = drawn(images=2)
    found = subgroup_table(sample_of(p, y, ids), site, "site", VOCAB)
    assert (found.column, found.among, [group.name for group in found.groups]) == ("site", None, ["east", "west"])
    for group in found.groups:
        mine = site == group.name
        alone = measure(np.stack([1 - p, p], 1)[mine], y[mine].astype(int), clusters=ids[mine], patients=ids[mine],
                        positive=1, threshold=0.5, n_boot=20)  # fmt: skip
        assert rates(group) == {name: alone[name] for name in RATES}
        assert (group.images, group.patients) == (mine.sum(), len(set(ids[mine])))


def test_a_gap_is_the_difference_of_its_metrics_with_limits_from_theirs():
    p, y, ids, site = drawn()
    found = subgroup_table(sample_of(p, y, ids), site, "site", VOCAB)
    east, west = (group.metrics["sensitivity"] for group in found.groups)
    gap = next(gap for gap in found.gaps if gap.metric == "sensitivity")
    assert (gap.a, gap.b, gap.value) == ("east", "west", pytest.approx(east.value - west.value))
    assert gap.ci_low == pytest.approx(gap.value - np.hypot(east.value - east.ci_low, west.ci_high - west.value))
    assert 0 < gap.p <= gap.p_holm <= 1


def test_the_order_of_the_images_does_not_matter():
    p, y, ids, site = drawn(images=3)
    shuffled = np.random.default_rng(5).permutation(len(y))
    one = subgroup_table(sample_of(p, y, ids), site, "site", VOCAB)
    other = subgroup_table(sample_of(p[shuffled], y[shuffled], ids[shuffled]), site[shuffled], "site", VOCAB)
    assert one == other


def test_a_column_of_the_positives_alone_is_compared_against_all_negatives():
    p, y, ids, site = drawn()
    names = np.where(y, np.where(site == "east", "bacteria", "virus"), "")
    found = subgroup_table(sample_of(p, y, ids), names, "subtype", VOCAB)
    assert found.among == "PNEUMONIA" and "against all" in found.notes[0]
    assert [group.name for group in found.groups] == ["bacteria", "virus"]  # NORMAL is no third subtype
    for group in found.groups:
        mine = names == group.name
        assert group.images == mine.sum()
        assert group.metrics["sensitivity"].value == pytest.approx((p[mine] >= 0.5).mean())
        area = roc_auc_score(y[mine | ~y], p[mine | ~y])
        assert group.metrics["auroc"].value == pytest.approx(area)
        assert "against all images of NORMAL" in group.metrics["auroc"].method
        assert lacking(group.metrics["specificity"].method, "not estimable:", "confined to PNEUMONIA") == []
        assert (group.metrics["specificity"].value, group.metrics["specificity"].n) == (None, 0)
    assert [gap.metric for gap in found.gaps] == ["auroc", "sensitivity"]


def test_a_column_of_the_negatives_alone_tells_specificity():
    p, y, ids, site = drawn()
    found = subgroup_table(sample_of(p, y, ids), np.where(y, "", site), "film", VOCAB)
    assert found.among == "NORMAL"
    assert found.groups[0].metrics["sensitivity"].value is None
    assert found.groups[0].metrics["specificity"].value is not None
    assert [gap.metric for gap in found.gaps] == ["auroc", "specificity"]


def test_images_without_a_value_are_a_subgroup_of_their_own():
    p, y, ids, site = drawn()
    site[:40] = ""
    found = subgroup_table(sample_of(p, y, ids), site, "site", VOCAB)
    assert [(group.name, group.images) for group in found.groups][-1] == ("(blank)", 40)
    assert sum(group.images for group in found.groups) == 240


def test_a_subgroup_without_a_positive_is_not_estimable_and_not_zero():
    p, y, ids, site = drawn()
    site = np.where(y & (site == "east"), "west", site)  # east keeps negatives alone
    found = subgroup_table(sample_of(p, y, ids), site, "site", VOCAB)
    east = found.groups[0].metrics
    assert (east["auroc"].method, east["sensitivity"].method) == (
        "not estimable: one class only",
        "not estimable: no positive image",
    )
    assert east["specificity"].value is not None
    by_metric = {gap.metric: gap for gap in found.gaps}
    assert by_metric["auroc"].p is by_metric["sensitivity"].p is by_metric["sensitivity"].value is None
    assert lacking(by_metric["auroc"].method, "not estimable:", "fewer than 5 patients of a class") == []
    assert by_metric["specificity"].p_holm == by_metric["specificity"].p  # the only one that could be tested


def test_one_subgroup_has_no_gap():
    p, y, ids, _ = drawn()
    assert subgroup_table(sample_of(p, y, ids), ["all"] * 240, "site", VOCAB).gaps == []


def three_classes(rng: np.random.Generator, n: int, hard: bool = False):
    """Three classes and two sites; `hard`: in site b the class z is mistaken for y."""
    targs, site = rng.integers(0, 3, n), rng.choice(["a", "b"], n)
    logits = 2.0 * np.eye(3)[targs] + rng.normal(size=(n, 3))
    if hard:
        lost = (targs == 2) & (site == "b")
        logits[lost] = logits[lost][:, [0, 2, 1]]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return make_sample(probs, targs, np.arange(n), None, positive=None, threshold=None), probs, targs, site


def test_of_more_classes_each_is_set_against_the_rest_and_a_gap_is_found_where_it_is():
    sample, probs, targs, site = three_classes(np.random.default_rng(1), 300, hard=True)
    found = subgroup_table(sample, site, "site", ["x", "y", "z"])
    assert found.among is None and all(group.patients is None for group in found.groups)
    assert [(gap.metric, gap.of) for gap in found.gaps] == [
        (metric, name) for metric in ("auroc", "sensitivity", "specificity") for name in "xyz"
    ]
    predicted = probs.argmax(1)
    for gap in found.gaps:
        c = "xyz".index(gap.of)
        by_site = []
        for name in "ab":
            mine = site == name
            truth, said = targs[mine] == c, predicted[mine] == c
            by_site.append(
                {"auroc": roc_auc_score(truth, probs[mine, c]), "sensitivity": said[truth].mean(),
                 "specificity": 1 - said[~truth].mean()}[gap.metric]
            )  # fmt: skip
        assert gap.value == pytest.approx(by_site[0] - by_site[1])
    differ = {(gap.metric, gap.of) for gap in found.gaps if gap.p_holm <= 0.05}
    # z predicted as y: z is missed, so y is predicted wrongly; x is not affected
    assert differ == {("auroc", "z"), ("sensitivity", "z"), ("auroc", "y"), ("specificity", "y")}


def test_of_two_classes_a_gap_is_of_no_class():
    p, y, ids, site = drawn()
    assert {gap.of for gap in subgroup_table(sample_of(p, y, ids), site, "site", VOCAB).gaps} == {None}


def test_equal_subgroups_of_three_classes_seldom_differ(monkeypatch):
    monkeypatch.setattr("plainfilm.evaluate.metrics.subgroups.DRAWS", 199)
    rng, wrong, trials = np.random.default_rng(4), 0, 40
    for _ in range(trials):
        sample, _, _, site = three_classes(rng, 120)
        wrong += min(gap.p_holm for gap in subgroup_table(sample, site, "site", ["x", "y", "z"]).gaps) <= 0.05
    assert wrong / trials <= 0.05 + 2 * (0.05 * 0.95 / trials) ** 0.5


# --- the test itself -------------------------------------------------------------------------------------------------


def test_exchanges_keep_the_number_of_patients_of_each_class_on_each_side():
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(40), 2)
    sides = Sides((np.arange(40) < 12)[ids], ids, (np.arange(40) % 3 == 0)[ids])
    swap = subgroup_permutation.exchanges(sides, 200, rng)
    for side in (True, False):
        now = (sides.in_a ^ swap[:, ids]) & (sides.truth == side)
        assert set(now.sum(axis=1)) == {int((sides.in_a & (sides.truth == side)).sum())}
    assert swap.mean() == pytest.approx(2 * 0.3 * 0.7, abs=0.03)  # as sampling without replacement tells
    assert swap.mean(axis=0).min() > 0.05


def test_a_patient_on_both_sides_exchanges_its_images_within_itself():
    sides = Sides(np.array([True, False, True, True, False, False]), np.array([0, 0, 1, 2, 3, 4]), np.ones(6, bool))
    swap = subgroup_permutation.exchanges(sides, 400, np.random.default_rng(0))
    assert swap[:, 0].mean() == pytest.approx(0.5, abs=0.1)
    assert (swap[:, 1:3].sum(axis=1) == swap[:, 3:].sum(axis=1)).all()  # as many leave as come


def test_the_gap_of_shares_after_an_exchange_is_that_of_the_exchanged_images():
    p, y, ids, site = drawn(n=60, images=3)
    sides = Sides(site == "east", ids, y)
    values = np.round(p, 1)
    swap = subgroup_permutation.exchanges(sides, 30, np.random.default_rng(1))
    for row, found in zip(swap, subgroup_permutation.share_gap(values, sides, swap), strict=True):
        now, parts = sides.in_a ^ row[ids], []
        for side in (now, ~now):
            mean, who = values[side].mean(), np.unique(ids[side])
            errors = np.array([(values[side & (ids == i)] - mean).sum() for i in who]) / side.sum()
            parts.append((mean, len(who) / (len(who) - 1) * (errors**2).sum()))
        assert found == pytest.approx((parts[0][0] - parts[1][0]) / (parts[0][1] + parts[1][1]) ** 0.5)


def test_areas_and_variances_of_exchanged_images_are_those_of_these_images_alone():
    p, y, ids, site = drawn(n=90, images=3)
    p = np.round(p, 1)  # ties
    sides = Sides(site == "east", ids, y)
    swap = subgroup_permutation.exchanges(sides, 10, np.random.default_rng(2))
    counts = (sides.in_a ^ swap[:, ids]).astype(float)
    for row, (area, spread) in zip(counts > 0, subgroup_permutation._weighted_areas(p, y, ids, counts).T, strict=True):
        alone = curve(p[row], y[row])
        assert area == pytest.approx(alone.area)
        assert spread == pytest.approx(_variance(alone, np.unique(ids[row], return_inverse=True)[1]))


def test_a_large_gap_is_found_and_p_is_never_zero():
    p, y, ids, site = drawn(n=400)
    p = np.where(y & (site == "east"), p / 4, p)
    found = subgroup_table(sample_of(p, y, ids), site, "site", VOCAB)
    by_metric = {gap.metric: gap for gap in found.gaps}
    assert by_metric["sensitivity"].p == pytest.approx(1 / 2000) and by_metric["sensitivity"].p_holm < 0.01
    assert by_metric["sensitivity"].p_is_floor and by_metric["sensitivity"].p_holm_is_floor  # 3 gaps: 3 / 2000
    assert not by_metric["specificity"].p_is_floor and not by_metric["specificity"].p_holm_is_floor
    assert by_metric["auroc"].p_holm < 0.01 and by_metric["specificity"].p_holm > 0.05


def test_equal_perfect_subgroups_do_not_differ_and_opposite_ones_do():
    y, site = np.resize([0, 1], 40), np.repeat(["a", "b"], 20)
    same = subgroup_table(sample_of(np.where(y, 0.9, 0.1), y), site, "site", VOCAB)
    assert {gap.p for gap in same.gaps} == {1.0}
    turned = subgroup_table(sample_of(np.where((y == 1) == (site == "a"), 0.9, 0.1), y), site, "site", VOCAB)
    assert all(gap.value == 1 and gap.p < 0.005 for gap in turned.gaps)


def equal_subgroups(rng: np.random.Generator, patients: int, names: int):
    """Subgroups of one truth that differ in size, in images per patient and in prevalence."""
    site = rng.choice(names, patients, p=np.arange(1, names + 1) / np.arange(1, names + 1).sum())
    ids = np.repeat(np.arange(patients), np.where(site == 0, 6, rng.integers(1, 4, patients)))
    y = (rng.random(patients) < np.where(site == 0, 0.3, 0.6))[ids]
    p = 1 / (1 + np.exp(-(2.4 * y - 1.2 + rng.normal(size=patients)[ids] + 0.4 * rng.normal(size=len(ids)))))
    return p, y, ids, np.array([f"s{i}" for i in site])[ids]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trials", "draws"),
    [(50, 199), *(pytest.param(*each, marks=pytest.mark.campaign) for each in ((120, 299), (600, 999)))],
)
def test_equal_subgroups_seldom_differ_although_their_patients_have_other_numbers_of_images(trials, draws, monkeypatch):
    monkeypatch.setattr("plainfilm.evaluate.metrics.subgroups.DRAWS", draws)
    rng, wrong, unadjusted = np.random.default_rng(3), 0, 0
    for _ in range(trials):
        p, y, ids, site = equal_subgroups(rng, 120, 3)
        gaps = [gap for gap in subgroup_table(sample_of(p, y, ids), site, "site", VOCAB).gaps if gap.p is not None]
        wrong += min(gap.p_holm for gap in gaps) <= 0.05
        unadjusted += min(gap.p for gap in gaps) <= 0.05
    assert wrong / trials <= 0.05 + 2 * (0.05 * 0.95 / trials) ** 0.5
    assert unadjusted > wrong  # nine tests are asked at once


@pytest.mark.slow
def test_control_an_exchange_alone_is_wrong_where_patients_have_other_numbers_of_images_and_errors_are_few(monkeypatch):
    """10 patients of 6 images against 200 of 1-3, sensitivity 0.99 in both: the interval's word is needed too."""
    monkeypatch.setattr("plainfilm.evaluate.metrics.subgroups.DRAWS", 199)
    rng, alone, ours, trials, icc = np.random.default_rng(0), 0, 0, 60, 0.3
    ids = np.repeat(np.arange(210), np.where(np.arange(210) < 10, 6, np.resize([1, 2, 3], 210)))
    site = np.where(ids < 10, "few", "many")
    for _ in range(trials):
        chance = rng.beta(0.99 * (1 - icc) / icc, 0.01 * (1 - icc) / icc, 210)[ids]
        found = np.append(np.where(rng.random(len(ids)) < chance, 0.9, 0.1), np.full(20, 0.1))
        sample = sample_of(found, np.append(np.ones(len(ids)), np.zeros(20)), np.append(ids, np.arange(210, 230)))
        gaps = subgroup_table(sample, [*site, *[""] * 20], "site", VOCAB).gaps
        ours += next(gap.p for gap in gaps if gap.metric == "sensitivity") <= 0.05
        sides = Sides(site == "few", ids, np.ones(len(ids), bool))
        swap = np.concatenate([np.zeros((1, 210), bool), subgroup_permutation.exchanges(sides, 199, rng)])
        drawn = subgroup_permutation.share_gap((found[: len(ids)] > 0.5).astype(float), sides, swap)
        alone += _two_sided_p(drawn[0], drawn[1:]) <= 0.05
    assert alone / trials > 0.2
    assert ours / trials <= 0.05


def test_an_inverted_interval_gives_the_p_of_its_test():
    """For a normal interval it is the normal p: 1.5 standard errors from 0."""
    from scipy.stats import norm

    found = subgroup_permutation.inverted_p(lambda level: Interval(0.3, *(0.3 + 0.2 * norm.ppf(0.5 + np.array([-level, level]) / 2)), "x"))  # fmt: skip
    assert found == pytest.approx(2 * norm.sf(1.5), abs=2e-4)
    assert subgroup_permutation.inverted_p(lambda level: Interval(0.3, 0.2, 0.4, "x")) == pytest.approx(1e-7)
    far = norm.ppf(1 - 3e-6 / 2) * 0.1  # p = 3e-6: reported as 1e-5, the next larger power of ten
    found = subgroup_permutation.inverted_p(lambda level: Interval(far, *(far + 0.1 * norm.ppf(0.5 + np.array([-level, level]) / 2)), "x"))  # fmt: skip
    assert found == 1e-5
    assert subgroup_permutation.inverted_p(lambda level: Interval(0.0, -level, level, "x")) == pytest.approx(
        1, abs=2e-4
    )


@pytest.mark.parametrize("values", [[3.0, 0, -2, 0], [0, 1e-6, 0, 5]])
def test_a_studentised_difference_by_hand(values):
    found = subgroup_permutation._studentised(np.array([*values, 0.0]), np.array([4.0, 1e-12, 0.0, 0.25, 0]))
    expected = [values[0] / 2, values[1] / 1e-6, np.copysign(np.inf, values[2]) if values[2] else 0, values[3] / 0.5, 0]
    assert found.tolist() == pytest.approx(expected)


def test_a_two_sided_p_by_hand():
    assert _two_sided_p(-2.0, np.array([1.0, 2.0, -3.0, 0.0, np.inf])) == 4 / 6
    assert _two_sided_p(2.0 + 1e-12, np.array([2.0, -2.0, 1.9])) == 3 / 4  # the same but for rounding
    assert _two_sided_p(np.inf, np.array([9.0, np.inf, -np.inf])) == 3 / 4
    assert _two_sided_p(0.0, np.zeros(9)) == 1


def test_patients_of_one_class_change_places_with_patients_of_the_same_classes_alone():
    """Clusters 0-2 have positives, 3-5 negatives, 6-8 both; in each kind the first is in a, the others in b."""
    ids = np.array([0, 1, 2, 3, 4, 5, 6, 6, 7, 7, 8, 8])
    truth = np.array([1, 1, 1, 0, 0, 0, 1, 0, 1, 0, 1, 0], bool)
    swap = subgroup_permutation.exchanges(Sides(np.isin(ids, [0, 3, 6]), ids, truth), 3000, np.random.default_rng(0))
    for kind in ([0, 1, 2], [3, 4, 5], [6, 7, 8]):
        first, *others = swap[:, kind].T
        assert (first == others[0] ^ others[1]).all()  # one leaves a and one comes, or nobody moves
        assert first.mean() == pytest.approx(2 / 3, abs=0.04)
    # kinds change independently of each other
    assert np.abs(np.corrcoef(swap[:, [0, 3, 6]].T) - np.eye(3)).max() < 0.06


def test_patients_with_images_on_both_sides_each_change_on_their_own():
    ids = np.repeat(np.arange(3), 2)
    swap = subgroup_permutation.exchanges(
        Sides(np.tile([True, False], 3), ids, np.ones(6, bool)), 3000, np.random.default_rng(1)
    )
    assert swap.mean(axis=0) == pytest.approx([0.5] * 3, abs=0.04)
    assert np.abs(np.corrcoef(swap.T) - np.eye(3)).max() < 0.06


def test_the_gap_of_areas_does_not_depend_on_how_many_draws_are_held_at_once(monkeypatch):
    p, y, ids, site = drawn(n=60, images=3)
    sides = Sides(site == "east", ids, y)
    swap = subgroup_permutation.exchanges(sides, 20, np.random.default_rng(1))
    whole = subgroup_permutation.area_gap(p, sides, swap)
    for row, found in zip(swap, whole, strict=True):
        parts = []
        for side in (sides.in_a ^ row[ids], ~(sides.in_a ^ row[ids])):
            roc = curve(p[side], y[side])
            parts.append((roc.area, _variance(roc, np.unique(ids[side], return_inverse=True)[1])))
        assert found == pytest.approx((parts[0][0] - parts[1][0]) / (parts[0][1] + parts[1][1]) ** 0.5)
    for chunk in (1, 60 * 7):
        monkeypatch.setattr(subgroup_permutation, "CHUNK", chunk)
        assert subgroup_permutation.area_gap(p, sides, swap) == pytest.approx(whole)


def test_the_gap_of_shares_of_one_patient_a_side_and_of_none_that_varies():
    """One patient on each side: nothing tells how patients vary, and the gap is certain or none."""
    sides = Sides(np.array([True, True, False]), np.array([0, 0, 1]), np.ones(3, bool))
    still = np.zeros((1, 2), bool)
    assert subgroup_permutation.share_gap(np.array([1.0, 0, 0]), sides, still).tolist() == [np.inf]
    assert subgroup_permutation.share_gap(np.array([0.0, 0, 1]), sides, still).tolist() == [-np.inf]
    assert subgroup_permutation.share_gap(np.ones(3), sides, still).tolist() == [0]
    # two patients against one: 2 / (2 - 1) * 2 * (1/2 * 1/2)^2 = 1/4
    sides = Sides(np.array([True, True, False]), np.array([0, 1, 2]), np.ones(3, bool))
    assert subgroup_permutation.share_gap(np.array([1.0, 0, 0]), sides, np.zeros((1, 3), bool)) == pytest.approx(
        [0.5 / 0.5]
    )


def test_the_area_of_few_patients_by_hand():
    """One positive and one negative patient: no variance. Two of each: placements 1, 0 and 1/2, 1/2 around 1/2."""
    ones = np.ones((1, 2))
    found = subgroup_permutation._weighted_areas(np.array([0.9, 0.1]), np.array([True, False]), np.arange(2), ones)
    assert found.tolist() == [[1.0], [0.0]]
    scores, truth = np.array([0.9, 0.1, 0.5, 0.5]), np.array([True, True, False, False])
    area, spread = subgroup_permutation._weighted_areas(scores, truth, np.arange(4), np.ones((1, 4)))
    assert (area[0], spread[0]) == (0.5, pytest.approx(2 * 2 * (0.5 / 2) ** 2))
    # positive and negative of one patient: placements 1, 1/2 and 1, 1/2, errors of 1/8; 2 m / (m - 1) = 4
    scores, own = np.array([0.9, 0.1, 0.0, 0.5]), 2 * (2 * 0.125**2) * 2
    for ids, together in (([0, 1, 0, 1], 1), ([0, 1, 1, 0], -1)):
        area, spread = subgroup_permutation._weighted_areas(scores, truth, np.array(ids), np.ones((1, 4)))
        assert (area[0], spread[0]) == (0.75, pytest.approx(max(own + together * 4 * 2 * 0.125**2, 0)))


def test_the_area_of_patients_with_images_of_both_classes_is_that_of_these_images_alone():
    rng = np.random.default_rng(3)
    truth, ids, scores = rng.random(60) < 0.5, np.arange(60) // 4, np.round(rng.random(60), 1)
    counts = (rng.random((12, 15)) < 0.7)[:, ids]
    for row, (area, spread) in zip(
        counts, subgroup_permutation._weighted_areas(scores, truth, ids, counts * 1.0).T, strict=True
    ):
        alone = curve(scores[row], truth[row])
        assert area == pytest.approx(alone.area)
        assert spread == pytest.approx(_variance(alone, np.unique(ids[row], return_inverse=True)[1]))


@pytest.mark.parametrize("p", [0.0002, 0.03, 0.5])
def test_an_inverted_p_is_within_a_ten_thousandth(p):
    found = subgroup_permutation.inverted_p(lambda level: Interval(1.0, 0.5 if level < 1 - p else -0.5, 2.0, "x"))
    assert found == pytest.approx(p, abs=1e-4)
    found = subgroup_permutation.inverted_p(lambda level: Interval(-1.0, -2.0, -0.5 if level < 1 - p else 0.5, "x"))
    assert found == pytest.approx(p, abs=1e-4)


@pytest.mark.parametrize(("p", "reported"), [(5e-8, 1e-7), (5e-7, 1e-6), (5e-6, 1e-5), (5e-5, 1e-4)])
def test_a_p_below_a_ten_thousandth_is_reported_as_the_next_power_of_ten(p, reported):
    found = subgroup_permutation.inverted_p(lambda level: Interval(1.0, 0.5 if level < 1 - p else -0.5, 2.0, "x"))
    assert found == pytest.approx(reported, rel=1e-6)


def test_an_interval_that_ends_at_zero_holds_it():
    assert subgroup_permutation.inverted_p(lambda level: Interval(1.0, 0.0, 2.0, "x")) == pytest.approx(1, abs=1e-4)
    assert subgroup_permutation.inverted_p(lambda level: Interval(-1.0, -2.0, 0.0, "x")) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_metrics_and_gaps_have_their_level(level):
    p, y, ids, site = drawn(images=2)
    sample = sample_of(p, y, ids)
    found = subgroup_table(sample, site, "site", VOCAB, level=level)
    for group in found.groups:
        mine = site == group.name
        alone = measure(np.stack([1 - p, p], 1)[mine], y[mine].astype(int), clusters=ids[mine], patients=ids[mine],
                        positive=1, threshold=0.5, n_boot=20, level=level)  # fmt: skip
        assert rates(group) == {name: alone[name] for name in RATES}
    east, west = (group.metrics for group in found.groups)
    assert [gap.metric for gap in found.gaps] == ["auroc", "sensitivity", "specificity"]
    for gap in found.gaps:
        a, b = east[gap.metric], west[gap.metric]
        assert gap.ci_low == pytest.approx(gap.value - np.hypot(a.value - a.ci_low, b.ci_high - b.value))
        assert gap.ci_high == pytest.approx(gap.value + np.hypot(a.ci_high - a.value, b.value - b.ci_low))
        kind = "obuchowski/logit" if gap.metric == "auroc" else "korn-graubard/deff"
        assert gap.method == f"mover/{kind}; p: permutation of patients, at least that of the interval"


def test_p_follows_the_seed_and_is_adjusted_for_all_gaps():
    p, y, ids, site = drawn(n=200)
    names = np.where(np.arange(200) % 3 == 0, "north", site)
    one, again, other = (subgroup_table(sample_of(p, y, ids), names, "site", VOCAB, seed=seed) for seed in (1, 1, 2))
    assert one == again and one != other
    assert subgroup_table(sample_of(p, y, ids), names, "site", VOCAB) == subgroup_table(
        sample_of(p, y, ids), names, "site", VOCAB, seed=0, level=0.95
    )
    assert [(gap.a, gap.b) for gap in one.gaps[::3]] == [("east", "north"), ("east", "west"), ("north", "west")]
    assert [gap.p_holm for gap in one.gaps] == pytest.approx(holm(np.array([gap.p for gap in one.gaps])).tolist())
    assert one.draws == 1999


def test_the_draws_grow_with_the_number_of_tests():
    assert [_draws_for(n) for n in (0, 33, 34, 190)] == [1999, 1999, 2040, 11400]


def test_a_gap_needs_five_patients_of_each_class_it_asks_for():
    """Five positive patients in east are enough for the AUROC, four are not; specificity asks for no positive one."""
    p = np.tile([0.2, 0.7, 0.4, 0.9], 10)
    y = np.zeros(40, int)
    site = np.repeat(["east", "west"], 20)
    for n, testable in ((5, True), (4, False)):
        y[:] = 0
        y[:n], y[20:26] = 1, 1
        gaps = {gap.metric: gap for gap in subgroup_table(sample_of(p, y), site, "site", VOCAB).gaps}
        assert (gaps["auroc"].p is not None) is (gaps["sensitivity"].p is not None) is testable
        assert gaps["specificity"].p is not None
        turned = {gap.metric: gap for gap in subgroup_table(sample_of(p, y), site[::-1], "site", VOCAB).gaps}
        assert (turned["auroc"].p is not None) is testable
    # two images of one patient are one patient
    ids = np.arange(40)
    ids[4] = 3
    y[:5] = 1
    gaps = {gap.metric: gap for gap in subgroup_table(sample_of(p, y, ids), site, "site", VOCAB).gaps}
    assert gaps["auroc"].p is None


def test_a_column_of_one_class_has_gaps_of_that_class_against_all_others():
    """AUROC of each subtype against every negative, whose errors are shared; sensitivity among its own images (MOVER)."""
    p, y, ids, site = drawn(images=2)
    names = np.where(y, site, "")
    found = subgroup_table(sample_of(p, y, ids), names, "subtype", VOCAB, level=0.9)
    assert [(group.name, group.images, group.patients) for group in found.groups] == [
        (name, (names == name).sum(), len(set(ids[names == name]))) for name in ("east", "west")
    ]
    own = [proportion(p[names == name] >= 0.5, ids[names == name], 0.9) for name in ("east", "west")]
    rows = [(names == name) | ~y for name in ("east", "west")]
    east, west = (Ranked(curve(p[each], y[each]), ids[each]) for each in rows)
    expected = {"auroc": shared_gap(east, west, shared=False).at(0.9), "sensitivity": difference(*own)}
    for gap in found.gaps:
        assert (gap.value, gap.ci_low, gap.ci_high) == pytest.approx(expected[gap.metric][:3])
        assert gap.method.startswith(f"{expected[gap.metric].method}; p: ")
        assert 0 < gap.p <= gap.p_holm <= 1
    assert found.notes == [
        "Only images of PNEUMONIA have a subtype: its subgroups are compared on those images, "
        f"with AUROC against all {(~y).sum()} images of NORMAL."
    ]
    metric = found.groups[0].metrics["auroc"]
    assert metric.n == (names == "east").sum() + (~y).sum() and metric.method.startswith(
        "obuchowski/logit; against all"
    )


def test_a_column_of_one_class_whose_gap_is_large_is_found_in_its_area_too():
    p, y, ids, site = drawn(n=400)
    p = np.where(y & (site == "east"), p / 4, p)
    found = subgroup_table(sample_of(p, y, ids), np.where(y, site, ""), "subtype", VOCAB)
    assert all(gap.p < 0.001 and gap.value < -0.2 for gap in found.gaps) and len(found.gaps) == 2
    # of negatives alone: the same with the classes turned round
    turned = subgroup_table(sample_of(1 - p, ~y, ids), np.where(y, site, ""), "film", VOCAB)
    assert [gap.metric for gap in turned.gaps] == ["auroc", "specificity"]
    assert all(gap.p < 0.001 and gap.value < -0.2 for gap in turned.gaps)


def test_more_classes_or_one_class_alone_are_no_reason_to_confine_a_column():
    sample, _, targs, site = three_classes(np.random.default_rng(1), 90)
    found = subgroup_table(sample, np.where(targs == 1, site, ""), "site", ["x", "y", "z"])
    assert found.among is None and [group.name for group in found.groups] == ["a", "b", "(blank)"]
    p, _, ids, site = drawn(n=60)
    alone = subgroup_table(sample_of(p, np.ones(60, int), ids), site, "site", VOCAB)
    assert alone.among is None and alone.notes == []


def test_p_of_a_rate_rests_on_its_own_images_and_that_of_an_area_on_no_threshold():
    p, y, ids, site = drawn()
    one = {gap.metric: gap.p for gap in subgroup_table(sample_of(p, y), site, "site", VOCAB).gaps}
    other_p = np.where(y, p, np.random.default_rng(8).permutation(p))  # the negatives have other scores
    other = {gap.metric: gap.p for gap in subgroup_table(sample_of(other_p, y), site, "site", VOCAB).gaps}
    assert one["sensitivity"] == other["sensitivity"] and one["auroc"] != other["auroc"]
    probs = np.stack([1 - p, p], 1)
    strict = make_sample(probs, y.astype(int), np.arange(240), np.arange(240), positive=1, threshold=0.8)
    called = {gap.metric: gap.p for gap in subgroup_table(strict, site, "site", VOCAB).gaps}
    assert called["auroc"] == one["auroc"] and called["sensitivity"] != one["sensitivity"]


def test_a_column_of_the_negatives_says_that_sensitivity_is_not_asked():
    p, y, ids, site = drawn()
    for group in subgroup_table(sample_of(p, y), np.where(y, "", site), "film", VOCAB).groups:
        assert list(group.metrics) == [*RATES, "calibration_in_the_large"]
        assert group.metrics["sensitivity"].method == "not estimable: the column is confined to NORMAL"
        assert "against all images of PNEUMONIA" in group.metrics["auroc"].method


def test_the_gap_of_areas_against_one_class_is_that_of_the_shares_that_are_beaten():
    """Each positive's share of beaten negatives, its mean in each subgroup, and the variance of two independent means."""
    p, y, _, site = drawn()
    sample = sample_of(p, y)
    names = np.where(y, site, "")[sample.order]
    found = _SubgroupPair(sample, names == "east", names == "west", "auroc", 1, 1).exchanged(5, 0)[0]
    beaten = [np.array([(x > p[~y]).mean() for x in p[y & (site == name)]]) for name in ("east", "west")]
    spread = sum(each.var(ddof=1) / len(each) for each in beaten)
    assert found == pytest.approx((beaten[0].mean() - beaten[1].mean()) / spread**0.5)


@pytest.mark.parametrize("of_negatives", [False, True])
def test_p_of_areas_against_the_same_images_agrees_with_their_interval(of_negatives):
    """Just above and below 0.05: the interval at 95 % holds 0 where its test of Student says so, and p follows."""
    p, y, ids, site = drawn(n=300)
    signs = []
    for push in (0.0, 0.3, 0.6, 1.2):
        score = 1 / (1 + np.exp(-(np.log(p / (1 - p)) - push * (y & (site == "east")))))
        score, truth = (1 - score, ~y) if of_negatives else (score, y)
        gap = subgroup_table(sample_of(score, truth, ids), np.where(y, site, ""), "subtype", VOCAB).gaps[0]
        rows = [(np.where(y, site, "") == name) | ~y for name in ("east", "west")]
        sides = [Ranked(curve(score[each], truth[each]), ids[each]) for each in rows]
        alone = shared_gap(*sides, shared=of_negatives)
        students = 2 * student.sf(abs(alone.value) / alone.variance**0.5, alone.df)
        assert gap.p >= students - 2e-4 and gap.p <= max(5 * students, 1e-3)
        assert (gap.p <= 0.05) <= (gap.ci_low > 0 or gap.ci_high < 0)
        signs.append(gap.p <= 0.05)
    assert signs[0] is False and signs[-1] is True


def test_an_area_of_1_against_the_same_images_has_the_limits_of_independent_subgroups():
    """No image of a is misranked, so its variance is 0, and that of the gap is not known: limits by MOVER."""
    y = np.repeat([0, 1], [20, 12])
    p = np.append(np.linspace(0.1, 0.6, 20), np.append([0.9] * 6, [0.3, 0.5, 0.7, 0.8, 0.9, 0.95]))
    names = np.repeat(["", "a", "b"], [20, 6, 6])
    gap = subgroup_table(sample_of(p, y), names, "subtype", VOCAB).gaps[0]
    ends = []
    for name in "ab":
        rows = (names == name) | (y == 0)
        ends.append(auroc_interval([curve(p[rows], y[rows] == 1)], np.arange(rows.sum())))
    assert (gap.value, gap.ci_low, gap.ci_high) == pytest.approx(difference(*ends)[:3])
    assert gap.method.startswith("mover/")


def test_calibration_of_a_subgroup_is_that_of_its_images_alone():
    """Scores of east are 0.2 too high by construction, those of west are not."""
    y = np.tile([1, 0], 100)
    site = np.repeat(["east", "west"], 100)
    p = np.where(site == "east", 0.7, 0.5) + np.where(y == 1, 0.1, -0.1)
    found = {
        group.name: group.metrics["calibration_in_the_large"]
        for group in subgroup_table(sample_of(p, y), site, "site", VOCAB).groups
    }
    assert found["east"].value == pytest.approx(0.2) and found["west"].value == pytest.approx(0)
    assert found["east"].ci_low > 0 > found["west"].ci_low and (found["west"].n, found["west"].n_patients) == (100, 100)


def test_a_column_of_one_class_has_no_ppv_and_no_calibration():
    p, y, ids, site = drawn()
    for group in subgroup_table(sample_of(p, y), np.where(y, site, ""), "subtype", VOCAB).groups:
        for name in ("ppv", "npv", "calibration_in_the_large"):
            assert group.metrics[name].method == "not estimable: the column is confined to PNEUMONIA", name


def test_a_class_without_images_in_a_subgroup_is_named():
    sample, _, targs, site = three_classes(np.random.default_rng(1), 90)
    east = np.where(targs == 2, "b", site)
    found = {group.name: group for group in subgroup_table(sample, east, "site", ["x", "y", "z"]).groups}
    assert found["a"].macro["ppv"].without == {"z": "no image"} and found["b"].macro == {}
