"""Classes that a mean over classes leaves out: their names, why, and the mean that scikit-learn gives."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from plainfilm.evaluate.metrics.macro_means import macro_means
from plainfilm.evaluate.metrics.measure import measure_sample
from plainfilm.evaluate.metrics.sample import Sample, make_sample
from plainfilm.schemas.macro_mean import MacroMean, macro_lines

VOCAB = ["adeno", "benign", "large, cell", "normal"]
SCIKIT_LEARN = {"ppv": precision_score, "f1": f1_score, "sensitivity": recall_score}


def sample_of(targs, predicted, k: int = 4) -> Sample:
    """One image per patient; the predicted class has a score of 0.7."""
    probs = np.full((len(targs), k), 0.3 / (k - 1))
    probs[np.arange(len(targs)), predicted] = 0.7
    return make_sample(probs, targs, np.arange(len(targs)), None, positive=None, threshold=None)


def means(targs, predicted) -> tuple[dict, dict]:
    sample = sample_of(targs, predicted)
    metrics = measure_sample(sample, n_boot=20)
    return metrics, macro_means(metrics, sample, VOCAB)


def drawn(absent: int, unpredicted: int) -> tuple[np.ndarray, np.ndarray]:
    """200 images; no image of one class, and another is never predicted (-1: none)."""
    rng = np.random.default_rng(0)
    targs = rng.choice([c for c in range(4) if c != absent], 200)
    predicted = np.where(rng.random(200) < 0.6, targs, rng.integers(0, 4, 200))
    return targs, np.where(predicted == unpredicted, (predicted + 1) % 4, predicted)


def by_scikit_learn(name: str, targs, predicted) -> float:
    return SCIKIT_LEARN[name](targs, predicted, labels=range(4), average="macro", zero_division=0)


def test_a_class_without_images_that_is_predicted():
    """The mean is over three classes; scikit-learn counts its precision, recall and F1 as 0."""
    targs, predicted = drawn(absent=1, unpredicted=-1)
    metrics, found = means(targs, predicted)
    assert list(found) == ["balanced_accuracy", "auroc", "auprc", "sensitivity", "ppv", "npv", "f1"]
    assert all(mean.without == {"benign": "no image"} and mean.classes == 4 for mean in found.values())
    for name in SCIKIT_LEARN:
        expected = by_scikit_learn(name, targs, predicted)
        assert found[name].zero_division == pytest.approx(expected) and expected < metrics[name].value - 0.1
    assert (
        found["auroc"].zero_division is found["auprc"].zero_division is found["balanced_accuracy"].zero_division is None
    )


def test_a_class_that_is_never_predicted():
    targs, predicted = drawn(absent=-1, unpredicted=2)
    metrics, found = means(targs, predicted)
    assert list(found) == ["ppv"] and found["ppv"].without == {"large, cell": "never predicted"}
    assert found["ppv"].zero_division == pytest.approx(by_scikit_learn("ppv", targs, predicted))
    assert metrics["f1"].value == pytest.approx(by_scikit_learn("f1", targs, predicted))  # F1 is 0 there in both


def test_two_classes_are_left_out_for_two_reasons():
    targs, predicted = drawn(absent=1, unpredicted=2)
    found = means(targs, predicted)[1]
    assert found["ppv"].without == {"benign": "no image", "large, cell": "never predicted"}
    assert found["f1"].without == {"benign": "no image"}
    assert found["ppv"].zero_division == pytest.approx(by_scikit_learn("ppv", targs, predicted))


def test_a_class_that_is_always_predicted_has_no_npv():
    metrics, found = means(np.array([0, 1, 2, 3]), np.zeros(4, int))
    assert found["npv"].without == {"adeno": "always predicted"}
    assert set(found["ppv"].without) == set(VOCAB[1:]) and metrics["ppv"].value == pytest.approx(0.25)
    assert found["ppv"].zero_division == pytest.approx(0.25 / 4)


def test_where_every_class_counts_and_with_two_classes_there_is_nothing_to_say():
    assert means(*drawn(absent=-1, unpredicted=-1))[1] == {}
    two = make_sample([[0.9, 0.1], [0.2, 0.8]], [0, 0], range(2), None, positive=1, threshold=0.5)
    assert macro_means(measure_sample(two, n_boot=20), two, ["a", "b"]) == {}


def test_the_lines_name_metrics_classes_and_both_means():
    absent = MacroMean(classes=4, without={"benign": "no image"})
    found = {
        "auroc": absent, "ppv": absent.model_copy(update={"zero_division": 0.5592}),
        "f1": MacroMean(classes=4, without={"benign": "no image", "normal": "x"}, zero_division=0.25),
    }  # fmt: skip
    assert macro_lines(found, {"auroc": "AUROC", "ppv": "PPV"}) == [
        "AUROC, PPV: mean of 3 of 4 classes, without benign (no image); with 0 for it PPV 0.559",
        "f1: mean of 2 of 4 classes, without benign (no image), normal (x); with 0 for them f1 0.250",
    ]
    assert macro_lines({"auroc": absent}, {}) == ["auroc: mean of 3 of 4 classes, without benign (no image)"]
    assert macro_lines({}, {}) == []
