"""Paired tests: values by hand, exact enumeration, independent formulas, and what they do on simulated tables."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from plainfilm.evaluate.stats import paired_tests
from plainfilm.evaluate.stats.paired_tests import Block


def block(a, b, labels, patients=None, threshold=0.5) -> Block:
    a, b, labels = (np.asarray(x) for x in (a, b, labels))
    patients = np.arange(len(labels)) if patients is None else np.asarray(patients)
    truth = labels.astype(bool)
    return Block(a[:, None].astype(float), b[:, None].astype(float), truth[:, None], (a >= threshold) == truth,
                 (b >= threshold) == truth, patients)  # fmt: skip


def area(scores, labels) -> float:
    """By counting pairs."""
    pos, neg = scores[labels], scores[~labels]
    return float(((pos[:, None] > neg) + 0.5 * (pos[:, None] == neg)).mean())


def ranks(values) -> np.ndarray:
    return np.array([(values < v).sum() + 0.5 * (values == v).sum() for v in values])


def random_block(seed: int, n: int = 30, images_per_patient: int = 1, gap: float = 0.0) -> Block:
    rng = np.random.default_rng(seed)
    patients = np.arange(n) // images_per_patient
    labels = np.resize([False, True, True], n)[rng.permutation(n)]
    signal = labels + rng.normal(size=n)
    a, b = (np.round(1 / (1 + np.exp(-signal - rng.normal(size=n) - g * labels)), 2) for g in (gap, 0))
    return block(a, b, labels, patients)


@pytest.mark.parametrize("images", [1, 3])
def test_shares_sum_to_the_difference_of_the_areas(images):
    found = random_block(1, images_per_patient=images)
    m = found.patients.max() + 1
    truth = found.labels[:, 0]
    assert paired_tests.auroc_shares(found, m).sum() == pytest.approx(
        area(found.a[:, 0], truth) - area(found.b[:, 0], truth)
    )
    assert paired_tests.accuracy_shares(found, m).sum() == pytest.approx(found.hits_a.mean() - found.hits_b.mean())


@pytest.mark.parametrize("images", [1, 3])
def test_turning_a_patients_sign_is_exchanging_the_ranks_of_all_its_images(images):
    """The closed form against areas counted anew after each of 60 exchanges, ties included."""
    found = random_block(2, images_per_patient=images)
    m, truth = found.patients.max() + 1, found.labels[:, 0]
    a, b = ranks(found.a[:, 0]), ranks(found.b[:, 0])
    shares, rng = paired_tests.auroc_shares(found, m), np.random.default_rng(0)
    for _ in range(60):
        signs = rng.choice([-1, 1], size=m)
        swapped = signs[found.patients] < 0
        counted = area(np.where(swapped, b, a), truth) - area(np.where(swapped, a, b), truth)
        assert signs @ shares == pytest.approx(counted, abs=1e-12)


def test_a_rescaled_copy_of_a_classifier_does_not_differ_in_rank():
    found = random_block(3)
    squeezed = found._replace(b=found.a / 100)
    assert (paired_tests.auroc_shares(squeezed, 30) == 0).all()


def test_the_permutation_p_of_a_tiny_case_is_exact():
    """Three patients of shares 3, 2, 1: of 8 sums only +6 and -6 are as far as the observed 6."""
    assert paired_tests.permutation_p(np.array([[3.0], [2.0], [1.0]]))[0] == 2 / 8
    # 3, 2, -1: the sum is 4; reached or passed by +-4 and +-6
    assert paired_tests.permutation_p(np.array([[3.0], [2.0], [-1.0]]))[0] == 4 / 8


def test_the_exact_p_counts_all_exchanges_of_real_shares():
    found = random_block(4, n=10)
    shares = paired_tests.auroc_shares(found, 10)
    far = abs(shares.sum()) - 1e-12
    counted = np.mean([abs(np.dot(signs, shares)) >= far for signs in product((-1, 1), repeat=10)])
    assert paired_tests.permutation_p(shares[:, None])[0] == pytest.approx(counted)


def test_patients_who_tell_nothing_apart_leave_p_exact():
    shares = np.zeros((500, 1))
    shares[:3, 0] = 3, 2, 1
    assert paired_tests.permutation_p(shares)[0] == 2 / 8
    assert paired_tests.permutation_p(np.zeros((5, 1)))[0] == 1


def test_a_drawn_p_is_never_zero_and_near_the_exact_one():
    rng = np.random.default_rng(0)
    shares = rng.normal(0.3, 1, size=13)  # one more than is gone through one by one
    signs = np.array(list(product((-1, 1), repeat=13)))
    exact = (np.abs(signs @ shares) >= abs(shares.sum()) - 1e-9).mean()
    assert paired_tests.permutation_p(shares[:, None])[0] == pytest.approx(exact, abs=4 * (exact / 9999) ** 0.5)
    assert paired_tests.permutation_p(np.ones((60, 1)))[0] == 1 / 10_000


def test_the_same_seed_draws_the_same_p():
    shares = np.random.default_rng(1).normal(size=(40, 3))
    assert (paired_tests.permutation_p(shares, 499) == paired_tests.permutation_p(shares, 499)).all()


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.04 -> 3 * 0.01, 2 * 0.02, max(0.04, 1 * 0.04)
    assert paired_tests.holm(np.array([0.04, 0.01, 0.02])) == pytest.approx([0.04, 0.03, 0.04])
    assert paired_tests.holm(np.array([0.6, 0.7])) == pytest.approx([1, 1])


def test_mcnemar_by_hand():
    """9 images that only a calls rightly and 2 that only b does: 2 * (1 + 11 + 55) / 2**11."""
    labels = np.resize([True, False], 40)
    right, wrong = np.where(labels, 0.9, 0.1), np.where(labels, 0.1, 0.9)
    a, b = right.copy(), right.copy()
    a[:2], b[2:11] = wrong[:2], wrong[2:11]
    found = paired_tests.accuracy_test([block(a, b, labels)], 40)
    assert found == (pytest.approx(2 * 67 / 2048), "mcnemar, exact")
    assert found.p == pytest.approx(binomtest(2, 11).pvalue)
    assert paired_tests.accuracy_test([block(right, right, labels)], 40).p == 1


def delong(a, b, labels) -> float:
    """DeLong's paired p from placement matrices, written anew."""
    v10, v01 = [], []
    for scores in (a, b):
        pos, neg = scores[labels], scores[~labels]
        psi = (pos[:, None] > neg) + 0.5 * (pos[:, None] == neg)
        v10.append(psi.mean(axis=1))
        v01.append(psi.mean(axis=0))
    s = np.cov(v10) / labels.sum() + np.cov(v01) / (~labels).sum()
    spread = s[0, 0] + s[1, 1] - 2 * s[0, 1]
    return float(2 * norm.sf(abs(v10[0].mean() - v10[1].mean()) / spread**0.5))


@pytest.mark.parametrize("seed", range(4))
def test_with_one_image_each_the_second_test_is_delongs(seed):
    found = random_block(seed, n=60, gap=1.0)
    expected = delong(found.a[:, 0], found.b[:, 0], found.labels[:, 0])
    assert paired_tests.auroc_test([found], 60) == (pytest.approx(expected), "delong")


def test_with_several_images_each_it_is_named_otherwise_and_needs_two_patients_of_a_class():
    found = random_block(5, images_per_patient=3)
    assert paired_tests.auroc_test([found], 10).method == "obuchowski"
    assert paired_tests.accuracy_test([found], 10).method == "mcnemar, clustered"
    one_sided = block([0.9, 0.8, 0.1, 0.2], [0.4, 0.3, 0.1, 0.7], [True, True, False, False], [0, 0, 1, 2])
    assert np.isnan(paired_tests.auroc_test([one_sided], 3).p)


def test_weighted_areas_are_those_of_repeated_images():
    found = random_block(6, n=24)
    scores, labels = found.a[:, 0], found.labels[:, 0]
    times = np.random.default_rng(0).integers(0, 4, size=(20, 24))
    values = paired_tests.auroc_statistic(scores, labels)(times.astype(float))
    for row, value in zip(times, values, strict=True):
        assert value == pytest.approx(area(np.repeat(scores, row), np.repeat(labels, row)))
    assert np.isnan(paired_tests.auroc_statistic(scores, labels)((~labels)[None].astype(float))[0])


def test_a_draw_without_any_image_of_a_set_has_no_accuracy():
    values = paired_tests.accuracy_statistic(np.array([True, False, True]))(
        np.array([[1.0, 1, 0], [0, 0, 0], [2, 1, 1]])
    )
    assert values[0] == 0.5 and np.isnan(values[1]) and values[2] == 0.75


def test_a_difference_has_a_width_even_where_no_patient_tells():
    found = paired_tests.difference_interval(0.0, np.zeros(100), patients=50)
    assert found.high == pytest.approx(1 - 0.05 ** (1 / 50)) and found.low == -found.high
    drawn = paired_tests.difference_interval(0.1, np.random.default_rng(0).normal(0.1, 0.02, 4000), patients=400)
    assert (drawn.low, drawn.high) == (pytest.approx(0.061, abs=0.003), pytest.approx(0.139, abs=0.003))


# --- simulations -----------------------------------------------------------------------------------------------------


def clustered(rng, patients: int, images: int, gap: float = 0.0) -> Block:
    """Two classifiers whose errors agree within a patient: each has a taste for the patient, not for the image."""
    who = np.repeat(np.arange(patients), images)
    labels = rng.permutation(np.resize([False, True], patients))[who]
    a, b = (
        1.5 * labels + g * labels + rng.normal(size=patients)[who] + 0.3 * rng.normal(size=len(who)) for g in (gap, 0)
    )
    return block(a, b, labels, who, threshold=0.75)


@pytest.mark.slow
def test_with_clustered_images_the_naive_test_over_rejects_and_ours_does_not():
    rng, naive, ours, closed, trials = np.random.default_rng(0), 0, 0, 0, 400
    for trial in range(trials):
        found = clustered(rng, patients=40, images=6)
        shares = paired_tests.auroc_shares(found, 40)
        ours += paired_tests.permutation_p(shares[:, None], 399, seed=trial)[0] <= 0.05
        closed += paired_tests.auroc_test([found], 40).p <= 0.05
        naive += paired_tests.auroc_test([found._replace(patients=np.arange(240))], 240).p <= 0.05
    assert naive / trials > 0.25
    assert ours / trials <= 0.05 + 3 * (0.05 * 0.95 / trials) ** 0.5
    assert closed / trials <= 0.10  # 40 patients: a normal p is a little too small


@pytest.mark.slow
def test_a_real_difference_is_found():
    rng, found = np.random.default_rng(1), 0
    for trial in range(40):
        shares = paired_tests.auroc_shares(clustered(rng, patients=200, images=3, gap=1.0), 200)
        found += paired_tests.permutation_p(shares[:, None], 399, seed=trial)[0] <= 0.05
    assert found >= 36


@pytest.mark.slow
def test_twenty_equal_models_seldom_give_a_false_better():
    """Adjusted for all pairs. Adjusted for the 19 tests against the best row alone, the choice of that row is
    forgotten, and false answers come in more than 5 % of the tables.
    """
    rng, models, patients, tables = np.random.default_rng(2), 20, 120, 150
    pairs = [(i, j) for i in range(models) for j in range(i + 1, models)]
    wrong, forgetful = 0, 0
    for table in range(tables):
        labels = rng.permutation(np.resize([False, True], patients))
        scores = 1.5 * labels + rng.normal(size=patients) + rng.normal(size=(models, patients))
        areas = [area(row, labels) for row in scores]
        best = int(np.argmax(areas))
        shares = np.stack(
            [paired_tests.auroc_shares(block(scores[i], scores[j], labels), patients) for i, j in pairs], 1
        )
        p = paired_tests.permutation_p(shares, 3999, seed=table)
        to_best = [k for k, pair in enumerate(pairs) if best in pair]
        wrong += (paired_tests.holm(p)[to_best] <= 0.05).any()
        forgetful += (paired_tests.holm(p[to_best]) <= 0.05).any()
    assert wrong / tables <= 0.05
    assert forgetful / tables > 0.05
