"""The tests of a lineup: each pair of rows on the same images, and the differences to the best row.

The best row is selected among all of them, so a test against it is in effect a test of every pair: p values are
adjusted for all pairs (Holm). Of 1,000 simulated tables of twenty equal models, 2.8 % had a false "not as good as the
best" this way, and 22.5 % when adjusted only for the 19 tests against the best row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student_t

from plainfilm.compare.configurations import Lineup, Pair
from plainfilm.compare.margin import MARGIN_LEVEL, Limits, verdict
from plainfilm.compare.scored_run import Scored
from plainfilm.evaluate.metrics.point_metrics import macro_statistic, mean_statistic
from plainfilm.evaluate.stats import paired_tests
from plainfilm.evaluate.stats.intervals import CHUNK, Floats, Statistic
from plainfilm.evaluate.stats.multiple_testing import at_floor, holm
from plainfilm.evaluate.stats.paired_tests import PairedScores
from plainfilm.schemas.compare import Difference
from plainfilm.schemas.evaluate import LEVEL

_MIN_PAIRS = 3  # of trainings, before their spread is used for a verdict
_BOOT_DRAWS = 2_000


@dataclass(frozen=True)
class _PairTests:
    """The tests of all `pairs` with the same images. `shares`: float (m, k), of each patient in each difference.

    `boot`: run folder -> its metric in the same bootstrap draws, float (draws,).
    """

    lineup: Lineup
    metric: str
    pairs: list[Pair]
    blocks: dict[Pair, list[PairedScores]]
    shares: Floats
    boot: dict[Path, Floats]

    def p_values(self) -> list[dict[str, Any]]:
        """p of each pair, plain and adjusted for all of them, and which are the fewest that the draws can show."""
        draws = draws_for(len(self.pairs))
        p, floor = paired_tests.permutation_p(self.shares, draws), paired_tests.smallest_p(self.shares, draws)
        adjusted = holm(p)
        found = zip(p, adjusted, p <= floor, at_floor(adjusted, floor), strict=True)
        names = ("p", "p_holm", "p_is_floor", "p_holm_is_floor")
        return [dict(zip(names, (value.item() for value in each), strict=True)) for each in found]

    def over_patients(self, column: int) -> dict[str, Any]:
        """The difference with its 95 and 90 % limits over patients, and the closed-form test."""
        pair = self.pairs[column]
        blocks, patients = _renumbered(self.blocks[pair])
        moved = np.mean([self.boot[b.root] - self.boot[a.root] for a, b in self.lineup.pairs[pair]], axis=0)
        value = -float(self.shares[:, column].sum())
        wide, inner = (paired_tests.difference_interval(value, moved, patients, at) for at in (0.95, MARGIN_LEVEL))
        second = paired_tests.SECOND_TESTS[self.metric](blocks, patients)
        return {
            "value": wide.value, "ci_low": wide.low, "ci_high": wide.high, "method": wide.method, "low_90": inner.low,
            "high_90": inner.high, "second": second.method, "second_p": None if second.p != second.p else second.p,
            "pairs": len(blocks), "patients": patients, "comparisons": len(self.pairs),
        }  # fmt: skip

    def over_seeds(self, column: int) -> dict[str, float]:
        """The 95 and 90 % limits of the mean over seeds; empty where there are too few."""
        matched, found = self.lineup.pairs[self.pairs[column]], dict[str, float]()
        for names, level in ((("seeds_low", "seeds_high"), 0.95), (("seeds_low_90", "seeds_high_90"), MARGIN_LEVEL)):
            found |= dict(zip(names, _seed_limits(matched, self.metric, level), strict=False))
        return found


def tested_pairs(lineup: Lineup, metric: str, margin: float | None) -> dict[Pair, Difference]:
    """Row j minus the best row for each row on the same images; p values adjusted over all pairs of the lineup.

    `margin`: of equivalence, 0..1; None: no verdict about it.
    """
    pairs = [pair for pair, matched in lineup.pairs.items() if matched and _is_estimable(matched, metric)]
    if not pairs:
        return {}
    blocks = {pair: lineup.blocks(pair) for pair in pairs}
    shares = np.stack([paired_tests.mean_shares(blocks[pair], metric, lineup.m) for pair in pairs], axis=1)
    tests = _PairTests(lineup, metric, pairs, blocks, shares, _bootstrap(lineup, metric))
    p = tests.p_values()
    return {
        pair: _difference(p[column] | tests.over_patients(column), tests.over_seeds(column), margin)
        for column, pair in enumerate(pairs)
        if pair[0] == 0
    }


def draws_for(tests: int) -> int:
    """Number of permutations, enough for the smallest possible p to survive the adjustment."""
    return max(paired_tests.DRAWS, paired_tests.DRAWS_PER_TEST * tests)


def _difference(found: dict[str, Any], seeds: dict[str, float], margin: float | None) -> Difference:
    """Distinguishable, or equivalent, only where the seeds say so too."""
    excludes_zero = not seeds or seeds["seeds_low"] > 0 or seeds["seeds_high"] < 0
    different = bool(found["p_holm"] <= LEVEL and excludes_zero)
    known = found | seeds | {"distinguishable": different}
    if margin is None:
        return Difference.model_validate({name: value for name, value in known.items() if not name.endswith("_90")})
    over_seeds = [(seeds["seeds_low_90"], seeds["seeds_high_90"])] if seeds else []
    says = verdict([(found["low_90"], found["high_90"]), *over_seeds], margin, different=different)
    return Difference.model_validate(known | {"margin": margin, "verdict": says})


def _renumbered(blocks: list[PairedScores]) -> tuple[list[PairedScores], int]:
    """The blocks with their own patients numbered from 0, and how many there are."""
    codes = np.unique(np.concatenate([block.patients for block in blocks]))
    return [block._replace(patients=np.searchsorted(codes, block.patients)) for block in blocks], len(codes)


def _seed_limits(matched: list[tuple[Scored, Scored]], metric: str, level: float) -> Limits | tuple[()]:
    """Limits of the mean difference over pairs of trainings; none with fewer than three.

    A permutation of patients keeps the networks fixed. Training them again changes the difference too: at 25 images per
    class four times as much as other patients would. The folds of a seed are one pair: they share train images.
    """
    if len(matched) < _MIN_PAIRS:
        return ()
    moved = np.array([(b.metrics[metric].value or 0) - (a.metrics[metric].value or 0) for a, b in matched])
    half = float(student_t.ppf((1 + level) / 2, len(moved) - 1)) * float(np.std(moved, ddof=1)) / len(moved) ** 0.5
    return float(moved.mean()) - half, float(moved.mean()) + half


def _is_estimable(matched: list[tuple[Scored, Scored]], metric: str) -> bool:
    return all(run.metrics[metric].value is not None for pair in matched for run in pair)


def _bootstrap(lineup: Lineup, metric: str, n_boot: int = _BOOT_DRAWS, seed: int = 0) -> dict[Path, Floats]:
    """Each run's metric in the same bootstrap draws of whole patients: float (n_boot,)."""
    rng, drawn = np.random.default_rng(seed), []
    step = max(1, CHUNK // lineup.m)
    statistics = {each.root: _statistic(each, metric) for row in lineup.configurations for each in row.repeats}
    for start in range(0, n_boot, step):
        b = min(step, n_boot - start)
        picks = rng.integers(lineup.m, size=(b, lineup.m)) + lineup.m * np.arange(b)[:, None]
        counts = np.bincount(picks.ravel(), minlength=b * lineup.m).reshape(b, lineup.m).astype(float)
        drawn.append({root: statistic(counts[:, lineup.codes[root]]) for root, statistic in statistics.items()})
    return {root: np.concatenate([part[root] for part in drawn]) for root in statistics}


def _statistic(run: Scored, metric: str) -> Statistic:
    if metric == "accuracy":
        return mean_statistic(run.hits)
    return macro_statistic([paired_tests.auroc_statistic(run.probs[:, c], run.targs == c) for c in run.views])
