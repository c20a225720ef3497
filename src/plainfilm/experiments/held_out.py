"""What `evaluate` saved of the runs of a row beside their own scores: test scores and shortcut baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plainfilm.compare.mean_over_seeds import mean_of_folds, over_seeds
from plainfilm.compare.pooled_folds import by_seed, is_fold
from plainfilm.compare.scored_run import Scored, read_scored
from plainfilm.evaluate.saved_numbers import refuse_other_numbers
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import MetricsDocument, Number, validated_splits
from plainfilm.schemas.compare import MeanSd
from plainfilm.schemas.documents import Metric

_TEST_METRICS = ("auroc", "accuracy", "sensitivity", "specificity")


@dataclass(frozen=True)
class HeldOutScores:
    """Scores on test of the `n_runs` runs that were evaluated on it. `baseline`: AUROC of the best shortcut probe on the
    same images; None if the runs have no probes."""

    __test__ = False  # not a test class
    n_runs: int
    metrics: dict[str, MeanSd]
    baseline: MeanSd | None = None


class SavedDocuments:
    """What was saved of each split of some runs: each read, and compared with its scores, once."""

    def __init__(self) -> None:
        self._read: dict[tuple[Path, str], MetricsDocument | None] = {}

    def of(self, run: Scored, split: str) -> MetricsDocument | None:
        """The document of a split; None where nothing is saved of it.

        Raises:
            DataError: metrics.json is missing or damaged, or its numbers are not those of the scores.
        """
        if (run.root, split) not in self._read:
            self._read[run.root, split] = _document(RunDir(run.root), split)
        return self._read[run.root, split]


def held_out_scores(evaluated: Sequence[Scored], saved: SavedDocuments) -> HeldOutScores | None:
    """Test scores that `evaluate` saved, in metrics.json or, of folds, as predictions; no access is made here."""
    known = [(run, part) for run in evaluated if (part := saved.of(run, "test"))]
    if not known:
        return None
    runs, parts = [run for run, _ in known], [part for _, part in known]
    if is_fold(runs[0]):  # each fold has its own test images: all of them together are the test set
        each = [found.rates for found in by_seed([read_scored(run.root, "test") for run in runs])]
    else:
        each = [{name: _counted(part.metric(name)) for name in _TEST_METRICS} for part in parts]
    metrics = {name: over_seeds([found[name] for found in each]) for name in _TEST_METRICS}
    return HeldOutScores(len(runs), metrics, _probed(parts, folds=is_fold(runs[0]))[1])


def discordant(runs: Sequence[Scored], saved: SavedDocuments) -> MeanSd | None:
    """The share of the discordant pairs of valid; None if a run does not have it."""
    found = [
        part.shortcut_baseline and part.shortcut_baseline.beyond for run in runs if (part := saved.of(run, "valid"))
    ]
    known = [each for each in found if each and each.value is not None]
    return _mean(known, folds=is_fold(runs[0])) if len(known) == len(runs) else None


def shortcut_baseline(runs: Sequence[Scored], saved: SavedDocuments) -> tuple[str, MeanSd | None]:
    """The best probes, by name, and their AUROC on valid."""
    return _probed([part for run in runs if (part := saved.of(run, "valid"))], folds=is_fold(runs[0]))


def _document(run: RunDir, split: str) -> MetricsDocument | None:
    found = validated_splits(run, MetricsDocument, lambda name: name in ("valid", split)).get(split)
    if found is not None:
        refuse_other_numbers(run, [found])
    return found


def _probed(parts: Sequence[MetricsDocument], *, folds: bool) -> tuple[str, MeanSd | None]:
    found = [part.shortcut_baseline for part in parts]
    known = [(each.best or "", each.auroc) for each in found if each and each.auroc and each.auroc.value is not None]
    if not known:
        return "", None
    return ", ".join(dict.fromkeys(best for best, _ in known)), _mean([auroc for _, auroc in known], folds=folds)


def _mean(found: Sequence[Number], *, folds: bool) -> MeanSd:
    metrics = [_counted(each) for each in found]
    return mean_of_folds(metrics) if folds else over_seeds(metrics)


def _counted(found: Number) -> Metric:
    return Metric(**{**found.model_dump(), "n": found.n or 0})
