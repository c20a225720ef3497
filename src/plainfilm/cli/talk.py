"""How the program talks: progress and notes on stderr, the result on stdout.

In a terminal there are bars; without one, a line per epoch and none for quick work.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from plainfilm import __version__
from plainfilm.schemas import (
    RESEARCH_ONLY,
    DataCounts,
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

if TYPE_CHECKING:
    from types import TracebackType

NAMES = {
    "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auroc": "AUROC", "auprc": "AUPRC",
    "sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV", "f1": "F1",
    "brier": "Brier (0 is best)", "ece": "ECE (0 is best)",
}  # fmt: skip
BARS = {"scan": "Reading images", "draw": "Drawing phantoms", "decode": "Decoding"}


class Talk:
    """A listener for the pipeline; a context in which nothing but the result reaches stdout."""

    def __init__(self, *, quiet: bool = False, json: bool = False) -> None:
        self.quiet, self.json = quiet, json
        self.err = Console(stderr=True, markup=False, highlight=False, emoji=False)
        self.stdout = sys.stdout
        self.bar: Progress | None = None
        self.tasks: dict[str, TaskID] = {}
        self.greeted = False

    def __enter__(self) -> Talk:
        self.redirect = contextlib.redirect_stdout(sys.stderr)  # fastai prints; JSON readers must not see it
        self.redirect.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_bar()
        self.redirect.__exit__(kind, error, trace)

    def __call__(self, what: str, facts: dict[str, Any]) -> None:
        """Hear of one event."""
        if self.quiet:
            return
        if what in BARS:
            self._advance(what, BARS[what], facts["done"], facts["of"], unit="")
            return
        tell: Callable[[dict[str, Any]], None] | None = getattr(self, f"_on_{what}", None)
        if tell is not None:
            tell(facts)

    def say(self, text: str) -> None:
        """One line on stderr; the first one is preceded by the banner."""
        if not self.greeted:
            self.greeted = True
            self.say(f"plainfilm {__version__}. {RESEARCH_ONLY}")
        (self.bar.console if self.bar else self.err).print(text, soft_wrap=not self.err.is_terminal)

    def result(self, document: Document) -> None:
        """The command's answer, on stdout."""
        self._close_bar()
        if self.json:
            # ASCII only: a class name must not break a terminal or pipe of another encoding
            print(json.dumps(document.model_dump(mode="json"), indent=2), file=self.stdout)
            return
        out = Console(file=self.stdout, markup=False, highlight=False, emoji=False)
        PRINTERS[type(document)](out, document)

    # progress ------------------------------------------------------------------------------------------------

    def _advance(self, key: str, title: str, done: int, of: int, unit: str) -> None:
        if not self.err.is_terminal:
            return
        if self.bar is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]}"),
                TimeRemainingColumn(),
            )
            self.bar = Progress(*columns, console=self.err, transient=True)
            self.bar.start()
        if key not in self.tasks:
            self.tasks[key] = self.bar.add_task(title, total=of, unit="")
        self.bar.update(self.tasks[key], completed=done, total=of, unit=unit)
        if done >= of:
            self._close_bar()

    def _close_bar(self) -> None:
        if self.bar is not None:
            self.bar.stop()
        self.bar, self.tasks = None, {}

    # events ----------------------------------------------------------------------------------------------------

    def _on_phantom(self, facts: dict[str, Any]) -> None:
        done = "already drawn" if facts["drawn"] else "drawing them once"
        self.say(f"No DATA given: using {facts['images']} drawn phantom radiographs ({done}) in {facts['folder']}")

    def _on_data(self, facts: dict[str, Any]) -> None:
        counts: DataCounts = facts["counts"]
        self.say(f"Data: {facts['path']}")
        self.say(
            f"{counts.found} files found = {counts.used} used + {counts.quarantined} quarantined + {counts.duplicates} duplicates dropped "
            f"+ {counts.ignored} ignored; {counts.identical_files} used files are copies of another"
        )
        for _, row in facts["excluded"].query("state == 'quarantined'").head(5).iterrows():
            self.say(f"  quarantined {row['relative']!r}: {row['code']}, {row['why']}")
        self._print_splits(counts)
        positive = facts["positive"]
        self.say(f"Positive class: {positive}" if positive else f"{len(counts.classes)} classes, each against the rest")
        for note in facts["split"].notes:
            self.say(f"NOTE: {note}")

    def _print_splits(self, counts: DataCounts) -> None:
        table = Table(box=None, pad_edge=False)
        for name in ("split", "images", "patients", *counts.classes):
            table.add_column(name, justify="left" if name == "split" else "right")
        for name, split in counts.splits.items():
            patients = "unknown" if split.patients is None else str(split.patients)
            table.add_row(
                name, str(split.images), patients, *(str(split.classes.get(label, 0)) for label in counts.classes)
            )
        self.err.print(table)

    def _on_network(self, facts: dict[str, Any]) -> None:
        drawn = "; classes drawn evenly" if facts["balanced"] else ""
        self.say(
            f"Network: {facts['name']}, {facts['parameters']:,} parameters at {facts['size_px']} px, on {facts['device']}{drawn}"
        )

    def _on_estimate(self, facts: dict[str, Any]) -> None:
        epochs = "1 epoch" if facts["epochs"] == 1 else f"{facts['epochs']} epochs"
        self.say(f"{epochs} will take about {duration(facts['seconds'])} (from five timed steps)")

    def _on_lr(self, facts: dict[str, Any]) -> None:
        self.say(f"Learning rate found: {facts['lr']:.2g}")

    def _on_run(self, facts: dict[str, Any]) -> None:
        self.say(f"Run: {facts['path']}")

    def _on_batch(self, facts: dict[str, Any]) -> None:
        if not self.err.is_terminal:
            return
        done = facts["epoch"] * facts["steps"] + facts["step"]
        task = self.bar.tasks[0] if self.bar and self.bar.tasks else None
        speed = f"{task.speed * facts['images']:.0f} img/s" if task and task.speed else ""
        self._advance("train", f"Epoch {facts['epoch'] + 1}/{facts['of']}", done, facts["of"] * facts["steps"], speed)
        if self.bar:
            self.bar.update(self.tasks["train"], description=f"Epoch {facts['epoch'] + 1}/{facts['of']}")

    def _on_epoch(self, facts: dict[str, Any]) -> None:
        self.say(
            f"epoch {facts['epoch'] + 1}/{facts['of']}  train loss {facts['train_loss']:.4f}  valid loss {facts['valid_loss']:.4f}  "
            f"valid accuracy {facts['accuracy']:.4f}  valid AUROC {facts['auroc']:.4f}"
        )


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
