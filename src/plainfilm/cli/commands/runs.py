"""runs: what there is in a folder of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plainfilm.cli import completion
from plainfilm.cli import options as opt
from plainfilm.cli.console import Terminal

_COLUMNS = ("name", "model", "data", "split", "status", "valid", "test", "accesses", "minutes", "updated")
_Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="FOLDER", show_default=False, help="A folder of runs, searched four folders deep. \\[default: runs]"
    ),
]


def _part(name: str, of: str) -> object:
    return opt.unless_given(name, "TEXT", f"Only runs whose {of} contains TEXT, whatever its case.")


@opt.takes_terminal()
def runs(
    folder: _Folder = None,
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            metavar="COLUMN",
            help=f"{', '.join(_COLUMNS)}; numbers from the highest, texts from A.",
            autocompletion=completion.of(_COLUMNS),
        ),
    ] = "name",
    reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
    status: Annotated[str | None, _part("--status", "status")] = None,
    model: Annotated[str | None, _part("--model", "network")] = None,
    data: Annotated[str | None, _part("--data", "path of DATA")] = None,
    *,
    terminal: Terminal,
) -> None:
    """A table of the runs in a folder, by their saved numbers. Reads no image, writes nothing, and is no test-set access."""
    from plainfilm.board.run_list import Wanted, list_runs

    with terminal:
        terminal.result(list_runs(folder, Wanted(sort, reverse, status, model, data)))
