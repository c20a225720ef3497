"""failures.json beside the runs of an experiment: why a run failed that may have left no folder of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from plainfilm.base.files import atomic_write, dump_json
from plainfilm.schemas.compare import ExperimentRun

_FILE = "failures.json"
# A message may name files of the user's, and their names may be patients'; the table is meant to be shown.
_QUOTED = re.compile(r"(?<!\w)(?:'[^']*'|\"[^\"]*\")")
_PATH = re.compile(r"\S*[/\\]\S*")
_LONGEST = 120  # characters of a reason


def _why(message: str) -> str:
    """The first sentence of an error, without what might be a path or a file's name."""
    first = re.split(r"(?<=[.!?])\s+(?=[A-Z])", message.strip(), maxsplit=1)[0]
    told = _PATH.sub("...", _QUOTED.sub("...", first.removesuffix(".")))
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST - 3]}..."


def keep_failures(folder: Path, runs: Iterable[ExperimentRun], trained: Sequence[str]) -> None:
    """Remember those of `runs` that failed, and forget what is in the outcomes `trained` now."""
    before = _read_failures(folder)
    now = dict(before)
    for run in runs:
        if run.outcome == "failed":
            now[Path(run.run).name] = _why(run.message)
        elif run.outcome in trained:
            now.pop(Path(run.run).name, None)
    if now != before:
        atomic_write(folder / _FILE, dump_json({"schema_version": 1, "failures": now}))


def _read_failures(folder: Path) -> dict[str, str]:
    """Folder name of each failed run -> why; nothing where the file is missing or damaged: it decides no number."""
    try:
        found = json.loads((folder / _FILE).read_text(encoding="utf-8"))["failures"]
        return {str(name): str(reason) for name, reason in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def with_failures(folder: Path, done: Sequence[Path], unfinished: Sequence[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """`unfinished` runs with 'failed: why' as their status where that is known, those without a folder among them."""
    failed = {folder / name: f"failed: {reason}" for name, reason in _read_failures(folder).items()}
    found = {
        root: failed.get(root, status) if status in ("failed", "diverged") else status for root, status in unfinished
    }
    gone = {root: status for root, status in failed.items() if root not in found and root not in done}
    return [*found.items(), *gone.items()]
