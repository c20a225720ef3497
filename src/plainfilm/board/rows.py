"""The rows of a board: read again only where a file of the run has changed, and at most once a second."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from plainfilm.board.run_list import find_runs
from plainfilm.board.run_row import read_row
from plainfilm.evaluate.shared_ledgers import ledger_folders
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.run_list import RunRow

_EVERY = 1.0  # seconds
_GOES_ON = ("running", "interrupted")  # which of the two depends on a lock, not on a file
_Stamp = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Listed:
    """All runs below the folder, by name, and notes on what was not walked."""

    rows: dict[str, RunRow]
    notes: list[str]


class Rows:
    """Reads the rows below `root`; used by one thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, tuple[_Stamp, RunRow]] = {}
        self._listed, self._at = Listed({}, []), -_EVERY

    def read(self) -> Listed:
        """The rows as they are now, a second ago at most.

        Raises:
            DataError: the folder is gone.
        """
        if time.monotonic() - self._at < _EVERY:
            return self._listed
        found, notes = find_runs(self.root)
        shared: dict[Path, _Stamp] = {}  # for all runs of a folder the same
        rows = {name: self._row(name, RunDir(path), shared) for name, path in found.items()}
        self._known = {name: known for name, known in self._known.items() if name in rows}
        self._listed, self._at = Listed(rows, notes), time.monotonic()
        return self._listed

    def _row(self, name: str, run: RunDir, shared: dict[Path, _Stamp]) -> RunRow:
        stamp, known = stamp_of(run), self._known.get(name)
        for folder in ledger_folders(run):
            if folder not in shared:
                shared[folder] = _folder_stamp(folder)
            stamp += shared[folder]
        if known is not None and known[0] == stamp and known[1].status not in _GOES_ON:
            return known[1]
        row = read_row(run, name)
        self._known[name] = stamp, row
        return row


def stamp_of(run: RunDir) -> _Stamp:
    """Inode, size, times and mode of the files of the run that a row is read from, or why one has none.

    The time of the last change of its owner or mode is one of them: a file that could not be read may be readable now.
    """
    files = (
        run.status, run.manifest, run.config, run.card, run.metrics, run.timing, run.ledger, run.predictions("valid"),
        run.predictions("test"),
    )  # fmt: skip
    return tuple(map(_file_stamp, files))


def _file_stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        return (error.errno or 0,)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode


def _folder_stamp(folder: Path) -> _Stamp:
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".jsonl")
    except OSError as error:
        return ((error.errno or 0,),)
    return tuple(map(_file_stamp, files))
