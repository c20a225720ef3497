"""Wrong labels that were planted are found; what is only hard is not called wrong more often than it must be."""

import io

import numpy as np
import pandas as pd
import pytest

from plainfilm.interpret.label_errors import describe_label_errors, find_label_errors, label_errors_csv
from wording import lacking


def planted(seed: int, *, n: int = 1000, share: float = 0.05, apart: float = 3.0, k: int = 2):
    """Scores of a network that knows the true classes as well as `apart` says; `share` of the labels are wrong."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    logits = rng.normal(0, 1, (n, k)) + apart * np.eye(k)[truth]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = rng.random(n) < share
    labels = np.where(wrong, (truth + rng.integers(1, k, n)) % k, truth)
    return probs, labels, wrong


@pytest.mark.parametrize("k", [2, 4])
def test_planted_wrong_labels_stand_first_in_the_list(k: int):
    """A network that calls 1.6 % (of four classes 4.4 %) wrongly and 5 % wrong labels: by chance a precision of 0.05."""
    precision, recall = [], []
    for seed in range(20):
        probs, labels, wrong = planted(seed, k=k)
        found = find_label_errors(probs, labels)
        first = found.order[: int(wrong.sum())]
        precision.append(wrong[first].mean())
        recall.append(wrong[found.order].sum() / wrong.sum())
    assert np.mean(precision) > 0.9  # 0.99 with two classes, 0.97 with four
    assert np.mean(recall) > 0.6  # 0.77 and 0.66: the list is short rather than long


def test_without_wrong_labels_few_are_suspected_and_with_a_perfect_network_none():
    shares = [find_label_errors(*planted(seed, share=0.0)[:2]).found.mean() for seed in range(10)]
    assert np.mean(shares) < 0.04  # its errors, not more: it calls 1.7 % of the images wrongly
    probs, labels, _ = planted(0, share=0.0, apart=60.0)
    assert not find_label_errors(probs, labels).found.any()


def test_a_class_for_which_the_network_is_never_sure_is_judged_by_its_own_measure():
    """Images of class 1 usually score 0.3 for it: 0.30 is no sign of a wrong label, and 0.05 is, by hand."""
    probs = np.array([[0.95, 0.05]] * 8 + [[0.70, 0.30]] * 8 + [[0.95, 0.05]])
    labels = np.array([0] * 8 + [1] * 9)
    found = find_label_errors(probs, labels)
    assert found.found.tolist() == [False] * 16 + [True]
    usual = (8 * 0.30 + 0.05) / 9
    np.testing.assert_allclose(found.usual, [0.95, usual])
    assert found.margin[16] == pytest.approx((0.95 - 0.95) - (0.05 - usual))


def test_a_class_without_images_is_suspected_of_nothing():
    probs = np.array([[0.1, 0.1, 0.8], [0.9, 0.05, 0.05], [0.1, 0.85, 0.05]])
    found = find_label_errors(probs, np.array([0, 0, 1]))
    assert not (found.other == 2).any() and np.isnan(found.usual[2]) and np.isfinite(found.margin).all()


def test_the_file_names_the_image_its_label_its_score_and_the_reason_worst_first():
    probs = np.array([[0.9, 0.1]] * 5 + [[0.1, 0.9]] * 5 + [[0.08, 0.92], [0.02, 0.98]])
    labels = np.array([0] * 5 + [1] * 5 + [0, 0])
    names = [f"A/{i:02d}.png" for i in range(10)] + ['A/=x,"y".png', "NA"]
    text = label_errors_csv(find_label_errors(probs, labels), names, probs, labels, ["A", "B"])
    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    assert list(frame.columns) == ["path", "label", "score", "why"]
    assert frame["path"].tolist() == ["NA", 'A/=x,"y".png'] and frame["label"].tolist() == ["A", "A"]
    assert frame["score"].astype(float).tolist() == [0.02, 0.08]
    for_b, for_a = frame["why"][0].split("for A ")
    assert lacking(for_b, "score for B 0.980", "its own images: 0.900 on average") == []
    assert lacking(for_a, "0.020", "its own: 0.657") == []  # (5 x 0.9 + 0.08 + 0.02) / 7


def test_nothing_found_is_a_file_with_its_head_alone():
    probs, labels = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([0, 1])
    assert (
        label_errors_csv(find_label_errors(probs, labels), ["a", "b"], probs, labels, ["A", "B"])
        == "path,label,score,why\n"
    )


def test_the_words_follow_the_numbers():
    def told(n: int, of: int, folds: tuple[int, int] | None = None) -> str:
        probs = np.array([[0.9, 0.1]] * (of - n) + [[0.05, 0.95]] * n + [[0.1, 0.9]] * of)
        found = find_label_errors(probs, np.array([0] * of + [1] * of))
        assert len(found.order) == n
        return describe_label_errors(found, 2 * of, folds)

    assert lacking(told(0, 50), "None of 100 valid images", "mislabelled") == []
    assert lacking(told(1, 50), "1 of 100 valid images", "mislabelled", "nothing is proved") == []
    assert lacking(told(4, 50, (3, 5)), "4 of 100 images of 3 of 5 folds", "mislabelled", "nothing is proved") == []
    many = "against the network rather than the labels"
    assert lacking(told(15, 50), "15 of 100 valid images", many) == [] and many not in told(4, 50)
