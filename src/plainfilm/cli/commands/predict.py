"""export and predict: a portable bundle of a model, and its predictions."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from plainfilm.cli import options as opt
from plainfilm.cli.console import Terminal
from plainfilm.errors import GateError, StoppedError, UsageError

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The folder or zip that export wrote.")]


@contextmanager
def _interruptible(out: Path | None) -> Iterator[None]:
    """SIGTERM ends the work as Ctrl-C does, so no half-written file is left; the error says what happened to `out`."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if _in_main_thread() else None
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError(
            f"Interrupted; {out} was not written: it is written when everything is done."
            if out
            else "Interrupted; the rows above are complete."
        ) from None
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()  # only the main thread can set signal handlers


@opt.takes_terminal()
def export(
    run: opt.Run,
    out: Annotated[
        Path | None, opt.unless_given("--out", "PATH", "The bundle: a new folder, or a .zip file.", "bundle in RUN")
    ] = None,
    data: opt.MovedData = None,
    *,
    terminal: Terminal,
) -> None:
    """Make a bundle of a finished run: it predicts without torch and fastai, and holds no path or patient."""
    from plainfilm.export.bundle import export_run

    with terminal, _interruptible(out or run / "bundle"):
        document = export_run(run, out, terminal, data=data)
        terminal.result(document)


@opt.takes_terminal(json="Print one JSON document that summarises the rows on stdout; needs --out.")
def predict(
    bundle: Bundle,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Files, folders or globs; - reads a list of paths from stdin."),
    ],
    out: Annotated[Path | None, opt.unless_given("--out", "FILE", "Write the rows here.", "stdout")] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="csv or jsonl (one JSON object a line).")
    ] = "csv",
    threshold: Annotated[
        float | None,
        opt.unless_given("--threshold", "X", "Predict the positive class at this score or above.", "the bundle's"),
    ] = None,
    heatmaps: Annotated[
        Path | None,
        opt.unless_given(
            "--heatmaps", "DIR", "Also draw a heat map of each row, named by its row number; needs torch."
        ),
    ] = None,
    threads: Annotated[
        int | None, opt.unless_given("--threads", "N", "CPU threads.", "one for each processor", min=1)
    ] = None,
    sandbox: Annotated[
        str,
        typer.Option(
            "--sandbox",
            metavar="WHEN",
            help="Decode images in a process with a time and a memory limit: auto (those that may cost much), on or off.",
        ),
    ] = "auto",
    *,
    terminal: Terminal,
) -> None:
    """Score images with a bundle: one row each, in order; a bad file fills the column error and does not stop the rest."""
    if form not in ("csv", "jsonl"):
        raise UsageError(f"--format {form!r} is not known; expected csv or jsonl.")
    if terminal.json and out is None:
        raise UsageError("--json prints one document on stdout, where the rows would go. Give --out FILE too.")
    from plainfilm.cli.render.predict import predict_summary
    from plainfilm.export.predict import decoding_in, predict_files
    from plainfilm.export.prediction_rows import RowSink

    with terminal, _interruptible(out), decoding_in(sandbox):
        sink = RowSink(out, "csv" if form == "csv" else "jsonl", terminal.stdout)
        document = predict_files(
            bundle, paths, sink, threshold=threshold, heat=heatmaps, threads=threads,
            stdin=sys.stdin.buffer if "-" in paths else (), on_event=terminal,
        )  # fmt: skip
        if out is None:
            terminal.stdout.flush()
            if not terminal.quiet:
                terminal.say(predict_summary(document))
        else:
            terminal.result(document)
    if document.failed:
        raise GateError(
            f"{document.failed:,} of {document.pictures:,} files could not be scored; their rows say why (column error)."
        )
