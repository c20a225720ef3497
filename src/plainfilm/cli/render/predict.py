"""What export and predict did, as people read it."""

from __future__ import annotations

import textwrap

from rich.console import Console

from plainfilm.schemas.documents import ExportDocument, PredictDocument


def print_export(out: Console, document: ExportDocument) -> None:
    """What lies in the bundle, and how close ONNX is."""
    for name, size in document.files.items():
        out.print(f"{name:18} {size / 1e6:9.3f} MB")
    apart = max(document.differences.values())
    out.print(
        f"ONNX (opset {document.opset}) differs from torch by at most {apart:.1e} on {document.pictures} pictures."
    )
    out.print(f"MODEL_CARD.md: {document.not_reported} fields are NOT REPORTED; only a person can fill them.")
    for note in document.notes:
        out.print(textwrap.fill(f"NOTE: {note}", out.width, subsequent_indent="  "))
    out.print(f"Bundle: {document.out}", soft_wrap=True)


def print_predict(out: Console, document: PredictDocument) -> None:
    """How many pictures became what."""
    out.print("\n".join(textwrap.wrap(says_predict(document), out.width)))
    if document.out:
        out.print(f"Predictions: {document.out}", soft_wrap=True)


def says_predict(document: PredictDocument) -> str:
    """One sentence."""
    called = ", ".join(f"{n:,} called {name}" for name, n in document.called.items())
    speed = f"{document.pictures / document.seconds:.0f} img/s" if document.seconds > 1 else f"{document.seconds:.1f} s"
    empty = document.left_out.get("empty folder", 0)
    others = sum(document.left_out.values()) - empty
    left = f"; files in the folders that are no pictures: {others:,}" if others else ""
    left += f"; empty folders: {empty:,}" if empty else ""
    return (
        f"{document.pictures:,} {'picture' if document.pictures == 1 else 'pictures'} ({speed}): {called}; {document.unsure:,} unsure, {document.unlike:,} unlike the "
        f"training images, {document.failed:,} not scored{left}."
    )
