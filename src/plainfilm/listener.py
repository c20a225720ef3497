"""Who is told what happens: the pipeline prints nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Listener = Callable[[str, dict[str, Any]], None]  # event name, its facts


def silent(what: str, facts: dict[str, Any]) -> None:
    """A listener that does nothing."""
