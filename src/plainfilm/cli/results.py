"""evaluate, interpret and report: what a finished run is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plainfilm.cli import options as opt
from plainfilm.cli.talk import Talk
from plainfilm.errors import GateError, UsageError


def evaluate(
    run: opt.Run,
    split: Annotated[
        str,
        typer.Option(
            "--split",
            metavar="WHICH",
            help="valid; valid-shifted (under a fixed list of changes); or test: opens the sealed test set and records the look.",
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
    device: opt.Device = "cpu",
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-under", metavar="METRIC=X", help="Exit 1 when a metric is below X, e.g. auroc=0.9; may be repeated."
        ),
    ] = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Metrics with 95 % intervals, from one inference pass."""
    gates = [_gate(text) for text in fail_under or []]
    if split not in ("valid", "valid-shifted", "test"):
        raise UsageError(f"--split {split!r} cannot be evaluated; expected valid, valid-shifted or test.")
    from plainfilm.pipeline import evaluate_run

    with Talk(quiet=quiet, json=json) as talk:
        document = evaluate_run(run, split=split, threshold=threshold, device=device, listener=talk)
        talk.result(document)
    below = [line for name, bound in gates if (line := _shortfall(name, document.metrics[name].value, bound))]
    if below:
        raise GateError(f"--fail-under on {split}: " + "; ".join(below) + ".")


def _shortfall(name: str, value: float | None, bound: float) -> str:
    if value is None:
        return f"{name} is not estimable"
    return f"{name} is {value:.4f}, below {bound:g}" if value < bound else ""


def _gate(text: str) -> tuple[str, float]:
    """'auroc=0.9' -> ('auroc', 0.9)."""
    from plainfilm.evaluate.metrics import METRICS

    name, _, bound = text.partition("=")
    try:
        limit = float(bound)
    except ValueError:
        limit = float("nan")
    names = [metric for metric in METRICS if metric not in ("brier", "ece")]  # of these two, less is better
    if name not in names or not 0 <= limit <= 1:
        raise UsageError(
            f"--fail-under {text!r} is not understood; expected METRIC=X with X in 0..1 and one of {', '.join(names)}."
        )
    return name, limit


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


def report(
    run: opt.Run,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="The HTML file. \\[default: report.html in RUN]", show_default=False
        ),
    ] = None,
    names: Annotated[
        bool,
        typer.Option("--names", help="Also show file names and the command as typed; they may name patients."),
    ] = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Put all that a run knows about itself into one HTML file; reads files only, opens no image."""
    from plainfilm.report.page import report_run

    with Talk(quiet=quiet, json=json) as talk:
        talk.result(report_run(run, out=out, names=names))
