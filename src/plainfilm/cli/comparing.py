"""compare and experiments: several runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plainfilm.cli import options as opt
from plainfilm.cli.talk import Talk
from plainfilm.errors import UsageError


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Run folders; seeds of one config are one row.")
    ],
    split: Annotated[
        str, typer.Option("--split", metavar="WHICH", help="valid, or test where evaluate has opened it already.")
    ] = "valid",
    metric: Annotated[
        str, typer.Option("--metric", metavar="NAME", help="auroc or accuracy (each run at its own threshold).")
    ] = "auroc",
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Paired tests between runs on their saved predictions, by patient; opens no image."""
    if split not in ("valid", "test"):
        raise UsageError(f"--split {split!r} cannot be compared; expected valid or test.")
    if metric not in ("auroc", "accuracy"):
        raise UsageError(f"--metric {metric!r} cannot be compared; expected auroc or accuracy.")
    from plainfilm.pipeline import compare_runs

    with Talk(quiet=quiet, json=json) as talk:
        talk.result(compare_runs(runs, split=split, metric=metric))
