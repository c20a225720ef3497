"""`plainfilm runs`: the run folders below a folder, as rows that can be sorted and filtered. Nothing is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from plainfilm.base.sanitize import found_value
from plainfilm.board.run_row import read_row
from plainfilm.errors import DataError, UsageError
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.run_list import RunRow, RunScores, RunsDocument

_DEEPEST = 4  # folders below the one that is listed: experiments/<name>/<run>, and one more
_MOST_FOLDERS = 20_000  # that are opened: DATA or a home folder, given by mistake, ends too


def _value(found: RunScores | None) -> float | None:
    return None if found is None else found.auroc.value


# column -> what it is sorted by; numbers from the highest, texts from A
COLUMNS: dict[str, Callable[[RunRow], float | str | None]] = {
    "name": lambda row: row.name,
    "model": lambda row: row.model_text,
    "data": lambda row: row.data_text,
    "split": lambda row: row.split_text,
    "status": lambda row: row.status_text,
    "valid": lambda row: _value(row.valid),
    "test": lambda row: _value(row.test),
    "accesses": lambda row: row.opened,
    "minutes": lambda row: row.minutes,
    "updated": lambda row: row.updated,
}


@dataclass(frozen=True)
class Wanted:
    """Which runs are listed, and in which order; a filter is a part of the text, whatever its case."""

    sort: str = "name"
    reverse: bool = False
    status: str | None = None
    model: str | None = None
    data: str | None = None

    def check(self) -> None:
        """Raises UsageError for a column that there is not."""
        if self.sort not in COLUMNS:
            raise UsageError(f"--sort {found_value(self.sort)} is no column; expected one of {', '.join(COLUMNS)}.")

    def takes(self, row: RunRow) -> bool:
        """Whether the row passes every filter."""
        texts = ((self.status, row.status), (self.model, row.model_text), (self.data, row.data or row.data_text))
        return all(part is None or part.casefold() in text.casefold() for part, text in texts)

    def sorted(self, rows: list[RunRow]) -> list[RunRow]:
        """Rows without a value come last, whichever way the others are sorted; equal ones by name."""
        key = COLUMNS[self.sort]
        known = [row for row in sorted(rows, key=lambda row: row.name) if key(row) is not None]
        numbers = any(isinstance(key(row), float | int) for row in known)
        known.sort(key=lambda row: _comparable(key(row)), reverse=numbers is not self.reverse)
        return known + [row for row in sorted(rows, key=lambda row: row.name) if key(row) is None]


def _comparable(value: float | str | None) -> tuple[float, str]:
    return (value, "") if isinstance(value, float | int) else (0.0, str(value).casefold())


def list_runs(folder: Path | None, wanted: Wanted = Wanted()) -> RunsDocument:
    """The run folders below `folder`, at most four folders deep; it may be a run itself.

    Links below it are not followed, so that a run is listed once.

    Args:
        folder: None: runs/.
    Raises:
        UsageError: there is no such column. DataError: there is no such folder.
    """
    wanted.check()
    root = Path("runs") if folder is None else folder
    found, notes = find_runs(root)
    rows = [read_row(RunDir(path), name) for name, path in found.items()]
    kept = wanted.sorted([row for row in rows if wanted.takes(row)])
    return RunsDocument(folder=str(root), found=len(rows), runs=kept, notes=notes)


def find_runs(root: Path) -> tuple[dict[str, Path], list[str]]:
    """Run folders by name, in order, and notes on what was not walked.

    Raises:
        DataError: there is no such folder.
    """
    if not root.is_dir():
        there = "is a file" if root.exists() else "does not exist"
        raise DataError(
            f"The folder {root} {there}; expected a folder of runs. Train one, or give theirs: plainfilm runs FOLDER"
        )
    walk = _Walk()
    if (root / "status.json").is_file():
        return {root.resolve().name: root}, []
    found = {path.relative_to(root).as_posix(): path for path in walk.runs_below(root, 0)}
    return dict(sorted(found.items())), walk.notes()


class _Walk:
    """Counts what it does not follow."""

    def __init__(self) -> None:
        self.opened, self.links, self.refused = 0, 0, 0

    def runs_below(self, folder: Path, depth: int) -> Iterator[Path]:
        """Run folders; nothing below a run is one. A hidden folder holds none."""
        if self.opened >= _MOST_FOLDERS:
            return
        self.opened += 1
        try:
            with os.scandir(folder) as entries:
                inner = sorted(entry.name for entry in entries if self._is_walked(entry))
        except OSError:
            self.refused += 1
            return
        for name in inner:
            path = folder / name
            if os.path.lexists(path / "status.json"):
                yield path
            elif depth + 1 < _DEEPEST:
                yield from self.runs_below(path, depth + 1)

    def _is_walked(self, entry: os.DirEntry[str]) -> bool:
        if entry.name.startswith("."):
            return False
        if entry.is_symlink():
            self.links += entry.is_dir()
            return False
        return entry.is_dir(follow_symlinks=False)

    def notes(self) -> list[str]:
        """A sentence for each kind of folder that was left out."""
        found = []
        if self.links:
            found.append(f"Linked folders are not followed, and there are {self.links}; give the folder itself.")
        if self.refused:
            found.append(f"{self.refused} folders cannot be opened. Check their permissions.")
        if self.opened >= _MOST_FOLDERS:
            found.append(f"Only the first {_MOST_FOLDERS:,} folders were opened. Give a folder of runs.")
        return found
