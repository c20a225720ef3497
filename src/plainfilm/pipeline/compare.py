"""`plainfilm compare`: several finished runs side by side, by their saved scores; no image file is opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plainfilm.compare.compare import compare_scored
from plainfilm.compare.margin import check_margin
from plainfilm.compare.scored_run import read_scored
from plainfilm.errors import UsageError
from plainfilm.runs.folder import RunDir
from plainfilm.runs.verified_files import unverified_note
from plainfilm.schemas.compare import CompareDocument


def compare_runs(
    roots: Sequence[Path], *, split: str = "valid", metric: str = "auroc", margin: float | None = None
) -> CompareDocument:
    """Rows with mean and sd over seeds, each tested against the best.

    Args:
        margin: of equivalence, a difference of AUROC or accuracy above 0 and below 1; None: no verdict about it.
    Raises:
        UsageError: fewer than two configurations, a run twice, or a margin outside 0..1. DataError: an unfinished run,
            other classes, or other images. SealError: `split` is test and a run has not been evaluated on it.
    """
    check_margin(margin)
    if len(roots) < 2:
        raise UsageError(
            f"compare got {len(roots)} run; at least two are needed. Give another: plainfilm compare RUN RUN"
        )
    _refuse_twice(roots)
    found = compare_scored([read_scored(root, split) for root in roots], metric=metric, margin=margin)
    older = [note for root in sorted(roots) for note in unverified_note(RunDir(root))]
    return found.model_copy(update={"notes": [*found.notes, *older]})


def _refuse_twice(roots: Sequence[Path]) -> None:
    """Refuse a folder that is given twice."""
    resolved = [root.resolve() for root in roots]
    for i, root in enumerate(resolved):
        if root in resolved[:i]:
            raise UsageError(f"The run {roots[i]} is given twice. Give each run once.")
