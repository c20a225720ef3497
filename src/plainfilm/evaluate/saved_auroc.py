"""A saved AUROC against the saved scores that it comes from, without intervals, pandas or scipy: for a list of many runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from plainfilm.base.command_line import command_line
from plainfilm.errors import DataError
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import is_kept, read_verified

_TOLERANCE = 1e-6  # scores have nine digits


def refuse_another_auroc(
    run: RunDir, split: str, value: float | None, vocab: Sequence[str], positive: str | None
) -> None:
    """Check one number of a split as refuse_other_numbers() checks all of them, without intervals: a fifth of the time.

    Raises:
        DataError: as there.
    """
    path = run.predictions(split)
    if value is None or not is_kept(run, path):
        return
    try:
        rows = list(csv.reader(io.StringIO(read_verified(run, path).decode("utf-8"))))
        head, codes = rows.pop(0), {name: i for i, name in enumerate(vocab)}
        label, columns = head.index("label"), [head.index(f"prob_{name}") for name in vocab]
        probs = np.array([[float(row[i]) for row in rows] for i in columns]).T
        targs = np.array([codes[row[label]] for row in rows])
        classes = range(len(vocab)) if positive is None else (codes[positive],)
        found = mean_auroc(probs / probs.sum(axis=1, keepdims=True), targs, classes)
    except (OSError, ValueError, LookupError, csv.Error):
        raise damaged_scores(path) from None
    if found is None or not abs(found - value) <= _TOLERANCE:
        by_scores = "none" if found is None else f"{found:.6g}"
        raise other_numbers(run, split, f"auroc {value:.6g} there, {by_scores} by the scores")


def mean_auroc(scores: np.ndarray, targs: np.ndarray, classes: Iterable[int]) -> float | None:
    """Share of pairs ranked correctly, ties half; over several classes the mean of those with and without images."""
    found = []
    for c in classes:
        truth = targs == c
        if truth.all() or not truth.any():
            continue
        place = np.unique(scores[:, c], return_inverse=True)[1]
        positives, negatives = (np.bincount(place[side], minlength=place.max() + 1) for side in (truth, ~truth))
        below = np.cumsum(negatives) - negatives / 2
        found.append(float(positives @ below) / (int(truth.sum()) * int((~truth).sum())))
    return sum(found) / len(found) if found else None


def other_numbers(run: RunDir, split: str, what: str) -> DataError:
    again = () if split == "valid" else ("--split", split)
    return DataError(
        f"metrics.json of {run.root} is not made from predictions/{split}.csv ({what}). "
        f"Restore both from a backup, or compute it again{_price(split)}: "
        + command_line("evaluate", run.root, *again, "--again")
    )


def damaged_scores(path: Path) -> DataError:
    return DataError(
        f"{path} is damaged, or of other classes than metrics.json. Restore both from a backup, or train again."
    )


def _price(split: str) -> str:
    return ", which is a test-set access" if split == "test" else ""
