"""plan: how many patients before there are any."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plainfilm.cli import completion
from plainfilm.cli import options as opt
from plainfilm.cli.console import Terminal

_METRICS = ("auroc", "accuracy", "sensitivity", "specificity")


@opt.takes_terminal()
def plan(
    metric: Annotated[
        str,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="auroc, accuracy, sensitivity or specificity.",
            autocompletion=completion.of(_METRICS),
        ),
    ] = "auroc",
    value: Annotated[
        float | None, opt.unless_given("--value", "X", "The value of the metric that you expect.", "that of --like RUN")
    ] = None,
    width: Annotated[
        float | None, opt.unless_given("--width", "W", "The 95 % interval shall be no wider, from limit to limit.")
    ] = None,
    difference: Annotated[
        float | None,
        opt.unless_given(
            "--difference", "D", "Another model, on the same images, has D less; a paired test shall show it."
        ),
    ] = None,
    power: Annotated[
        float, typer.Option("--power", metavar="P", help="Share of such studies in which that shall succeed.")
    ] = 0.8,
    patients: Annotated[
        int | None, opt.unless_given("--patients", "N", "What N patients give, instead of how many are needed.")
    ] = None,
    prevalence: Annotated[
        float | None,
        opt.unless_given("--prevalence", "P", "Share of the patients with the positive class.", "as in --like, or 0.5"),
    ] = None,
    images_per_patient: Annotated[
        str | None,
        opt.unless_given(
            "--images-per-patient", "N|N-M", "Images of each patient, such as 4 or 1-8.", "as in --like, or 1"
        ),
    ] = None,
    like: Annotated[
        Path | None,
        opt.unless_given(
            "--like",
            "RUN|TABLE",
            "Patients as in a run's valid images, or in a CSV of images.",
            autocompletion=completion.run_folders,
        ),
    ] = None,
    icc: Annotated[
        float,
        typer.Option(
            "--icc",
            metavar="R",
            help="How alike two images of a patient are: correlation of being right (auroc: of scores).",
        ),
    ] = 0.3,
    correlation: Annotated[
        float, typer.Option("--correlation", metavar="R", help="The same, between the two models on one image.")
    ] = 0.5,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Same seed, same numbers.")] = 0,
    *,
    terminal: Terminal,
) -> None:
    """How many patients for an interval's width or for a difference, by simulated studies; reads no image."""
    from plainfilm.pipeline.plan import PlanRequest, plan_study

    request = PlanRequest(
        metric, value, width, difference, power, patients, prevalence, images_per_patient, like, icc, correlation, seed
    )
    with terminal:
        terminal.result(plan_study(request, terminal))
