"""The head as logistic regression: its optimum, its penalty, and what it may not see."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from plainfilm.train.l2_head import GRID, _choose_l2, _solve_head


def drawn(n=120, d=6, k=2, gain=1.5, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    features = rng.normal(size=(n, d)) * rng.uniform(0.1, 30, d) + rng.normal(size=d) * 5
    features[:, :k] += gain * np.eye(k)[labels] * features[:, :k].std(axis=0)
    return features, labels, np.arange(n)


@pytest.mark.parametrize("k", [2, 4])
def test_the_head_is_the_optimum_of_the_penalised_loss(k):
    """Log loss of the softmax plus the penalty on standardised features, minimised independently."""
    features, labels, _ = drawn(k=k)
    weight, bias = _solve_head(features, labels, 0.05, k)
    x = (features - features.mean(0)) / np.maximum(features.std(0), 0.1 * np.median(features.std(0)))

    def loss(flat):
        w, b = flat[:-k].reshape(k, -1), flat[-k:]
        # of two classes only the difference is penalised: half of it in each row is 2 * |w|^2
        penalty = (2 if k == 2 else 1) * (w**2).sum() / 2
        return -0.05 * log_softmax(x @ w.T + b, axis=1)[np.arange(len(x)), labels].sum() + penalty

    best = minimize(loss, np.zeros(k * x.shape[1] + k), method="L-BFGS-B", options={"maxiter": 5000, "ftol": 1e-14, "gtol": 1e-9}).x  # fmt: skip
    w, b = best[:-k].reshape(k, -1), best[-k:]
    assert softmax(features @ weight.T + bias, axis=1) == pytest.approx(softmax(x @ w.T + b, axis=1), abs=2e-4)


def test_a_column_that_does_not_vary_and_an_absent_class():
    features, labels, _ = drawn(k=2)
    features[:, 3] = 7.0
    weight, bias = _solve_head(features, labels, 1.0, 3)
    probs = softmax(features @ weight.T + bias, axis=1)
    assert np.isfinite(weight).all() and weight[:, 3] == pytest.approx(0, abs=1e-9)
    assert probs[:, 2].max() < 1e-4
    assert (probs[:, :2].argmax(1) == labels).mean() > 0.8


def test_noise_gets_the_strongest_penalty_and_signal_a_weaker_one():
    labels, groups = np.arange(80) % 2, np.arange(80)
    noise = [_choose_l2(np.random.default_rng(seed).normal(size=(80, 200)), labels, groups) for seed in range(7)]
    chosen = float(np.median([choice.c for choice in noise]))
    assert chosen <= 1e-3 and {choice.folds for choice in noise} == {5}
    clear = _choose_l2(*drawn(n=80, gain=4))
    assert clear.c > chosen
    assert clear.losses[GRID.index(clear.c)] == min(clear.losses) < np.log(2) / 3


def test_images_of_a_patient_are_never_on_both_sides():
    """Each patient's images share a mark that says its label, and nothing else does: folds of images would take the
    weakest penalty, since the mark of a patient in train gives its other images away."""
    rng = np.random.default_rng(5)
    patients = np.repeat(np.arange(24), 8)
    labels = rng.integers(0, 2, 24)[patients]
    marks = rng.normal(size=(24, 400))[patients] + 0.05 * rng.normal(size=(192, 400))
    honest = _choose_l2(marks, labels, patients)
    leaky = _choose_l2(marks, labels, np.arange(192))
    assert leaky.losses[-1] < 0.1 and leaky.c > honest.c
    assert min(honest.losses) > 0.6


def test_one_patient_in_a_class_leaves_nothing_to_hold_out():
    features, labels, _ = drawn(n=20)
    choice = _choose_l2(features, labels, np.where(labels == 1, "one", np.arange(20).astype(str)))
    assert (choice.folds, choice.losses) == (0, ())


def test_a_class_of_one_patient_is_left_out_and_the_others_still_choose():
    features, labels, groups = drawn(n=120, k=3)
    with_one = _choose_l2(np.vstack((features, features[:1])), np.append(labels, 3), np.append(groups, 999))
    assert with_one == _choose_l2(features, labels, groups) and with_one.folds == 5


def test_a_feature_that_hardly_varies_in_train_decides_nothing_elsewhere():
    """Zero in train but for 1e-6 in one image: its standard score of 0.3 would be thousands."""
    features, labels, _ = drawn(n=40)
    features = np.column_stack((features, np.where(np.arange(40) == 1, 1e-6, 0.0)))
    weight, _ = _solve_head(features, labels, 1.0, 2)
    assert np.abs(weight[:, -1]).max() * 0.3 < 0.1


def test_the_held_out_loss_weights_the_classes_as_the_fit_does():
    """24 of 300 positive and no signal: at even odds any weight on noise costs, which the plain loss hides."""
    rng = np.random.default_rng(0)
    labels = (np.arange(300) < 24).astype(int)
    features = rng.normal(size=(300, 60))
    choice = _choose_l2(features, labels, np.arange(300), balanced=True)
    assert choice.losses[0] == pytest.approx(np.log(2), abs=0.01)
    assert min(choice.losses) > 0.6 and choice.c <= 1e-2


def test_classes_weighted_equally_move_the_bias():
    features, labels, _ = drawn(n=200, gain=0.0)
    labels = (np.arange(200) < 20).astype(int)
    plain = softmax(features @ _solve_head(features, labels, 1e-4, 2)[0].T + _solve_head(features, labels, 1e-4, 2)[1], axis=1)[:, 1].mean()  # fmt: skip
    weight, bias = _solve_head(features, labels, 1e-4, 2, balanced=True)
    assert plain == pytest.approx(0.1, abs=0.01)
    assert softmax(features @ weight.T + bias, axis=1)[:, 1].mean() == pytest.approx(0.5, abs=0.02)
