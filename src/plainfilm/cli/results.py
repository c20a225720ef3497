"""evaluate and interpret: what a finished run is worth."""

from __future__ import annotations

from typing import Annotated

import typer

from plainfilm.cli import options as opt
from plainfilm.cli.talk import Talk
from plainfilm.errors import UsageError


def evaluate(
    run: opt.Run,
    split: Annotated[
        str,
        typer.Option(
            "--split", metavar="WHICH", help="valid, or test: opens the sealed test set and records the look."
        ),
    ] = "valid",
    threshold: Annotated[
        str | None,
        typer.Option(
            "--threshold",
            metavar="RULE",
            help="Another rule or number for this output only; chosen on valid. \\[default: the run's own]",
            show_default=False,
        ),
    ] = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Metrics with 95 % intervals, from one inference pass."""
    if split not in ("valid", "test"):
        raise UsageError(f"--split {split!r} cannot be evaluated; expected valid or test.")
    from plainfilm.pipeline import evaluate_run

    with Talk(quiet=quiet, json=json) as talk:
        talk.result(evaluate_run(run, split=split, threshold=threshold, listener=talk))


def interpret(
    run: opt.Run,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="WHICH",
            help="valid or test. \\[default: test once evaluate has opened it, else valid]",
            show_default=False,
        ),
    ] = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Draw what the run learned: confusion matrix, largest losses, scores, accuracy and loss per epoch."""
    if split not in (None, "valid", "test"):
        raise UsageError(f"--split {split!r} cannot be interpreted; expected valid or test.")
    from plainfilm.pipeline import interpret_run

    with Talk(quiet=quiet, json=json) as talk:
        talk.result(interpret_run(run, split=split, listener=talk))
