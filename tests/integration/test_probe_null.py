"""What a probe says of pure noise: patients of one to five images, features that know the patient and not the class.

A few sets of each size. Over 24 kinds of noise with 40 to 250 sets each: mean AUROC 0.47-0.50 at 45 images, 0.49-0.51 at
200, 0.497-0.505 at 2,000; the intervals covered 0.5 in 0.93-1.00; no lower limit above 0.6 but one of 250.
"""

import numpy as np
import pytest

from plainfilm.data.audit.probes import cross_validated, fit_and_score
from plainfilm.evaluate.shortcuts.shortcut_warning import LIMIT, raises_banner, shortcut_metric
from plainfilm.schemas.documents import Metric

pytestmark = [pytest.mark.slow, pytest.mark.campaign]  # in .ci/run
SETS = {45: 20, 200: 20, 2000: 15}
FEATURES = {45: 44, 200: 15, 2000: 3}  # few where there are many images: the trees' time


def noise(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features float (n, d) half of which is the patient's own, labels int (n,) by patient, patients int (n,)."""
    patients = np.repeat(np.arange(n), rng.integers(1, 6, n))[:n]
    m, d = patients[-1] + 1, FEATURES[n]
    labels = rng.permutation(np.arange(m) % 3 > 0).astype(int)[patients]
    return rng.normal(size=(m, d))[patients] + rng.normal(size=(n, d)), labels, patients


@pytest.fixture(scope="module", params=SETS)
def found(request: pytest.FixtureRequest) -> tuple[int, list[Metric], list[Metric]]:
    """Images, and of each set the metric with the doubled and with the plain variance."""
    n, crossed, plain = request.param, [], []
    for i in range(SETS[n]):
        features, labels, patients = noise(n, np.random.default_rng([n, i]))
        probs = cross_validated(features, labels, patients)
        crossed.append(shortcut_metric(probs, labels, patients, positive=1, crossed=True))
        plain.append(shortcut_metric(probs, labels, patients, positive=1, crossed=False))
    return n, crossed, plain


def coverage(metrics: list[Metric]) -> float:
    return float(np.mean([m.ci_low <= 0.5 <= m.ci_high for m in metrics]))


def test_noise_is_worth_a_half(found: tuple[int, list[Metric], list[Metric]]) -> None:
    n, metrics, plain = found
    mean = np.mean([m.value for m in metrics])
    assert abs(mean - 0.5) <= {45: 0.12, 200: 0.06, 2000: 0.02}[n]  # three standard errors of the mean
    assert coverage(metrics) >= 0.90
    assert coverage(plain) < coverage(metrics)  # control: without doubling too few hold 0.5
    assert sum(map(raises_banner, metrics)) == 0


def test_a_classifier_fitted_on_other_patients_needs_no_doubling() -> None:
    held = []
    for i in range(60):
        rng = np.random.default_rng([9, i])
        features, labels, patients = noise(200, rng)
        train = patients % 2 == 0
        probs = fit_and_score(features[train], labels[train], patients[train], features[~train])
        metric = shortcut_metric(probs, labels[~train], patients[~train], positive=1, crossed=False)
        held.append(metric.ci_low <= 0.5 <= metric.ci_high)
    assert 0.90 <= np.mean(held) <= 0.99


def test_control_a_planted_shortcut_raises_the_banner() -> None:
    features, labels, patients = noise(200, np.random.default_rng(0))
    features[:, 0] += 3.0 * labels
    metric = shortcut_metric(cross_validated(features, labels, patients), labels, patients, positive=1, crossed=True)
    assert metric.ci_low > LIMIT
