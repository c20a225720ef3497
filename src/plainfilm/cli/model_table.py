"""The table of `plainfilm models`, 61 columns wide, and a line of origin per network."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from plainfilm.schemas import ModelsDocument


def print_models(out: Console, document: ModelsDocument) -> None:
    """Sizes and weights as a table; sources and licences below it, a line each."""
    table = Table(box=None, pad_edge=False)
    for name in ("model", "px", "at least", "parameters", "ImageNet weights"):
        table.add_column(name, justify="right" if name in ("px", "at least", "parameters") else "left", overflow="fold")
    for row in document.models:
        parameters = f"{row.parameters:,}" if row.parameters else "-"
        weights = row.imagenet if row.installed else f"needs {row.library}"
        table.add_row(row.name, str(row.size_px), str(row.min_size_px), parameters, weights)
    out.print(table)
    out.print("px: the size the network or its weights were made for; parameters: there, for two classes.")
    for row in document.models:
        weights = f"; weights {row.weights_licence}" if row.weights_licence else ""
        phases = " then ".join(row.phases)
        out.print(f"{row.name}: {row.source}. Trains: {phases}. Licence: {row.licence}{weights}.", soft_wrap=True)
    out.print("Any other network of timm: --model timm/NAME. Start from: --weights none, imagenet, FILE or RUN.")
