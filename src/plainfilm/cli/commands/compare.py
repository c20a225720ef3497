"""compare and experiments: several runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plainfilm.cli import options as opt
from plainfilm.cli.console import Terminal
from plainfilm.errors import RunsFailedError, UsageError


def compare(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Run folders; seeds of one config are one row.")
    ],
    split: Annotated[
        str,
        typer.Option(
            "--split",
            metavar="WHICH",
            help="valid; valid-shifted where evaluate has made it; or test where evaluate has opened it already.",
        ),
    ] = "valid",
    metric: Annotated[
        str, typer.Option("--metric", metavar="NAME", help="auroc or accuracy (each run at its own threshold).")
    ] = "auroc",
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Paired tests between runs on their saved predictions, by patient; opens no image."""
    if split not in ("valid", "valid-shifted", "test"):
        raise UsageError(f"--split {split!r} cannot be compared; expected valid, valid-shifted or test.")
    if metric not in ("auroc", "accuracy"):
        raise UsageError(f"--metric {metric!r} cannot be compared; expected auroc or accuracy.")
    from plainfilm.compare.compare import compare_runs

    with Terminal(quiet=quiet, json=json) as talk:
        talk.result(compare_runs(runs, split=split, metric=metric))


def run(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.yaml", help="A config with a grid: of lists, or a plain config.")
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DATA", help="Folder or CSV, over the file's data.path.", show_default=False),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", help="Trainings at a time; they share the cores.")] = 1,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="This configuration alone; may be repeated.")
    ] = None,
    open_test: Annotated[
        bool,
        typer.Option(
            "--open-test", help="Open the sealed test set once per finished run; logged in looks.jsonl beside FILE."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Runs go to OUT/<experiment>/<run>. \\[default: runs/experiments]", show_default=False
        ),
    ] = None,
    device: opt.Device = "auto",
    offline: opt.Offline = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and how long; train nothing.")] = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Train every run of a grid that is not finished; goes on where it was stopped."""
    from plainfilm.experiments.runner import OUT, Order, exit_code, run_experiment

    order = Order(file, data, out or OUT, jobs, tuple(only or ()), open_test, device, offline)
    with Terminal(quiet=quiet, json=json) as talk:
        document = run_experiment(order, dry_run=dry_run, on_event=talk)
        talk.result(document)
    code = exit_code(document)
    if code:
        failed = [run for run in document.runs if run.code]
        what, after = ("could not begin", "") if dry_run else ("did not finish", " The others are done.")
        raise RunsFailedError(
            f"{len(failed)} of {len(document.runs)} runs {what} (first: {Path(failed[0].run).name}: "
            f"{failed[0].message}).{after} Try these again: {order.command}",
            code,
        )


def table(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DIR...",
            help="Folders of runs, or experiment files. \\[default: all in runs/experiments]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Where RESULTS.md, results.csv and the figures lie.")
    ] = Path("experiments"),
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Write results.csv and RESULTS.md from run folders: one row per configuration, ranked on valid."""
    from plainfilm.experiments.table import make_table

    with Terminal(quiet=quiet, json=json) as talk:
        talk.result(make_table(folders or None, out))
