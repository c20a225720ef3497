"""tune: search config keys, then confirm on fresh seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plainfilm.cli import completion
from plainfilm.cli import options as opt
from plainfilm.cli.console import Terminal
from plainfilm.errors import UsageError

_SAMPLERS = ("tpe", "gp", "random")


@opt.takes_terminal()
def tune(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.yaml", help="A config with a section tune: trials, space, confirm.")
    ],
    data: Annotated[
        Path | None, opt.unless_given("--data", "DATA", "Folder or CSV, instead of the file's data.path.")
    ] = None,
    out: Annotated[Path | None, opt.unless_given("--out", None, "The study goes to OUT/<name>.", "runs/tune")] = None,
    sampler: Annotated[
        str | None,
        opt.unless_given(
            "--sampler",
            "NAME",
            "tpe, gp or random, instead of the file's; a study of its own.",
            autocompletion=completion.of(_SAMPLERS),
        ),
    ] = None,
    seed: Annotated[
        int | None,
        opt.unless_given("--seed", "N", "Seed of the draws, instead of the file's; a study of its own.", min=0),
    ] = None,
    device: opt.Device = "auto",
    offline: opt.Offline = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file, say what would be trained and for how long.")
    ] = False,
    *,
    terminal: Terminal,
) -> None:
    """Search config keys by the AUROC on one half of valid, then train the best again on fresh seeds; no test-set access.
    The same command goes on with a study that was stopped."""
    if sampler is not None and sampler not in _SAMPLERS:
        raise UsageError(f"--sampler {sampler!r} is not known; expected tpe, gp or random.")
    from plainfilm.tune.run import OUT, TuneRequest
    from plainfilm.tune.run import tune as carried_out

    request = TuneRequest(file, data, out or OUT, sampler, seed, device, offline)
    with terminal:
        terminal.result(carried_out(request, dry_run=dry_run, on_event=terminal))
