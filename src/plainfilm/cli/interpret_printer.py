"""What `plainfilm interpret` found, as people read it."""

from __future__ import annotations

import textwrap

from rich.console import Console

from plainfilm.schemas.interpret import InterpretDocument


def print_interpret(out: Console, document: InterpretDocument) -> None:
    """Figures, errors, what the heat maps are worth, suspect labels."""
    for name, path in document.figures.items():
        out.print(f"{name:22} {path}", soft_wrap=True)
    for note in document.notes:
        out.print(f"NOTE: {note}")
    for pair in document.confused[:5]:
        many = "image" if pair.images == 1 else "images"
        out.print(f"{pair.images} {many} of {pair.truth} called {pair.called}")
    if document.heat is not None:
        heat = document.heat
        flat = f"; {heat.flat} without any heat" if heat.flat else ""
        out.print(f"Heat maps ({heat.method}, {heat.cells[0]} x {heat.cells[1]} cells) are not evidence of location.")
        out.print(f"Checked on {heat.pictures} {heat.chosen}{flat}:")
        for line in heat.says:
            out.print(textwrap.fill(line, out.width, initial_indent="- ", subsequent_indent="  "))
    if document.suspects is not None:
        out.print(document.suspects.says)
        out.print(f"{'suspects':22} {document.suspects.file}", soft_wrap=True)
