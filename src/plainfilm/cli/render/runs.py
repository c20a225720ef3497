"""Terminal output of `runs`: one line a run where the screen has room, else two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.table import Table

from plainfilm.cli.screen import Screen, fits
from plainfilm.schemas.documents import RESEARCH_ONLY
from plainfilm.schemas.number_text import estimate_text
from plainfilm.schemas.run_list import RunRow, RunScores, RunsDocument

_Column = Callable[[RunRow], str]
_FACTS: dict[str, _Column] = {
    "model": lambda row: row.model_text,
    "data": lambda row: row.data_text,
    "split": lambda row: row.split_text,
    "status": lambda row: row.status_text + ("*" if row.problem else ""),
}
_NUMBERS: dict[str, _Column] = {
    "valid AUROC": lambda row: _scores_text(row.valid),
    "test AUROC": lambda row: _scores_text(row.test),
    "accesses": lambda row: "-" if row.opened is None else str(row.opened),
    "minutes": lambda row: _minutes_text(row),
}
_WORDS = {"valid AUROC": "valid", "test AUROC": "test"}


def print_runs(out: Screen, document: RunsDocument) -> None:
    """The table; then what is wrong with a folder, and what was left out."""
    rows = document.runs
    if rows:
        _print_rows(out, rows)
    out.print(_counted(document), soft_wrap=True)
    for row in rows:
        if row.problem:
            out.print(f"* {row.name}: {row.problem}", soft_wrap=True)
    for note in document.notes:
        out.print(f"NOTE: {note}")
    out.print(RESEARCH_ONLY)


def _print_rows(out: Screen, rows: Sequence[RunRow]) -> None:
    """All columns; else without those that say one thing of all runs, said once above; else two lines a run."""
    columns = {"run": lambda row: row.name, **_FACTS, **_NUMBERS}
    table = _table(rows, columns)
    if fits(table, out.width):
        out.print(table)
        return
    same = _same(rows, columns)
    table = _table(rows, {name: text for name, text in columns.items() if name not in same})
    if same:
        out.print("All: " + ", ".join(f"{name} {text}" for name, text in same.items()))
    if fits(table, out.width):
        out.print(table)
        return
    for row in rows:
        _print_block(out, row, [name for name in _FACTS if name not in same])


def _same(rows: Sequence[RunRow], columns: dict[str, _Column]) -> dict[str, str]:
    """The columns, but for the names, that say one thing of all of several runs, and what."""
    said = {name: {text(row) for row in rows} for name, text in columns.items() if name != "run"}
    return {name: texts.pop() for name, texts in said.items() if len(texts) == 1} if len(rows) > 1 else {}


def _table(rows: Sequence[RunRow], columns: dict[str, _Column]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=True, justify="right" if name in ("accesses", "minutes") else "left")
    for row in rows:
        table.add_row(*(text(row) for text in columns.values()))
    return table


def _print_block(out: Screen, row: RunRow, facts: Sequence[str]) -> None:
    out.print(row.name, soft_wrap=True)
    if facts:
        out.print("  " + ", ".join(_FACTS[name](row) for name in facts))
    said = [f"{_WORDS.get(name, name)} {text}" for name, column in _NUMBERS.items() if (text := column(row)) != "-"]
    out.print("  " + ", ".join(said or ["no numbers saved"]))


def _counted(document: RunsDocument) -> str:
    shown, where = len(document.runs), Path(document.folder)
    if not document.found:
        return f"No run folder below {where}. Train one: plainfilm train DATA"
    of = "" if shown == document.found else f" of {document.found}"
    return f"{shown}{of} run{'' if document.found == 1 else 's'} below {where}"


def _scores_text(found: RunScores | None) -> str:
    return "-" if found is None else estimate_text(found.auroc)


def _minutes_text(row: RunRow) -> str:
    return "-" if row.minutes is None else f"{row.minutes:.1f}" if row.minutes < 10 else f"{row.minutes:.0f}"
