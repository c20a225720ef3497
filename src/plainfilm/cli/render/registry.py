"""Terminal output of each command's document, on stdout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from plainfilm.cli.render.compare import print_compare, print_experiment, print_table
from plainfilm.cli.render.data import (
    print_audit,
    print_cache,
    print_doctor,
    print_models,
    print_phantom,
    print_split,
    size_text,
)
from plainfilm.cli.render.evaluate import print_evaluate, print_train
from plainfilm.cli.render.evaluate_blocks import print_notes
from plainfilm.cli.render.next_steps import print_next
from plainfilm.cli.render.plan import print_plan
from plainfilm.cli.render.predict import print_export, print_predict
from plainfilm.cli.render.recalibrate import print_recalibrate
from plainfilm.cli.render.runs import print_runs
from plainfilm.cli.render.tune import print_tune
from plainfilm.cli.screen import Screen
from plainfilm.schemas.compare import CompareDocument, ExperimentDocument, TableDocument
from plainfilm.schemas.data import (
    AuditDocument,
    CacheDocument,
    DoctorDocument,
    InitDocument,
    PhantomDocument,
    SplitDocument,
)
from plainfilm.schemas.documents import (
    CardDocument,
    Document,
    EvaluateDocument,
    ExportDocument,
    LrFindDocument,
    ModelsDocument,
    PredictDocument,
    ReportDocument,
    TrainDocument,
)
from plainfilm.schemas.interpret import InterpretDocument
from plainfilm.schemas.plan import PlanDocument
from plainfilm.schemas.recalibrate import RecalibrateDocument
from plainfilm.schemas.run_list import RunsDocument
from plainfilm.schemas.tune import TuneDocument


def _print_init(out: Screen, document: InitDocument) -> None:
    """What was found, what is proposed, and the command that trains on it."""
    low, high = document.sides_px
    depth = "8 bits" if document.bits is None else f"{document.bits} bits"
    sides = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    out.print(f"{'Grey' if document.channels == 1 else 'Colour'}, {depth}, smaller side {sides} px")
    if document.proposals:
        out.print("Proposals, in the file behind '#' until you choose them:")
    for found in document.proposals:
        out.print(f"  {found.key}: {found.value}", soft_wrap=True)
        out.print(f"      {found.why}")
    print_notes(out, document.notes)
    out.print(f"Config: {document.out}", soft_wrap=True)
    path = document.config["data"]["path"]
    print_next(out, ("audit", path), ("train", "--config", Path(document.out)))


def _print_lr_find(out: Console, document: LrFindDocument) -> None:
    for name, value in document.suggestions.items():
        about = ", a tenth of the rate with the lowest loss" if name == "minimum" and value else ""
        out.print(f"{name:8} {'-' if value is None else f'{value:.2e}'}{about}")
    out.print("Use: no suggestion, the curve is flat" if document.flat else f"Use: {document.option} {document.lr:.1e}")
    print_notes(out, document.notes)
    out.print(f"Figure: {document.figure}", soft_wrap=True)


def _print_report(out: Console, document: ReportDocument) -> None:
    for caveat in document.caveats:
        out.print(f"- {caveat}")
    people = f"{document.claim_by_people} by people alone, " if document.claim_by_people else ""
    out.print(
        f"CLAIM 2024: {document.claim_reported - document.claim_by_people} items from the run, {people}"
        f"{document.claim_not_reported} NOT REPORTED; {size_text(document.bytes)}"
    )
    if document.card_open:
        out.print(f"card.yaml: {document.card_open} fields are open; plainfilm card lists them.")
    if document.names:
        out.print("The page shows file names: do not share it if they identify patients.")
    out.print(f"Report: {document.out}", soft_wrap=True)
    print_next(out, ("export", document.run))


def _print_figures(out: Console, figures: Mapping[str, str]) -> None:
    """The folder once, and the files in it; a figure elsewhere by its path."""
    folders = {str(Path(path).parent) for path in figures.values()}
    if len(folders) > 1:
        for name, path in figures.items():
            out.print(f"{name:22} {path}", soft_wrap=True)
    elif folders:
        out.print(f"Figures: {folders.pop()}", soft_wrap=True)
        out.print(f"  {', '.join(Path(path).name for path in figures.values())}")


def _print_card(out: Console, document: CardDocument) -> None:
    """The open fields with their questions, how many there are, and how to fill one."""
    for field in document.fields:
        if field.text is not None:
            out.print(f"{field.name}: {field.text}", soft_wrap=True)
    left = [field for field in document.fields if field.text is None]
    if left:
        table = Table(box=None, pad_edge=False)
        for name in ("open field", "question", "CLAIM"):
            table.add_column(name, no_wrap=name == "open field", justify="right" if name == "CLAIM" else "left")
        for field in left:
            table.add_row(field.name, field.question, ", ".join(map(str, field.claim)))
        out.print(table)
    cards, items = sum(field.in_model_card for field in left), sum(len(field.claim) for field in left)
    out.print(
        f"{document.open} of {len(document.fields)} fields are open: {cards} of MODEL_CARD.md, {items} items of CLAIM 2024"
    )
    out.print(f"{'Written' if document.written else 'File'}: {document.file}", soft_wrap=True)
    fill = [("card", document.run, "--set", f"{left[0].name}=TEXT")] if left else []
    print_next(out, *fill, ("report", document.run), ("export", document.run))


def _print_interpret(out: Console, document: InterpretDocument) -> None:
    """Figures, errors, checks of the heat maps, likely label errors."""
    _print_figures(out, document.figures)
    for note in document.notes:
        out.print(f"NOTE: {note}")
    for pair in document.confused[:5]:
        many = "image" if pair.images == 1 else "images"
        out.print(f"{pair.images} {many} of {pair.truth} predicted {pair.called}")
    if document.heat is not None:
        heat = document.heat
        flat = f"; {heat.flat} without any heat" if heat.flat else ""
        out.print(f"Heat maps ({heat.method}, {heat.cells[0]} x {heat.cells[1]} cells) are not evidence of location.")
        out.print(f"Checked on {heat.pictures} {heat.chosen}{flat}:")
        for line in heat.says:
            out.print(f"- {line}")
    if document.suspects is not None:
        out.print(document.suspects.says)
        out.print(f"{'label errors':22} {document.suspects.file}", soft_wrap=True)
    print_next(out, ("report", document.run))


PRINTERS: dict[type[Document], Callable[[Screen, Any], None]] = {
    TrainDocument: print_train,
    EvaluateDocument: print_evaluate,
    LrFindDocument: _print_lr_find,
    InterpretDocument: _print_interpret,
    PhantomDocument: print_phantom,
    SplitDocument: print_split,
    InitDocument: _print_init,
    AuditDocument: print_audit,
    DoctorDocument: print_doctor,
    CacheDocument: print_cache,
    CompareDocument: print_compare,
    PlanDocument: print_plan,
    ExperimentDocument: print_experiment,
    TableDocument: print_table,
    ModelsDocument: print_models,
    ReportDocument: _print_report,
    CardDocument: _print_card,
    ExportDocument: print_export,
    PredictDocument: print_predict,
    RecalibrateDocument: print_recalibrate,
    TuneDocument: print_tune,
    RunsDocument: print_runs,
}
