"""Net benefit by hand and against counts, and what the band holds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from plainfilm.evaluate.metrics.decision_curve import _THRESHOLDS, _contributions, _simultaneous_band, decision_curve
from plainfilm.evaluate.metrics.sample import make_sample
from plainfilm.evaluate.stats.intervals import bootstrap


def sample_of(p, y, ids=None):
    p, y = np.asarray(p, float), np.asarray(y, int)
    ids = np.arange(len(y)) if ids is None else ids
    return make_sample(np.stack([1 - p, p], 1), y, ids, ids, positive=1, threshold=None)


def test_net_benefit_by_hand():
    """At 0.2 a false alarm costs a quarter: 3 found and 2 false alarms of 10 images are (3 - 2 / 4) / 10."""
    p = [0.9, 0.5, 0.2, 0.1, 0.3, 0.25, 0.19, 0.1, 0.05, 0.0]
    y = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    found = decision_curve(sample_of(p, y), n_boot=50)
    at = found.thresholds.index(0.2)
    assert found.net_benefit[at] == pytest.approx((3 - 2 / 4) / 10)
    assert found.treat_all[at] == pytest.approx((4 - 6 / 4) / 10)
    assert (found.n, found.n_patients) == (10, 10)
    top = found.thresholds.index(0.95)
    assert found.net_benefit[top] == found.ci_low[top] == found.ci_high[top] == 0  # nobody is predicted positive


def test_every_threshold_agrees_with_counted_images():
    rng = np.random.default_rng(0)
    y, p = rng.random(300) < 0.3, np.round(rng.random(300), 2)  # many scores lie on a threshold
    found = decision_curve(sample_of(p, y), n_boot=20)
    for t, benefit, everybody in zip(found.thresholds, found.net_benefit, found.treat_all, strict=True):
        predicted = p >= t
        expected = ((predicted & y).sum() - (predicted & ~y).sum() * t / (1 - t)) / 300
        assert benefit == pytest.approx(expected, abs=1e-6)
        assert everybody == pytest.approx((y.sum() - (~y).sum() * t / (1 - t)) / 300, abs=1e-6)


def test_a_perfect_score_is_worth_the_prevalence_and_a_useless_one_is_not_useful():
    y = np.resize([1, 0, 0], 600)
    perfect = decision_curve(sample_of(np.where(y, 0.999, 0.001), y), n_boot=200)
    assert perfect.net_benefit == pytest.approx([1 / 3] * 99, abs=1e-6)
    # of 400 images that are not predicted positive 3.84 / 403.84 may be wrong, less than a gain of 0.01 / 0.99 pays for;
    # of 200 that are 3.84 / 203.84, a loss at thresholds of 0.99
    assert perfect.useful == perfect.thresholds[:98]
    useless = decision_curve(sample_of(np.random.default_rng(0).random(600), y), n_boot=200)
    assert useless.useful == []


def test_other_numbers_of_classes_have_no_curve():
    probs = np.full((4, 3), 1 / 3)
    three = make_sample(probs, np.array([0, 1, 2, 0]), np.arange(4), None, positive=None, threshold=None)
    assert decision_curve(three) is None
    assert decision_curve(sample_of([], [])) is None


def test_without_a_patient_key_images_are_drawn_and_that_is_said():
    p, y = np.array([0.2, 0.8, 0.6]), np.array([0, 1, 1])
    alone = make_sample(np.stack([1 - p, p], 1), y, np.arange(3), None, positive=1, threshold=None)
    found = decision_curve(alone, n_boot=20)
    assert found.method.startswith("bootstrap/images (pointwise percentiles; ") and found.n_patients is None


def test_copies_of_patients_do_not_narrow_the_band():
    rng = np.random.default_rng(1)
    y = rng.random(80) < 0.5
    p = 1 / (1 + np.exp(-(2.0 * y - 1 + rng.normal(size=80))))
    alone = decision_curve(sample_of(p, y), n_boot=1000)
    copies = decision_curve(sample_of(np.repeat(p, 5), np.repeat(y, 5), np.repeat(np.arange(80), 5)), n_boot=1000)
    at = alone.thresholds.index(0.5)
    width = [found.ci_high[at] - found.ci_low[at] for found in (alone, copies)]
    assert copies.net_benefit == alone.net_benefit and width[1] == pytest.approx(width[0], rel=0.15)


@pytest.mark.slow
def test_the_band_covers_the_true_net_benefit_of_clustered_images():
    rng, held, trials = np.random.default_rng(2), np.zeros(3), 200

    def draw(patients):
        ids = np.repeat(np.arange(patients), rng.integers(1, 9, patients))
        y = (rng.random(patients) < 0.4)[ids]
        return (
            1 / (1 + np.exp(-(2.0 * y - 1 + rng.normal(size=patients)[ids] + 0.5 * rng.normal(size=len(ids))))),
            y,
            ids,
        )

    at = [_THRESHOLDS.tolist().index(t) for t in (0.2, 0.5, 0.8)]
    p, y, _ = draw(60_000)
    truth = _contributions(p, y, _THRESHOLDS[at]).mean(axis=0)
    for _ in range(trials):
        found = decision_curve(sample_of(*draw(150)), n_boot=200)
        held += [found.ci_low[i] <= value <= found.ci_high[i] for i, value in zip(at, truth, strict=True)]
    assert (held / trials >= 0.90).all() and (held / trials <= 0.99).all()


def by_hand(rows, level, rare):
    """Limits of each threshold from its value and its draws, rows of (value, draw, draw, ...).

    `rare`: by threshold, which images may be wrong, which of them are, and of which patient; Wilson's upper limit of
    their share leaves room for more.
    """
    spreads = [np.std(row[1:]) for row in rows]
    largest = [
        max(abs(row[b] - row[0]) / spread for row, spread in zip(rows, spreads, strict=True) if spread > 1e-9)
        for b in range(1, len(rows[0]))
    ]
    reach = np.quantile(largest, level)
    low = []
    for t, row, spread, (chosen, wrong, ids) in zip(_THRESHOLDS, rows, spreads, rare, strict=True):
        room = 0.0
        if chosen.any():
            size = np.unique(ids[chosen], return_counts=True)[1]
            n, p, z2 = size.sum() ** 2 / (size**2).sum(), wrong[chosen].mean(), norm.ppf((1 + level) / 2) ** 2
            upper = (p + z2 / (2 * n) + (z2 * (p * (1 - p) / n + z2 / (4 * n**2))) ** 0.5) / (1 + z2 / n)
            room = chosen.mean() * (upper - p) / (1 - t)
        low.append(row[0] - max(reach * spread, room))
    return low, [row[0] + reach * spread for row, spread in zip(rows, spreads, strict=True)]


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_bands_and_what_is_useful_are_those_of_counted_draws(level):
    """Each draw's net benefit counted image by image; the band over all thresholds reaches as many standard deviations
    as the largest deviation of a draw does in that share of the draws, and useful is where that of the gain is above 0.
    """
    rng = np.random.default_rng(5)
    y = rng.random(60) < 0.4
    p = np.round(1 / (1 + np.exp(-(2.0 * y - 1 + rng.normal(size=60)))), 2)
    sample = sample_of(p, y, np.arange(60) // 2)
    found = decision_curve(sample, n_boot=80, seed=6, level=level)
    scores, sick = sample.probs[:, 1], sample.targs == 1
    weights = bootstrap({"w": lambda w: w}, sample.clusters, 80, 6)["w"]
    tail = (1 - level) / 2
    models, gains, flagged, at_stake = [], [], [], []
    for i, t in enumerate(found.thresholds):
        cost, predicted = t / (1 - t), scores >= t
        model = [(w[predicted & sick].sum() - cost * w[predicted & ~sick].sum()) / w.sum() for w in weights]
        everybody = [(w[sick].sum() - cost * w[~sick].sum()) / w.sum() for w in weights]
        low, high = np.quantile(model, [tail, 1 - tail])
        assert (found.ci_low[i], found.ci_high[i]) == pytest.approx((low, high), abs=1e-6)
        models.append([found.net_benefit[i], *model])
        flagged.append((predicted, ~sick, sample.clusters))
        at_stake.append(flagged[-1] if found.treat_all[i] <= 0 else (~predicted, sick, sample.clusters))
        own = found.net_benefit[i] - max(found.treat_all[i], 0)
        gains.append([own, *(m - max(e, 0) for m, e in zip(model, everybody, strict=True))])
    low, high = by_hand(models, level, flagged)
    assert (found.band_low, found.band_high) == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))
    low = by_hand(gains, level, at_stake)[0]
    useful = [t for t, limit in zip(found.thresholds, low, strict=True) if limit > 1e-5]
    assert found.useful == useful and 0 < len(useful) < 99
    assert found.method == "bootstrap/patients (pointwise percentiles; band: sup-t over 99 thresholds)" and (
        found.n,
        found.n_patients,
    ) == (60, 30)
    assert [round(value, 6) for value in found.net_benefit] == found.net_benefit


def test_the_positive_class_may_be_the_first():
    p, y = np.array([0.9, 0.4, 0.3, 0.2]), np.array([1, 0, 1, 0])
    first = make_sample(np.stack([p, 1 - p], 1), 1 - y, np.arange(4), None, positive=0, threshold=None)
    second = make_sample(np.stack([1 - p, p], 1), y, np.arange(4), None, positive=1, threshold=None)
    assert decision_curve(first, n_boot=20).net_benefit == decision_curve(second, n_boot=20).net_benefit


def test_a_curve_is_drawn_2000_times_from_seed_0_with_95_percent_unless_given_otherwise():
    sample = sample_of([0.9, 0.4, 0.3, 0.2, 0.6], [1, 0, 1, 0, 1])
    assert decision_curve(sample) == decision_curve(sample, n_boot=2000, seed=0, level=0.95)
    assert decision_curve(sample, n_boot=50).ci_low != decision_curve(sample, n_boot=50, seed=1).ci_low


def noise(rng, patients, prevalence):
    """Scores that have nothing to do with the truth."""
    return sample_of(rng.random(patients), rng.random(patients) < prevalence)


def pointwise(sample):
    """Whether a pointwise band shows a gain anywhere: what was said before."""
    model = _contributions(sample.probs[:, 1], sample.targs == 1, _THRESHOLDS)
    everybody = _contributions(np.ones(len(model)), sample.targs == 1, _THRESHOLDS)
    draws = bootstrap({"m": lambda w: w @ model / w.sum(1, keepdims=True), "e": lambda w: w @ everybody / w.sum(1, keepdims=True)},
                      sample.clusters, 200, 0)  # fmt: skip
    return (np.quantile(draws["m"] - np.maximum(draws["e"], 0), 0.025, axis=0) > 0).any()


@pytest.mark.parametrize(("patients", "prevalence"), [(50, 0.1), (50, 0.5), (50, 0.9), (200, 0.5), (200, 0.9)])
def test_pure_noise_is_useful_somewhere_in_at_most_5_percent(patients, prevalence):
    """100 sets; two sd of 100 draws at 0.05 are 0.044."""
    rng = np.random.default_rng(patients)
    found = [decision_curve(noise(rng, patients, prevalence), n_boot=100).useful for _ in range(100)]
    assert np.mean([bool(useful) for useful in found]) <= 0.09


def test_control_a_pointwise_band_finds_noise_useful_more_often():
    rng = np.random.default_rng(50)
    assert np.mean([pointwise(noise(rng, 50, 0.5)) for _ in range(100)]) > 0.1


def test_a_useful_score_is_still_found_useful():
    rng = np.random.default_rng(3)
    y = rng.random(400) < 0.4
    p = 1 / (1 + np.exp(-(2.0 * y - 1 + rng.normal(size=400))))
    found = decision_curve(sample_of(p, y), n_boot=300)
    assert {0.3, 0.4, 0.5, 0.6} <= set(found.useful) and found.prevalence == y.mean()
    inside = [
        low <= a and b <= high
        for low, a, b, high in zip(found.band_low, found.ci_low, found.ci_high, found.band_high, strict=True)
    ]
    assert np.mean(inside) > 0.9  # percentiles of a skewed threshold may reach beyond


def test_a_simultaneous_band_by_hand():
    """Two thresholds with draws 1 and 2 sd away: the largest deviations are 1, 1, 2, 2 sd; the third never moves."""
    draws = np.array([[1.0, 0, 7], [-1, 0, 7], [1, 2, 7], [-1, -2, 7]])
    spread = np.array([1.0, 2**0.5, 0])
    reach = np.quantile([1, 1, 2**0.5, 2**0.5], 0.5)
    low, high = _simultaneous_band(np.array([0.0, 0, 7]), draws, 0.5)
    assert low == pytest.approx([-reach, -reach * 2**0.5, 7]) and high == pytest.approx([reach, reach * 2**0.5, 7])
    assert spread[1] == pytest.approx(draws[:, 1].std())


def test_one_patient_shows_nothing():
    """Every draw is the same: a gain without spread says nothing about other patients."""
    found = decision_curve(sample_of([0.9, 0.8, 0.1], [1, 1, 0], [5, 5, 5]), n_boot=50)
    assert found.useful == [] and found.net_benefit[49] > 0
