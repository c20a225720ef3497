"""Terminal output of train, evaluate and show: of the last two the main result first, everything with -v, one line with -q."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from plainfilm.cli.render.classes import print_confusion, print_per_class
from plainfilm.cli.render.data import print_patterns
from plainfilm.cli.render.evaluate_blocks import (
    metric_cells,
    metric_text,
    print_abstentions,
    print_blocks,
    print_notes,
    print_reasons,
)
from plainfilm.cli.render.evaluate_lines import (
    print_calibration,
    print_likelihood_ratios,
    print_macro,
    print_threshold,
    scaling_text,
)
from plainfilm.cli.render.next_steps import print_next
from plainfilm.cli.screen import Screen, duration
from plainfilm.schemas.documents import (
    DRAWN,
    RESEARCH_ONLY,
    EvaluateDocument,
    Metric,
    ShortcutBaseline,
    TrainDocument,
    marks,
)
from plainfilm.schemas.evaluate import PerPatient
from plainfilm.schemas.not_judged import NO_GATE
from plainfilm.schemas.number_text import TOP_3, estimate_text

_NAMES = {
    "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auroc": "AUROC", "auprc": "AUPRC",
    "sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV", "f1": "F1", "mcc": "MCC (-1 to 1)",
    "brier": "Brier (0 is best)", "ece": "ECE (0 is best)",
    "calibration_intercept": "calibration intercept (0)", "calibration_slope": "calibration slope (1)",
}  # fmt: skip


def _print_metrics(out: Console, title: str, metrics: dict[str, Metric]) -> None:
    """The metric table; the columns fit 60 characters."""
    out.print(title)
    table = Table(box=None, pad_edge=False)
    narrow = any("too narrow" in metric.method for metric in metrics.values())
    for name in ("", "value", "95 % interval, likely too narrow" if narrow else "95 % interval", "n"):
        table.add_column(name, justify="right" if name in ("value", "n") else "left")
    for name, metric in metrics.items():
        table.add_row(_NAMES[name], *metric_cells(metric))
    out.print(table)
    print_reasons(out, [(_NAMES[name], metric) for name, metric in metrics.items()])


def _print_shortcut_baseline(out: Console, found: ShortcutBaseline | None, split: str) -> None:
    """The shortcut baseline below the metrics of the network."""
    if found is None or found.best is None or found.auroc is None:
        return
    value, interval, n = metric_text(found.auroc)
    chosen = f", best of {len(found.probes)} probes, chosen on them" if split == "valid" else ""
    narrow = ", likely too narrow" if "too narrow" in found.auroc.method else ""
    out.print(
        f"Shortcut baseline: AUROC {value} {interval}{narrow} from the {found.best} alone, on the same {n} images{chosen}"
    )
    if found.difference is not None:
        out.print(found.difference.as_text(found.best))
    if found.beyond is not None and found.beyond.value is not None:
        value, interval, n = metric_text(found.beyond)
        out.print(
            f"Discordant pairs (ranked wrongly by the {found.best}): the network ranks {value} {interval} of them correctly ({n} images)"
        )


def print_train(out: Console, document: TrainDocument) -> None:
    """The metrics on valid, what was chosen there, and what it took."""
    if document.timing is None:
        out.print(
            f"Dry run: no fault found in the data; training would take about {duration(document.estimate_seconds)}. Nothing was written."
        )
        print_patterns(out, document.patient_patterns)
        return
    _print_metrics(out, f"{marks(document.notes)}valid, epoch {document.best_epoch} kept:", document.metrics["valid"])
    print_macro(out, document.macro, _NAMES)
    _print_shortcut_baseline(out, document.shortcut_baseline, "valid")
    if document.threshold is not None:
        chosen = f"{document.threshold_rule}, chosen on {document.threshold_chosen_on}"
        print_threshold(out, document.positive, document.threshold, chosen, document.threshold_range)
    if document.temperature is not None:
        out.print(f"Scores: softmax of {scaling_text(document.temperature, document.bias)} (fitted on valid)")
    out.print(
        f"Epochs took {duration(document.timing.epochs_seconds)} at {document.timing.train_img_per_s:.0f} img/s, "
        f"everything {duration(document.timing.seconds)}; peak memory {document.timing.peak_rss_mb:.0f} MB"
    )
    print_notes(out, document.notes)
    out.print(f"Run: {document.run}", soft_wrap=True)
    run = str(document.run)
    print_next(out, ("interpret", run), ("report", run), test_of=run if "test" in document.data.splits else None)


def print_evaluate(out: Screen, document: EvaluateDocument) -> None:
    """The main result first: four metrics, the shortcut baseline, what was asked for, the caveats. Everything with -v."""
    if out.brief:
        out.print(_one_line(document))
        return
    at = f" at threshold {document.threshold:.4f}" if document.threshold is not None else ""
    title = f"{_title(document)}{at}:"
    whole = out.verbose
    shown = document.metrics if whole else _headline(document)
    _print_metrics(out, title, shown)
    print_macro(out, {name: found for name, found in document.macro.items() if name in shown}, _NAMES)
    if document.top_3_accuracy is not None:
        out.print(f"{TOP_3}: {estimate_text(document.top_3_accuracy)}")
    _print_shortcut_baseline(out, document.shortcut_baseline, document.split)
    if whole:
        _print_operating(out, document)
    _print_changes(out, document)
    if whole and document.per_patient is not None and _several_images_each(document, document.per_patient):
        _print_per_patient(out, document.per_patient)
    print_blocks(out, document, _NAMES, whole=whole)
    if whole:
        print_confusion(out, document.confusion)
    if document.split == "test" or document.external is not None:
        _print_accesses(out, document)
    print_notes(out, document.notes)
    out.print(RESEARCH_ONLY)
    if not whole:
        kept = f", or metrics.json in {document.run}" if document.inputs or document.written else ", or --json"
        out.print(f"All {len(document.metrics)} metrics, calibration, abstentions, confusion: -v{kept}", soft_wrap=True)
    if document.written:
        out.print(f"Written: {', '.join(document.written)} in {document.run}", soft_wrap=True)
    _print_next_of_evaluate(out, document)


_HEADLINE = ("auroc", "accuracy", "sensitivity", "specificity")


def _headline(document: EvaluateDocument) -> dict[str, Metric]:
    return {name: document.metrics[name] for name in _HEADLINE if name in document.metrics}


def _title(document: EvaluateDocument) -> str:
    """'LEAKY SPLIT: test', with the classes of external images that were left out."""
    left_out = document.external and document.external.left_out
    without = f", without {left_out.said()}," if left_out and left_out.said() else ""
    return f"{marks(document.notes)}{document.split}{without}"


def _one_line(document: EvaluateDocument) -> str:
    """'test: AUROC 0.953 [0.935, 0.966], accuracy ...; n 624'."""
    found = _headline(document)
    shown = ", ".join(f"{_NAMES[name]} {' '.join(metric_text(metric)[:2])}" for name, metric in found.items())
    narrow = " (intervals likely too narrow)" if any("too narrow" in metric.method for metric in found.values()) else ""
    return f"{_title(document)}: {shown}; n {document.metrics['accuracy'].n}{narrow}"


def _print_operating(out: Screen, document: EvaluateDocument) -> None:
    """What follows from the threshold, the scale of the scores, the classes, and what was abstained on."""
    if document.threshold is not None:
        accuracy = metric_text(document.metrics_at_half["accuracy"])
        out.print(f"At threshold 0.5: accuracy {accuracy[0]} {accuracy[1]}, n {accuracy[2]}")
        print_likelihood_ratios(out, document)
        out.print(
            f"Score for class {document.positive}: softmax of {scaling_text(document.temperature, document.bias)}"
        )
    print_calibration(out, document)
    print_per_class(out, document.per_class)
    print_abstentions(out, document)


def _several_images_each(document: EvaluateDocument, found: PerPatient) -> bool:
    """False where each patient has one image: the table would repeat the one above it."""
    return found.metrics["accuracy"].n != document.metrics["accuracy"].n


def _print_per_patient(out: Screen, found: PerPatient) -> None:
    without = f" ({found.disagreeing} left out: their images belong to several classes)" if found.disagreeing else ""
    _print_metrics(out, f"Per patient, mean score of {_people(found)}{without}:", found.metrics)
    print_macro(out, found.macro, _NAMES)


def _print_accesses(out: Console, document: EvaluateDocument) -> None:
    what, images = ("test set", "images") if document.external is None else ("external set", "external images")
    drawn = any(note.startswith(f"{DRAWN}: all {images} ") for note in document.notes)
    where = " in this folder" if drawn else ""  # everybody has the same drawn set
    out.print(f"Evaluations on this {what}: {document.opened} by this run, {document.opened_set} by all runs{where}")


def _people(found: PerPatient) -> str:
    """'59 patients', or '72 keys of 59 patients'."""
    people = found.metrics["accuracy"].n_patients
    return f"{found.patients} keys of {people} patients" if found.patients != people else f"{people} patients"


def _print_next_of_evaluate(out: Console, document: EvaluateDocument) -> None:
    run = document.run
    if document.split == "test":
        print_next(out, ("interpret", run, "--split", "test"), ("report", run), ("export", run))
    elif document.external is not None:
        print_next(out, ("report", run))
    else:
        sealed = not document.opened and "VALIDATION ONLY" not in marks(document.notes)
        print_next(out, ("interpret", run), ("report", run), test_of=run if sealed else None)


def _print_changes(out: Console, document: EvaluateDocument) -> None:
    if not document.changes:
        return
    table = Table(box=None, pad_edge=False)
    for name in ("valid images after", "AUROC", "log loss", "OOD"):
        table.add_column(name)
    for row in document.changes:
        marked = NO_GATE if row.marked is None else f"{row.marked:.3f}"
        table.add_row(row.change, " ".join(metric_cells(row.auroc)[:2]), f"{row.log_loss:.3f}", marked)
    out.print(table)
