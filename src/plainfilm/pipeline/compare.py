"""`plainfilm compare`: several finished runs side by side, by their saved scores; no image file is opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from plainfilm.compare.compare import compare_scored
from plainfilm.compare.scored_run import read_scored
from plainfilm.errors import UsageError
from plainfilm.schemas.compare import CompareDocument


def compare_runs(roots: Sequence[Path], *, split: str = "valid", metric: str = "auroc") -> CompareDocument:
    """Rows with mean and sd over seeds, each tested against the best.

    Raises:
        UsageError: fewer than two configurations, or a run twice. DataError: an unfinished run, other classes, or
            other images. SealError: `split` is test and a run has not been evaluated on it.
    """
    if len(roots) < 2:
        raise UsageError(
            f"compare got {len(roots)} run; at least two are needed. Give another: plainfilm compare RUN RUN"
        )
    _refuse_twice(roots)
    return compare_scored([read_scored(root, split) for root in roots], metric=metric)


def _refuse_twice(roots: Sequence[Path]) -> None:
    """Refuse a folder that is given twice."""
    resolved = [root.resolve() for root in roots]
    for i, root in enumerate(resolved):
        if root in resolved[:i]:
            raise UsageError(f"The run {roots[i]} is given twice. Give each run once.")
