"""Who is told what happens: the pipeline prints nothing itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plainfilm.base.files import atomic_write

EventCallback = Callable[[str, dict[str, Any]], None]  # event name, its facts

# What goes into a run's log: facts about the work, never a path, file name or patient.
_LOGGED = {
    "run": (),
    "network": ("name", "parameters", "size_px", "device", "balanced"),
    "weights": ("kind", "loaded", "missing", "unexpected", "mismatched", "fresh"),
    "estimate": ("seconds", "epochs"),
    "lr": ("lr",),
    "resume": ("phase", "epoch", "step", "device"),
    "stopping": (),
    "epoch": ("epoch", "of", "train_loss", "valid_loss", "accuracy", "auroc"),
    "done": (),
}


def silent(what: str, facts: dict[str, Any]) -> None:
    """An event callback that does nothing."""


def logged(path: Path, on_event: EventCallback) -> EventCallback:
    """`on_event`, and a line in the log at `path` for each event worth keeping; what stands there stays."""
    lines: list[str] = [path.read_text(encoding="utf-8")] if path.is_file() else []

    def hear(what: str, facts: dict[str, Any]) -> None:
        on_event(what, facts)
        if what in _LOGGED:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            told = " ".join(f"{name}={facts[name]}" for name in _LOGGED[what])
            lines.append(f"{now} {what} {told}".rstrip() + "\n")
            atomic_write(path, "".join(lines))

    return hear
