"""Terminal output of `recalibrate`; fits 80 columns."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from plainfilm.cli.render.evaluate_blocks import print_notes
from plainfilm.cli.render.evaluate_lines import print_threshold
from plainfilm.cli.render.next_steps import print_next
from plainfilm.schemas.documents import RESEARCH_ONLY
from plainfilm.schemas.evaluate import Metric
from plainfilm.schemas.not_judged import OOD_NOT_JUDGED
from plainfilm.schemas.number_text import THREE, estimate_text
from plainfilm.schemas.recalibrate import RecalibrateDocument

_NAMES = {
    "auroc": "AUROC",
    "brier": "Brier",
    "ece": "ECE",
    "calibration_intercept": "intercept",
    "calibration_slope": "slope",
}


def print_recalibrate(out: Console, document: RecalibrateDocument) -> None:
    """What was fitted, what it did on patients that were not, and what more images would bring."""
    if document.method == "prevalence":
        _print_prevalence(out, document)
    else:
        _print_fit(out, document)
        _print_before_after(out, document)
        _print_curve(out, document)
    if document.ood_marked is None:
        out.print(OOD_NOT_JUDGED)
    else:
        limit = "before its limit was set again" if document.gate_refitted else "as before"
        out.print(f"Out of distribution: {document.ood_marked:.3f} of the local images, {limit}")
    print_notes(out, document.notes)
    out.print(RESEARCH_ONLY)
    out.print(f"New version: {document.run}", soft_wrap=True)
    if "config.yaml" in document.written:
        print_next(out, ("report", document.run), ("export", document.run))


def _people(n: int, patients: int | None) -> str:
    return f"{n:,} images" if patients is None else f"{patients:,} patients ({n:,} images)"


def _print_fit(out: Console, document: RecalibrateDocument) -> None:
    what = "intercept and slope" if document.method == "platt" else "the intercept"
    out.print(f"Fitted {what} on {_people(document.fitted_images, document.fitted_patients)}")
    if document.intercept is not None and document.slope is not None:
        out.print(f"Log odds of the score: {document.intercept:+.3f} + {document.slope:.3f} times the parent's")
    if document.threshold is not None:
        before = "" if document.threshold_before is None else f"; before {document.threshold_before:.4f}"
        print_threshold(
            out, document.positive, document.threshold, f"{document.threshold_rule}{before}", document.threshold_range
        )


def _print_before_after(out: Console, document: RecalibrateDocument) -> None:
    crossed = document.fitted_images == document.n_images
    where = "all local images, each by the half without it" if crossed else "the local patients that were not fitted"
    narrow = ", intervals likely too narrow" if document.n_patients is None else ""
    out.print(f"On {where}, n {document.after['accuracy'].n}{narrow}:")
    table = Table(box=None, pad_edge=False)
    for name in ("", "before", "after", "difference"):
        table.add_column(name, no_wrap=True)
    for name, after in document.after.items():
        difference = document.difference.get(name)
        change = "" if difference is None or difference.value is None else estimate_text(difference, "+.3f")
        both = (_fitting(each) for each in (document.before[name], after))
        table.add_row(_NAMES.get(name, name), *both, change)
    out.print(table)
    stays = document.positive is not None and not crossed  # two fits, or a bias for each class, change the order
    order = " AUROC stays: the order of the scores does." if stays else ""
    out.print(f"Best: Brier, ECE and calibration intercept 0, slope 1.{order}")


def _fitting(metric: Metric) -> str:
    """The estimate with as many digits as three columns of 80 characters hold."""
    largest = max((abs(each) for each in (metric.ci_low, metric.ci_high) if each is not None), default=0.0)
    return estimate_text(metric, THREE if largest <= 1 else "z.2f" if largest < 10 else "z.0f")


def _print_curve(out: Console, document: RecalibrateDocument) -> None:
    out.print("Would more local patients help? Accuracy on the same images after fits on fewer:")
    table = Table(box=None, pad_edge=False)
    for name in ("fitted patients", "accuracy", "80 % of draws", "Brier"):
        table.add_column(name, justify="right")
    for point in document.learning_curve:
        spread = "" if point.draws == 1 else f"{point.accuracy_low:.3f} to {point.accuracy_high:.3f}"
        table.add_row(str(point.patients), f"{point.accuracy:.3f}", spread, f"{point.brier:.3f}")
    out.print(table)


def _print_prevalence(out: Console, document: RecalibrateDocument) -> None:
    out.print(
        f"Score for class {document.positive}; predicted positive at {document.threshold:.4f} or above, in {document.prevalence:g} of "
        f"{document.n_images:,} unlabelled images"
        + ("" if document.threshold_before is None else f" (before: {document.threshold_before:.4f})")
    )
    for other in document.other_prevalences:
        out.print(
            f"If the share is {other.prevalence:g}: {other.threshold:.4f}, and {other.changed:,} images are predicted otherwise"
        )
    check = document.prevalence_check
    if check is None:
        return
    p = "" if check.p is None else f" (p {check.p:.3f}, distance to the nearest mixture of the run's two classes)"
    out.print(f"{check.says.rstrip('.')}{p}.")
    if check.em is not None and check.bbse is not None:
        out.print(f"The scores themselves suggest a share of {check.em:.2f} (EM) or {check.bbse:.2f} (BBSE)")
