"""export and predict: a model that anyone can take along."""

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

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The folder or zip that export made.")]


@contextmanager
def _interruptible(out: Path | None) -> Iterator[None]:
    """SIGTERM ends the work as Ctrl-C does, so that nothing half-written stays; says what became of `out`."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if _in_main_thread() else None
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError(
            f"Interrupted; {out} was not written: it appears when all is done."
            if out
            else "Interrupted; the rows above are whole."
        ) from None
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()  # signals are heard nowhere else


def export(
    run: opt.Run,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="PATH",
            help="The bundle: a new folder, or a file that ends in .zip. \\[default: bundle in RUN]",
            show_default=False,
        ),
    ] = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Make a bundle of a finished run: it predicts without torch and fastai, and holds no path or patient."""
    from plainfilm.export.bundle import export_run

    with Terminal(quiet=quiet, json=json) as talk, _interruptible(out or run / "bundle"):
        document = export_run(run, out, talk)
        talk.result(document)


def predict(
    bundle: Bundle,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Files, folders or globs; - reads a list of paths from stdin."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the rows here. \\[default: stdout]", show_default=False),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="csv or jsonl (one JSON object a line).")
    ] = "csv",
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            metavar="X",
            help="Call the positive class from this score. \\[default: the bundle's]",
            show_default=False,
        ),
    ] = None,
    heatmaps: Annotated[
        Path | None,
        typer.Option(
            "--heatmaps",
            metavar="DIR",
            help="Also draw a heat map of each row, named by its number; needs torch.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option("--threads", metavar="N", min=1, help="\\[default: one for each processor]", show_default=False),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document about the rows on stdout; needs --out.")
    ] = False,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
) -> None:
    """Score pictures with a bundle: one row each, in their order; a bad file fills the column error and stops nothing."""
    if form not in ("csv", "jsonl"):
        raise UsageError(f"--format {form!r} is not known; expected csv or jsonl.")
    if json and out is None:
        raise UsageError("--json prints one document on stdout, where the rows would go. Give --out FILE too.")
    from plainfilm.cli.render.predict import says_predict
    from plainfilm.export.predict import predict_files

    with Terminal(quiet=quiet, json=json) as talk, _interruptible(out):
        stdin = sys.stdin.buffer if "-" in paths else ()
        document = predict_files(
            bundle, paths, out=out, form="csv" if form == "csv" else "jsonl", threshold=threshold, heat=heatmaps, threads=threads, stdin=stdin,
            stdout=talk.stdout, on_event=talk,
        )  # fmt: skip
        if out is None:
            talk.stdout.flush()
            if not quiet:
                talk.say(says_predict(document))
        else:
            talk.result(document)
    if document.failed:
        raise GateError(
            f"{document.failed:,} of {document.pictures:,} files could not be scored; their rows say why (column error)."
        )
