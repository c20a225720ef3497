"""What `evaluate` saved of the runs of a row beside their own scores: test scores and shortcut baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plainfilm.compare.mean_over_seeds import mean_of_folds, over_seeds
from plainfilm.compare.pooled_folds import by_seed, is_fold
from plainfilm.compare.scored_run import Scored, read_scored
from plainfilm.evaluate.saved_numbers import refuse_other_numbers
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import MetricsDocument, saved_splits
from plainfilm.schemas.compare import MeanSd
from plainfilm.schemas.documents import Metric, baseline_of

_TEST_METRICS = ("auroc", "accuracy", "sensitivity", "specificity")


@dataclass(frozen=True)
class HeldOutScores:
    """Scores on test of the `n_runs` runs that were evaluated on it. `baseline`: AUROC of the best shortcut probe on the
    same images; None if the runs have no probes."""

    __test__ = False  # not a test class
    n_runs: int
    metrics: dict[str, MeanSd]
    baseline: MeanSd | None = None


def held_out_scores(evaluated: Sequence[Scored]) -> HeldOutScores | None:
    """Test scores that `evaluate` saved, in metrics.json or, of folds, as predictions; no access is made here."""
    known = [(run, part) for run in evaluated if (part := _saved(run, "test"))]
    if not known:
        return None
    runs, saved = [run for run, _ in known], [part for _, part in known]
    if is_fold(runs[0]):  # each fold has its own test images: all of them together are the test set
        each = [found.rates for found in by_seed([read_scored(run.root, "test") for run in runs])]
    else:
        each = [{name: Metric.model_validate(part["metrics"][name]) for name in _TEST_METRICS} for part in saved]
    metrics = {name: over_seeds([found[name] for found in each]) for name in _TEST_METRICS}
    return HeldOutScores(len(runs), metrics, _probed(saved, folds=is_fold(runs[0]))[1])


def discordant(runs: Sequence[Scored]) -> MeanSd | None:
    """The share of the discordant pairs of valid; None if a run does not have it."""
    found = [(baseline_of(_saved(run, "valid")) or {}).get("beyond") for run in runs]
    if not all(each and each["value"] is not None for each in found):
        return None
    return _mean(found, folds=is_fold(runs[0]))


def shortcut_baseline(runs: Sequence[Scored]) -> tuple[str, MeanSd | None]:
    """The best probes, by name, and their AUROC on valid."""
    return _probed([_saved(run, "valid") for run in runs], folds=is_fold(runs[0]))


def _saved(run: Scored, split: str) -> dict[str, Any]:
    """What was saved of a split, compared with its scores; empty where there is nothing."""
    found = saved_splits(RunDir(run.root)).get(split, {})
    if found:
        refuse_other_numbers(RunDir(run.root), [MetricsDocument.model_validate(found)])
    return found


def _probed(parts: Sequence[dict[str, Any]], *, folds: bool) -> tuple[str, MeanSd | None]:
    found = [baseline_of(part) for part in parts]
    known = [each for each in found if each and each["auroc"] and each["auroc"]["value"] is not None]
    if not known:
        return "", None
    return ", ".join(dict.fromkeys(each["best"] for each in known)), _mean(
        [each["auroc"] for each in known], folds=folds
    )


def _mean(found: Sequence[Any], *, folds: bool) -> MeanSd:
    metrics = [Metric.model_validate(each) for each in found]
    return mean_of_folds(metrics) if folds else over_seeds(metrics)
