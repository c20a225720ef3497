"""The document of `tune`: trials, the best of them, and what fresh seeds confirm."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from plainfilm.schemas.compare import Difference, MeanSd
from plainfilm.schemas.documents import Document
from plainfilm.schemas.evaluate import Metric


class TuneTrial(BaseModel):
    """One trial. `select`: AUROC on the select part of valid of the epoch that it keeps, of a pruned one the best so far;
    None where it failed, which `message` explains. Trial 0 has the file's own values."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    number: int
    status: Literal["done", "pruned", "failed"]
    params: dict[str, Any]
    select: float | None
    epochs: int
    seconds: float | None
    run: str | None
    message: str = ""


class TuneBest(BaseModel):
    """The trial with the highest select AUROC; `calibrate`: its AUROC on the part of valid that it was not chosen on, or,
    where `apart` is false, on the same images: valid is too small to be divided."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    number: int
    params: dict[str, Any]
    select: float
    calibrate: Metric
    apart: bool


class Confirmed(BaseModel):
    """A config trained again on fresh `seeds`. `runs`: those that ended; `message`: why the others did not; `calibrate`:
    over those that ended, its mean None where none did. `difference`: calibrate AUROC minus the default's, over the seeds
    on which both ended, None where there is none and for the default itself, which is number 0; its p_holm is adjusted
    for all `comparisons`, the configs that were compared with the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    number: int
    params: dict[str, Any]
    seeds: list[int]
    calibrate: MeanSd
    difference: Difference | None
    runs: list[str]
    message: str = ""

    def ended(self) -> str:
        """'2 of 3 seeds'."""
        return f"{len(self.runs)} of {len(self.seeds)} seeds"


class TuneDocument(Document):
    """`plainfilm tune --json`. `trials` is empty and `best` None after a dry run, whose `estimate_seconds` is for all
    trainings. `default`: the select AUROC of trial 0. `importance`: share of the select AUROC's variance by key. `test_accesses`: of the test set by the study's
    runs, and by all runs that the ledgers know of."""

    study: str
    out: str
    sampler: str
    planned: int
    trials: list[TuneTrial]
    best: TuneBest | None
    default: float | None
    confirmed: list[Confirmed]
    importance: dict[str, float]
    estimate_seconds: float | None = None
    notes: list[str]
    page: str | None = None
    next: str = ""
    has_test: bool = True
    test_accesses: int = 0
    test_accesses_by_all: int = 0

    def accesses_text(self) -> str:
        """Whether the test set was evaluated, as far as the ledgers know."""
        if not self.has_test:
            return "There is no test set."
        if not self.test_accesses_by_all:
            return "No test-set access is recorded."
        return f"Test-set accesses recorded: {self.test_accesses} by the runs of this study, {self.test_accesses_by_all} by all runs."
