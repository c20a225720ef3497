"""Lists in sentences and tables, cut where they grow long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

NAMED = 10  # names in an error
LISTED, ENDS = 12, 5  # rows of a table that are all shown; else how many of either end
_T = TypeVar("_T")


def some(parts: Sequence[str], most: int = 5) -> str:
    """'a, b and 3 more': at most so many of them, and how many there are beside."""
    more = len(parts) - most
    return ", ".join(parts[:most]) + (f" and {more:,} more" if more > 0 else "")


def both_ends(ranked: Sequence[_T]) -> list[_T | None]:
    """All of up to 12 parts; of more the first five, None for the gap, and the last five."""
    if len(ranked) <= LISTED:
        return list(ranked)
    return [*ranked[:ENDS], None, *ranked[-ENDS:]]
