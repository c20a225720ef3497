"""Turn run folders into rows: one per configuration, ranked on valid, each tested against the best."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from plainfilm.base.command_line import command_line
from plainfilm.compare.configurations import (
    Configuration,
    Lineup,
    configuration_name,
    gather,
    line_up,
    refuse_other_classes,
)
from plainfilm.compare.differences import tested_pairs
from plainfilm.compare.pooled_folds import folds_of
from plainfilm.compare.scored_run import Scored, read_scored
from plainfilm.data.table.saved_table import read_table
from plainfilm.errors import ConfigError, DataError
from plainfilm.evaluate.finished import SHIFTED
from plainfilm.evaluate.test_ledger import count_accesses
from plainfilm.experiments.cost import Cost, read_cost
from plainfilm.experiments.failures import with_failures
from plainfilm.experiments.grid import About, Experiment, read_experiment
from plainfilm.experiments.held_out import HeldOutScores, SavedDocuments, discordant, held_out_scores, shortcut_baseline
from plainfilm.runs.card import KEPT_LAST
from plainfilm.runs.environment import version_of
from plainfilm.runs.folder import RunDir
from plainfilm.runs.saved_config import read_run_yaml
from plainfilm.schemas.compare import Difference, Folds, MeanSd

NOT_RUN = "NOT RUN"


@dataclass(frozen=True)
class Costs:
    """Means over the runs of a configuration; None: not measured. Memory is the largest of the runs."""

    parameters: int
    weights_mb: float
    minutes: float | None
    img_per_s: float | None
    latency_ms: float | None
    threads: int | None
    peak_rss_mb: float | None
    peak_exact: bool


@dataclass(frozen=True)
class Row:
    """One configuration. `rank` is 1 for the best on valid; without a finished run `metrics` is empty and `why` says so.

    `per_class`: train images per class if the experiment limits them; `smallest`: those of the smallest class where it
    varies their number and this row has all; `best`: the row that it is tested against, or
    itself if it is that row (where the number of train images varies, the best of the same number). `discordant`: on
    valid, the share of discordant pairs that the network ranks correctly; None if a run does not have it. `runs`: the
    finished ones; `folds`: how many folds of each seed they are, None where they are none.
    """

    name: str
    rank: int | None
    seeds: list[int]
    metrics: dict[str, MeanSd]
    difference: Difference | None
    costs: Costs | None
    accesses: int
    test: HeldOutScores | None
    command: str
    why: str = ""
    per_class: int | None = None
    smallest: int | None = None
    best: str = ""
    discordant: MeanSd | None = None
    runs: int = 0
    folds: Folds | None = None

    @property
    def way(self) -> str:
        """The configuration's name without the number of images."""
        return self.name.removesuffix(f"-per_class_{self.images}")

    @property
    def images(self) -> str:
        """Train images per class, in words."""
        return "all" if self.per_class is None else str(self.per_class)


@dataclass(frozen=True)
class ResultsSection:
    """One experiment, ranked on `split`. `baseline`: the shortcut probe on the unchanged valid images of the best row.

    `seals`: the test sets of its runs. `sized`: the number of train images varies. `kept_last`: no epoch was selected.
    `versions`: of plainfilm, that trained its runs. `margin`: of equivalence; None: no verdict about it.
    """

    name: str
    about: About
    rows: list[Row]
    baseline: MeanSd | None
    baseline_probe: str
    marks: list[str]
    runs: int
    unfinished: list[str] = field(default_factory=list)
    split: str = "valid"
    seals: frozenset[str] = frozenset()
    sized: bool = False
    kept_last: bool = False
    versions: tuple[str, ...] = ()
    margin: float | None = None


def read_section(name: str, folder: Path, file: Path | None, margin: float | None = None) -> ResultsSection:
    """The experiment whose runs are in `folder` (which may be missing), with the configurations of `file`.

    Raises:
        DataError: there is neither a run nor a file; a run is damaged or of a newer version.
    """
    experiment = _read_file(file)
    roots = run_folders(folder)
    if not roots and experiment is None:
        raise DataError(f"{folder} holds no run folder. Give the folder that experiments run wrote to.")
    done: list[tuple[Path, str]] = []
    unfinished: list[tuple[Path, str]] = []
    for root in roots:
        status = RunDir(root).read_status()["status"]
        (done if status == "done" else unfinished).append((root, status))
    unfinished = with_failures(folder, [root for root, _ in done], unfinished)
    split = _ranked_on([root for root, _ in done])
    runs, saved = [read_scored(root, split) for root, _ in done], SavedDocuments()
    rows: list[Row] = []
    lineup = None
    if runs:
        refuse_other_classes(runs)
        lineup = line_up(gather(runs), "auroc")
        rows = _rows(lineup, experiment, file, margin, saved)
    rows += _not_run(rows, experiment, unfinished, file)
    probe, baseline = shortcut_baseline(lineup.configurations[0].runs, saved) if lineup else ("", None)
    notes = list(dict.fromkeys(note for run in runs for note in run.card.notes if not note.startswith("SHORTCUT")))
    return ResultsSection(
        name, experiment.about if experiment else About(), rows, baseline, probe,
        notes + _comparability_notes([root for root, _ in done], split, rows)
        + (lineup.own_splits_note() if lineup else []), len(runs),
        [f"{root.name} ({status})" for root, status in unfinished], split,
        frozenset(run.card.seal for run in runs if run.card.seal), len({row.per_class or row.smallest for row in rows} - {None}) > 1,
        bool(runs) and all(run.card.kept_by == KEPT_LAST for run in runs),
        tuple(sorted({version_of(RunDir(root)) for root, _ in done})), margin,
    )  # fmt: skip


def _ranked_on(roots: Sequence[Path]) -> str:
    """valid-shifted if every run has scores on it, else valid."""
    return SHIFTED if roots and all(_has_shifted(root) for root in roots) else "valid"


def _has_shifted(root: Path) -> bool:
    return RunDir(root).predictions(SHIFTED).is_file()


def _comparability_notes(roots: Sequence[Path], split: str, rows: Sequence[Row]) -> list[str]:
    """Notes on why rows are not compared on equal terms."""
    found = []
    shifted = sum(map(_has_shifted, roots))
    if split != SHIFTED and shifted:
        found.append(f"Ranked on valid: {len(roots) - shifted} of {len(roots)} runs have no scores on {SHIFTED}.")
    for what, counts in _repeats(rows).items():
        if len(set(counts.values())) > 1:
            few = [f"{name} {n}" for name, n in counts.items() if n < max(counts.values())]
            found.append(
                f"Rows with fewer {what} than the others ({max(counts.values())}): {', '.join(few)}; their means vary more."
            )
    return found


def _repeats(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """How many seeds and folds each row has."""
    known = [row for row in rows if row.metrics]
    return {
        "seeds": {row.name: len(row.seeds) for row in known},
        "folds": {row.name: row.folds.done for row in known if row.folds},
    }


def run_folders(folder: Path) -> list[Path]:
    """Run folders right below `folder`, by name."""
    return sorted(path.parent for path in folder.glob("*/status.json")) if folder.is_dir() else []


def _read_file(file: Path | None) -> Experiment | None:
    if file is None or not file.is_file():
        return None
    try:
        return read_experiment(file)
    except ConfigError as error:
        raise DataError(f"The experiment's file cannot be used: {error}") from None


def _rows(
    lineup: Lineup, experiment: Experiment | None, file: Path | None, margin: float | None, saved: SavedDocuments
) -> list[Row]:
    """Ranked rows, each tested against the best; where the number of train images varies, the best of that number."""
    sizes = [_per_class(configuration.runs[0]) for configuration in lineup.configurations]
    against: dict[str, tuple[str, Difference | None]] = {}
    for size in dict.fromkeys(sizes):
        same = [
            configuration for configuration, other in zip(lineup.configurations, sizes, strict=True) if other == size
        ]
        part = lineup if len(same) == len(sizes) else line_up(same, "auroc")
        tested = tested_pairs(part, "auroc", margin)
        against |= {
            configuration.name: (part.configurations[0].name, tested.get((0, i)))
            for i, configuration in enumerate(part.configurations)
        }
    rows = [
        _row(configuration, i, against[configuration.name], size, _command(configuration.name, experiment, file), saved)
        for i, (configuration, size) in enumerate(zip(lineup.configurations, sizes, strict=True))
    ]
    return [
        replace(row, smallest=_smallest_class(configuration.runs[0])) if any(sizes) and row.per_class is None else row
        for row, configuration in zip(rows, lineup.configurations, strict=True)
    ]


def _smallest_class(run: Scored) -> int:
    """Train images of the smallest class."""
    rows = read_table(RunDir(run.root))
    return int(rows.loc[rows["split"] == "train", "label"].value_counts().min())


def _row(
    configuration: Configuration, i: int, against: tuple[str, Difference | None], size: int | None, command: str,
    saved: SavedDocuments,
) -> Row:  # fmt: skip
    accesses = [count_accesses(RunDir(run.root), run.card.seal)[0] for run in configuration.runs]
    return Row(
        name=configuration.name, rank=i + 1, seeds=[each.repeat[0] for each in configuration.repeats],
        metrics=configuration.metrics, runs=len(configuration.runs), folds=folds_of(configuration.runs),
        difference=against[1], costs=_costs([read_cost(RunDir(run.root)) for run in configuration.runs]),
        accesses=sum(accesses), test=held_out_scores([run for run, n in zip(configuration.runs, accesses, strict=True) if n], saved),
        command=command, per_class=size, best=against[0], discordant=discordant(configuration.runs, saved),
    )  # fmt: skip


def _per_class(run: Scored) -> int | None:
    data = read_run_yaml(RunDir(run.root)).get("data", {})
    found = data.get("per_class") if isinstance(data, dict) else None
    return found if isinstance(found, int) else None


def _command(name: str, experiment: Experiment | None, file: Path | None) -> str:
    if experiment is not None and experiment.about.command:
        return f"{experiment.about.command} --only {shlex.quote(name)}"
    if file is not None:
        return command_line("experiments", "run", f"experiments/{file.name}", "--only", name)
    return "plainfilm train --config RUN/config.yaml"


def _costs(found: Sequence[Cost]) -> Costs:
    def mean(name: str) -> float | None:
        values = [value for cost in found if (value := getattr(cost, name)) is not None]
        return float(np.mean(values)) if values else None

    timed = [cost for cost in found if cost.latency is not None]
    first = (timed or list(found))[0]
    seconds = mean("seconds")
    exact = [cost.peak_rss_mb for cost in found if cost.peak_rss_mb is not None and cost.peak_rss_exact]
    peaks = exact or [cost.peak_rss_mb for cost in found if cost.peak_rss_mb is not None]
    return Costs(
        first.parameters, first.weights_mb, None if seconds is None else seconds / 60, mean("train_img_per_s"),
        first.latency.median_ms if first.latency else None, first.latency.threads if first.latency else None,
        (max(exact) if exact else min(peaks)) if peaks else None, bool(exact),
    )  # fmt: skip


def _not_run(
    rows: list[Row], experiment: Experiment | None, unfinished: list[tuple[Path, str]], file: Path | None
) -> list[Row]:
    """A row for each configuration without a finished run."""
    there = {row.name for row in rows}
    why = {
        run.configuration: f"{NOT_RUN}: {run.skip}" if run.skip else NOT_RUN
        for run in (experiment.planned if experiment else ())
    }
    why |= {configuration_name(root): status for root, status in unfinished}
    return [
        Row(name, None, [], {}, None, None, 0, None, _command(name, experiment, file), reason)
        for name, reason in why.items()
        if name not in there
    ]
