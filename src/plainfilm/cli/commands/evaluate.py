"""evaluate, show, interpret, report and card: the results of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plainfilm.base.command_line import command_line
from plainfilm.cli import completion
from plainfilm.cli import options as opt
from plainfilm.cli.config_options import ConfigKeys, reading_from, takes_config_options
from plainfilm.cli.console import Terminal
from plainfilm.errors import GateError, UsageError

if TYPE_CHECKING:
    from plainfilm.schemas.evaluate import Metric

_SPLITS = ("valid", "valid-shifted", "test")
_EXTERNAL = "External images"  # panel of --help


def _saved_split(text: str, words: tuple[str, ...]) -> Any:
    """--split of a command that by itself takes test once it has been evaluated."""
    default, offered = "test once evaluated on it, else valid", completion.of(words)
    return opt.unless_given("--split", "WHICH", text, default, autocompletion=offered)


@takes_config_options("evaluate", _EXTERNAL)
@opt.takes_terminal()
def evaluate(
    run: opt.Run,
    split: Annotated[
        str,
        typer.Option(
            "--split",
            metavar="WHICH",
            help="valid; valid-shifted (under a fixed list of changes); or test: evaluates on the sealed test set and records the access.",
            autocompletion=completion.of(_SPLITS),
        ),
    ] = "valid",
    threshold: Annotated[
        str | None,
        opt.unless_given(
            "--threshold", "RULE", "Another rule or number, for this output only; chosen on valid.", "the run's own"
        ),
    ] = None,
    prevalence: Annotated[
        str | None,
        opt.unless_given(
            "--prevalence", "X,X", "Also PPV and NPV at other shares of positive images, e.g. 0.01,0.1,0.3."
        ),
    ] = None,
    by: Annotated[
        str | None,
        opt.unless_given(
            "--by",
            "COLUMN",
            "Also by subgroup, with tests of the gaps: a column of the CSV or table, or subtype (bacteria, virus).",
        ),
    ] = None,
    external: Annotated[
        Path | None,
        opt.unless_given(
            "--external",
            "DIR",
            "Images that the run never saw, instead of a split: a folder of class folders, or a CSV.",
            rich_help_panel=_EXTERNAL,
        ),
    ] = None,
    class_map: Annotated[list[str] | None, opt.class_map("an external class", _EXTERNAL)] = None,
    leave_out: Annotated[list[str] | None, opt.leave_out("external class", _EXTERNAL)] = None,
    drop_known: Annotated[bool, opt.drop_known("external images", _EXTERNAL)] = False,
    device: opt.Device = "cpu",
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-under", metavar="METRIC=X", help="Exit 1 when a metric is below X, e.g. auroc=0.9; may be repeated."
        ),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Compute also what is saved and has not changed; on test, a test-set access."),
    ] = False,
    data: opt.MovedData = None,
    *,
    keys: ConfigKeys,
    terminal: Terminal,
) -> None:
    """Metrics with 95 % intervals, from one inference pass. A split's saved numbers are shown again while its files are
    unchanged; --threshold, --external and --again always compute. External images are read as the run's own
    where no option says otherwise."""
    gates = [_gate(text) for text in fail_under or []]
    if split not in _SPLITS:
        raise UsageError(f"--split {split!r} cannot be evaluated; expected valid, valid-shifted or test.")
    reading = reading_from(keys)
    given = {"map": class_map, "leave-out": leave_out, "drop-known": drop_known, **reading}
    if external is None and (options := opt.names_of(given)):
        raise UsageError(f"{' and '.join(options)} apply to external images. Add --external DIR, or leave them out.")
    if external is not None and split != "valid":
        raise UsageError(f"--split {split} and --external are two sets of images. Evaluate one after the other.")
    from plainfilm.evaluate.metrics.prevalence import parse_prevalences
    from plainfilm.evaluate.shift.external_set import ExternalRequest, parse_map
    from plainfilm.pipeline.evaluate import EvaluateRequest, evaluate_run

    outside = None
    if external is not None:
        names = parse_map(class_map or [])
        outside = ExternalRequest(external, names, leave_out=leave_out or [], drop_known=drop_known, reading=reading)
    request = EvaluateRequest(
        split=split, threshold=threshold, prevalences=parse_prevalences(prevalence) if prevalence is not None else None,
        by=by, external=outside, device=device, again=again, data=data,
    )  # fmt: skip
    with terminal:
        document = evaluate_run(run, request, on_event=terminal)
        terminal.result(document)
    below = [line for name, bound in gates if (line := _shortfall(name, document.metrics.get(name), bound))]
    if below:
        raise GateError(f"--fail-under on {document.split}: " + "; ".join(below) + ".")


@opt.takes_terminal()
def show(
    run: opt.Run,
    split: Annotated[str | None, _saved_split("A split with saved numbers.", _SPLITS)] = None,
    *,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="Of a run of an older version: take its files as they are now, and verify them from here on.",
        ),
    ] = False,
    terminal: Terminal,
) -> None:
    """Show the saved numbers of a run. Reads no image, writes nothing without --adopt, and is no test-set access."""
    from plainfilm.pipeline.show import adopt_run, show_run

    with terminal:
        if adopt:
            terminal("note", {"text": adopt_run(run, split=split)})
        document, others = show_run(run, split=split)
        one = command_line("show", document.run, "--split", others[0]) if others else ""
        terminal.result(document, *([f"Also saved: {', '.join(others)}. Show one: {one}"] if others else []))


def _shortfall(name: str, metric: Metric | None, bound: float) -> str:
    if metric is None or metric.value is None:
        return f"{name} is {'not estimable' if metric else 'not in the saved numbers (--again computes it)'}"
    return f"{name} is {metric.value:.4f}, below {bound:g}" if metric.value < bound else ""


def _gate(text: str) -> tuple[str, float]:
    """'auroc=0.9' -> ('auroc', 0.9)."""
    from plainfilm.evaluate.metrics.measure import METRICS

    name, _, bound = text.partition("=")
    try:
        limit = float(bound)
    except ValueError:
        limit = float("nan")
    # for Brier and ECE lower is better; for the calibration line neither higher nor lower is
    names = [metric for metric in METRICS if metric not in ("brier", "ece") and not metric.startswith("calibration")]
    if name not in names or not 0 <= limit <= 1:
        raise UsageError(
            f"--fail-under {text!r} is invalid; expected METRIC=X with X in 0..1 and one of {', '.join(names)}."
        )
    return name, limit


@opt.takes_terminal()
def interpret(
    run: opt.Run,
    split: Annotated[str | None, _saved_split("valid or test.", ("valid", "test"))] = None,
    heat_maps: Annotated[
        int,
        typer.Option(
            "--heat-maps",
            metavar="N",
            min=0,
            help="Check heat maps on N valid images; 0: no heat maps, and the network does not run.",
        ),
    ] = 32,
    heat: Annotated[
        str, typer.Option("--heat", metavar="HOW", help="hires-cam (Grad-CAM weighted per location) or grad-cam.")
    ] = "hires-cam",
    device: opt.Device = "cpu",
    data: opt.MovedData = None,
    *,
    terminal: Terminal,
) -> None:
    """Plot learning curves, errors and heat maps with sanity checks, and list likely label errors."""
    if split not in (None, "valid", "test"):
        raise UsageError(f"--split {split!r} cannot be interpreted; expected valid or test.")
    if heat not in ("grad-cam", "hires-cam"):
        raise UsageError(f"--heat {heat!r} is not known; expected grad-cam or hires-cam.")
    from plainfilm.pipeline.interpret import interpret_run

    with terminal:
        document = interpret_run(
            run, split=split, heat_images=heat_maps, method=heat, device=device, data=data, on_event=terminal,  # type: ignore[arg-type]
        )  # fmt: skip
        terminal.result(document)


@opt.takes_terminal()
def report(
    run: opt.Run,
    out: Annotated[Path | None, opt.unless_given("--out", "FILE", "The HTML file.", "report.html in RUN")] = None,
    names: Annotated[
        bool, typer.Option("--names", help="Also show file names and the command as typed; they may name patients.")
    ] = False,
    data: opt.MovedData = None,
    *,
    terminal: Terminal,
) -> None:
    """Put all results of a run into one HTML file; reads only the files of the run, no image."""
    from plainfilm.pipeline.report import report_run

    with terminal:
        terminal.result(report_run(run, out=out, names=names, data=data, on_event=terminal))


@opt.takes_terminal()
def card(
    run: opt.Run,
    settings: Annotated[
        list[str] | None,
        opt.unless_given("--set", "FIELD=TEXT", "Fill a field; an empty text opens it again. May be repeated."),
    ] = None,
    *,
    terminal: Terminal,
) -> None:
    """Fill what only people can say of a model, in card.yaml of the run, and list what is open."""
    from plainfilm.pipeline.report import fill_card

    with terminal:
        terminal.result(fill_card(run, settings or []))
