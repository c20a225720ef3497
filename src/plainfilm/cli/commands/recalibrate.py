"""recalibrate: a new version of a run or bundle for another place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plainfilm.cli import completion
from plainfilm.cli import options as opt
from plainfilm.cli.config_options import ConfigKeys, reading_from, takes_config_options
from plainfilm.cli.console import Terminal
from plainfilm.errors import UsageError

_LOCAL = "Local images"  # panel of --help


@takes_config_options("evaluate", _LOCAL)
@opt.takes_terminal()
def recalibrate(
    parent: Annotated[Path, typer.Argument(metavar="RUN|BUNDLE", help="A finished run, or a bundle (folder or .zip).")],
    on: Annotated[
        Path,
        typer.Option(
            "--on",
            metavar="LOCAL",
            help="Images of the other place that the model never saw: a folder of class folders or a CSV; with "
            "--prevalence-threshold any folder.",
        ),
    ],
    out: Annotated[
        Path | None,
        opt.unless_given("--out", "PATH", "The new version.", "beside RUN|BUNDLE, with -local behind its name"),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            help="intercept; platt (intercept and slope); auto: platt from 100 fitted patients, 20 of each class.",
            autocompletion=completion.of(("auto", "intercept", "platt")),
        ),
    ] = "auto",
    cross_fit: Annotated[
        bool,
        typer.Option("--cross-fit", help="Fit on all local patients, and judge each half by the fit of the other."),
    ] = False,
    refit_gate: Annotated[
        bool, typer.Option("--refit-gate", help="Also set the limit of the OOD gate again; from 200 local patients.")
    ] = False,
    prevalence_threshold: Annotated[
        float | None,
        opt.unless_given(
            "--prevalence-threshold",
            "P",
            "Set the threshold alone, from unlabelled images of which the share P is positive.",
        ),
    ] = None,
    class_map: Annotated[list[str] | None, opt.class_map("a local class", _LOCAL)] = None,
    leave_out: Annotated[list[str] | None, opt.leave_out("local class", _LOCAL)] = None,
    drop_known: Annotated[bool, opt.drop_known("local images", _LOCAL)] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of the halves and the draws.")] = 0,
    device: opt.Device = "cpu",
    data: opt.MovedData = None,
    *,
    keys: ConfigKeys,
    terminal: Terminal,
) -> None:
    """Fit a finished model's scores and threshold to another place with a few labelled images of it: a new version, the network
    stays as it is. One half of the local patients fits, the other half judges."""
    reading = reading_from(keys)
    given = {
        "map": class_map, "leave-out": leave_out, "drop-known": drop_known, "cross-fit": cross_fit, "refit-gate": refit_gate,
        "method": method != "auto", **reading,
    }  # fmt: skip
    if prevalence_threshold is not None and (options := opt.names_of(given)):
        raise UsageError(
            f"{' and '.join(options)} need labels, and --prevalence-threshold uses none. Leave one of them out."
        )
    from plainfilm.evaluate.shift.external_set import ExternalRequest, parse_map
    from plainfilm.recalibrate.recalibrate import RecalibrateRequest
    from plainfilm.recalibrate.recalibrate import recalibrate as carried_out

    local = ExternalRequest(
        on, parse_map(class_map or []), leave_out=leave_out or [], drop_known=drop_known, reading=reading
    )
    request = RecalibrateRequest(
        local, out=out, method=method, cross_fit=cross_fit, refit_gate=refit_gate, prevalence=prevalence_threshold, seed=seed,
        device=device, data=data,
    )  # fmt: skip
    with terminal:
        terminal.result(carried_out(parent, request, terminal))
