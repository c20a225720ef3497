"""Folds of a k-fold experiment are one set of scores: each image once, limits over patients, no spread over folds."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from plainfilm.base.files import dump_json
from plainfilm.compare.configurations import gather
from plainfilm.compare.mean_over_seeds import mean_of_folds
from plainfilm.compare.pooled_folds import by_seed, folds_of
from plainfilm.compare.scored_run import read_scored
from plainfilm.errors import DataError, UsageError
from plainfilm.evaluate.metrics.measure import measure
from plainfilm.evaluate.stats.auroc_interval import auroc_interval, curve
from plainfilm.pipeline.compare import compare_runs
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.compare import Folds
from plainfilm.schemas.evaluate import Metric
from wording import lacking

THRESHOLDS = (0.3, 0.5, 0.8)


@pytest.fixture
def fold_runs(save_run):
    """fold_runs(name, ...): folds 0 to 2 of 3, 20 patients of two images each, each fold with its own threshold."""

    def make(name: str = "a", *, seed: int = 0, folds=(0, 1, 2), dense: int = 64, **asked) -> list[RunDir]:
        runs = []
        for fold in folds:
            options = {"data.split": "kfold", "data.folds": 3, "data.fold": fold, "model.dense": dense}
            first = {"first": 20 * fold, "test_first": 1000 + 20 * fold}
            run = save_run(f"{name}-fold{fold}-seed{seed}", seed=seed, noise=10 * dense + fold + 100 * seed, patients=20,
                           options=options, **{**first, **asked})  # fmt: skip
            card = json.loads(run.card.read_text())
            run.card.write_text(dump_json({**card, "threshold": THRESHOLDS[fold]}))
            runs.append(run)
        return runs

    return make


def saved(run: RunDir, split: str = "valid") -> list[dict[str, str]]:
    return list(csv.DictReader(run.predictions(split).read_text().splitlines()))


def scores_and_truth(runs: list[RunDir], split: str = "valid") -> tuple[np.ndarray, np.ndarray]:
    lines = [line for run in runs for line in saved(run, split)]
    return np.array([float(line["prob_PNEUMONIA"]) for line in lines]), np.array([line["label"] == "PNEUMONIA" for line in lines])  # fmt: skip


def area(scores: np.ndarray, truth: np.ndarray) -> float:
    """By counting pairs."""
    return float((scores[truth][:, None] > scores[~truth]).mean())


def hits(runs: list[RunDir], split: str = "valid") -> np.ndarray:
    """At the threshold of each fold."""
    return np.concatenate(
        [(scores >= cut) == truth for run, cut in zip(runs, THRESHOLDS, strict=True) for scores, truth in [scores_and_truth([run], split)]]
    )  # fmt: skip


def pooled(runs: list[RunDir], split: str = "valid"):
    (found,) = by_seed([read_scored(run.root, split) for run in runs])
    return found


def test_each_image_counts_once_at_the_threshold_of_its_fold(fold_runs):
    runs = fold_runs()
    found = pooled(runs)
    scores, truth = scores_and_truth(runs)
    assert len(scores) == 120 and found.folds == 3
    assert found.metrics["auroc"].value == pytest.approx(area(scores, truth))
    right = hits(runs)
    assert found.metrics["accuracy"].value == pytest.approx(right.mean())
    assert ((scores >= 0.5) == truth).mean() != pytest.approx(right.mean())  # the thresholds matter
    assert (found.metrics["auroc"].n, found.metrics["auroc"].n_patients) == (120, 60)
    assert found.metrics["auroc"].method.endswith("; 3 folds pooled")
    loss = -np.log(np.where(truth, scores, 1 - scores))
    assert found.metrics["log_loss"].value == pytest.approx(loss.mean(), abs=1e-6)


def test_its_limits_are_those_of_all_patients(fold_runs):
    """Against `measure` of the concatenated files, with patients by name."""
    runs = fold_runs()
    scores, truth = scores_and_truth(runs)
    people = [line["patient"] for run in runs for line in saved(run)]
    whole = measure(np.column_stack([1 - scores, scores]), truth.astype(int), clusters=people, patients=people,
                    positive=1, threshold=0.5, n_boot=10)["auroc"]  # fmt: skip
    found = pooled(runs).metrics["auroc"]
    assert (found.ci_low, found.ci_high) == (pytest.approx(whole.ci_low), pytest.approx(whole.ci_high))


def test_the_order_of_the_folds_changes_nothing(fold_runs):
    runs = fold_runs()
    one, other = pooled(runs), pooled(runs[::-1])
    assert one.images.tolist() == other.images.tolist() and one.metrics == other.metrics
    assert one.fingerprint == other.fingerprint and (one.predicted == other.predicted).all()


def test_two_configurations_are_compared_on_all_images_and_their_folds_give_no_limits(fold_runs):
    ours, theirs = fold_runs("a", skill=2.5), fold_runs("b", dense=8)
    found = compare_runs([run.root for run in (*ours, *theirs)], margin=0.9)
    best, other = found.rows
    assert (best.name, best.seeds, best.folds) == ("a", [0], Folds(done=3, of=3))
    assert len(best.runs) == 3 and best.metrics["auroc"].sd is None and found.n == 120
    areas = [area(*scores_and_truth(runs)) for runs in (theirs, ours)]
    difference = other.differences["auroc"]
    assert difference.value == pytest.approx(areas[0] - areas[1])
    assert (difference.pairs, difference.patients, difference.seeds_low) == (1, 60, None)
    assert other.differences["accuracy"].value == pytest.approx(hits(theirs).mean() - hits(ours).mean())
    assert any(lacking(note, "Folds are pooled", "each image once", "over patients") == [] for note in found.notes)


def test_seeds_of_folds_are_seeds(fold_runs):
    """Three seeds of three folds: the spread is over the three pooled estimates, not over nine folds."""
    ours, theirs = ([run for seed in range(3) for run in fold_runs(name, seed=seed, dense=dense, skill=skill)]
                    for name, dense, skill in (("a", 64, 2.5), ("b", 8, 1.0)))  # fmt: skip
    found = compare_runs([run.root for run in (*ours, *theirs)])
    by_hand = [[area(*scores_and_truth(runs[3 * seed : 3 * seed + 3])) for seed in range(3)] for runs in (ours, theirs)]
    assert found.rows[0].seeds == [0, 1, 2]
    assert found.rows[0].metrics["auroc"].mean == pytest.approx(np.mean(by_hand[0]))
    assert found.rows[0].metrics["auroc"].sd == pytest.approx(np.std(by_hand[0], ddof=1))
    moved = np.subtract(by_hand[1], by_hand[0])
    half = 4.302653 * moved.std(ddof=1) / 3**0.5
    difference = found.rows[1].differences["auroc"]
    assert difference.pairs == 3
    assert (difference.seeds_low, difference.seeds_high) == pytest.approx((moved.mean() - half, moved.mean() + half))


def test_a_fold_alone_is_that_run(fold_runs):
    (run,) = fold_runs(folds=(1,))
    scored = read_scored(run.root, "valid")
    (found,) = by_seed([scored])
    assert found.metrics == scored.metrics and found.fingerprint == scored.fingerprint
    assert folds_of([scored]) == Folds(done=1, of=3) and folds_of([scored]).as_text() == "1 of 3 folds"


def test_runs_of_other_splits_are_not_pooled(save_run):
    runs = [read_scored(save_run(f"a{seed}", seed=seed).root, "valid") for seed in (0, 1)]
    assert by_seed(runs) == runs and folds_of(runs) is None


def test_folds_that_share_images_are_refused(fold_runs):
    runs = fold_runs(folds=(0, 1), first=0)
    with pytest.raises(
        DataError, match="a-fold0-seed0 and a-fold1-seed0 are folds of one seed, but share valid images"
    ):
        pooled(runs)


def test_other_folds_of_two_configurations_are_refused_by_their_number(fold_runs):
    runs = fold_runs("a") + fold_runs("b", dense=8, folds=(0, 1))
    with pytest.raises(DataError) as refused:
        compare_runs([run.root for run in runs])
    assert lacking(str(refused.value), "a has 3 folds", "b has 2 of 3 folds", "Give the same folds of both") == []


def test_folds_alone_are_one_configuration(fold_runs):
    with pytest.raises(UsageError, match="differ only in their fold: .* whose row is all their images together"):
        compare_runs([run.root for run in fold_runs()])


def test_the_worst_seed_names_how_many_folds_there_are(fold_runs):
    runs = fold_runs() + fold_runs(seed=1, folds=(0, 2))
    (row,) = gather([read_scored(run.root, "valid") for run in runs])
    assert folds_of(row.runs) == Folds(done=2, of=3)
    assert [each.folds for each in row.repeats] == [3, 2]


def test_a_mean_of_folds_has_no_spread():
    folds = [Metric(value=v, ci_low=v - 0.1, ci_high=v, n=10, n_patients=5, method="m") for v in (0.7, 0.9)]
    found = mean_of_folds(folds)
    assert (found.mean, found.sd, found.ci_low, found.ci_high, found.n) == (pytest.approx(0.8), None, None, None, 20)
    assert found.method == "mean of 2 folds" and found.as_text() == "0.800"
    assert mean_of_folds(folds[:1]).as_text() == "0.700 [0.600, 0.700]"


def test_test_scores_are_pooled_where_each_fold_was_evaluated(fold_runs):
    runs = fold_runs(looked=True)
    found = pooled(runs, "test")
    scores, truth = scores_and_truth(runs, "test")
    right = hits(runs, "test")
    rates = found.rates
    assert rates["auroc"].value == pytest.approx(area(scores, truth))
    assert rates["sensitivity"].value == pytest.approx(right[truth].mean()) and rates["sensitivity"].n == 60
    assert rates["specificity"].value == pytest.approx(right[~truth].mean())
    assert all("3 folds pooled" in metric.method for metric in rates.values())
    ledgers = [Path(run.ledger).read_text() for run in runs]
    assert all(len(ledger.splitlines()) == 1 for ledger in ledgers)  # no access was added


# --- simulation ------------------------------------------------------------------------------------------------------


def fold_limits(rng, patients: int, shift: float, trials: int) -> np.ndarray:
    """Coverage and mean width of pooled limits, and of t-limits over five folds: float (4,).

    Linear networks on ten features, one image a patient, folds balanced by class. The truth is the mean of the AUROCs
    that the five networks have on endless images.
    """
    rows = []
    for _ in range(trials):
        y = rng.permutation(np.resize([True, False], patients))
        x, fold = rng.normal(size=(patients, 10)) + shift * np.where(y, 0.5, -0.5)[:, None], np.empty(patients, int)
        for side in (y, ~y):
            fold[side] = rng.permutation(np.arange(side.sum()) % 5)
        scores, true, each = np.empty(patients), [], []
        for k in range(5):
            own, inputs = fold == k, np.column_stack([np.ones(patients), x])
            weights = np.linalg.lstsq(inputs[~own], 2.0 * y[~own] - 1, rcond=None)[0]
            scores[own] = inputs[own] @ weights
            true.append(norm.cdf(shift * weights[1:].sum() / np.linalg.norm(weights[1:]) / 2**0.5))
            each.append(area(scores[own], y[own]))
        found, target = auroc_interval([curve(scores, y)], np.arange(patients), 0.95), np.mean(true)
        half = 2.776445 * np.std(each, ddof=1) / 5**0.5  # four degrees of freedom
        rows.append((found.low <= target <= found.high, found.high - found.low, abs(np.mean(each) - target) <= half, 2 * half))  # fmt: skip
    return np.mean(rows, axis=0)


def test_pooled_limits_are_narrower_than_those_over_folds_and_hold_the_networks_about_as_often():
    covered, width, over_folds, wider = fold_limits(np.random.default_rng(0), 300, 0.35, 250)
    assert width < 0.85 * wider
    assert covered > 0.87 and covered > over_folds - 0.06
