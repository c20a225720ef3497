"""`compare` as people read it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from plainfilm.schemas import RESEARCH_ONLY, marks
from plainfilm.schemas_compare import CompareDocument, Difference, MeanSd


def mean_text(found: MeanSd) -> str:
    """'0.953 ± 0.004 [0.940, 0.963]'."""
    if found.mean is None:
        return f"- ({found.method})"
    sd = f" ± {found.sd:.3f}" if found.sd is not None else ""
    return f"{found.mean:.3f}{sd} [{found.ci_low:.3f}, {found.ci_high:.3f}]"


def verdict(difference: Difference | None) -> str:
    """The answer of the adjusted test, in words."""
    if difference is None:
        return "not tested (other images)"
    if not difference.distinguishable:
        return "not distinguishable from the best row"
    return "below the best row" if difference.value < 0 else "above the row ranked best"


def p_text(p: float) -> str:
    """'0.012', '<0.0001'."""
    return f"{p:.3f}" if p >= 0.001 else f"{p:.4f}" if p >= 0.0001 else "<0.0001"


def print_compare(out: Console, document: CompareDocument) -> None:
    """One row per configuration, the best first."""
    people = f", {document.n_patients} patients" if document.n_patients is not None else ""
    out.print(
        f"{marks(document.notes)}{document.split}, {document.n} images{people}; ranked by {document.metric}, then log loss"
    )
    table = Table(box=None, pad_edge=False)
    for name in ("row", "seeds", "AUROC", "accuracy", "log loss"):
        table.add_column(name, overflow="fold")
    for row in document.rows:
        shown = (mean_text(row.metrics[name]) for name in ("auroc", "accuracy", "log_loss"))
        table.add_row(row.name, str(len(row.runs)), *shown)
    out.print(table)
    out.print(f"{document.metric} minus that of {document.best}, paired over whole patients (permutation, {document.draws} draws; p adjusted by Holm for all pairs):")  # fmt: skip
    table = Table(box=None, pad_edge=False)
    for name in ("row", "difference", "p", "adjusted", "closed test", ""):
        table.add_column(name, overflow="fold")
    for row in document.rows[1:]:
        found = row.differences.get(document.metric)
        if found is None:
            table.add_row(row.name, "-", "-", "-", "-", verdict(None))
            continue
        second = f"{found.second} {'-' if found.second_p is None else p_text(found.second_p)}"
        table.add_row(row.name, f"{found.value:+.4f} [{found.ci_low:+.4f}, {found.ci_high:+.4f}]", p_text(found.p),
                      p_text(found.p_holm), second, verdict(found))  # fmt: skip
    out.print(table)
    for note in document.notes:
        out.print(f"NOTE: {note}")
    out.print(RESEARCH_ONLY)
