"""Unsure and foreign images as people read them: the abstain band and the input gate of `evaluate`."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from plainfilm.schemas.documents import EvaluateDocument, Metric

AsText = Callable[[Metric], tuple[str, str, str]]


def print_unsure(out: Console, document: EvaluateDocument, as_text: AsText) -> None:
    """What a run with band or gate says of the images of one split."""
    band, gate = document.band, document.gate
    if band is not None:
        out.print(f"Abstain band for {band.level:.0%} of each class, on {band.on}:")
        table = Table(box=None, pad_edge=False)
        for name in ("", "value", "95 % interval", "n"):
            table.add_column(name, justify="right" if name in ("value", "n") else "left")
        for label, metric in band.coverage.items():
            table.add_row(f"true {label} not ruled out", *as_text(metric))
        table.add_row("called without a doubt", *as_text(band.kept))
        table.add_row("wrong among those called", *as_text(band.error_among_kept))
        out.print(table)
        out.print(band.holds)
    if gate is not None:
        value, interval, n = as_text(gate.marked)
        out.print(f"Unlike the training images: {value} {interval}, n {n}, of {gate.on}")
