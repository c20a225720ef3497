"""A finished run, read once: every step that works on saved results takes this one object."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from plainfilm.base.events import EventCallback, silent
from plainfilm.config import ExperimentConfig
from plainfilm.data.archives.unpack import data_folder, is_archive, naming_archive, put_back
from plainfilm.data.cache.moved_data import find_moved
from plainfilm.data.image import sandbox
from plainfilm.data.synthetic.corruptions import CORRUPTIONS
from plainfilm.data.table.saved_table import read_table
from plainfilm.evaluate.predictions import CHANGE, Predictions, read_predictions
from plainfilm.runs.card import Card, read_card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.saved_config import read_run_config
from plainfilm.runs.verified_files import say_unverified

SHIFTED, AS_IT_IS = "valid-shifted", "none"
_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class FinishedRun:
    """The folder of a run, its card, its config, and all rows of its table.

    `stamp`: which files it was read from; empty where it was not read but made. `moved`: where its DATA is now, if it
    was moved; then the rows have the column `file` of find_moved().
    """

    run: RunDir
    card: Card
    cfg: ExperimentConfig
    rows: pd.DataFrame
    stamp: _Stamp = field(default=(), repr=False, compare=False)
    moved: Path | None = field(default=None, repr=False, compare=False)

    @staticmethod
    def open(root: Path | RunDir, data: Path | None = None, on_event: EventCallback = silent) -> FinishedRun:
        """The run in a folder.

        Args:
            data: where DATA is now, if it was moved; every image is found there, and what was checked is a note.
        Raises:
            DataError: no finished run, or one of its files is missing, damaged or of another version; or an image is
                not below `data`, or is another one.
        """
        run = root if isinstance(root, RunDir) else RunDir.open(root)
        say_unverified(run, on_event)
        stamp = _stamp_of(run)  # before reading: a file that is replaced meanwhile is read again
        card, cfg, rows = read_card(run), read_run_config(run), read_table(run)
        if data is not None:
            rows = find_moved(
                rows, data_folder(data).path, lambda done, of: on_event("scan", {"done": done, "of": of}),
                given=data if is_archive(data) else None,
            )  # fmt: skip
            on_event("note", {"text": _found_again(rows, data)})
        else:
            rows = put_back(rows, cfg.data.path)
        return FinishedRun(run, card, cfg, rows, stamp, data)

    def up_to_date(self) -> FinishedRun:
        """The run as its files are now: itself, or read again where one has been written since."""
        return self if self.stamp == _stamp_of(self.run) else FinishedRun.open(self.run.root, self.moved)

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Images are decoded inside where its config says; its network runs outside: the config is a file of the run."""
        with naming_archive(self.cfg.data.path), sandbox.used_of_run(self.cfg.data.sandbox):
            yield

    @property
    def data(self) -> Path | None:
        """The folder or CSV that is DATA now; None for drawn phantoms that were not moved."""
        named = Path(self.cfg.data.path) if self.cfg.data.path else None
        if self.moved is None or named is None:
            return self.moved or named
        table = self.moved / named.name  # of the folder that a CSV was moved with
        return table if named.suffix and table.is_file() else self.moved

    @property
    def positive(self) -> int | None:
        """Index of the positive class; None for more than two classes."""
        return self.card.positive_index

    def part(self, split: str) -> pd.DataFrame:
        """The rows of a split, in table order; of valid-shifted once for each corruption."""
        return shifted_rows(self.rows) if split == SHIFTED else self.rows[self.rows["split"] == split]

    def predictions(self, split: str) -> Predictions:
        """The saved scores of a split.

        Raises:
            DataError: they are missing, damaged, or not those of the table.
        """
        return self.read_predictions(split, self.part(split), has_patients=self.card.has_patients)

    def read_predictions(self, name: str, rows: pd.DataFrame, *, has_patients: bool) -> Predictions:
        """The scores saved under `name` for rows that need not be the run's own: those of an external set."""
        return read_predictions(self.run, name, rows, self.card.vocab, has_patients=has_patients)


def shifted_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The valid rows, once for each corruption; column `change` names it, 'none' first."""
    valid = rows[rows["split"] == "valid"]
    return pd.concat([valid.assign(**{CHANGE: name}) for name in (AS_IT_IS, *CORRUPTIONS)], ignore_index=True)


def _found_again(rows: pd.DataFrame, data: Path) -> str:
    tested = int((rows["split"] == "test").sum())
    there = f"; the {tested} of test are there, and are compared in a test-set access" if tested else ""
    return f"DATA is now {data}: the {len(rows) - tested} images of train and valid are unchanged{there}."


def _stamp_of(run: RunDir) -> _Stamp:
    """Inode, size and time of change of the files that a FinishedRun is read from; zeros for one that is not there."""
    return tuple(_file_stamp(path) for path in (run.card, run.weights, run.config, run.table))


def _file_stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_size, found.st_mtime_ns
