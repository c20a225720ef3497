"""Lists in sentences, cut where they grow long."""

from __future__ import annotations

from collections.abc import Sequence


def some(parts: Sequence[str], most: int = 5) -> str:
    """'a, b and 3 more': at most so many of them, and how many there are beside."""
    more = len(parts) - most
    return ", ".join(parts[:most]) + (f" and {more} more" if more > 0 else "")
