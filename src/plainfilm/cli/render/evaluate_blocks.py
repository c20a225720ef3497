"""Terminal output of the blocks of `evaluate` besides the metrics; fits 80 columns, also in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.table import Table

from plainfilm.base.listing import LISTED, both_ends, some
from plainfilm.cli.render.evaluate_lines import abstained_rates, print_net_benefit, print_two_by_two
from plainfilm.schemas.documents import EvaluateDocument, Metric
from plainfilm.schemas.evaluate import CONFINED, IN_THE_LARGE, LEVEL, Change, External, Gap, Subgroups
from plainfilm.schemas.macro_mean import macro_lines
from plainfilm.schemas.not_judged import ABSTAINED_NOT_JUDGED, OOD_NOT_JUDGED
from plainfilm.schemas.number_text import NOT_ESTIMABLE, THREE, beside_p, estimate_text, limits_text, p_text, reasons
from plainfilm.schemas.operating import AbstainBandReport

_GAPS = 60  # 10 classes, 3 metrics, 2 subgroups
_SHORT = {
    "auroc": "AUROC", "sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV",
    IN_THE_LARGE: "score - share",
}  # fmt: skip


def print_notes(out: Console, notes: list[str]) -> None:
    """One line per note."""
    for note in notes:
        out.print(f"NOTE: {note}")


def metric_text(metric: Metric) -> tuple[str, str, str]:
    """Value, interval and n as they are printed."""
    if metric.value is None:
        return "-", metric.method, str(metric.n)
    return f"{metric.value:{THREE}}", limits_text(metric.ci_low, metric.ci_high), str(metric.n)


def metric_cells(metric: Metric) -> tuple[str, str, str]:
    """The same for a table: without a value 'n/e', whose reason `print_reasons` gives below."""
    return metric_text(metric) if metric.value is not None else (NOT_ESTIMABLE, "", str(metric.n))


def print_reasons(out: Console, named: Iterable[tuple[str, Metric | Gap | Change]]) -> None:
    """Why cells of the table above have no value, each reason once."""
    for line in reasons(named):
        out.print(line)


def print_blocks(out: Console, document: EvaluateDocument, names: Mapping[str, str], *, whole: bool = True) -> None:
    """Prevalences, subgroups and external set, if asked for, and the decision curve with `whole`; `names`: display names of
    the metrics."""
    _print_prevalences(out, document)
    if whole:
        print_net_benefit(out, document)
    if document.subgroups is not None:
        _print_subgroups(out, document.subgroups)
    if document.external is not None:
        _print_external(out, document.external, names)
    if document.unadapted:
        _print_unadapted(out, document, names)


def _print_prevalences(out: Console, document: EvaluateDocument) -> None:
    if not document.at_prevalence:
        return
    narrow = any("too narrow" in row.ppv.method for row in document.at_prevalence)
    hint = ", intervals likely too narrow" if narrow else ""
    out.print(f"PPV and NPV at other shares of positive images{hint}:")
    table = _table("prevalence", "PPV", "NPV")
    for row in document.at_prevalence:
        table.add_row(f"{row.prevalence:g}", *(_fine_text(each) for each in (row.ppv, row.npv)))
    out.print(table)
    print_reasons(out, [pair for row in document.at_prevalence for pair in (("PPV", row.ppv), ("NPV", row.npv))])


def _print_unadapted(out: Console, document: EvaluateDocument, names: Mapping[str, str]) -> None:
    out.print("The same images before the recalibration:")
    table = _table("", "before", "now")
    for name in ("accuracy", "sensitivity", "specificity", "brier", "calibration_intercept"):
        if name in document.unadapted:
            both = (document.unadapted[name], document.metrics[name])
            table.add_row(
                names[name], *(estimate_text(each, THREE) if each.value is not None else "-" for each in both)
            )
    out.print(table)


def _fine_text(metric: Metric) -> str:
    """Four digits: at a low prevalence an NPV is very close to 1."""
    if metric.value is None:
        return NOT_ESTIMABLE
    return estimate_text(metric, "z.4f")


def _print_subgroups(out: Console, found: Subgroups) -> None:
    out.print(f"By {found.column}:")
    known = any(group.patients is not None for group in found.groups)
    narrow = any("too narrow" in metric.method for group in found.groups for metric in group.metrics.values())
    interval = "95 % interval, likely too narrow" if narrow else "95 % interval"
    table = _table(found.column, "images", *(["patients"] if known else []), "metric", "value", interval)
    for group in found.groups:
        size = [str(group.images), *([str(group.patients)] if known else [])]
        estimated = [(name, metric) for name, metric in group.metrics.items() if CONFINED not in metric.method]
        for i, (name, metric) in enumerate(estimated):
            first = [group.name, *size] if not i else [""] * (1 + len(size))
            table.add_row(*first, _SHORT.get(name, name), *metric_cells(metric)[:2])
    out.print(table)
    print_reasons(out, [(f"{_SHORT.get(name, name)} of {group.name}", metric) for group in found.groups
                        for name, metric in group.metrics.items() if CONFINED not in metric.method])  # fmt: skip
    _print_legend(out, found)
    if found.gaps:
        _print_gaps(out, found)
    for note in found.notes:
        out.print(f"NOTE: {note}")


def _print_legend(out: Console, found: Subgroups) -> None:
    """What the rows below say that are no plain rate, and the classes that a mean leaves out."""
    large = [group.metrics[IN_THE_LARGE] for group in found.groups if IN_THE_LARGE in group.metrics]
    if any(metric.value is not None for metric in large):
        out.print("score - share: mean score minus the share observed; above 0 the scores are too high")
    for group in found.groups:
        for line in macro_lines(group.macro, _SHORT):
            out.print(f"{group.name}: {line}")


def _print_gaps(out: Console, found: Subgroups) -> None:
    each = "; each class against the rest" if found.gaps[0].of else ""
    out.print(f"Gaps, first minus second ({found.draws} permutations of patients; adjusted for all{each}):")
    table = _table("subgroups", "metric", "gap", "p", "adjusted", "differ")
    shown = _most_telling(found.gaps)
    for gap in shown:
        pair = f"{gap.a} - {gap.b}" if gap.of is None else f"{gap.a} - {gap.b}, {gap.of}"
        if gap.p is None or gap.value is None or gap.p_holm is None:
            table.add_row(pair, _SHORT[gap.metric], NOT_ESTIMABLE, "-", "-", "")
            continue
        p, adjusted = p_text(gap.p, is_floor=gap.p_is_floor), p_text(gap.p_holm, is_floor=gap.p_holm_is_floor)
        differ = "yes" if gap.p_holm <= LEVEL else "not shown"
        table.add_row(pair, _SHORT[gap.metric], estimate_text(gap, "+.3f"), p, adjusted, differ)
    out.print(table)
    print_reasons(out, [(_SHORT[gap.metric], gap) for gap in shown])
    if len(shown) < len(found.gaps):
        out.print(f"... and {len(found.gaps) - len(shown):,} more gaps of larger p in --json")
    tested = [gap for gap in found.gaps if gap.p_holm is not None]
    for line in beside_p(len(tested), floors=any(gap.p_is_floor or gap.p_holm_is_floor for gap in tested)):
        out.print(line)


def _most_telling(gaps: list[Gap]) -> list[Gap]:
    """All gaps, or of very many those of the smallest p."""
    if len(gaps) <= _GAPS:
        return gaps
    return sorted(gaps, key=lambda gap: 2.0 if gap.p is None else gap.p)[:LISTED]


def _print_external(out: Console, found: External, names: Mapping[str, str]) -> None:
    classes = some([f"{name} {n}" for name, n in found.classes.items()], LISTED)
    people = f" of {found.patients} patients" if found.patients is not None else ""
    people += f" ({found.patient_keys} keys)" if found.patient_keys not in (None, found.patients) else ""
    out.print(
        f"External: {found.found} files found = {found.used} used + {found.quarantined} quarantined + {found.ignored} "
        f"ignored; {found.used} images{people} ({classes})"
    )
    for split, changes in found.drops.items():
        out.print(f"External minus {split}:")
        narrow = any("too narrow" in change.method for change in changes.values())
        table = _table("", "change", "95 % interval, likely too narrow" if narrow else "95 % interval")
        for name, change in changes.items():
            if change.value is None:
                table.add_row(names[name], NOT_ESTIMABLE, "")
            else:
                table.add_row(names[name], f"{change.value:+.3f}", limits_text(change.ci_low, change.ci_high, "+.3f"))
        out.print(table)
        print_reasons(out, [(names[name], change) for name, change in changes.items()])
    if found.drops:
        out.print(
            "Accuracy, AUPRC, PPV, NPV, F1, MCC, Brier, ECE and the calibration intercept also move with the share of positive images."
        )
    if found.drift is None:
        out.print("Domain shift: not estimable (the run has no probes, or there are too few patients)")
        return
    value, interval, _ = metric_text(found.drift.auroc)
    out.print(
        f"Domain shift: AUROC {value} {interval} for separating these images from {found.drift.train_images} train images "
        "by brightness, contrast and sharpness alone (0.5 = no shift)"
    )
    features = found.drift.features
    far = sorted(features, key=lambda name: -abs((features[name].value or 0.5) - 0.5))[:3]
    for name in far:
        value, interval, _ = metric_text(features[name])
        out.print(f"  {name} {value} {interval}")


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(
            name, justify="right" if name in ("images", "patients", "value", "change", "p", "adjusted") else "left"
        )
    return table


def print_abstentions(out: Console, document: EvaluateDocument) -> None:
    """Abstain band and out-of-distribution (OOD) gate on the images of one split, if the run has them."""
    band, gate = document.band, document.gate
    if band is not None:
        out.print(f"Abstain band for {100 * band.level:.0f} % of each class, on {band.on}:")
        table = Table(box=None, pad_edge=False)
        for name in ("", "value", "95 % interval", "n"):
            table.add_column(name, justify="right" if name in ("value", "n") else "left")
        rows = [
            ("...", None) if label is None else (f"coverage, {label}", band.coverage[label])
            for label in _by_coverage(band)
        ]
        rows += [("not abstained", band.kept), ("error rate of these", band.error_among_kept), *abstained_rates(band)]
        for label, metric in rows:
            table.add_row(label, *(metric_cells(metric) if metric is not None else ()))
        out.print(table)
        print_reasons(out, [(label, metric) for label, metric in rows if metric is not None])
        out.print(band.holds)
        print_two_by_two(out, band, document.confusion.labels)
    else:
        out.print(ABSTAINED_NOT_JUDGED)
    if gate is None:
        out.print(OOD_NOT_JUDGED)
    else:
        value, interval, n = metric_text(gate.marked)
        out.print(f"Out of distribution: {value} {interval}, n {n}, of {gate.on}")


def _by_coverage(band: AbstainBandReport) -> list[str | None]:
    """The classes, or of many those with the highest and lowest coverage."""
    names = list(band.coverage)
    if len(names) > LISTED:
        names.sort(key=lambda name: -(band.coverage[name].value or 0.0))
    return both_ends(names)
