"""Two-sample tests with known results: the same images, brighter ones, and another share of classes alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from plainfilm.data.audit.probes import image_statistics
from plainfilm.evaluate.shift.domain_shift import _NAMES, _PROBE, _same_shares, domain_shift
from plainfilm.evaluate.shift.generalization_gap import _changes
from plainfilm.evaluate.shortcuts.probe_baseline import TrainProbes
from plainfilm.schemas.documents import Metric


def make_images(rng: np.random.Generator, labels: np.ndarray, brighter: int = 0) -> np.ndarray:
    """uint8 (n, 20, 20): noise whose mean depends on the class, and may be moved."""
    level = 90 + 50 * labels + brighter + rng.normal(0, 12, len(labels))
    return np.clip(level[:, None, None] + rng.normal(0, 10, (len(labels), 20, 20)), 0, 255).astype(np.uint8)


def rows_of(labels: np.ndarray, images: int = 1) -> pd.DataFrame:
    return pd.DataFrame({"label": np.where(labels == 1, "sick", "well"), "group": np.arange(len(labels)) // images})


def train_set(rng: np.random.Generator, n: int, sick: float) -> TrainProbes:
    labels = (np.arange(n) < sick * n).astype(int)
    return TrainProbes({_PROBE: image_statistics(make_images(rng, labels))[_PROBE]}, rows_of(labels))


def test_brighter_images_are_a_domain_shift_and_the_brightness_says_so():
    rng = np.random.default_rng(0)
    labels = np.resize([0, 1], 80)
    found = domain_shift(train_set(rng, 300, 0.5), rows_of(labels), make_images(rng, labels, brighter=60), seed=0)
    assert found.auroc.value > 0.85 and found.auroc.ci_low > 0.6
    assert found.features["mean brightness"].value > 0.8 and found.features["mean brightness"].ci_low > 0.7
    assert found.features["sharpness"].ci_low < 0.5 < found.features["sharpness"].ci_high
    assert found.train_images == 300 and found.auroc.n == 380


def test_another_share_of_classes_alone_is_no_domain_shift():
    """Four in five are sick in train and one in five externally, and a sick image is brighter by itself."""
    rng = np.random.default_rng(1)
    probes, labels = train_set(rng, 400, 0.8), np.resize([0, 0, 0, 0, 1], 100)
    found = domain_shift(probes, rows_of(labels), make_images(rng, labels), seed=0)
    assert found.auroc.ci_low < 0.5 < found.auroc.ci_high
    assert found.train_images == 100  # 80 well ones are all there are, and 20 sick ones belong to them
    raw = image_statistics(make_images(rng, labels))[_PROBE][:, 0].mean() - probes.known[_PROBE][:, 0].mean()
    assert raw < -20  # which a comparison without shares would have reported as a domain shift


@pytest.mark.slow
@pytest.mark.parametrize(("trials", "most"), [(6, 1), pytest.param(40, 4, marks=pytest.mark.campaign)])
def test_the_same_kind_of_images_seldom_shows_a_domain_shift(trials, most):
    wrong = 0
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        labels = np.resize([0, 1], 60)
        found = domain_shift(train_set(rng, 120, 0.5), rows_of(labels, 2), make_images(rng, labels), seed=seed)
        wrong += found.auroc.ci_low > 0.5
    assert wrong <= most


def test_without_a_patient_key_every_interval_says_so():
    rng = np.random.default_rng(0)
    labels = np.resize([0, 1], 20)
    found = domain_shift(train_set(rng, 40, 0.5), rows_of(labels), make_images(rng, labels), seed=0, has_patients=False)
    for metric in (found.auroc, *found.features.values()):
        assert metric.n_patients is None and "likely too narrow" in metric.method


def test_a_statistic_alone_has_the_auroc_of_its_values():
    rng = np.random.default_rng(3)
    probes, labels = train_set(rng, 60, 0.5), np.resize([0, 1], 60)
    images = make_images(rng, labels, brighter=15)
    found = domain_shift(probes, rows_of(labels), images, seed=0).features["mean brightness"]
    internal, external = probes.known[_PROBE][:, 0], image_statistics(images)[_PROBE][:, 0]
    assert found.value == pytest.approx(roc_auc_score(np.repeat([0, 1], 60), np.append(internal, external)))


def test_with_too_few_patients_there_is_no_domain_shift():
    rng = np.random.default_rng(0)
    labels = np.array([0, 1])
    assert domain_shift(train_set(rng, 40, 0.5), rows_of(labels, 2), make_images(rng, labels), seed=0) is None


def test_every_statistic_has_a_name_in_its_place():
    """A black frame, a white spot and a colour change what their names say."""
    plain = np.full((1, 40, 40, 3), 100, np.uint8)
    framed, spotted, coloured = plain.copy(), plain.copy(), plain.copy()
    framed[:, :5] = 0
    spotted[:, 10:14, 10:14] = 255
    coloured[..., 0] = 160
    base, *changed = (image_statistics(p)[_PROBE][0] for p in (plain, framed, spotted, coloured))
    assert len(base) == len(_NAMES)
    moved = [{_NAMES[i] for i in np.flatnonzero(np.abs(other - base) > 1e-6)} for other in changed]
    assert {"black rows at the border", "share of 0", "mean brightness"} <= moved[0]
    assert not {"black columns at the border", "share of 255", "colour"} & moved[0]
    assert "share of 255" in moved[1] and "sharpness" in moved[1] and "share of 0" not in moved[1]
    assert {"colour", "mean brightness"} <= moved[2] and "contrast" not in moved[2]


@given(st.integers(5, 60), st.integers(5, 60), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_train_images_are_drawn_in_the_shares_of_the_external_ones(a, b, m, n, seed):
    internal, external = np.repeat(["x", "y"], [a, b]), np.repeat(["x", "y"], [m, n])
    chosen = _same_shares(internal, external, np.random.default_rng(seed))
    assert len(set(chosen)) == len(chosen)
    times = min(a / m, b / n)
    counts = [(internal[chosen] == name).sum() for name in ("x", "y")]
    assert counts == [int(times * m), int(times * n)]


def metric(value, low, high) -> Metric:
    method = "x" if value is not None else "not estimable: one class only"
    return Metric(value=value, ci_low=low, ci_high=high, n=10, n_patients=None, method=method)


def test_a_change_is_external_minus_internal_with_limits_from_both():
    found = _changes({"auroc": metric(0.7, 0.6, 0.8), "ppv": metric(None, None, None)},
                    {"auroc": metric(0.9, 0.86, 0.93), "ppv": metric(0.5, 0.4, 0.6)})  # fmt: skip
    auroc = found["auroc"]
    assert auroc.value == pytest.approx(-0.2)
    assert auroc.ci_low == pytest.approx(-0.2 - (0.1**2 + 0.03**2) ** 0.5)
    assert auroc.ci_high == pytest.approx(-0.2 + (0.1**2 + 0.04**2) ** 0.5)
    assert (found["ppv"].value, found["ppv"].method) == (None, "not estimable: one class only")


def test_means_over_other_classes_are_not_subtracted():
    """Three classes, of which the external set lacks one: the two means are not of the same classes."""
    internal = Metric(value=0.8, ci_low=0.7, ci_high=0.9, n=90, n_patients=90, method="obuchowski/logit")
    external = internal.model_copy(update={"method": "obuchowski/logit; mean without class 0 (undefined)"})
    found = _changes({"auroc": external}, {"auroc": internal})["auroc"]
    assert (found.value, found.ci_low) == (None, None) and "different classes" in found.method
    assert _changes({"auroc": external}, {"auroc": external})["auroc"].value == 0
