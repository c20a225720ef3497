"""The document of `runs`: one row for each run folder, with what is wrong with it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from plainfilm.schemas.documents import Document
from plainfilm.schemas.evaluate import Metric

DAMAGED = "damaged"  # the status of a run whose status.json cannot be read


class RunScores(BaseModel):
    """The saved numbers of one split; null AUROC where it cannot be estimated."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    auroc: Metric


class RunRow(BaseModel):
    """One run. `name`: its folder below the one that was listed; `data`: DATA as the run was given it, null for drawn phantoms.

    `status`: done, running, interrupted, diverged, failed, pruned or damaged; `epochs` that ended; `fold` of `folds`, of
    a k-fold run; `valid`, `test`: null where nothing is saved, or what is saved cannot be shown; `opened`: test-set
    accesses of this run, null where they cannot be counted; `minutes` of its epochs; `problem`: what is wrong with the
    folder, null where nothing was found.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str
    name: str
    model: str | None = None
    recalibrated: bool = False
    data: str | None = None
    split: str | None = None
    fold: int | None = None
    folds: int | None = None
    status: str
    epochs: int | None = None
    valid: RunScores | None = None
    test: RunScores | None = None
    opened: int | None = None
    minutes: float | None = None
    updated: str | None = None
    problem: str | None = None

    @property
    def split_text(self) -> str:
        """'patient', 'kfold 0/5', the name of a split file; '-' where it is not known."""
        fold = f" {self.fold}/{self.folds}" if self.fold is not None and self.folds is not None else ""
        return f"{_last(self.split)}{fold}"

    @property
    def data_text(self) -> str:
        """The last part of DATA's path."""
        return _last(self.data) if self.data is not None else "-" if self.model is None else "drawn"

    @property
    def model_text(self) -> str:
        """The network, and whether its scores were fitted to another place."""
        return f"{self.model or '-'}{' recalibrated' if self.recalibrated else ''}"

    @property
    def status_text(self) -> str:
        """The status, with the epochs that ended where training did not."""
        ended = self.epochs is not None and self.status not in ("done", DAMAGED)
        return f"{self.status}, {self.epochs} epoch{'' if self.epochs == 1 else 's'}" if ended else self.status


class RunsDocument(Document):
    """`plainfilm runs --json`: run folders below `folder`, sorted; `found`: how many there are before any filter."""

    folder: str
    found: int
    runs: list[RunRow]
    notes: list[str]


def _last(path: str | None) -> str:
    return (path or "-").replace("\\", "/").rstrip("/").rpartition("/")[2] or "-"
