"""Known miscalibrations are found, and scikit-learn finds the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from plainfilm.errors import DataError
from plainfilm.evaluate.metrics.calibration import (
    COLDEST,
    _fit_temperature,
    calibration_line,
    fit_scaling,
    less_bias,
    line_interval,
    line_statistic,
    reliability,
)
from plainfilm.evaluate.metrics.measure import measure
from plainfilm.evaluate.stats.intervals import bootstrap, proportion
from plainfilm.runs.scaling import Scaling


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose decision is its input, as scikit-learn wants one."""

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, x):
        return x[:, 0] if x.shape[1] == 1 else x

    def predict(self, x):
        return self.classes_[(x[:, 0] > 0).astype(int) if x.shape[1] == 1 else x.argmax(axis=1)]


def three_class_logits(n, temperature, seed):
    """Logits whose softmax at `temperature` is the truth's own distribution."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, 3))
    probs = Scaling().probs(logits)
    targs = (rng.random((n, 1)) > probs.cumsum(axis=1)).sum(axis=1)
    return temperature * logits, targs


def binary(n, intercept, slope, seed, images=1, icc=0.0):
    """Scores, truth and patients for which logit P(positive) = intercept + slope * logit(score).

    With `icc` above 0 images of a patient share their truth's draw in that share of the patients.
    """
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n), images)
    x = np.repeat(rng.normal(scale=2, size=n), images) + (rng.normal(scale=0.5, size=n * images) if images > 1 else 0)
    own, shared = rng.random(n * images), np.repeat(rng.random(n), images)
    u = np.where(np.repeat(rng.random(n) < icc, images), shared, own)
    return sigmoid(x), u < sigmoid(intercept + slope * x), patients


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found_within_5_percent(temperature):
    logits, targs = three_class_logits(20_000, temperature, seed=1)
    assert _fit_temperature(logits, targs).scaling.temperature == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("k", [2, 3])
def test_scikit_learn_finds_the_same_temperature(k):
    logits, targs = three_class_logits(300, 1.7, seed=4)
    if k == 2:
        keep = targs < 2
        logits, targs = logits[keep, :2], targs[keep]
    x = logits if k == 3 else (logits[:, 1:] - logits[:, :1]) / 2  # of two classes it takes logits (-x, x)
    theirs = CalibratedClassifierCV(FrozenEstimator(Given().fit(x, targs)), method="temperature", ensemble=False)
    theirs.fit(x, targs)
    ours = _fit_temperature(logits, targs).scaling.probs(logits)
    assert ours == pytest.approx(theirs.predict_proba(x), abs=1e-6)


def test_a_temperature_worked_out_by_hand():
    """Two thirds of the images are predicted correctly by logits (a, 0): softmax must be 2/3, so a / T = ln 2."""
    logits, targs = np.tile([3.0, 0.0], (30, 1)), np.array([0, 0, 1] * 10)
    assert _fit_temperature(logits, targs).scaling.temperature == pytest.approx(3 / np.log(2), rel=1e-6)


def test_images_that_are_all_predicted_correctly_leave_the_temperature_alone():
    found = _fit_temperature(np.array([[2.0, 0.0], [0.0, 0.1]]), np.array([0, 1]))
    assert found.scaling.temperature == 1.0
    assert found.note.startswith("TEMPERATURE 1: no image") and "fitted" in found.note


def test_a_temperature_at_its_limit_is_noted_and_no_image_is_refused():
    nearly = np.vstack([np.tile([1.0, 0.0], (500, 1)), [[1e-4, 0.0]]])
    found = _fit_temperature(nearly, np.array([0] * 500 + [1]))
    assert found.scaling.temperature == pytest.approx(COLDEST, rel=1e-3)
    assert "at its limit" in found.note
    with pytest.raises(DataError, match="there are none"):
        _fit_temperature(np.empty((0, 2)), np.empty(0, int))


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 5), st.floats(-3, 3))
@settings(max_examples=30, deadline=None)
def test_logits_times_c_have_a_temperature_c_times_as_high_and_a_shift_changes_nothing(seed, c, shift):
    logits, targs = three_class_logits(400, 1.3, seed)
    one = _fit_temperature(logits, targs).scaling.temperature
    if COLDEST * 1.01 < one * c < 9.9:
        assert _fit_temperature(c * logits + shift, targs).scaling.temperature == pytest.approx(one * c, rel=1e-4)


# the line ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("intercept", "slope"), [(0.4, 0.5), (0.0, 1.0), (-0.6, 1.8)])
def test_a_known_miscalibration_is_found_within_5_percent(intercept, slope):
    confidence, correct, _ = binary(60_000, intercept, slope, seed=2)
    found = calibration_line(confidence, correct)
    assert found == pytest.approx((intercept, slope), rel=0.05, abs=0.05 * 0.4)


def test_scikit_learn_fits_the_same_line():
    confidence, correct, _ = binary(300, 0.4, 0.5, seed=3)
    x = np.log(confidence / (1 - confidence))[:, None]
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, correct)
    expected = theirs.intercept_[0], theirs.coef_[0, 0]
    assert calibration_line(confidence, correct) == pytest.approx(expected, rel=1e-5)


def test_a_line_worked_out_by_hand():
    """Of scores 0.8 half are positive, of scores 0.2 a quarter: the line goes through (ln 4, 0) and (-ln 4, -ln 3)."""
    confidence, correct = np.repeat([0.8, 0.2], 8), np.array([1] * 4 + [0] * 4 + [1] * 2 + [0] * 6, bool)
    slope = np.log(3) / (2 * np.log(4))
    assert calibration_line(confidence, correct) == pytest.approx((-np.log(3) / 2, slope), abs=1e-8)


@pytest.mark.parametrize(
    ("confidence", "correct"),
    [([0.2, 0.8, 0.9], [0, 1, 1]), ([0.2, 0.5, 0.5, 0.9], [0, 0, 1, 1]), ([0.2, 0.8], [1, 1]), ([0.5, 0.5], [0, 1])],
)
def test_where_no_line_fits_there_is_none(confidence, correct):
    assert calibration_line(np.array(confidence), np.array(correct, bool)) is None


def test_a_step_of_the_whole_sample_goes_nowhere_and_a_draw_goes_where_a_full_fit_goes():
    confidence, correct, _ = binary(3000, 0.4, 0.5, seed=5)
    line = calibration_line(confidence, correct)
    weights = np.random.default_rng(0).poisson(1, size=(2, 3000)).astype(float)
    stepped = line_statistic(confidence, correct, line)(np.vstack([np.ones(3000), weights]))
    assert stepped[0] == pytest.approx(line, abs=1e-8)
    for i in (0, 1):
        rows = np.repeat(np.arange(3000), weights[i].astype(int))
        assert stepped[i + 1] == pytest.approx(calibration_line(confidence[rows], correct[rows]), abs=0.01)


@pytest.mark.parametrize(("images", "icc"), [(1, 0.0), (4, 0.6)])
def test_intervals_of_the_line_cover_95_percent(images, icc):
    """300 data sets of 150 patients; two sd of 300 draws at 0.95 are 0.025."""
    inside = np.zeros(2)
    for seed in range(300):
        confidence, correct, patients = binary(150, 0.4, 0.5, seed, images, icc)
        line = calibration_line(confidence, correct)
        draws = bootstrap({"line": line_statistic(confidence, correct, line)}, patients, 300, seed)["line"]
        for i, truth in enumerate((0.4, 0.5)):
            found = line_interval(line[i], draws[:, i], 150)
            inside[i] += found.low <= truth <= found.high
    assert (inside / 300 >= 0.92).all(), inside / 300
    assert (inside / 300 <= 0.98).all(), inside / 300


def test_the_line_stands_among_the_metrics_and_counts_patients():
    confidence, correct, patients = binary(400, 0.4, 0.5, seed=6, images=2)
    found = measure(
        np.column_stack([1 - confidence, confidence]), correct.astype(int), clusters=patients, patients=patients,
        positive=1, threshold=0.5, n_boot=200,
    )  # fmt: skip
    intercept, slope = calibration_line(confidence, correct)
    assert found["calibration_slope"].value == pytest.approx(slope)
    assert found["calibration_intercept"].value == pytest.approx(intercept)
    assert (found["calibration_slope"].n, found["calibration_slope"].n_patients) == (800, 400)


# bin by bin ----------------------------------------------------------------------------------------------------------


def test_the_correction_takes_noise_away_and_leaves_a_true_gap():
    calibrated, gap = [], []
    for seed in range(30):
        for found, (intercept, slope) in ((calibrated, (0.0, 1.0)), (gap, (0.8, 1.0))):
            p, y, ids = binary(400, intercept, slope, seed)
            probs = np.column_stack([1 - p, p])
            ece = measure(probs, y.astype(int), clusters=ids, positive=1, threshold=0.5, n_boot=200)["ece"]
            found.append((ece.value, np.abs(gaps(p, y)).sum()))
    corrected, plain = np.mean(calibrated, axis=0)
    assert 0.3 < corrected / plain < 0.7  # the true error is 0
    p, y, _ = binary(200_000, 0.8, 1.0, seed=99)
    truth = np.abs(gaps(p, y)).sum()
    corrected, plain = np.mean(gap, axis=0)
    assert abs(corrected - truth) < abs(plain - truth)
    assert corrected == pytest.approx(truth, rel=0.05)


def gaps(p, y):
    """Signed gap of each of 15 bins of equal mass, times its share: written independently."""
    order = np.argsort(p)
    return np.array([(y[part] - p[part]).sum() / len(p) for part in np.array_split(order, 15)])


def test_the_correction_by_hand():
    assert less_bias(0.10, np.array([0.11, 0.13])) == pytest.approx(0.08)
    assert less_bias(0.10, np.array([0.3])) == 0.0
    assert less_bias(0.99, np.array([0.97])) == 1.0  # no sum of |gaps| is larger


def test_the_diagrams_points_are_the_bins_means():
    p = np.linspace(0.01, 0.99, 30)
    y = np.arange(30) % 3 == 0
    bins = reliability(p, y, np.arange(30))
    assert [b.n for b in bins] == [2] * 15
    assert bins[0].score == pytest.approx(p[:2].mean())
    assert [b.share.value for b in bins[:3]] == [0.5, 0.5, 0.0]  # positives are 0, 3, 6, ...
    assert all(b.share.low <= b.share.value <= b.share.high for b in bins)
    assert [b.n for b in reliability(np.full(7, 0.3), np.arange(7) < 2, np.arange(7))] == [7]


# by hand, at levels that are not the default -----------------------------------------------------------------------------


@given(
    st.integers(2, 12), st.integers(1, 40), st.floats(0.1, 10),
    st.floats(-3, 2.5), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_softmax_has_the_bytes_of_the_formula(k, n, temperature, power, seed):
    """Saved probabilities of earlier versions came from it; in the order of these operations."""
    logits = np.random.default_rng(seed).normal(size=(n, k)) * 10**power
    scaled = logits / temperature
    exp = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    found, expected = Scaling(temperature).probs(logits), exp / exp.sum(axis=1, keepdims=True)
    assert found.dtype == np.float64 and found.tobytes() == expected.tobytes()


def test_softmax_by_hand_at_a_temperature():
    assert Scaling(2.0).probs(np.array([[2 * np.log(3), 0.0]])) == pytest.approx(np.array([[0.75, 0.25]]))
    assert Scaling().probs(np.array([[1000.0, 0, -1000]])).tolist() == [[1, 0, 0]]


def test_a_temperature_at_the_upper_limit_is_noted_and_one_inside_has_no_note():
    """Wrong as often as right with confident logits: no finite temperature is high enough."""
    found = _fit_temperature(np.tile([9.0, 0.0], (10, 1)), np.array([0, 1] * 5))
    assert found.scaling.temperature == pytest.approx(10, rel=1e-3)
    assert found.note.startswith("TEMPERATURE 10 is at its limit")
    inside = _fit_temperature(np.tile([3.0, 0.0], (30, 1)), np.array([0, 0, 1] * 10))
    assert inside.note == ""
    near = _fit_temperature(np.tile([9.9 * np.log(2), 0.0], (30, 1)), np.array([0, 0, 1] * 10))
    assert near.scaling.temperature == pytest.approx(9.9) and near.note == ""
    cold = _fit_temperature(np.tile([0.11 * np.log(2), 0.0], (30, 1)), np.array([0, 0, 1] * 10))
    assert cold.scaling.temperature == pytest.approx(0.11) and cold.note == ""


def test_one_tie_with_the_true_logit_is_no_wrong_call():
    found = _fit_temperature(np.array([[1.0, 1.0], [0.0, 2.0]]), np.array([0, 1]))
    assert found.scaling.temperature == 1.0 and "no image" in found.note


@pytest.mark.parametrize(("intercept", "slope"), [(-6.0, 4.0), (5.0, 0.3), (0.0, -2.0)])
def test_steep_flat_and_falling_lines_are_those_of_scikit_learn(intercept, slope):
    confidence, correct, _ = binary(400, intercept, slope, seed=11)
    x = np.log(confidence / (1 - confidence))[:, None]
    theirs = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(x, correct)
    expected = theirs.intercept_[0], theirs.coef_[0, 0]
    assert calibration_line(confidence, correct) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("x", "correct", "times"),
    [([0.1, -3.3, 15.6, 0.5], [1, 0, 1, 0], [200, 1, 1, 1]), ([-15.8, -0.1, -0.3, 0, -8.8], [1, 1, 0, 0, 1], [2, 1, 1, 200, 2])],
)  # fmt: skip
def test_a_newton_step_that_goes_too_far_is_halved(x, correct, times):
    """Few far-off scores among 200 equal ones: from a flat line the whole step makes the loss larger."""
    x, correct = np.repeat(np.array(x), times), np.repeat(np.array(correct, bool), times)
    intercept, slope = calibration_line(sigmoid(x), correct)
    miss = correct - sigmoid(intercept + slope * x)  # at the best line the residuals and their product with x are 0
    assert [miss.sum(), (miss * x).sum()] == pytest.approx([0, 0], abs=1e-6)


def test_scores_of_0_and_1_have_a_line():
    confidence = np.array([0.0, 1.0, 0.0, 1.0, 0.5, 0.5, 0.0, 1.0])
    correct = np.array([0, 1, 1, 0, 1, 0, 0, 1], bool)
    x = np.log(1e-9 / (1 - 1e-9))  # scores are saved with nine digits
    # at 0 a third is positive, at 1 two thirds, between them half: slope ln 2 / -x
    assert calibration_line(confidence, correct) == pytest.approx((0, np.log(2) / -x), abs=1e-9)


@pytest.mark.parametrize(
    ("confidence", "correct"),
    [([0.2, 0.2, 0.6, 0.8], [1, 1, 1, 0]), ([0.2, 0.4, 0.4, 0.6], [1, 1, 0, 0]), ([0.2, 0.4, 0.4, 0.6], [0, 0, 1, 1])],
)
def test_a_cut_on_either_side_leaves_no_line(confidence, correct):
    assert calibration_line(np.array(confidence), np.array(correct, bool)) is None


def test_a_step_from_a_line_by_hand():
    """Scores 0.8 and 0.2 from the line (0, 1): one Newton step of weighted images, the 2 x 2 system solved by numpy."""
    confidence, correct = np.array([0.8, 0.8, 0.2, 0.2]), np.array([1, 0, 1, 0], bool)
    weights = np.array([[3.0, 1, 1, 2], [1, 1, 1, 1]])
    x = np.log(confidence / (1 - confidence))
    design = np.column_stack([np.ones(4), x])
    for row, found in zip(weights, line_statistic(confidence, correct, (0.0, 1.0))(weights), strict=True):
        hessian = (design * (row * confidence * (1 - confidence))[:, None]).T @ design
        step = np.linalg.solve(hessian, design.T @ (row * (correct - confidence)))
        assert found == pytest.approx(np.array([0, 1]) + step)
    alone = line_statistic(confidence, correct, (0.0, 1.0))(np.array([[1.0, 1, 0, 0], [0, 0, 0, 0]]))
    assert np.isnan(alone).all()  # one score: no line goes through it


@pytest.mark.parametrize(("patients", "level"), [(10, 0.9), (3, 0.5)])
def test_the_interval_of_a_line_by_hand(patients, level):
    half = student.ppf((1 + level) / 2, patients - 1) * 0.1
    found = line_interval(2.0, np.array([0.1, 0.2, 0.3, np.nan]), patients, level)
    assert found == (2.0, pytest.approx(2 - half), pytest.approx(2 + half), "bootstrap (t)")
    assert line_interval(2.0, np.array([0.5]), patients, level)[1:3] == (2, 2)
    assert line_interval(2.0, np.array([0.1, 0.3]), 9) == line_interval(2.0, np.array([0.1, 0.3]), 9, 0.95)
    assert line_interval(2.0, np.array([0.1, 0.3]), patients, level).high == pytest.approx(2 + half * 2**0.5)


def test_the_diagrams_intervals_are_those_of_its_images_at_its_level():
    p, y, ids = np.array([0.2, 0.2, 0.2, 0.9, 0.9]), np.array([0, 1, 0, 1, 1], bool), np.array([4, 4, 7, 7, 9])
    for level in (0.8, 0.95):
        low, high = reliability(p, y, ids, level)
        assert low.share == proportion(y[:3], np.array([0, 0, 1]), level) and (low.score, low.n) == (
            pytest.approx(0.2),
            3,
        )
        assert high.share == proportion(y[3:], np.array([0, 1]), level) and (high.score, high.n) == (
            pytest.approx(0.9),
            2,
        )
    assert reliability(p, y, ids)[0].share == proportion(y[:3], np.array([0, 0, 1]))


# --- temperature and bias --------------------------------------------------------------------------------------------


def biased(n, temperature, bias, seed):
    """Logits whose softmax, at `temperature` and with `bias`, is the truth's own distribution."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, len(bias)))
    probs = Scaling(temperature, bias).probs(logits)
    return logits, (rng.random((n, 1)) > probs.cumsum(axis=1)).sum(axis=1)


@pytest.mark.parametrize("bias", [(0.0, -1.2), (0.0, 0.8, -0.5)])
def test_a_known_temperature_and_bias_are_found(bias):
    logits, targs = biased(30_000, 1.6, bias, seed=2)
    found = fit_scaling(logits, targs, np.arange(len(targs))).scaling
    assert found.temperature == pytest.approx(1.6, rel=0.05)
    assert np.subtract(found.bias, found.bias[0]) == pytest.approx(np.array(bias), abs=0.08)


def test_of_two_classes_it_is_the_calibration_line_and_its_scores_are_calibrated():
    logits, targs = biased(500, 1.3, (0.0, -0.7), seed=3)
    found = fit_scaling(logits, targs, np.arange(500)).scaling
    probs = found.probs(logits)[:, 1]
    assert calibration_line(probs, targs == 1) == pytest.approx((0.0, 1.0), abs=1e-5)
    assert probs.mean() == pytest.approx(targs.mean(), abs=1e-7)  # what a fitted bias does: scores sum to the positives


def test_scikit_learn_finds_the_same_biases_of_three_classes():
    """One slope for all logits: multinomial regression whose three inputs are the logits and whose weights are shared
    cannot be asked for, so the loss at its optimum is compared with that of a general minimiser."""
    from scipy.optimize import minimize

    logits, targs = biased(400, 0.8, (0.0, 0.6, -0.9), seed=5)

    def loss(at):
        return -np.log(Scaling(np.exp(at[0]), (0.0, *at[1:])).probs(logits)[np.arange(400), targs]).mean()

    found = fit_scaling(logits, targs, np.arange(400)).scaling
    best = minimize(loss, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 4000})
    assert found.temperature == pytest.approx(np.exp(best.x[0]), rel=1e-4)
    assert found.bias[1:] == pytest.approx(best.x[1:], abs=1e-4)


def test_few_patients_of_a_class_get_a_temperature_alone():
    logits, targs = biased(400, 1.5, (0.0, -1.0), seed=6)
    patients = np.arange(400)
    patients[targs == 1] = patients[targs == 1] % 19  # 19 patients of the class
    patients[targs == 0] += 1000
    found = fit_scaling(logits, targs, patients)
    assert found == _fit_temperature(logits, targs)
    patients[np.flatnonzero(targs == 1)[0]] = 999  # the twentieth
    assert fit_scaling(logits, targs, patients).scaling.bias != ()


def test_scores_that_separate_the_classes_get_no_bias():
    logits = np.column_stack([np.zeros(100), np.linspace(1, 3, 100)])
    targs = (logits[:, 1] > 2).astype(int)  # a bias of -2 and any small temperature fit perfectly
    assert fit_scaling(logits, targs, np.arange(100)) == _fit_temperature(logits, targs)


@given(st.floats(0.5, 2), st.floats(-2, 2))
@settings(max_examples=10, deadline=None)
def test_a_scaled_and_moved_network_gets_the_same_scores(factor, shift):
    logits, targs = biased(300, 1.2, (0.0, -0.4), seed=7)
    moved = factor * logits + np.array([0.0, shift])
    once, again = (fit_scaling(x, targs, np.arange(300)).scaling.probs(x) for x in (logits, moved))
    assert np.abs(once - again).max() < 1e-5
