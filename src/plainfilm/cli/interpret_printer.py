"""What `plainfilm interpret` found, as people read it."""

from __future__ import annotations

import textwrap

from rich.console import Console

from plainfilm.schemas_interpret import InterpretDocument, SuspectFindings


def print_interpret(out: Console, document: InterpretDocument) -> None:
    """Figures, errors, what the heat maps are worth, suspect labels."""
    for name, path in document.figures.items():
        out.print(f"{name:22} {path}", soft_wrap=True)
    for note in document.notes:
        out.print(f"NOTE: {note}")
    for pair in document.confused[:5]:
        out.print(f"{pair.images} images of {pair.truth} were called {pair.called}")
    if document.heat is not None:
        heat = document.heat
        flat = f"; {heat.flat} without any heat" if heat.flat else ""
        out.print(f"Heat maps ({heat.method}, {heat.cells[0]} x {heat.cells[1]} cells) are not evidence of location.")
        out.print(f"Checked on {heat.pictures} {heat.chosen}{flat}:")
        for line in heat.says:
            out.print(textwrap.fill(line, out.width, initial_indent="- ", subsequent_indent="  "))
    if document.suspects is not None:
        _print_suspects(out, document.suspects)


def _print_suspects(out: Console, found: SuspectFindings) -> None:
    asked = f"{found.images} images" if found.of_folds else f"{found.images} valid images"
    folds = f" of {found.folds} of {found.of_folds} folds" if found.of_folds else ""
    out.print(f"{found.found} of {asked}{folds} look mislabelled; look at them, none is proved:")
    out.print(f"{'suspects':22} {found.file}", soft_wrap=True)
