"""Configurations side by side as a document, each tested against the best of them."""

from __future__ import annotations

from plainfilm.compare.configurations import (
    Configuration,
    Lineup,
    gather,
    line_up,
    refuse_other_classes,
)
from plainfilm.compare.differences import draws_for, tested_pairs
from plainfilm.compare.margin import margin_text
from plainfilm.compare.pooled_folds import POOLED, folds_of
from plainfilm.compare.scored_run import Scored
from plainfilm.errors import DataError, UsageError
from plainfilm.evaluate.document import chosen_on_valid
from plainfilm.runs.card import KEPT_BEST
from plainfilm.schemas.compare import CompareDocument, ComparedRow, Difference
from plainfilm.schemas.number_text import unadjusted_text

_METRICS = ("auroc", "accuracy")


def compare_scored(runs: list[Scored], *, metric: str = "auroc", margin: float | None = None) -> CompareDocument:
    """Rows with mean and sd over seeds, each tested against the best, of runs that were scored on one split.

    `margin`: of equivalence, 0..1; None: no verdict about it.

    Raises:
        UsageError: fewer than two configurations. DataError: other classes, or other images.
    """
    refuse_other_classes(runs)
    configurations = gather(runs)
    if len(configurations) < 2:
        differ, mean = _how_they_differ(configurations[0])
        raise UsageError(
            f"These {len(runs)} runs differ only in their {differ}: they are one configuration, whose row is {mean}. "
            "Give runs of another configuration too."
        )
    lineup = line_up(configurations, metric)
    for pair, matched in lineup.pairs.items():
        if not matched:
            raise DataError(_other_images(*(lineup.configurations[i] for i in pair)))
    return _as_document(lineup, runs[0].split, metric, margin)


def _how_they_differ(row: Configuration) -> tuple[str, str]:
    """What the runs of one configuration differ in, and what its row is."""
    if folds_of(row.runs) is None:
        return "seed", "their mean"
    return (
        ("fold", "all their images together") if len(row.repeats) == 1 else ("seed and fold", "the mean of its seeds")
    )


def _other_images(one: Configuration, other: Configuration) -> str:
    a, b = one.repeats[0], other.repeats[0]
    folds = [folds_of(row.runs) for row in (one, other)]
    if any(folds) and folds[0] != folds[1]:
        counts = [
            f"{row.name} has {known.as_text() if known else 'no folds'}"
            for row, known in zip((one, other), folds, strict=True)
        ]
        return f"{' and '.join(counts)}; scores on different images cannot be paired. Give the same folds of both."
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


def _as_document(lineup: Lineup, split: str, metric: str, margin: float | None) -> CompareDocument:
    """The rows, best first, each with its differences to the best."""
    tested = {name: tested_pairs(lineup, name, margin) for name in _METRICS}
    rows = [
        ComparedRow(
            name=row.name, runs=[str(run.root) for run in row.runs], seeds=[each.repeat[0] for each in row.repeats],
            metrics=row.metrics, folds=folds_of(row.runs),
            differences={name: found[0, i] for name, found in tested.items() if (0, i) in found},
        )
        for i, row in enumerate(lineup.configurations)
    ]  # fmt: skip
    auroc, best = rows[0].metrics["auroc"], [row.differences[metric] for row in rows if metric in row.differences]
    return CompareDocument(
        split=split, metric=metric, best=rows[0].name, n=auroc.n, n_patients=auroc.n_patients, margin=margin,
        draws=draws_for(len(lineup.pairs)), rows=rows, notes=_notes(lineup, split) + _how_to_read(best, margin),
    )  # fmt: skip


def _how_to_read(differences: list[Difference], margin: float | None) -> list[str]:
    """What the limits beside an adjusted p are, and what a verdict about a margin says."""
    found = [unadjusted_text(max((each.comparisons for each in differences), default=1))]
    return [note for note in (*found, *([margin_text(margin)] if margin else [])) if note]


def _notes(lineup: Lineup, split: str) -> list[str]:
    runs = [run for configuration in lineup.configurations for run in configuration.runs]
    notes = list(dict.fromkeys(note for run in runs for note in run.card.notes)) + lineup.own_splits_note()
    if split == "valid":
        kept = [run.card for run in runs if run.card.kept_by == KEPT_BEST] or [run.card for run in runs]
        notes += chosen_on_valid(kept[0])
    for (i, j), matched in lineup.pairs.items():
        most = max(len(lineup.configurations[i].repeats), len(lineup.configurations[j].repeats))
        if i == 0 and 0 < len(matched) < most:
            notes.append(
                f"{lineup.configurations[j].name} is tested against {lineup.configurations[i].name} on {len(matched)} of {most} runs: "
                "only these are on the same images."
            )
    notes.append(
        "The tests apply to these trained networks; with three seeds or more a row counts as worse only if the mean over "
        "seeds is worse too (95 % limits)."
    )
    return notes + [POOLED] * any(run.folds > 1 for row in lineup.configurations for run in row.repeats)
