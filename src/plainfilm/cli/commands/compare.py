"""compare and experiments: several runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plainfilm.cli import completion
from plainfilm.cli import options as opt
from plainfilm.cli.console import Terminal
from plainfilm.errors import RunsFailedError, TrainingError, UsageError

if TYPE_CHECKING:
    from plainfilm.schemas.compare import ExperimentDocument


_Margin = Annotated[
    float | None,
    opt.unless_given(
        "--margin",
        "X",
        "Say whether the difference to the best row is shown to be within X (AUROC, accuracy): equivalent, different or undecided.",
    ),
]


@opt.takes_terminal()
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN RUN...",
            help="Run folders; seeds of one config are one row.",
            autocompletion=completion.run_folders,
        ),
    ],
    split: Annotated[
        str,
        typer.Option(
            "--split",
            metavar="WHICH",
            help="valid; valid-shifted or test if each run has already been evaluated on it.",
            autocompletion=completion.of(("valid", "valid-shifted", "test")),
        ),
    ] = "valid",
    metric: Annotated[
        str, typer.Option("--metric", metavar="NAME", help="auroc or accuracy (each run at its own threshold).")
    ] = "auroc",
    margin: _Margin = None,
    *,
    terminal: Terminal,
) -> None:
    """Paired tests between runs on their saved predictions, by patient; reads no image."""
    if split not in ("valid", "valid-shifted", "test"):
        raise UsageError(f"--split {split!r} cannot be compared; expected valid, valid-shifted or test.")
    if metric not in ("auroc", "accuracy"):
        raise UsageError(f"--metric {metric!r} cannot be compared; expected auroc or accuracy.")
    from plainfilm.pipeline.compare import compare_runs

    with terminal:
        terminal.result(compare_runs(runs, split=split, metric=metric, margin=margin))


@opt.takes_terminal()
def run(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.yaml", help="A config with lists under grid:, or a plain config.")
    ],
    data: Annotated[
        Path | None, opt.unless_given("--data", "DATA", "Folder or CSV, instead of the file's data.path.")
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", metavar="N", help="Runs to train in parallel; they share the cores.")
    ] = 1,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Only this configuration; may be repeated.")
    ] = None,
    evaluate_test: Annotated[
        bool,
        typer.Option(
            "--open-test",
            help="Evaluate each finished run once on the sealed test set; logged in looks.jsonl next to FILE.",
        ),
    ] = False,
    out: Annotated[
        Path | None, opt.unless_given("--out", None, "Runs go to OUT/<experiment>/<run>.", "runs/experiments")
    ] = None,
    device: opt.Device = "auto",
    offline: opt.Offline = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would run and for how long; train nothing.")
    ] = False,
    *,
    terminal: Terminal,
) -> None:
    """Train every unfinished run of a grid; stopped runs are resumed."""
    from plainfilm.experiments.runner import OUT, Order, run_experiment

    order = Order(file, data, out or OUT, jobs, tuple(only or ()), evaluate_test, device, offline)
    with terminal:
        document = run_experiment(order, dry_run=dry_run, on_event=terminal)
        terminal.result(document)
    code = _exit_code(document)
    if code:
        failed = [run for run in document.runs if run.code]
        what, after = ("could not begin", "") if dry_run else ("did not finish", " The others are done.")
        raise RunsFailedError(
            f"{len(failed)} of {len(document.runs)} runs {what} (first: {Path(failed[0].run).name}: "
            f"{failed[0].message}).{after} Try these again: {order.command}",
            code,
        )


@opt.takes_terminal()
def table(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DIR...",
            show_default=False,
            help="Folders of runs, experiment files, or a folder and its file. \\[default: all in runs/experiments]",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        opt.unless_given("--out", "FOLDER", "Where to write RESULTS.md, results.csv and the figures.", "into DIR"),
    ] = None,
    margin: _Margin = None,
    *,
    terminal: Terminal,
) -> None:
    """Write results.csv and RESULTS.md from run folders: one row per configuration, ranked on valid."""
    from plainfilm.experiments.table import make_table

    with terminal:
        terminal.result(make_table(folders or None, out, margin=margin))


def _exit_code(document: ExperimentDocument) -> int:
    """0; else the code that all failed runs share, or 5 if they failed for different reasons."""
    codes = {run.code for run in document.runs if run.code}
    return 0 if not codes else codes.pop() if len(codes) == 1 else TrainingError.exit_code
