"""A finished run as its report sees it: everything is read from files of the run folder, once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd
from pydantic import ValidationError

from plainfilm.config import ExperimentConfig
from plainfilm.data.table.image_table import read_table
from plainfilm.errors import DataError, SealError
from plainfilm.evaluate.predictions import Predictions, read_predictions
from plainfilm.evaluate.test_ledger import count_accesses, read_chain
from plainfilm.runs.card import Card, read_card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import MetricsDocument, read_metrics_file
from plainfilm.runs.saved_config import read_run_config
from plainfilm.schemas.documents import DataCounts

_T = TypeVar("_T")


@dataclass(frozen=True)
class ReportedRun:
    """What the page is made of.

    `answers`: by split, valid always, test once opened; `excluded`: files set aside, by (state, code);
    `looks`: the run's ledger, `looks_set`: looks at this test set by all runs beside it; `history`: columns of
    history.csv; `set_aside`: rows of excluded.csv.
    """

    run: RunDir
    card: Card
    cfg: ExperimentConfig
    counts: DataCounts
    answers: dict[str, MetricsDocument]
    environment: dict[str, Any]
    finished: str
    history: dict[str, list[float]]
    looks: list[dict[str, Any]]
    looks_set: int
    rows: pd.DataFrame
    set_aside: pd.DataFrame

    @property
    def split(self) -> str:
        """The split that the first screen speaks of: test once it was opened, else valid."""
        return "test" if "test" in self.answers else "valid"

    @property
    def answer(self) -> MetricsDocument:
        return self.answers[self.split]

    @property
    def excluded(self) -> Counter[tuple[str, str]]:
        """Files set aside, by state and code; the column `why` can name a file, the code cannot."""
        return Counter(zip(self.set_aside["state"], self.set_aside["code"], strict=True))

    @property
    def kept(self) -> int:
        """Position of the kept epoch in the history."""
        places = list(zip(self.history["phase"], self.history["epoch"], strict=True))
        return places.index((self.card.kept_phase, self.card.kept_epoch))

    def predictions(self, split: str) -> Predictions:
        """The saved scores of a split."""
        part = self.rows[self.rows["split"] == split]
        return read_predictions(self.run.predictions(split), part, self.card.vocab, has_patients=self.card.has_patients)


def read_reported_run(run: RunDir) -> ReportedRun:
    """Everything of a finished run.

    Raises:
        DataError: a file is missing or damaged. SealError: the ledger of test looks is not what it was.
    """
    card, cfg = read_card(run), read_run_config(run)
    status = run.read_status()
    own, of_set = count_accesses(run, card.seal)
    answers = read_metrics_file(run)
    if "test" in answers and not own:
        raise SealError(
            f"metrics.json of {run.root} has test scores, but no look at the test set is recorded. "
            "Restore test_ledger.jsonl and status.json from a backup; nothing was written."
        )
    if "test" in answers:  # a run that was copied has left the other runs' looks behind
        of_set = max(of_set, answers["test"].opened_set)
    finished = ReportedRun(
        run=run, card=card, cfg=cfg, answers=answers, counts=_read(run, "data.json", DataCounts.model_validate_json),
        environment=_read(run, "environment.json", _mapping), finished=str(status.get("updated", "")),
        history=_read(run, "history.csv", lambda _: _history(run)), looks=read_chain(run.ledger), looks_set=of_set,
        rows=read_table(run.table), set_aside=_read(run, "excluded.csv", lambda _: _set_aside(run)),
    )  # fmt: skip
    _check(finished)
    return finished


def _read(run: RunDir, name: str, make: Callable[[str], _T]) -> _T:
    """What `make` makes of a file's text; what it cannot use becomes one line."""
    path = run.root / name
    try:
        return make(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = "is missing"
    except (OSError, ValueError, ValidationError, KeyError, TypeError, RecursionError):
        what = "is damaged"
    raise DataError(f"{name} of {run.root} {what}. Restore it from a backup, or train again into another folder.")


def _mapping(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError("no JSON object")
    return found


def _history(run: RunDir) -> dict[str, list[float]]:
    table = pd.read_csv(run.history).astype(float)
    needed = ("phase", "epoch", "train_loss", "valid_loss", "train_accuracy", "valid_accuracy", "valid_auroc")
    if missing := [name for name in needed if name not in table]:
        raise KeyError(missing[0])
    return {str(name): column.tolist() for name, column in table.items()}


def _set_aside(run: RunDir) -> pd.DataFrame:
    return pd.read_csv(run.excluded, dtype=str, keep_default_na=False)[["relative", "state", "code", "why"]]


def _check(found: ReportedRun) -> None:
    """The parts must speak of the same run; where they do not, somebody edited or mixed files."""
    root, counts = found.run.root, found.counts
    if counts.found != counts.used + counts.quarantined + counts.duplicates + counts.ignored:
        raise DataError(f"The counts in data.json of {root} do not add up. Restore it from a backup, or train again.")
    if found.answer.confusion.labels != found.card.vocab:
        raise DataError(
            f"metrics.json and card.json of {root} name other classes. Make metrics.json again: plainfilm evaluate {root}."
        )
    try:
        _ = found.kept
    except ValueError:
        raise DataError(
            f"history.csv of {root} lacks the epoch that card.json names. Restore it from a backup, or train again."
        ) from None
