"""failures.json of an experiment: why runs failed, including runs that left no folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from plainfilm.base.files import atomic_write, dump_json, read_regular
from plainfilm.base.json_text import parsed_json
from plainfilm.schemas.compare import ExperimentRun

_FILE = "failures.json"
# A message may contain the user's file names, which may contain patient names; the table is meant to be published.
_QUOTED = re.compile(r"(?<!\w)(?:'[^']*'|\"[^\"]*\")")
_PATH = re.compile(r"\S*[/\\]\S*")
_LONGEST = 120  # characters of a reason


def _why(message: str) -> str:
    """The first sentence of an error, without anything that might be a path or a file name."""
    first = re.split(r"(?<=[.!?])\s+(?=[A-Z])", message.strip(), maxsplit=1)[0]
    reason = _PATH.sub("...", _QUOTED.sub("...", first.removesuffix(".")))
    return reason if len(reason) <= _LONGEST else f"{reason[: _LONGEST - 3]}..."


def keep_failures(folder: Path, runs: Iterable[ExperimentRun], trained: Sequence[str]) -> None:
    """Record those of `runs` that failed, and remove those whose outcome is now one of `trained`."""
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
    """Folder name of each failed run -> reason; empty if the file is missing or damaged, as no number depends on it."""
    try:
        found = parsed_json(read_regular(folder / _FILE), _FILE)["failures"]
        return {str(name): str(reason) for name, reason in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def with_failures(folder: Path, done: Sequence[Path], unfinished: Sequence[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """`unfinished` runs and failed ones without a folder; the status is 'failed: reason' where the reason is known."""
    failed = {folder / name: f"failed: {reason}" for name, reason in _read_failures(folder).items()}
    found = {
        root: failed.get(root, status) if status in ("failed", "diverged") else status for root, status in unfinished
    }
    gone = {root: status for root, status in failed.items() if root not in found and root not in done}
    return [*found.items(), *gone.items()]
