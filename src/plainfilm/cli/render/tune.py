"""The document of `tune` in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from plainfilm.cli.render.evaluate_blocks import print_notes
from plainfilm.cli.screen import duration
from plainfilm.schemas.number_text import limits_text
from plainfilm.schemas.tune import Confirmed, TuneDocument


def print_tune(out: Console, document: TuneDocument) -> None:
    """The best of the trials, what it reaches elsewhere, and what fresh seeds confirm."""
    best = document.best
    if best is None:
        print_notes(out, document.notes)
        out.print(
            f"Would train {document.planned} trials and confirm them: about {duration(document.estimate_seconds or 0)}"
        )
        out.print(f"Run: {document.next}", soft_wrap=True)
        return
    pruned, failed = (sum(t.status == name for t in document.trials) for name in ("pruned", "failed"))
    others = "".join(f", {n} {name}" for n, name in ((pruned, "pruned"), (failed, "failed")) if n)
    out.print(f"best of {len(document.trials)} trials{others}: select AUROC {best.select:.3f} (trial {best.number}: {values_text(best.params)})")  # fmt: skip
    if document.default is not None:
        out.print(f"  the default (trial 0): select AUROC {document.default:.3f}")
    found = best.calibrate
    value = "not estimable" if found.value is None else f"{found.value:.3f}"
    where = "on calibrate, which chose no trial" if best.apart else "again, on the SAME images (valid is not divided)"
    out.print(f"  the winner {where}: AUROC {value} {limits_text(found.ci_low, found.ci_high)}, n {found.n}")  # fmt: skip
    if document.confirmed:
        _print_confirmed(out, document.confirmed)
    print_notes(out, document.notes)
    out.print(document.accesses_text())
    out.print(f"Study: {document.out}", soft_wrap=True)
    out.print(f"Page: {document.page}", soft_wrap=True)
    if document.next:
        out.print(f"Next, once, at the end: {document.next}", soft_wrap=True)


def _print_confirmed(out: Console, confirmed: list[Confirmed]) -> None:
    seeds = confirmed[0].seeds
    out.print(f"Trained again on {len(seeds)} fresh {'seed' if len(seeds) == 1 else 'seeds'}, calibrate AUROC:")
    table = Table(box=None, pad_edge=False)
    for name in ("trial", "mean ± sd", "ended", "minus the default", "over seeds", "values"):
        table.add_column(name)
    for row in confirmed:
        sd = "" if row.calibrate.sd is None else f" ± {row.calibrate.sd:.3f}"
        mean = "-" if row.calibrate.mean is None else f"{row.calibrate.mean:.3f}{sd}"
        moved = row.difference
        minus = "-" if moved is None else f"{moved.value:+.3f} {limits_text(moved.ci_low, moved.ci_high, '+.3f')}"
        table.add_row(
            "default" if row.number == 0 else str(row.number), mean, row.ended(), minus, (moved and moved.seeds_text()) or "-",
            values_text(row.params),
        )  # fmt: skip
    out.print(table)
    for row in (each for each in confirmed if each.message):
        out.print(f"  {'default' if row.number == 0 else f'trial {row.number}'}: {row.message}", soft_wrap=True)
    tested = [row.difference for row in confirmed if row.difference is not None]
    if tested:
        shown = ", ".join(f"{each.p_holm:.3g}" for each in tested)
        out.print(f"  p of the differences, adjusted for {len(tested)} (Holm): {shown}; the limits are not adjusted")
    if len(confirmed) > 2:
        out.print("  The highest of these is again the best of several; what Next names won the search.")


def values_text(values: dict[str, Any]) -> str:
    """'lr 0.00213, wd 0.01'."""
    shown = {key.rpartition(".")[2]: f"{v:.3g}" if isinstance(v, float) else str(v) for key, v in values.items()}
    return ", ".join(f"{key} {value}" for key, value in shown.items())
