"""Events: the pipeline prints nothing itself; it passes each event to a callback."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plainfilm.base.files import atomic_write

EventCallback = Callable[[str, dict[str, Any]], None]  # event name, its facts

# Events and facts that a run's log keeps; never a path, file name or patient.
_LOGGED = {
    "run": (),
    "network": ("name", "parameters", "size_px", "device", "balanced"),
    "weights": ("kind", "loaded", "missing", "unexpected", "mismatched", "fresh"),
    "estimate": ("seconds", "epochs", "load", "slowdown"),
    "phase": ("phase", "of", "epochs", "size_px"),
    "lr": ("lr",),
    "resume": ("phase", "epoch", "step", "device"),
    "stopping": (),
    "epoch": ("epoch", "of", "train_loss", "valid_loss", "accuracy", "auroc"),
    "done": (),
}


def silent(what: str, facts: dict[str, Any]) -> None:
    """An event callback that does nothing."""


def logged(path: Path, on_event: EventCallback) -> EventCallback:
    """`on_event`, plus a line in the log at `path` for each event in _LOGGED; existing lines are kept."""
    lines: list[str] = [path.read_text(encoding="utf-8")] if path.is_file() else []

    def log_event(what: str, facts: dict[str, Any]) -> None:
        on_event(what, facts)
        if what in _LOGGED:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            text = " ".join(f"{name}={facts[name]}" for name in _LOGGED[what])
            lines.append(f"{now} {what} {text}".rstrip() + "\n")
            atomic_write(path, "".join(lines))

    return log_event
