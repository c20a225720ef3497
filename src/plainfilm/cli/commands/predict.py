"""export and predict: a portable bundle of a model, and its predictions."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
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
    """The error of Ctrl-C says what happened to `out`."""
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError(
            f"Interrupted; {out} was not written: it is written when everything is done."
            if out
            else "Interrupted; the rows above are complete."
        ) from None


def _stdin() -> Iterable[bytes]:
    if sys.stdin is None:  # plainfilm predict BUNDLE - <&-
        raise UsageError(
            "Standard input is closed, but - reads a list of paths from it. Pipe one in, or name the files."
        )
    return sys.stdin.buffer


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


def _agrees(question: str) -> bool:
    """Whether a person at the terminal says yes; False where nobody can be asked."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() and typer.confirm(question, err=True)


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
    bits: Annotated[
        int | None,
        opt.unless_given(
            "--bits", "N", "Stored bit depth of integer images above 8 bits: 8, 10, 12, 14 or 16.", "the bundle's"
        ),
    ] = None,
    threads: Annotated[
        int | None, opt.unless_given("--threads", "N", "CPU threads.", "one for each processor", min=1)
    ] = None,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="In folders and globs, also enter links, each folder once.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask when folders and globs hold more than 100,000 files.")
    ] = False,
    sandbox: Annotated[
        str,
        typer.Option(
            "--sandbox",
            metavar="WHEN",
            help="Decode images and run the network in processes with a time and a memory limit: auto (images that may cost much, a network that you did not export), on or off.",
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
    from plainfilm.export.input_paths import Inputs
    from plainfilm.export.predict import Changes, decoding_in, predict_files
    from plainfilm.export.prediction_rows import RowSink

    with terminal, _interruptible(out), decoding_in(sandbox):
        sink = RowSink(out, "csv" if form == "csv" else "jsonl", terminal.stdout)
        document = predict_files(
            bundle, Inputs(paths, _stdin() if "-" in paths else (), follow_links=follow_links), sink,
            at=Changes(threshold, bits), heat=heatmaps, threads=threads, agree=lambda question: yes or _agrees(question),
            on_event=terminal,
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
