"""Options shared by several commands that set no config key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from plainfilm.cli import completion
from plainfilm.cli.console import Terminal
from plainfilm.cli.parameters import option_parameter, stands_for
from plainfilm.config import OPTIONS
from plainfilm.errors import UsageError


def unless_given(name: str, metavar: str | None, text: str, default: str = "", **more: Any) -> Any:
    """An option that is None unless it is given; the help says what is done then: `default`."""
    text += f" \\[default: {default}]" if default else ""
    return typer.Option(name, metavar=metavar, help=text, show_default=False, **more)


Data = Annotated[
    Path | None,
    typer.Argument(metavar="DATA", help=f"{OPTIONS['data.path'].help} Default: {OPTIONS['data.path'].option.unset}."),
]
GivenData = Annotated[Path, typer.Argument(metavar="DATA", help=OPTIONS["data.path"].help)]
Run = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="The run folder that train printed.", autocompletion=completion.run_folders),
]
MovedData = Annotated[
    Path | None,
    unless_given(
        "--data",
        "DATA",
        "Where DATA is now, if it was moved: images are found by their relative paths and checked by hash.",
    ),
]
Out = Annotated[Path | None, unless_given("--out", "FOLDER", "Where to write; must not exist or be empty.")]
Config = Annotated[Path | None, unless_given("--config", "FILE", "A YAML experiment; single options override it.")]
Offline = Annotated[
    bool, typer.Option("--offline", help="Download nothing; weights that are not on this machine are an error.")
]
MaxMinutes = Annotated[
    float | None,
    unless_given(
        "--max-minutes", "N", "Stop after N minutes of training, exit 130; plainfilm resume continues.", min=0
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
_VERBOSE = typer.Option(
    "-v", "--verbose", help="Also print warnings, names of files that are not used, and tracebacks with errors."
)


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
    unless_given(
        "--device",
        "NAME",
        "auto, cpu, cuda or mps; another device gives a result that is not bit-identical.",
        "the run's own",
        callback=_known_device,
    ),
]


def class_map(whose: str, panel: str) -> Any:
    """--map of images that are not the run's own, `whose`: 'an external class'."""
    text = f"Maps {whose} to one of the run's, e.g. healthy=NORMAL; may be repeated."
    return typer.Option("--map", metavar="THEIRS=OURS", help=text, rich_help_panel=panel)


def leave_out(which: str, panel: str) -> Any:
    """--leave-out of images that are not the run's own, `which`: 'external class'."""
    text = f"Leaves out this {which}; may be repeated."
    return typer.Option("--leave-out", metavar="CLASS", help=text, rich_help_panel=panel)


def drop_known(which: str, panel: str) -> Any:
    """--drop-known of images that are not the run's own, `which`: 'external images'."""
    text = f"Leaves out {which} that the run knows, and those of patients that it learned from."
    return typer.Option("--drop-known", help=text, rich_help_panel=panel)


def names_of(given: Mapping[str, object]) -> list[str]:
    """'--leave-out' for each name, such as leave_out, whose value was given."""
    return [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
