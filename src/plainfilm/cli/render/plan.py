"""Terminal output of `plan`: how many, then what was assumed; no line is longer than 80 characters."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from plainfilm.cli.render.evaluate_blocks import print_notes
from plainfilm.schemas.documents import RESEARCH_ONLY
from plainfilm.schemas.plan import PlanDocument

_COUNTED = {"sensitivity": "positive", "specificity": "negative", "auroc": "positive", "accuracy": ""}


def print_plan(out: Console, document: PlanDocument) -> None:
    """Patients and what they give, then the assumptions."""
    out.print(_size(document))
    out.print(_shows(document))
    for name, text in _rows(document):
        out.print(f"  {name:17}{text}")
    if document.like is not None:
        out.print(f"  {'patients like':17}{document.like}", soft_wrap=True)
    print_notes(out, document.notes)
    out.print(RESEARCH_ONLY)


def _name(document: PlanDocument) -> str:
    return "AUROC" if document.metric == "auroc" else document.metric


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _size(document: PlanDocument) -> str:
    side = _COUNTED[document.metric]
    of_side = document.images - document.positive_images if side == "negative" else document.positive_images
    counted = f", {of_side:,.0f} of the {side} class" if side else ""
    return f"{document.patients:,} patients (about {document.images:,.0f} images{counted})"


def _shows(document: PlanDocument) -> str:
    name = _name(document)
    share = document.power if document.patients_low is not None or document.met is None else document.met
    if document.other is not None:
        return (
            f"{name} {document.value:.4g} against {document.other:.4g}: p <= 0.05 in {_percent(share)} of such studies"
        )
    width = document.width_at_power if document.width is None else document.width
    if width is None:
        return f"too few for an interval of {name} in {_percent(document.power)} of such studies"
    width_text = f"{width:.3f}" if document.width is None else f"{width:g}"
    return f"95 % interval of {name} no wider than {width_text} in {_percent(share)} of such studies"


def _rows(document: PlanDocument) -> Iterator[tuple[str, str]]:
    yield "simulated", f"{document.draws:,} studies, seed {document.seed}{_limits(document)}"
    if document.width_median is not None and document.width_at_power is not None:
        share = _percent(document.power)
        yield (
            "width",
            f"median {document.width_median:.3f}; {document.width_at_power:.3f} or less in {share} of studies",
        )
    if document.formula_patients is not None and document.patients_low is not None:
        times = document.patients / document.formula_patients
        yield (
            "simple formula",
            f"{document.formula_patients:,} for independent images; these are {times:.2f} times as many",
        )
    if document.test is not None:
        yield "test", f"{document.test}, two-sided"
    yield from _assumed(document)


def _limits(document: PlanDocument) -> str:
    """The 95 % Monte Carlo limits of what was searched for."""
    if document.patients_low is not None:
        return f": {document.patients_low:,} to {document.patients_high:,} patients (95 % limits)"
    if document.met_low is None or document.met_high is None:
        return ""
    return f": {_percent(document.met_low)} to {_percent(document.met_high)} (95 % limits)"


def _assumed(document: PlanDocument) -> Iterator[tuple[str, str]]:
    yield "assumed", f"{_name(document)} {document.value:.4g}, prevalence {document.prevalence:.3g}"
    sizes = f"{document.images_fewest} to {document.images_most}, mean {document.images_mean:.3g}"
    several = document.images_most > document.images_fewest
    yield "images a patient", sizes if several else f"{document.images_most}"
    what = "scores within a class" if document.metric == "auroc" else "being right"
    if document.images_most > 1:
        effect = f"; design effect {document.design_effect:.2f}"
        yield "of one patient", f"correlated by {document.icc:g} ({what}){effect}"
    if document.correlation is not None:
        yield "two models", f"correlated by {document.correlation:g} on an image ({what})"
