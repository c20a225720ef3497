"""What a text tells, in whatever sentence it tells it."""

from __future__ import annotations

import re


def lacking(text: str, *facts: str) -> list[str]:
    """Facts that a text does not tell: each a number, a name or a short phrase, as whole words; a line may end anywhere.

    So "1 of 4 runs" is not in "11 of 4 runs", nor "epoch 1" in "epoch 10".
    """
    flat = " ".join(text.split())
    return [fact for fact in facts if not re.search(rf"{_begins(fact)}{re.escape(fact)}(?!\w|[.,]\d)", flat)]


def _begins(fact: str) -> str:
    return r"(?<![\w.])(?<!\d,)" if re.match(r"[\w-]", fact) else ""
