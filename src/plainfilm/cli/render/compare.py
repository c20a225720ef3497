"""Terminal output of `compare` and `experiments`."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from plainfilm.schemas.compare import (
    NOT_TESTED,
    CompareDocument,
    ComparedRow,
    Difference,
    ExperimentDocument,
    MeanSd,
    TableDocument,
)
from plainfilm.schemas.documents import RESEARCH_ONLY, marks
from plainfilm.schemas.number_text import FEWEST, estimate_text, p_text


def _mean_text(found: MeanSd) -> str:
    """The mean with its spread and limits, or why there is none."""
    return f"- ({found.method})" if found.mean is None else found.as_text()


def print_compare(out: Console, document: CompareDocument) -> None:
    """One row per configuration, the best first."""
    people = f", {document.n_patients} patients" if document.n_patients is not None else ""
    out.print(
        f"{marks(document.notes)}{document.split}, {document.n} images{people}; ranked by {document.metric}, then log loss"
    )
    table = Table(box=None, pad_edge=False)
    for name in ("row", "seeds", "AUROC", "accuracy", "log loss"):
        table.add_column(name, no_wrap=name == "row")
    for row in document.rows:
        shown = (_mean_text(row.metrics[name]) for name in ("auroc", "accuracy", "log_loss"))
        table.add_row(row.name, _seeds_text(row), *shown)
    out.print(table)
    pairs = "whole patients" if document.n_patients is not None else "image; no patient key is known"
    out.print(f"{document.metric} minus that of {document.best}, paired by {pairs} (permutation, {document.draws} draws; p adjusted by Holm for all pairs):")  # fmt: skip
    out.print(_differences_table(document))
    if any(found.p_is_floor or found.p_holm_is_floor for found in _shown(document)):
        out.print(f"p <=: {FEWEST}.")
    for note in document.notes:
        out.print(f"NOTE: {note}")
    out.print(RESEARCH_ONLY)


def _seeds_text(row: ComparedRow) -> str:
    return str(len(row.seeds)) + (f" ({row.folds.as_text()})" if row.folds else "")


def _shown(document: CompareDocument) -> list[Difference]:
    return [row.differences[document.metric] for row in document.rows if document.metric in row.differences]


def _differences_table(document: CompareDocument) -> Table:
    """A line for each row below the best; with a margin, what is shown about it."""
    margin = [] if document.margin is None else [f"margin {document.margin:g}"]
    table = Table(box=None, pad_edge=False)
    for name in ("row", "difference", "p", "adjusted", "closed-form test", *margin, ""):
        table.add_column(name, no_wrap=name == "row")
    for row in document.rows[1:]:
        found = row.differences.get(document.metric)
        if found is None:
            table.add_row(row.name, *["-"] * (4 + len(margin)), NOT_TESTED)
            continue
        p, adjusted = p_text(found.p, is_floor=found.p_is_floor), p_text(found.p_holm, is_floor=found.p_holm_is_floor)
        second = f"{found.second} {'-' if found.second_p is None else p_text(found.second_p)}"
        shown = [found.verdict_text()] if margin else []
        table.add_row(row.name, estimate_text(found, "+.4f"), p, adjusted, second, *shown, found.against_best())
    return table


_WORDS = {"skipped": "done before", "trained": "done", "resumed": "done, resumed", "busy": "in use"}


def print_experiment(out: Console, document: ExperimentDocument) -> None:
    """One line per run."""
    table = Table(box=None, pad_edge=False)
    for name in ("run", "", "test"):
        table.add_column(name, no_wrap=name == "run")
    for run in document.runs:
        word = _WORDS.get(run.outcome, run.outcome)
        table.add_row(run.run.replace("\\", "/").rpartition("/")[2], f"{word}: {run.message}" if run.message else word,
                      "evaluated" if run.test_opened else "")  # fmt: skip
    out.print(table)
    if document.estimate_seconds and all(run.outcome in ("planned", "skipped") for run in document.runs):
        out.print(f"About {document.estimate_seconds / 60:.1f} min. Nothing was trained.")
    out.print(f"Runs: {document.out}", soft_wrap=True)
    if document.next:
        out.print(f"Next: {document.next}", soft_wrap=True)


def print_table(out: Console, document: TableDocument) -> None:
    """The files written, and a line per experiment."""
    for section in document.sections:
        best = f", best on valid: {section.best}" if section.best else ""
        missing = f", not run: {', '.join(section.not_run)}" if section.not_run else ""
        out.print(f"{section.experiment}: {section.rows} rows from {section.runs} runs{best}{missing}")
    for note in document.notes:
        out.print(f"NOTE: {note}")
    for path in (document.page, document.csv, *document.figures):
        out.print(path, soft_wrap=True)
