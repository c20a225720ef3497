"""Planted wrong labels are found; hard images are listed no more often than the error rate of the network."""

import io

import numpy as np
import pandas as pd
import pytest

from plainfilm.interpret.label_errors import describe_label_errors, find_label_errors, label_errors_csv
from wording import lacking


def planted(seed: int, *, n: int = 1000, share: float = 0.05, apart: float = 3.0, k: int = 2):
    """Scores of a network whose classes are separated by `apart`; `share` of the labels are wrong."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    logits = rng.normal(0, 1, (n, k)) + apart * np.eye(k)[truth]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = rng.random(n) < share
    labels = np.where(wrong, (truth + rng.integers(1, k, n)) % k, truth)
    return probs, labels, wrong


@pytest.mark.parametrize("k", [2, 4])
def test_planted_wrong_labels_are_first_in_the_list(k: int):
    """A network with 1.6 % errors (4.4 % with four classes) and 5 % wrong labels: chance precision is 0.05."""
    precision, recall = [], []
    for seed in range(20):
        probs, labels, wrong = planted(seed, k=k)
        found = find_label_errors(probs, labels)
        first = found.order[: int(wrong.sum())]
        precision.append(wrong[first].mean())
        recall.append(wrong[found.order].sum() / wrong.sum())
    assert np.mean(precision) > 0.9  # 0.99 with two classes, 0.97 with four
    assert np.mean(recall) > 0.6  # 0.77 and 0.66: the list favours precision


def test_without_wrong_labels_few_are_listed_and_with_a_perfect_network_none():
    shares = [find_label_errors(*planted(seed, share=0.0)[:2]).found.mean() for seed in range(10)]
    assert np.mean(shares) < 0.04  # no more than its errors: it predicts 1.7 % of the images wrongly
    probs, labels, _ = planted(0, share=0.0, apart=60.0)
    assert not find_label_errors(probs, labels).found.any()


def test_a_class_with_low_confidence_is_judged_by_its_own_standard():
    """By hand: images of class 1 usually score 0.3 for it, so 0.30 is no sign of a wrong label, but 0.05 is."""
    probs = np.array([[0.95, 0.05]] * 8 + [[0.70, 0.30]] * 8 + [[0.95, 0.05]])
    labels = np.array([0] * 8 + [1] * 9)
    found = find_label_errors(probs, labels)
    assert found.found.tolist() == [False] * 16 + [True]
    usual = (8 * 0.30 + 0.05) / 9
    np.testing.assert_allclose(found.usual, [0.95, usual])
    assert found.margin[16] == pytest.approx((0.95 - 0.95) - (0.05 - usual))


def test_a_class_without_images_is_never_the_other_class():
    probs = np.array([[0.1, 0.1, 0.8], [0.9, 0.05, 0.05], [0.1, 0.85, 0.05]])
    found = find_label_errors(probs, np.array([0, 0, 1]))
    assert not (found.other == 2).any() and np.isnan(found.usual[2]) and np.isfinite(found.margin).all()


def test_the_file_lists_image_label_score_and_reason_worst_first():
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


def test_without_findings_the_file_holds_only_its_header():
    probs, labels = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([0, 1])
    assert (
        label_errors_csv(find_label_errors(probs, labels), ["a", "b"], probs, labels, ["A", "B"])
        == "path,label,score,why\n"
    )


def test_the_words_follow_the_numbers():
    def said(n: int, of: int, folds: tuple[int, int] | None = None) -> str:
        probs = np.array([[0.9, 0.1]] * (of - n) + [[0.05, 0.95]] * n + [[0.1, 0.9]] * of)
        found = find_label_errors(probs, np.array([0] * of + [1] * of))
        assert len(found.order) == n
        return describe_label_errors(found, 2 * of, folds)

    assert lacking(said(0, 50), "None of 100 valid images", "mislabelled") == []
    assert lacking(said(1, 50), "1 of 100 valid images", "mislabelled", "not proof") == []
    assert lacking(said(4, 50, (3, 5)), "4 of 100 images of 3 of 5 folds", "mislabelled", "not proof") == []
    many = "errors of the network rather than of the labels"
    assert lacking(said(15, 50), "15 of 100 valid images", many) == [] and many not in said(4, 50)
