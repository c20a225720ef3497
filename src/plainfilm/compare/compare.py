"""Test configurations against the best of them, and report the result as a document.

The best row is selected among all of them, so a test against it is in effect a test of every pair: p values are
adjusted for all pairs (Holm). Of 1,000 simulated tables of twenty equal models, 2.8 % had a false "not as good as the
best" this way, and 22.5 % when adjusted only for the 19 tests against the best row.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.stats import t as student_t

from plainfilm.compare.configurations import (
    Configuration,
    Lineup,
    Pair,
    gather,
    line_up,
    refuse_other_classes,
)
from plainfilm.compare.mean_over_seeds import over_seeds
from plainfilm.compare.scored_run import Scored
from plainfilm.errors import DataError, UsageError
from plainfilm.evaluate.document import chosen_on_valid
from plainfilm.evaluate.metrics.point_metrics import macro_statistic
from plainfilm.evaluate.stats import paired_tests
from plainfilm.evaluate.stats.intervals import CHUNK, Bools, Floats, Statistic
from plainfilm.evaluate.stats.multiple_testing import holm
from plainfilm.runs.card import KEPT_BEST
from plainfilm.schemas.compare import LEVEL, CompareDocument, ComparedRow, Difference

_METRICS = ("auroc", "accuracy")
_MIN_PAIRS = 3  # of trainings, before their spread is used for a verdict
_BOOT_DRAWS = 2_000


def compare_scored(runs: list[Scored], *, metric: str = "auroc") -> CompareDocument:
    """Rows with mean and sd over seeds, each tested against the best, of runs that were scored on one split.

    Raises:
        UsageError: fewer than two configurations. DataError: other classes, or other images.
    """
    refuse_other_classes(runs)
    configurations = gather(runs)
    if len(configurations) < 2:
        raise UsageError(
            f"These {len(runs)} runs differ only in their seed: they are one configuration, whose row is their mean. "
            "Give runs of another configuration too."
        )
    lineup = line_up(configurations, metric)
    for pair, matched in lineup.pairs.items():
        if not matched:
            raise DataError(_other_images(*(lineup.configurations[i] for i in pair)))
    return _as_document(lineup, runs[0].split, metric)


def _other_images(one: Configuration, other: Configuration) -> str:
    a, b = one.runs[0], other.runs[0]
    if a.split == "test":
        return (
            f"{one.name} and {other.name} have different test sets (seals {a.fingerprint[:8]} and {b.fingerprint[:8]}); "
            "scores on different images cannot be paired. Train both on the same split."
        )
    shared = len(set(a.images) & set(b.images))
    if a.key == b.key:
        return (
            f"{a.root.name} and {b.root.name} differ only in their seed, which drew another split for each: "
            f"{len(a.images)} and {len(b.images)} {a.split} images, {shared} in both, so they cannot be paired. "
            "Train both on one split: plainfilm split DATA --out split.csv, then train --split split.csv."
        )
    return (
        f"{one.name} and {other.name} have different sets of {a.split} images ({len(a.images)} and {len(b.images)}, "
        f"{shared} in both); scores on different images cannot be paired. Train both with the same --split and --seed."
    )


def tested_pairs(lineup: Lineup, metric: str) -> dict[Pair, Difference]:
    """Row j minus the best row for each row on the same images; p values adjusted over all pairs of the lineup."""
    pairs = [pair for pair, matched in lineup.pairs.items() if matched and _is_estimable(matched, metric)]
    if not pairs:
        return {}
    blocks = {pair: lineup.blocks(pair) for pair in pairs}
    shares = np.stack([paired_tests.mean_shares(blocks[pair], metric, lineup.m) for pair in pairs], axis=1)
    draws = _draws_for(len(pairs))
    p = paired_tests.permutation_p(shares, draws)
    adjusted = holm(p)
    boot = _bootstrap(lineup, metric)
    found = {}
    for column, pair in enumerate(pairs):
        if pair[0] != 0:
            continue
        codes = np.unique(np.concatenate([block.patients for block in blocks[pair]]))
        patients = len(codes)
        renumbered = [block._replace(patients=np.searchsorted(codes, block.patients)) for block in blocks[pair]]
        moved = np.mean([boot[b.root] - boot[a.root] for a, b in lineup.pairs[pair]], axis=0)
        value, low, high, method = paired_tests.difference_interval(-float(shares[:, column].sum()), moved, patients)
        second = paired_tests.SECOND_TESTS[metric](renumbered, patients)
        of_seeds = _seed_limits(lineup.pairs[pair], metric)
        distinguishable = adjusted[column] <= LEVEL and (of_seeds is None or of_seeds[0] > 0 or of_seeds[1] < 0)
        found[pair] = Difference(
            value=value, ci_low=low, ci_high=high, method=method, p=float(p[column]), p_holm=float(adjusted[column]),
            second=second.method, second_p=None if second.p != second.p else second.p, pairs=len(blocks[pair]),
            patients=patients, seeds_low=None if of_seeds is None else of_seeds[0],
            seeds_high=None if of_seeds is None else of_seeds[1], distinguishable=bool(distinguishable),
        )  # fmt: skip
    return found


def _seed_limits(matched: list[tuple[Scored, Scored]], metric: str) -> tuple[float, float] | None:
    """95 % limits of the mean difference over pairs of trainings; None with fewer than three.

    A permutation of patients keeps the networks fixed. Training them again changes the difference too: at 25 images per
    class four times as much as other patients would.
    """
    if len(matched) < _MIN_PAIRS:
        return None
    moved = np.array([(b.metrics[metric].value or 0) - (a.metrics[metric].value or 0) for a, b in matched])
    half = float(student_t.ppf(0.975, len(moved) - 1)) * float(np.std(moved, ddof=1)) / len(moved) ** 0.5
    return float(moved.mean()) - half, float(moved.mean()) + half


def _draws_for(tests: int) -> int:
    """Number of permutations, enough for the smallest possible p to survive the adjustment."""
    return max(paired_tests.DRAWS, paired_tests.DRAWS_PER_TEST * tests)


def _is_estimable(matched: list[tuple[Scored, Scored]], metric: str) -> bool:
    return all(run.metrics[metric].value is not None for pair in matched for run in pair)


def _bootstrap(lineup: Lineup, metric: str, n_boot: int = _BOOT_DRAWS, seed: int = 0) -> dict[Path, Floats]:
    """Each run's metric in the same bootstrap draws of whole patients: float (n_boot,)."""
    rng, drawn = np.random.default_rng(seed), []
    step = max(1, CHUNK // lineup.m)
    statistics = {
        run.root: _statistic(run, metric) for configuration in lineup.configurations for run in configuration.runs
    }
    for start in range(0, n_boot, step):
        b = min(step, n_boot - start)
        picks = rng.integers(lineup.m, size=(b, lineup.m)) + lineup.m * np.arange(b)[:, None]
        counts = np.bincount(picks.ravel(), minlength=b * lineup.m).reshape(b, lineup.m).astype(float)
        drawn.append({root: statistic(counts[:, lineup.codes[root]]) for root, statistic in statistics.items()})
    return {root: np.concatenate([part[root] for part in drawn]) for root in statistics}


def _statistic(run: Scored, metric: str) -> Statistic:
    if metric == "accuracy":
        return _accuracy_statistic(run.hits)
    return macro_statistic([paired_tests.auroc_statistic(run.probs[:, c], run.targs == c) for c in run.views])


def _as_document(lineup: Lineup, split: str, metric: str) -> CompareDocument:
    """The rows, best first, each with its differences to the best."""
    tested = {name: tested_pairs(lineup, name) for name in _METRICS}
    rows = [
        ComparedRow(
            name=configuration.name, runs=[str(run.root) for run in configuration.runs], seeds=[run.repeat[0] for run in configuration.runs],
            metrics={name: over_seeds([run.metrics[name] for run in configuration.runs]) for name in configuration.runs[0].metrics},
            differences={name: found[0, i] for name, found in tested.items() if (0, i) in found},
        )
        for i, configuration in enumerate(lineup.configurations)
    ]  # fmt: skip
    best = lineup.configurations[0]
    auroc = rows[0].metrics["auroc"]
    return CompareDocument(
        split=split, metric=metric, best=best.name, n=auroc.n, n_patients=auroc.n_patients,
        draws=_draws_for(len(lineup.pairs)), rows=rows, notes=_notes(lineup, split),
    )  # fmt: skip


def _notes(lineup: Lineup, split: str) -> list[str]:
    runs = [run for configuration in lineup.configurations for run in configuration.runs]
    notes = list(dict.fromkeys(note for run in runs for note in run.card.notes)) + lineup.own_splits_note()
    if split == "valid":
        kept = [run.card for run in runs if run.card.kept_by == KEPT_BEST] or [run.card for run in runs]
        notes += chosen_on_valid(kept[0])
    for (i, j), matched in lineup.pairs.items():
        most = max(len(lineup.configurations[i].runs), len(lineup.configurations[j].runs))
        if i == 0 and 0 < len(matched) < most:
            notes.append(
                f"{lineup.configurations[j].name} is tested against {lineup.configurations[i].name} on {len(matched)} of {most} runs: "
                "only these are on the same images."
            )
    notes.append(
        "The tests apply to these trained networks; with three seeds or more a row counts as worse only if the mean over "
        "seeds is worse too (95 % limits)."
    )
    return notes


def _accuracy_statistic(hits: Bools) -> Statistic:
    """Share of true `hits` (n,) among weighted images; NaN where a draw has none."""

    def statistic(weights: Floats) -> Floats:
        total = weights.sum(axis=1)
        return np.where(total > 0, weights @ hits / np.where(total > 0, total, 1.0), np.nan)

    return statistic
