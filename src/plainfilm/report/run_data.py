"""A finished run with everything its report needs, read once from the files of the run folder."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pandas as pd

from plainfilm.base.command_line import command_line
from plainfilm.base.json_text import json_model, parsed_json
from plainfilm.errors import DataError, SealError
from plainfilm.evaluate.access_chain import read_chain
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.ood.ood_gate import read_gate
from plainfilm.evaluate.saved_numbers import refuse_other_numbers
from plainfilm.evaluate.test_ledger import accesses_to, count_accesses, no_test_access
from plainfilm.runs.folder import RunDir
from plainfilm.runs.heat_checks_file import read_heat_checks
from plainfilm.runs.metrics_file import MetricsDocument, validated_splits
from plainfilm.runs.people_card import read_people_card
from plainfilm.runs.run_manifest import read_verified
from plainfilm.schemas.documents import DataCounts
from plainfilm.schemas.interpret import HeatFindings

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class ReportedRun(FinishedRun):
    """The data of the page: the run, and what is saved of it beside its scores.

    `documents`: metrics documents by split, always with valid, and with test after its evaluation; `excluded`: excluded
    files, by (state, code); `accesses`: to the run's test set; `accesses_external`: to external sets, which are in the same
    ledger; `accesses_set`: to this test set by all runs; `history`: columns of history.csv; `set_aside`: rows of excluded.csv;
    `people`: the filled fields of card.yaml; `heat`: the checks of the heat maps, None where `interpret` made no maps or saved no checks.
    """

    counts: DataCounts
    documents: dict[str, MetricsDocument]
    environment: dict[str, Any]
    finished: str
    history: dict[str, list[float]]
    accesses: list[dict[str, Any]]
    accesses_external: int
    accesses_set: int
    set_aside: pd.DataFrame
    heat: HeatFindings | None = None
    people: Mapping[str, str] = field(default_factory=dict)

    @property
    def split(self) -> str:
        """The split of the first screen: test after its evaluation, else valid."""
        return "test" if "test" in self.documents else "valid"

    @property
    def document(self) -> MetricsDocument:
        """The metrics document of the first screen."""
        return self.documents[self.split]

    @property
    def excluded(self) -> Counter[tuple[str, str]]:
        """Excluded files, by state and code; unlike the column `why`, a code cannot contain a file name."""
        return Counter(zip(self.set_aside["state"], self.set_aside["code"], strict=True))

    @property
    def has_heat(self) -> bool:
        """Whether `interpret` made heat maps."""
        return self.run.figure("heat_deletion").is_file()

    @property
    def highest_probe(self) -> str:
        """The shortcut probe with the highest AUROC on the images of the first screen, the first of equals; '' without one."""
        baseline = self.document.shortcut_baseline
        values = {name: m.value for name, m in (baseline.probes if baseline else {}).items() if m.value is not None}
        return max(values, key=lambda name: values[name], default="")

    @property
    def kept(self) -> int:
        """Position of the kept epoch in the history."""
        places = list(zip(self.history["phase"], self.history["epoch"], strict=True))
        return places.index((self.card.kept_phase, self.card.kept_epoch))


def read_reported_run(run: RunDir) -> ReportedRun:
    """Read and check a finished run.

    Raises:
        DataError: a file is missing or damaged. SealError: the test-set ledger was changed.
    """
    of_run = FinishedRun.open(run)
    card, status, ledger = of_run.card, run.read_status(), read_chain(run.ledger, "seal")
    of_set = count_accesses(run, card.seal)[1]
    documents = validated_splits(run, MetricsDocument)
    refuse_other_numbers(run, documents.values())
    read_gate(run, card)  # nothing is drawn from it, but its parts are named
    if "test" in documents and no_test_access(run, card):
        raise SealError(
            f"metrics.json of {run.root} has test scores, but no test-set access is recorded. "
            "Restore test_ledger.jsonl and status.json from a backup; nothing was written."
        )
    if "test" in documents:  # copying a run leaves the accesses of the other runs behind
        of_set = max(of_set, documents["test"].opened_set)
    accesses = [] if card.seal is None else accesses_to(ledger, card.seal)
    finished = ReportedRun(
        run=run, card=card, cfg=of_run.cfg, rows=of_run.rows, documents=documents, counts=_read(run, "data.json", lambda text: json_model(DataCounts, text, "data.json")),
        environment=_read(run, "environment.json", _mapping), finished=str(status.get("updated", "")),
        history=_read(run, "history.csv", _history), accesses=accesses,
        accesses_external=len(ledger) - len(accesses), accesses_set=of_set,
        set_aside=_read(run, "excluded.csv", _set_aside),
        heat=read_heat_checks(run), people=read_people_card(run),
    )  # fmt: skip
    _check(finished)
    return finished


def _read(run: RunDir, name: str, make: Callable[[str], _T]) -> _T:
    """The result of `make` on the text of a file; a missing or damaged file is an error of one line."""
    try:
        return make(read_verified(run, run.root / name).decode("utf-8"))
    except FileNotFoundError:
        what = "is missing"
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        what = "is damaged"
    raise DataError(f"{name} of {run.root} {what}. Restore it from a backup, or train again into another folder.")


def _mapping(text: str) -> dict[str, Any]:
    found = parsed_json(text, "the file")
    if not isinstance(found, dict):
        raise TypeError("not a JSON object")
    return found


def _history(text: str) -> dict[str, list[float]]:
    table = pd.read_csv(io.StringIO(text)).astype(float)
    needed = ("phase", "epoch", "train_loss", "valid_loss", "train_accuracy", "valid_accuracy", "valid_auroc")
    if missing := [name for name in needed if name not in table]:
        raise KeyError(missing[0])
    return {str(name): column.tolist() for name, column in table.items()}


def _set_aside(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)[["relative", "state", "code", "why"]]


def _check(found: ReportedRun) -> None:
    """Check that the files belong to the same run; otherwise they were edited or mixed up."""
    root, counts = found.run.root, found.counts
    if counts.found != counts.used + counts.quarantined + counts.duplicates + counts.ignored:
        raise DataError(f"The counts in data.json of {root} do not add up. Restore it from a backup, or train again.")
    if found.document.confusion.labels != found.card.vocab:
        raise DataError(
            f"metrics.json and card.json of {root} name different classes. Make metrics.json again: "
            + command_line("evaluate", root)
        )
    try:
        _ = found.kept
    except ValueError:
        raise DataError(
            f"history.csv of {root} lacks the epoch that card.json names. Restore it from a backup, or train again."
        ) from None
