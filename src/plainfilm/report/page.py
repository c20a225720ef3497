"""The HTML page of a run, from what was read of its folder."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from plainfilm import __version__
from plainfilm.base.files import atomic_write
from plainfilm.base.listing import LISTED, both_ends
from plainfilm.base.sanitize import sanitized
from plainfilm.evaluate.metrics.prevalence import by_prevalence
from plainfilm.report import formatting
from plainfilm.report.caveats import Caveat, caveats
from plainfilm.report.claim import claim_items
from plainfilm.report.images import HEAT_NOTE, collect, heat_sheet, worst_images
from plainfilm.report.redact import NOT_A_COMMAND, redacted_command, redacted_config
from plainfilm.report.run_data import ReportedRun
from plainfilm.runs.metrics_file import MetricsDocument, Number
from plainfilm.runs.people_card import FIELDS, open_fields
from plainfilm.schemas import not_judged
from plainfilm.schemas.documents import DRAWN, IDENTITY, RESEARCH_ONLY, ReportDocument, marks
from plainfilm.schemas.evaluate import IN_THE_LARGE, ranked_classes
from plainfilm.schemas.interpret import confused_pairs
from plainfilm.schemas.macro_mean import macro_lines, method_text
from plainfilm.schemas.marks import CONFOUNDED
from plainfilm.schemas.number_text import NOT_ESTIMABLE, TOP_3, beside_p, p_text, ratio_text, reasons

GENERATOR = '<meta name="generator" content="plainfilm report">'
_NAMES = {
    "accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "auroc": "AUROC", "auprc": "AUPRC",
    "sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV", "f1": "F1", "mcc": "MCC",
    "brier": "Brier score (0 is best)", "ece": "ECE (0 is best)", "calibration_intercept": "Calibration intercept (0 is best)",
    "calibration_slope": "Calibration slope (1 is best)", IN_THE_LARGE: "Mean score minus share (0 is best)", "log_loss": "Log loss (0 is best)",
}  # fmt: skip
_CALIBRATION = ("brier", "ece", "calibration_intercept", "calibration_slope")
_LEAKS = ("LEAKY SPLIT", "LEAKY WEIGHTS", IDENTITY, CONFOUNDED)
_NO_BAR = ("mcc",)  # ranges from -1 to 1
_TILES = ("auroc", "accuracy", "sensitivity", "specificity")
_AT_THRESHOLD = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "f1", "mcc")
_OF_CLASSES = ("auroc", "sensitivity", "specificity")
_OF_SUBGROUPS = ("auroc", "sensitivity", "specificity", "ppv", "npv", IN_THE_LARGE)


def write_report(found: ReportedRun, path: Path, *, names: bool) -> ReportDocument:
    """Write the page of a run to `path`; `names`: with file names and the command as typed."""
    listed = caveats(found)
    html = _draw_page(found, listed, names=names)
    atomic_write(path, html)
    filled, missing = claim_items(found)
    return ReportDocument(
        run=str(found.run.root), out=str(path), split=found.split, bytes=len(html.encode("utf-8")), names=names,
        sections=re.findall(r'<section id="([a-z]+)"', html), caveats=[f"{c.title}: {c.text}" for c in listed if c.on_top],
        claim_reported=len(filled), claim_by_people=sum(not item.text for item in filled),
        claim_not_reported=len(missing), card_open=len(open_fields(found.people)),
    )  # fmt: skip


def _draw_page(found: ReportedRun, listed: list[Caveat], *, names: bool) -> str:
    """The HTML text; it depends only on the files of the run, so the same run gives the same bytes."""
    env = Environment(
        loader=PackageLoader("plainfilm"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    env.filters |= {
        "sanitized": sanitized,
        "number": formatting.number,
        "between": formatting.between,
        "figure": formatting.figure,
        "count": formatting.count,
        "p_text": p_text,
        "ratio_text": ratio_text,
    }
    env.filters |= {"metric_name": _metric_name, "place": _place}
    env.filters["method_text"] = partial(method_text, labels=found.document.confusion.labels)
    env.globals |= {
        "both_ends": both_ends,
        "by_images": _by_images,
        "by_difference": _by_difference,
        "listed": LISTED,
        "top_3": TOP_3,
    }
    env.globals |= {
        "many": formatting.many,
        "macro_lines": partial(macro_lines, names=_NAMES),
        "not_estimable": NOT_ESTIMABLE,
        "reasons": reasons,
        "not_judged": not_judged,
    }
    filled, missing = claim_items(found)
    text: str = env.get_template("report.html.j2").render(
        run=found, document=found.document, split=found.split, card=found.card, cfg=found.cfg, counts=found.counts,
        caveats=[c for c in listed if c.on_top], heat_caveats=[c for c in listed if c.about_heat], heat_says=_heat_says(found), gap_notes=_gap_notes(found), figures=collect(found), heat_sheet=heat_sheet(found), heat_note=HEAT_NOTE,
        worst=worst_images(found, names=names), prevalences=by_prevalence(found.document), tiles=_TILES,
        columns=_columns(found), calibration=_CALIBRATION, of_subgroups=_OF_SUBGROUPS, no_bar=_NO_BAR, at_threshold=_AT_THRESHOLD,
        externals=[part for part in found.documents.values() if part.external], shifted=found.documents.get("valid-shifted"),
        claim=filled, unreported=missing, outside_claim=_outside_claim(found.people), open_fields=len(open_fields(found.people)), fields=len(FIELDS), command=_command(found, names=names), settings=redacted_config(found.cfg, names=names),
        **_of_classes(found.document), leaks=_leaks(found, listed), names=names, version=__version__, research_only=RESEARCH_ONLY,
    )  # fmt: skip
    return text


def _outside_claim(people: Mapping[str, str]) -> list[tuple[str, str]]:
    """Title and text of the filled fields of card.yaml that belong to no item."""
    return [(field.title, people[name]) for name, field in FIELDS.items() if name in people and not field.claim]


def _of_classes(document: MetricsDocument) -> dict[str, Any]:
    """The classes ranked where there are many, the pairs of them that are confused, and the images of each."""
    table = document.confusion
    names = ranked_classes(document.per_class) if len(document.per_class) > LISTED else list(document.per_class)
    sizes = dict(zip(table.labels, map(sum, table.rows), strict=True))
    return {
        "class_keys": _OF_CLASSES,
        **_without_value(document, both_ends(names)),
        "ranked": names,
        "pairs": confused_pairs(table.rows, table.labels),
        "sizes": sizes,
    }


def _without_value(document: MetricsDocument, classes: list[str | None]) -> dict[str, list[tuple[str, Any]]]:
    """What may have no value in tables that give each reason once: of these classes, and of the subgroups, by metric."""
    by_class = document.reliability.by_class if document.reliability else {}
    off = [by_class[label] for label in both_ends(_by_difference(by_class)) if label is not None]
    groups = document.subgroups.groups if document.subgroups else []
    gaps = document.subgroups.gaps if document.subgroups else []
    of_classes = [document.per_class[name] for name in classes if name is not None]
    return {
        "of_classes": [(_metric_name(key), found[key]) for found in of_classes for key in _OF_CLASSES if key in found],
        "of_calibration": [pair for mean in off for pair in (("score minus share", mean.difference), ("observed / expected", mean.observed_expected))],
        "of_groups": [(_metric_name(key), group.metrics[key]) for group in groups for key in _OF_SUBGROUPS if key in group.metrics],
        "of_line": [(_metric_name(key), document.metrics[key]) for key in _CALIBRATION if key in document.metrics],
        "of_gaps": [(_metric_name(gap.metric), gap) for gap in gaps],
    }  # fmt: skip


def _by_images(classes: dict[str, int]) -> list[str]:
    """Class names; of many those with the most images first."""
    return sorted(classes, key=lambda name: -classes[name]) if len(classes) > LISTED else list(classes)


def _by_difference(by_class: dict[str, Any]) -> list[str]:
    """Class names; of many those whose scores are the furthest too high first."""
    names = list(by_class)
    return sorted(names, key=lambda name: -(by_class[name].difference.value or 0.0)) if len(names) > LISTED else names


def _leaks(found: ReportedRun, listed: list[Caveat]) -> list[str]:
    """Marks beside the split: what makes the number say less than it seems to."""
    drawn = [DRAWN] if any(caveat.title == DRAWN.capitalize() for caveat in listed) else []
    return drawn + [mark for mark in _LEAKS if mark in marks(found.document.notes)]


def _heat_says(found: ReportedRun) -> list[str]:
    """What the checks of the heat maps say, without what the caveats say of them: those that passed, and the central field."""
    if found.heat is None:
        return []
    return [*found.heat.said("passed").values(), *found.heat.says[len(found.heat.verdicts) :]]


def _gap_notes(found: ReportedRun) -> list[str]:
    """What the limits and the p of the gaps between subgroups are."""
    subgroups = found.document.subgroups
    tested = [gap for gap in subgroups.gaps if gap.p_holm is not None] if subgroups else []
    return beside_p(len(tested), floors=any(gap.p_holm_is_floor for gap in tested))


def _metric_name(name: str) -> str:
    """The display name of a metric; a metric of a later version gets its key."""
    return _NAMES.get(name, name.replace("_", " ").capitalize())


def _place(value: float | None) -> str:
    """The position of a value of 0..1 on a bar of width 100, with a margin of 2 on both sides."""
    return f"{2 + 96 * min(max(value or 0.0, 0.0), 1.0):.2f}"


def _columns(found: ReportedRun) -> list[tuple[str, dict[str, Number]]]:
    """The columns of the metrics table: the split of the first screen, and valid beside test."""
    first: MetricsDocument = found.document
    columns = [(found.split, first.metrics)]
    return columns if found.split == "valid" else [*columns, ("valid", found.documents["valid"].metrics)]


def _command(found: ReportedRun, *, names: bool) -> str:
    argv = found.environment.get("command")
    if not isinstance(argv, list) or not argv:
        return NOT_A_COMMAND
    if names:
        return shlex.join(map(str, argv))
    return redacted_command(argv) or NOT_A_COMMAND
