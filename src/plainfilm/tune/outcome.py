"""What a trial gave, read from its run folder alone: the truth about a study, whatever becomes of study.db."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from plainfilm.config import ExperimentConfig
from plainfilm.errors import DataError
from plainfilm.runs.folder import RunDir
from plainfilm.tune.space import Values

Status = Literal["done", "pruned", "failed"]


@dataclass(frozen=True)
class Outcome:
    """An ended trial. `curve`: select AUROC after each epoch; `select`: that of the epoch it keeps; None where it failed.

    `run` is None where no training began; `message`: why it failed.
    """

    number: int
    status: Status
    values: Values
    run: Path | None
    curve: tuple[float, ...] = ()
    select: float | None = None
    seconds: float | None = None
    message: str = ""


def read_outcome(number: int, values: Values, run: RunDir, cfg: ExperimentConfig) -> Outcome:
    """The outcome of a trial that was trained to its end, or until it was pruned.

    Raises:
        DataError: a file of it is missing or damaged.
    """
    status = run.read_status()["status"]
    curve = _column(run.history, "valid_auroc")
    if status not in ("done", "pruned") or not curve:
        raise DataError(f"{run.root} is neither done nor pruned, or its history is empty. Remove this folder.")
    seconds = sum(_column(run.timing, "epoch_seconds"))
    if not all(map(math.isfinite, curve)):
        return Outcome(number, "failed", values, run.root, message="its select AUROC is not a number", seconds=seconds)
    select = curve[-1] if status == "done" and cfg.train.keep == "last" else max(curve)
    return Outcome(number, "pruned" if status == "pruned" else "done", values, run.root, curve, select, seconds)


def _column(path: Path, name: str) -> tuple[float, ...]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(float(row[name]) for row in csv.DictReader(file))
    except (OSError, KeyError, ValueError, TypeError):
        raise DataError(
            f"{path} is missing or damaged. Restore it, or remove its folder: it is trained again."
        ) from None
