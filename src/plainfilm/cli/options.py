"""Options shared by several commands that set no config key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from plainfilm.cli import completion
from plainfilm.cli.config_options import typer_option
from plainfilm.cli.console import Terminal
from plainfilm.cli.parameters import option_parameter, stands_for
from plainfilm.config import OPTIONS
from plainfilm.errors import UsageError

Data = Annotated[
    Path | None,
    typer.Argument(metavar="DATA", help=f"{OPTIONS['data.path'].help} Default: {OPTIONS['data.path'].option.unset}."),
]
Run = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="The run folder that train printed.", autocompletion=completion.run_folders),
]
Pattern = Annotated[str | None, typer_option("data.patient_pattern")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="Where to write; must not exist or be empty.", show_default=False),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="A YAML experiment; single options override it.", show_default=False),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Download nothing; weights that are not on this machine are an error.")
]
MaxMinutes = Annotated[
    float | None,
    typer.Option(
        "--max-minutes",
        metavar="N",
        min=0,
        help="Stop after N minutes of training, exit 130; plainfilm resume continues.",
        show_default=False,
    ),
]
CheckpointMinutes = Annotated[
    float,
    typer.Option(
        "--checkpoint-minutes",
        metavar="N",
        min=0,
        help="Save the state every N minutes, besides at the end of each epoch; changes no result.",
    ),
]


_JSON = "Print one JSON document on stdout and nothing else."
_QUIET = typer.Option("-q", "--quiet", help="Print only the result and errors.")
_VERBOSE = typer.Option("-v", "--verbose", help="Also print warnings, and tracebacks with errors.")


def takes_terminal(json: str = _JSON) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Puts --json, -q and -v in place of a command's parameter `terminal`, which gets the Terminal they describe.

    Args:
        json: the help of --json; '' leaves it out.
    """
    flags = {"json": typer.Option("--json", help=json)} if json else {}
    flags |= {"quiet": _QUIET, "verbose": _VERBOSE}
    made = [option_parameter(name, Annotated[bool, flag], False) for name, flag in flags.items()]
    return stands_for("terminal", made, lambda values: Terminal(**values))


def _known_device(name: str | None) -> str | None:
    """The value of --device, refused before any image is read; torch is loaded only where a GPU was asked for."""
    if name in ("cuda", "mps"):
        from plainfilm.models.build import pick_device

        return pick_device(name)
    if name not in (None, "auto", "cpu"):
        raise UsageError(f"--device {name!r} is not known; expected auto, cpu, cuda or mps.")
    return name


Device = Annotated[
    str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or mps.", callback=_known_device)
]
OtherDevice = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="auto, cpu, cuda or mps; another device gives a result that is not bit-identical. \\[default: the run's own]",
        show_default=False,
        callback=_known_device,
    ),
]
