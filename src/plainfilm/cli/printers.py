"""Each command's result as people read it, on stdout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from plainfilm.schemas import (
    RESEARCH_ONLY,
    Document,
    EvaluateDocument,
    InterpretDocument,
    LrFindDocument,
    Metric,
    PhantomDocument,
    SplitDocument,
    TrainDocument,
    marks,
)

NAMES = {
    "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auroc": "AUROC", "auprc": "AUPRC",
    "sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV", "f1": "F1",
    "brier": "Brier (0 is best)", "ece": "ECE (0 is best)",
}  # fmt: skip


def duration(seconds: float) -> str:
    """'40 s', '3 min', '2.5 h'."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def metric_text(metric: Metric) -> tuple[str, str, str]:
    """Value, interval and n as they are printed."""
    if metric.value is None:
        return "-", metric.method, str(metric.n)
    return f"{metric.value:.3f}", f"[{metric.ci_low:.3f}, {metric.ci_high:.3f}]", str(metric.n)


def print_metrics(out: Console, title: str, metrics: dict[str, Metric]) -> None:
    """The metric table; the columns fit 60 characters."""
    out.print(title)
    table = Table(box=None, pad_edge=False)
    narrow = any("too narrow" in metric.method for metric in metrics.values())
    for name in ("", "value", "95 % interval, likely too narrow" if narrow else "95 % interval", "n"):
        table.add_column(name, justify="right" if name in ("value", "n") else "left")
    for name, metric in metrics.items():
        table.add_row(NAMES[name], *metric_text(metric))
    out.print(table)


def _print_train(out: Console, document: TrainDocument) -> None:
    if document.timing is None:
        out.print(
            f"Dry run: the data is in order; training would take about {duration(document.estimate_seconds)}. Nothing was written."
        )
        return
    print_metrics(out, f"{marks(document.notes)}valid, epoch {document.best_epoch} kept:", document.metrics["valid"])
    if document.threshold is not None:
        out.print(
            f"Score for class {document.positive}; called positive from {document.threshold:.4f} (chosen on valid)"
        )
    out.print(
        f"Trained in {duration(document.timing.seconds)}, {document.timing.train_img_per_s:.0f} img/s, {document.timing.peak_rss_mb:.0f} MB"
    )
    _print_notes(out, document.notes)
    out.print(f"Run: {document.run}", soft_wrap=True)
    if "test" in document.data.splits:
        out.print(f"Next: plainfilm evaluate {document.run} --split test", soft_wrap=True)
    out.print(f"      plainfilm interpret {document.run}", soft_wrap=True)


def _print_evaluate(out: Console, document: EvaluateDocument) -> None:
    at = f" at threshold {document.threshold:.4f}" if document.threshold is not None else ""
    print_metrics(out, f"{marks(document.notes)}{document.split}{at}:", document.metrics)
    if document.threshold is not None:
        accuracy = metric_text(document.metrics_at_half["accuracy"])
        out.print(f"At threshold 0.5: accuracy {accuracy[0]} {accuracy[1]}, n {accuracy[2]}")
        out.print(f"Score for class {document.positive}")
    _print_per_class(out, document)
    out.print("Confusion (rows = truth):")
    table = Table(box=None, pad_edge=False)
    for name in ("", *document.confusion.labels):
        table.add_column(name, justify="right" if name else "left")
    for name, row in zip(document.confusion.labels, document.confusion.rows, strict=True):
        table.add_row(name, *map(str, row))
    out.print(table)
    if document.split == "test":
        out.print(
            f"Looks at this test set: {document.opened} by this run, {document.opened_set} by all runs in this folder"
        )
    _print_notes(out, document.notes)
    out.print(RESEARCH_ONLY)


def _print_per_class(out: Console, document: EvaluateDocument) -> None:
    if not document.per_class:
        return
    out.print("Means over the classes, each against the rest; one by one:")
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in ("AUROC", "sensitivity", "specificity"):
        table.add_column(name)
    for label, metrics in document.per_class.items():
        table.add_row(
            label, *(" ".join(metric_text(metrics[name])[:2]) for name in ("auroc", "sensitivity", "specificity"))
        )
    out.print(table)


def _print_notes(out: Console, notes: list[str]) -> None:
    for note in notes:
        out.print(f"NOTE: {note}")


def _print_lr_find(out: Console, document: LrFindDocument) -> None:
    for name, value in document.suggestions.items():
        out.print(f"{name:8} {'-' if value is None else f'{value:.2e}'}")
    out.print(f"Use: --lr {document.lr:.1e}")
    _print_notes(out, document.notes)
    out.print(f"Figure: {document.figure}", soft_wrap=True)


def _print_interpret(out: Console, document: InterpretDocument) -> None:
    for name, path in document.figures.items():
        out.print(f"{name:22} {path}", soft_wrap=True)
    _print_notes(out, document.notes)
    for pair in document.confused[:5]:
        out.print(f"{pair.images} images of {pair.truth} were called {pair.called}")


def _print_phantom(out: Console, document: PhantomDocument) -> None:
    classes = ", ".join(f"{name} {n}" for name, n in document.classes.items())
    out.print(f"{document.images} images of {document.patients} patients ({classes}) in {document.out}", soft_wrap=True)


def _print_split(out: Console, document: SplitDocument) -> None:
    for name, split in document.data.splits.items():
        patients = "" if split.patients is None else f", {split.patients} patients"
        out.print(f"{name}: {split.images} images{patients}")
    _print_notes(out, document.notes)
    out.print(f"Split file: {document.out}", soft_wrap=True)


PRINTERS: dict[type[Document], Callable[[Console, Any], None]] = {
    TrainDocument: _print_train,
    EvaluateDocument: _print_evaluate,
    LrFindDocument: _print_lr_find,
    InterpretDocument: _print_interpret,
    PhantomDocument: _print_phantom,
    SplitDocument: _print_split,
}
