"""Terminal output of each command's document, on stdout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from plainfilm.cli.render.classes import print_confusion, print_per_class
from plainfilm.cli.render.compare import print_compare, print_experiment, print_table
from plainfilm.cli.render.data import (
    print_audit,
    print_cache,
    print_doctor,
    print_models,
    print_patterns,
    print_phantom,
    print_split,
    size_text,
)
from plainfilm.cli.render.evaluate_blocks import metric_text, print_abstentions, print_blocks, print_notes
from plainfilm.cli.render.evaluate_lines import print_calibration, print_likelihood_ratios, print_macro
from plainfilm.cli.render.next_steps import print_next
from plainfilm.cli.render.operating import print_threshold, scaling_text
from plainfilm.cli.render.plan import print_plan
from plainfilm.cli.render.predict import print_export, print_predict
from plainfilm.cli.render.recalibrate import print_recalibrate
from plainfilm.cli.render.runs import print_runs
from plainfilm.cli.screen import Screen, duration
from plainfilm.schemas.compare import CompareDocument, ExperimentDocument, RunsDocument, TableDocument
from plainfilm.schemas.data import AuditDocument, CacheDocument, DoctorDocument, PhantomDocument, SplitDocument
from plainfilm.schemas.documents import (
    DRAWN,
    RESEARCH_ONLY,
    Document,
    EvaluateDocument,
    ExportDocument,
    LrFindDocument,
    Metric,
    ModelsDocument,
    PredictDocument,
    ReportDocument,
    ShortcutBaseline,
    TrainDocument,
    marks,
)
from plainfilm.schemas.evaluate import PerPatient
from plainfilm.schemas.interpret import InterpretDocument
from plainfilm.schemas.not_judged import NO_GATE
from plainfilm.schemas.number_text import TOP_3, estimate_text
from plainfilm.schemas.plan import PlanDocument
from plainfilm.schemas.recalibrate import RecalibrateDocument

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
        table.add_row(_NAMES[name], *metric_text(metric))
    out.print(table)


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


def _print_train(out: Console, document: TrainDocument) -> None:
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


def _print_evaluate(out: Screen, document: EvaluateDocument) -> None:
    at = f" at threshold {document.threshold:.4f}" if document.threshold is not None else ""
    left_out = document.external and document.external.left_out
    without = f", without {left_out.said()}," if left_out and left_out.said() else ""
    _print_metrics(out, f"{marks(document.notes)}{document.split}{without}{at}:", document.metrics)
    print_macro(out, document.macro, _NAMES)
    if document.top_3_accuracy is not None:
        out.print(f"{TOP_3}: {estimate_text(document.top_3_accuracy)}")
    _print_shortcut_baseline(out, document.shortcut_baseline, document.split)
    if document.threshold is not None:
        accuracy = metric_text(document.metrics_at_half["accuracy"])
        out.print(f"At threshold 0.5: accuracy {accuracy[0]} {accuracy[1]}, n {accuracy[2]}")
        print_likelihood_ratios(out, document)
        out.print(
            f"Score for class {document.positive}: softmax of {scaling_text(document.temperature, document.bias)}"
        )
    print_calibration(out, document)
    print_per_class(out, document.per_class)
    print_abstentions(out, document, metric_text)
    _print_changes(out, document)
    if document.per_patient is not None:
        left = document.per_patient.disagreeing
        without = f" ({left} left out: their images belong to several classes)" if left else ""
        _print_metrics(out, f"Per patient, mean score of {_people(document.per_patient)}{without}:", document.per_patient.metrics)  # fmt: skip
        print_macro(out, document.per_patient.macro, _NAMES)
    print_blocks(out, document, _NAMES)
    print_confusion(out, document.confusion)
    if document.split == "test" or document.external is not None:
        _print_accesses(out, document)
    print_notes(out, document.notes)
    out.print(RESEARCH_ONLY)
    if document.written:
        out.print(f"Written: {', '.join(document.written)} in {document.run}", soft_wrap=True)
    _print_next_of_evaluate(out, document)


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
        table.add_row(row.change, " ".join(metric_text(row.auroc)[:2]), f"{row.log_loss:.3f}", marked)
    out.print(table)


def _print_lr_find(out: Console, document: LrFindDocument) -> None:
    for name, value in document.suggestions.items():
        about = ", a tenth of the rate with the lowest loss" if name == "minimum" and value else ""
        out.print(f"{name:8} {'-' if value is None else f'{value:.2e}'}{about}")
    out.print("Use: no suggestion, the curve is flat" if document.flat else f"Use: {document.option} {document.lr:.1e}")
    print_notes(out, document.notes)
    out.print(f"Figure: {document.figure}", soft_wrap=True)


def _print_report(out: Console, document: ReportDocument) -> None:
    for caveat in document.caveats:
        out.print(f"- {caveat}")
    out.print(
        f"CLAIM 2024: {document.claim_reported} items from the run, {document.claim_not_reported} NOT REPORTED; "
        f"{size_text(document.bytes)}"
    )
    if document.names:
        out.print("The page shows file names: do not share it if they identify patients.")
    out.print(f"Report: {document.out}", soft_wrap=True)
    print_next(out, ("export", document.run))


def _print_interpret(out: Console, document: InterpretDocument) -> None:
    """Figures, errors, checks of the heat maps, likely label errors."""
    for name, path in document.figures.items():
        out.print(f"{name:22} {path}", soft_wrap=True)
    for note in document.notes:
        out.print(f"NOTE: {note}")
    for pair in document.confused[:5]:
        many = "image" if pair.images == 1 else "images"
        out.print(f"{pair.images} {many} of {pair.truth} predicted {pair.called}")
    if document.heat is not None:
        heat = document.heat
        flat = f"; {heat.flat} without any heat" if heat.flat else ""
        out.print(f"Heat maps ({heat.method}, {heat.cells[0]} x {heat.cells[1]} cells) are not evidence of location.")
        out.print(f"Checked on {heat.pictures} {heat.chosen}{flat}:")
        for line in heat.says:
            out.print(f"- {line}")
    if document.suspects is not None:
        out.print(document.suspects.says)
        out.print(f"{'label errors':22} {document.suspects.file}", soft_wrap=True)
    print_next(out, ("report", document.run))


PRINTERS: dict[type[Document], Callable[[Screen, Any], None]] = {
    TrainDocument: _print_train,
    EvaluateDocument: _print_evaluate,
    LrFindDocument: _print_lr_find,
    InterpretDocument: _print_interpret,
    PhantomDocument: print_phantom,
    SplitDocument: print_split,
    AuditDocument: print_audit,
    DoctorDocument: print_doctor,
    CacheDocument: print_cache,
    CompareDocument: print_compare,
    PlanDocument: print_plan,
    ExperimentDocument: print_experiment,
    TableDocument: print_table,
    ModelsDocument: print_models,
    ReportDocument: _print_report,
    ExportDocument: print_export,
    PredictDocument: print_predict,
    RecalibrateDocument: print_recalibrate,
    RunsDocument: print_runs,
}
