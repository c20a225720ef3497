"""Group runs into configurations: runs that repeat each other are one row, and rows are tested in pairs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np

from plainfilm.base.listing import NAMED, some
from plainfilm.compare.mean_over_seeds import over_seeds
from plainfilm.compare.pooled_folds import by_seed
from plainfilm.compare.scored_run import Scored
from plainfilm.data.table.groups import connected
from plainfilm.errors import DataError, UsageError
from plainfilm.evaluate.stats.intervals import Ints
from plainfilm.evaluate.stats.paired_tests import PairedScores
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.compare import MeanSd

Pair = tuple[int, int]
_REPEATED = re.compile(r"^(.+?)(-fold\d+)?-seed\d+(\.\d+)?$")  # .2: a second folder, where the first is incomplete


@dataclass(frozen=True)
class Configuration:
    """The runs of one configuration, by seed and fold; `repeats`: their scores, one set for each seed, folds pooled."""

    name: str
    runs: list[Scored]

    @cached_property
    def repeats(self) -> list[Scored]:
        return by_seed(self.runs)

    @property
    def metrics(self) -> dict[str, MeanSd]:
        """Each metric over the seeds."""
        found = [each.metrics for each in self.repeats]
        return {name: over_seeds([metrics[name] for metrics in found]) for name in found[0]}

    @property
    def has_own_splits(self) -> bool:
        """Whether its seeds drew different splits, which on a given test set its scores do not show; folds differ anyway."""
        by_fold: dict[int, set[tuple[str, str]]] = {}
        for run in self.runs:
            by_fold.setdefault(run.cfg.data.fold, set()).add((run.fingerprint, run.fingerprint_valid))
        return any(len(splits) > 1 for splits in by_fold.values())

    def mean(self, metric: str) -> float:
        """Mean over the seeds; NaN if it is not estimable in one of them."""
        found = [each.metrics[metric].value for each in self.repeats]
        return float("nan") if None in found else float(np.mean([value for value in found if value is not None]))

    def rank(self, metric: str) -> tuple[float, float, str]:
        """Sort key, best first: by `metric`, then by log loss; a metric that is not estimable comes last."""
        value, loss = self.mean(metric), self.mean("log_loss")
        return (-value if value == value else np.inf, loss if loss == loss else np.inf, self.name)


@dataclass
class Lineup:
    """Configurations, best first. `codes`: run folder (of folds, the first) -> patient of each image, int (n,), 0..m-1,
    shared by all runs. `pairs`: the seeds of two configurations on the same images."""

    configurations: list[Configuration]
    codes: dict[Path, Ints]
    m: int
    pairs: dict[Pair, list[tuple[Scored, Scored]]] = field(default_factory=dict)

    def own_splits_note(self) -> list[str]:
        """The note that the sd of some rows covers more than trainings; empty where no row's seeds drew their own splits."""
        apart = [row.name for row in self.configurations if row.has_own_splits]
        if not apart:
            return []
        which = "every row" if len(apart) == len(self.configurations) > 1 else ", ".join(apart)
        return [
            f"Each seed drew its own split in {which}: there the sd covers other images as well as other trainings."
        ]

    def blocks(self, pair: Pair) -> list[PairedScores]:
        """The scores of the two rows of a pair on the same images."""
        return [
            PairedScores(
                a.probs[:, a.views], b.probs[:, b.views], np.stack([a.targs == c for c in a.views], axis=1),
                a.hits, b.hits, self.codes[a.root],
            )
            for a, b in self.pairs[pair]
        ]  # fmt: skip


def refuse_other_classes(runs: Sequence[Scored]) -> None:
    """Refuse runs whose classes, or whose positive class, differ."""
    first = runs[0]
    for run in runs[1:]:
        if run.card.vocab != first.card.vocab:
            raise DataError(
                f"{run.root.name} has the classes {some(run.card.vocab, NAMED)}; {first.root.name} has "
                f"{some(first.card.vocab, NAMED)}; only runs of the same classes can be compared."
            )
        if run.card.positive != first.card.positive:
            raise DataError(
                f"The positive class is {run.card.positive} in {run.root.name} and {first.card.positive} in "
                f"{first.root.name}. Train one of them again with the other's --positive."
            )


def gather(runs: Sequence[Scored]) -> list[Configuration]:
    """Runs that repeat each other become one configuration.

    Raises:
        UsageError: two runs have the same config and the same seed: a copy does not count as a second seed.
    """
    rows = _in_rows(runs)
    configurations: list[Configuration] = []
    names = _names(rows)
    for name, members in zip(names, rows, strict=True):
        members = sorted(members, key=lambda run: run.repeat)
        for one, other in pairwise(members):
            if one.repeat == other.repeat:
                raise UsageError(
                    f"{one.root} and {other.root} have the same config and seed: a repeated run is not a second seed. "
                    "Give one of them."
                )
        configurations.append(Configuration(name, members))
    return configurations


def _in_rows(runs: Sequence[Scored]) -> list[list[Scored]]:
    """The runs by configuration, in the order of each one's first run."""
    rows: list[list[Scored]] = []
    for run in runs:
        same = [any(_repeats(run, other) for other in row) for row in rows]
        joined = [each for row, is_same in zip(rows, same, strict=True) if is_same for each in row]
        at = same.index(True) if joined else len(rows)
        rest = [row for row, is_same in zip(rows, same, strict=True) if not is_same]
        rows = [*rest[:at], [*joined, run], *rest[at:]]
    return rows


def _repeats(one: Scored, other: Scored) -> bool:
    """Whether two runs differ only in seed or fold and are scored on the same images, or were planned as repeats: by a
    grid, or as folds of one partition. A seed alone also draws another split.
    """
    if one.key != other.key:
        return False
    folds = one.cfg.data.split == "kfold" and one.cfg.train.seed == other.cfg.train.seed
    return one.fingerprint == other.fingerprint or folds or _in_grid(one.root) == _in_grid(other.root) is not None


def _in_grid(root: Path) -> tuple[Path, str] | None:
    """The grid's folder and the configuration, of a run that `experiments run` trained; else None.

    A name can also be given by hand; cost.json is written by `experiments run` alone.
    """
    planned = _REPEATED.match(root.name) and RunDir(root).cost.is_file()
    return (root.resolve().parent, configuration_name(root)) if planned else None


def configuration_name(root: Path) -> str:
    """A run folder's name without its repeat: 'paper-fold1-seed2' -> 'paper'."""
    found = _REPEATED.match(root.name)
    return found[1] if found else root.name


def _names(rows: list[list[Scored]]) -> list[str]:
    """A short name per row; where two would be equal, the parent folder is added, and the seed where only it differs."""
    short = [", ".join(dict.fromkeys(configuration_name(run.root) for run in row)) for row in rows]
    keys = [row[0].key for row in rows]
    names = [
        name if short.count(name) == 1 else f"{row[0].root.parent.name}/{row[0].root.name}"
        for name, row in zip(short, rows, strict=True)
    ]
    return [
        name if keys.count(key) == 1 else f"{name} (seed {row[0].repeat[0]}, own split)"
        for name, key, row in zip(names, keys, rows, strict=True)
    ]


def line_up(configurations: Sequence[Configuration], metric: str) -> Lineup:
    """The configurations, best first, and for each pair of them the seeds on the same images."""
    ranked = sorted(configurations, key=lambda configuration: configuration.rank(metric))
    runs = [each for configuration in ranked for each in configuration.repeats]
    codes, m = _number_patients(runs)
    lineup = Lineup(ranked, codes, m)
    for i, j in combinations(range(len(ranked)), 2):
        lineup.pairs[i, j] = _match(ranked[i].repeats, ranked[j].repeats)
    return lineup


def _number_patients(runs: Sequence[Scored]) -> tuple[dict[Path, Ints], int]:
    """One number per patient over all runs: images that a run keeps together, or that are the same file, share it."""
    files, where = np.unique(np.concatenate([run.images for run in runs]), return_inverse=True)
    starts = np.cumsum([0, *(len(run.images) for run in runs)])
    left, right = [], []
    for run, start in zip(runs, starts, strict=False):
        mine = where[start : start + len(run.images)]
        _, group = np.unique(run.groups, return_inverse=True)
        first = np.zeros(group.max() + 1, dtype=np.int64)
        first[group[::-1]] = mine[::-1]
        left.append(mine)
        right.append(first[group])
    label = connected(len(files), np.concatenate(left), np.concatenate(right))
    parts = np.split(label[where], starts[1:-1])
    return {run.root: part for run, part in zip(runs, parts, strict=True)}, int(label.max()) + 1


def _match(ours: Sequence[Scored], theirs: Sequence[Scored]) -> list[tuple[Scored, Scored]]:
    """Pairs of runs of two configurations on the same images: first those of equal seed and fold, then in their order."""
    free = list(theirs)
    found: list[tuple[Scored, Scored]] = []
    for same_repeat in (True, False):
        taken = {a.root for a, _ in found}
        for a in (run for run in ours if run.root not in taken):
            fits = [b for b in free if b.fingerprint == a.fingerprint and (b.repeat == a.repeat or not same_repeat)]
            if fits:
                free.remove(fits[0])
                found.append((a, fits[0]))
    return found
