"""Do 95 % intervals hold the truth 95 % of the time? Simulated patients of 1-8 images, the truth known.

A proportion: each patient draws an own chance from a beta distribution (intra-class correlation `icc`). An area: two
normal distributions, each patient shifted by an own amount. With 5,000 to 20,000 simulations proportions were covered
0.94 to 0.98; the bounds here leave room for the error of fewer.
"""

import numpy as np
import pytest
from scipy.stats import norm

from plainfilm.evaluate.metrics.measure import measure
from plainfilm.evaluate.stats import auroc_interval, intervals, macro_mean
from plainfilm.evaluate.stats.intervals import Interval

pytestmark = pytest.mark.slow
ICCS = (0.1, 0.3, 0.5)


def simulated_proportion(patients, truth, icc, rng):
    """Hits bool (n,) and patient int (n,)."""
    chance = rng.beta(truth * (1 - icc) / icc, (1 - truth) * (1 - icc) / icc, patients)
    ids = np.repeat(np.arange(patients), rng.integers(1, 9, patients))
    return rng.random(len(ids)) < chance[ids], ids


def simulated_scores(patients, area, icc, rng):
    """Scores float (n,), labels bool (n,), one label per patient, and patient int (n,)."""
    ids = np.repeat(np.arange(patients), rng.integers(1, 9, patients))
    labels = (rng.random(patients) < 0.5)[ids]
    noise = icc**0.5 * rng.normal(size=patients)[ids] + (1 - icc) ** 0.5 * rng.normal(size=len(ids))
    return 2**0.5 * norm.ppf(area) * labels + noise, labels, ids


def proportion_coverage(patients, truth, icc, repeats, interval=intervals.proportion):
    rng = np.random.default_rng(patients)
    found = [interval(*simulated_proportion(patients, truth, icc, rng)) for _ in range(repeats)]
    return np.mean([low <= truth <= high for _, low, high, _ in found])


def naive_wilson(hits, ids):
    """Images taken for independent."""
    return Interval(hits.mean(), *intervals.wilson(hits.mean(), len(hits)), "wilson")


def sized_proportion(patients, sizes, truth, icc, rng):
    """Hits and patient; `sizes`: 1, or 85 % of the patients have 1 image and 15 % have 10."""
    chance = rng.beta(truth * (1 - icc) / icc, (1 - truth) * (1 - icc) / icc, patients)
    images = np.where(rng.random(patients) < 0.15, 10, 1) if sizes == "skewed" else np.ones(patients, int)
    ids = np.repeat(np.arange(patients), images)
    return rng.random(len(ids)) < chance[ids], ids


@pytest.mark.parametrize("icc", ICCS)
@pytest.mark.parametrize("truth", [0.85, 0.97, 0.995])
@pytest.mark.parametrize(("patients", "repeats"), [(45, 2000), (400, 1000)])
def test_proportions_are_covered(patients, repeats, truth, icc):
    # exact limits hold more than they say where hardly an image is wrong
    assert 0.925 <= proportion_coverage(patients, truth, icc, repeats) <= 0.998


@pytest.mark.parametrize("patients", [45, 400])
def test_control_taking_images_for_independent_covers_less(patients):
    assert proportion_coverage(patients, 0.85, 0.5, 1000, naive_wilson) < 0.85
    assert proportion_coverage(patients, 0.85, 0.5, 1000) > 0.92


def percentile_bootstrap(hits, ids):
    draws = intervals.bootstrap({"x": lambda w: w @ hits / w.sum(axis=1)}, ids, 200, 0)["x"]
    return Interval(hits.mean(), *np.quantile(draws, [0.025, 0.975]), "percentile")


def test_control_the_percentile_bootstrap_fails_at_the_boundary():
    assert proportion_coverage(45, 0.995, 0.3, 300, percentile_bootstrap) < 0.6
    assert proportion_coverage(45, 0.995, 0.3, 300) > 0.92


@pytest.mark.parametrize("icc", [0.1, 0.5])
@pytest.mark.parametrize("area", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("patients", "repeats"), [(45, 800), (400, 300)])
def test_areas_are_covered(patients, repeats, area, icc):
    rng, held = np.random.default_rng(patients), []
    for _ in range(repeats):
        scores, labels, ids = simulated_scores(patients, area, icc, rng)
        found = auroc_interval.auroc_interval([auroc_interval.curve(scores, labels)], ids)
        held.append(found.low <= area <= found.high)
    # at 0.99 a few misplaced patients decide, and the bound on the variance makes it 0.99
    assert (0.92 if patients == 45 else 0.90) <= np.mean(held) <= 0.998


def test_control_delong_on_images_covers_less():
    rng, held = np.random.default_rng(0), []
    for _ in range(300):
        scores, labels, ids = simulated_scores(45, 0.8, 0.5, rng)
        found = auroc_interval.auroc_interval([auroc_interval.curve(scores, labels)], np.arange(len(ids)))
        held.append(found.low <= 0.8 <= found.high)
    assert np.mean(held) < 0.88


def calibrated_predictions(patients, area, rng):
    """Probabilities that are the true chance: the calibration error is 0."""
    scores, labels, ids = simulated_scores(patients, area, 0.3, rng)
    shift = 2**0.5 * norm.ppf(area)
    p = 1 / (1 + np.exp(-(shift * scores - shift**2 / 2)))
    return np.stack([1 - p, p], axis=1), labels.astype(int), ids


def test_the_remaining_metrics_are_covered_and_a_calibrated_model_may_be_calibrated():
    rng = np.random.default_rng(0)
    options = {"positive": 1, "threshold": 0.5}
    probs, targs, _ = calibrated_predictions(30_000, 0.95, rng)
    names = ("balanced_accuracy", "f1", "auprc", "brier", "ece")
    large = measure(probs, targs, clusters=range(len(targs)), n_boot=5, **options)
    truth = {name: large[name].value for name in names} | {"ece": 0.0}
    held = dict.fromkeys(names, 0)
    for _ in range(150):
        probs, targs, ids = calibrated_predictions(45, 0.95, rng)
        found = measure(probs, targs, clusters=ids, n_boot=200, **options)
        for name in names:
            held[name] += found[name].ci_low <= truth[name] <= found[name].ci_high
    assert {name: count / 150 for name, count in held.items() if count / 150 < 0.89} == {}


def simulated_predictions(patients, rate, icc, rng):
    """Predicted positive bool (n,), labels bool (n,) and patient int (n,); sensitivity and specificity are `rate`."""
    hits, ids = simulated_proportion(patients, rate, icc, rng)
    labels = (rng.random(patients) < 0.5)[ids]
    return np.where(hits, labels, ~labels), labels, ids


@pytest.mark.parametrize(
    ("patients", "repeats", "rate"),
    [(45, 250, 0.995), (400, 120, 0.85),
     *(pytest.param(*each, marks=pytest.mark.campaign) for each in ((45, 250, 0.85), (45, 250, 0.97), (400, 120, 0.97), (400, 120, 0.995)))],
)  # fmt: skip
def test_the_matthews_correlation_is_covered(patients, repeats, rate):
    rng, held, known = np.random.default_rng(patients), 0, 0
    for _ in range(repeats):
        predicted, labels, ids = simulated_predictions(patients, rate, 0.3, rng)
        probs = np.stack([~predicted, predicted], axis=1).astype(float)
        found = measure(probs, labels.astype(int), clusters=ids, positive=1, threshold=0.5, n_boot=200)["mcc"]
        if found.value is not None:
            known += 1
            held += found.ci_low <= 2 * rate - 1 <= found.ci_high  # of two classes of equal size
    assert known > 0.99 * repeats
    assert held / known >= 0.91


@pytest.mark.parametrize(("inside", "outside"), [(0.97, 0.85), (0.995, 0.97)])
def test_the_generalization_gap_is_covered(inside, outside):
    """400 patients inside, 45 outside, all of them others."""
    rng, held, naive = np.random.default_rng(0), 0, 0
    for _ in range(1000):
        samples = [simulated_proportion(n, truth, 0.3, rng) for n, truth in ((45, outside), (400, inside))]
        for ours in (True, False):
            found = intervals.difference(*((intervals.proportion if ours else naive_wilson)(*s) for s in samples))
            covered = found.low <= outside - inside <= found.high
            held, naive = held + (ours and covered), naive + (not ours and covered)
    assert 0.93 <= held / 1000 <= 0.993
    assert naive / 1000 < 0.9


SETTINGS = [(patients, truth, icc) for patients in (45, 400) for truth in (0.85, 0.97, 0.995) for icc in ICCS]


@pytest.mark.campaign
def test_proportions_are_covered_in_93_to_97_of_100_and_the_naive_interval_in_fewer():
    """Measured with 3,000 each: 0.937 to 0.981, on average 0.956; images taken for independent 0.70 to 0.93."""
    ours = np.array([proportion_coverage(*setting, 3000) for setting in SETTINGS])
    naive = np.array([proportion_coverage(*setting, 1000, naive_wilson) for setting in SETTINGS])
    assert 0.93 <= ours.mean() <= 0.97
    assert ours.min() >= 0.93 and ours.max() <= 0.985
    assert (naive < ours).all() and naive.mean() < 0.85


@pytest.mark.campaign
def test_areas_are_covered_in_at_least_93_of_100_and_the_naive_interval_in_fewer():
    """Measured: 0.944 to 0.988; at 0.995 and 45 patients one or two misplaced patients decide, and it errs to the wide side."""
    ours, naive = [], []
    for patients, repeats in ((45, 800), (400, 400)):
        for area in (0.85, 0.97, 0.995):
            rng, held = np.random.default_rng(patients), np.zeros(2)
            for _ in range(repeats):
                scores, labels, ids = simulated_scores(patients, area, 0.5, rng)
                roc = auroc_interval.curve(scores, labels)
                found = [auroc_interval.auroc_interval([roc], unit) for unit in (ids, np.arange(len(ids)))]
                held += [each.low <= area <= each.high for each in found]
            ours.append(held[0] / repeats)
            naive.append(held[1] / repeats)
    assert min(ours) >= 0.93 and np.mean(ours) <= 0.975
    assert all(few < many for few, many in zip(naive, ours, strict=True))


@pytest.mark.parametrize(
    ("patients", "sizes", "truth", "icc"),
    [(30, "one", 0.995, 0.3), (100, "one", 0.995, 0.3), (30, "one", 0.9, 0.3), (30, "skewed", 0.6, 0.8),
     (100, "skewed", 0.6, 0.8), (100, "skewed", 0.9, 0.8), (100, "skewed", 0.9, 0.3), (400, "skewed", 0.995, 0.8)],
)  # fmt: skip
def test_rates_near_1_and_of_few_patients_with_most_of_the_images_are_covered(patients, sizes, truth, icc):
    """The table of docs/explanation/intervals.md (`benchmarks/coverage.py`) has all designs and more simulations."""
    rng = np.random.default_rng(patients)
    samples = [sized_proportion(patients, sizes, truth, icc, rng) for _ in range(800)]
    held = np.mean([low <= truth <= high for _, low, high, _ in (intervals.proportion(*s) for s in samples)])
    assert held >= 0.925


def test_control_wilsons_interval_covers_less_near_1():
    """Of 30 patients with a true rate of 0.995 it misses wherever one is wrong: covered 0.995^30 = 0.860."""
    rng = np.random.default_rng(0)
    samples = [sized_proportion(30, "one", 0.995, 0.3, rng) for _ in range(2000)]
    held = np.mean([low <= 0.995 <= high for _, low, high, _ in (naive_wilson(*s) for s in samples)])
    assert held == pytest.approx(0.995**30, abs=0.03)


def movers_mean(parts, level=0.95):
    """The mean with limits from those of its parts, taken for independent (Zou & Donner 2008)."""
    value, low, high = (np.array([part.interval[i] for part in parts]) for i in range(3))
    down, up = (((value - low) ** 2).sum() ** 0.5, ((high - value) ** 2).sum() ** 0.5)
    return Interval(value.mean(), value.mean() - down / len(parts), value.mean() + up / len(parts), "mover")


@pytest.mark.parametrize("classes", [10, 40])
def test_the_mean_rate_of_many_classes_with_few_images_is_covered(classes):
    """5 images a class, true rate 0.9: limits made of the classes' own are too low, as none can rise above 1."""
    rng, targs, ids = np.random.default_rng(classes), np.repeat(np.arange(classes), 5), np.arange(5 * classes)
    held, above, repeats = 0, 0, 300
    for _ in range(repeats):
        hits = rng.random(len(targs)) < 0.9
        parts = [macro_mean.rate_of(hits, targs == c, ids, 0.95) for c in range(classes)]
        found = macro_mean.mean_of(parts)
        held += found.low <= 0.9 <= found.high
        above += movers_mean(parts).high < 0.9
    assert held / repeats >= 0.93
    assert classes == 10 or above / repeats > 0.06  # of 2.5 % that may lie there


def shared_groups(rng, first, second, patients):
    """Curves of two groups of positives with these areas against the same negatives, one image a patient."""
    negatives, ids = rng.normal(size=patients), np.arange(3 * patients)
    labels = np.arange(2 * patients) >= patients
    sides = []
    for area, own in ((first, ids[patients : 2 * patients]), (second, ids[2 * patients :])):
        scores = np.append(negatives, rng.normal(size=patients) + 2**0.5 * norm.ppf(area))
        roc = auroc_interval.curve(scores, labels)
        sides.append(auroc_interval.Ranked(roc, np.append(ids[:patients], own)))
    return sides


def excludes_zero(found):
    return found.low > 0 or found.high < 0


def test_the_gap_of_areas_against_the_same_negatives_is_rejected_as_often_as_it_says():
    """150 patients each, areas 0.9: limits for independent areas reject a fifth as often, and have less power."""
    rng, repeats, wrong = np.random.default_rng(0), 600, np.zeros(2)
    for _ in range(repeats):
        a, b = shared_groups(rng, 0.9, 0.9, 150)
        apart = intervals.difference(*(auroc_interval.auroc_interval([each.roc], each.clusters) for each in (a, b)))
        wrong += excludes_zero(auroc_interval.shared_gap(a, b, shared=False).at(0.95)), excludes_zero(apart)
    assert 0.03 <= wrong[0] / repeats <= 0.07 and wrong[1] / repeats < 0.03
    rng, power = np.random.default_rng(1), np.zeros(2)
    for _ in range(200):
        a, b = shared_groups(rng, 0.94, 0.89, 150)
        apart = intervals.difference(*(auroc_interval.auroc_interval([each.roc], each.clusters) for each in (a, b)))
        power += excludes_zero(auroc_interval.shared_gap(a, b, shared=False).at(0.95)), excludes_zero(apart)
    assert power[0] / 200 >= 0.8 and power[0] > power[1] + 30
