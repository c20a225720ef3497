"""The table of `plainfilm models`, 71 columns wide, and a line of input and origin per network."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from plainfilm.schemas.documents import ModelsDocument


def print_models(out: Console, document: ModelsDocument) -> None:
    """Sizes and weights as a table; sources and licences below it, a line each."""
    table = Table(box=None, pad_edge=False)
    for name in ("model", "px", "at least", "channels", "parameters", "ImageNet weights"):
        table.add_column(name, justify="right" if name in ("px", "at least", "parameters") else "left", overflow="fold")
    for row in document.models:
        parameters = f"{row.parameters:,}" if row.parameters else "-"
        weights = row.imagenet if row.installed else f"needs {row.library}"
        table.add_row(row.name, str(row.size_px), str(row.min_size_px), row.channels, parameters, weights)
    out.print(table)
    out.print("px: the size the network or its weights were made for; parameters: there, for two classes.")
    out.print("channels: of the first convolution; '1 or 3' follows the pictures.")
    out.print("Each network trains all at once; from weights also its head alone, or its head and then all.")
    for row in document.models:
        weights = f"; weights {row.weights_licence}" if row.weights_licence else ""
        pixels = f"mean {_told(row.mean)}, std {_told(row.std)}"
        out.print(f"{row.name}: {row.source}. Pixels: {pixels}. Licence: {row.licence}{weights}.", soft_wrap=True)
    out.print("Any other network of timm: --model timm/NAME. Start from: --weights none, imagenet, FILE or RUN.")


def _told(values: tuple[float, ...]) -> str:
    """'0.485/0.456/0.406', or one number for channels that share it."""
    return "/".join(f"{value:g}" for value in (values if len(set(values)) > 1 else values[:1]))
