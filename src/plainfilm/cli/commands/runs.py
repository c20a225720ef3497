"""runs and board: what there is in a folder of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plainfilm.base.terminal import tell
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


@opt.takes_terminal(json="")
def board(
    folder: _Folder = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8001,
    host: Annotated[str, typer.Option("--host", help="127.0.0.1, ::1 or localhost: this machine only.")] = "127.0.0.1",
    token: Annotated[
        str | None,
        opt.unless_given(
            "--token", "SECRET", "Required for every request, as in serve; for machines of several users."
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        opt.unless_given("--token-file", "FILE", "Holds SECRET on one line; other users must not have access to it."),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Also open the page in the browser.")] = False,
    *,
    terminal: Terminal,
) -> None:
    """Show a folder of runs as a web page on this machine: table, curves, configs, paired tests. Writes nothing. Ctrl-C stops it."""
    from plainfilm.board.run import Address, serve_board

    at = Address(host, port, token, token_file, open_browser)
    with terminal:
        serve_board(folder, at, say=terminal.say, result=lambda text: tell(text, terminal.stdout))
