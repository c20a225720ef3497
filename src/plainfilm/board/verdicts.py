"""What `compare` says of chosen runs on valid: computed beside the server, one at a time, and kept while no file changes.

It works on saved scores of valid; that is no test-set access.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from plainfilm.errors import PlainfilmError
from plainfilm.schemas.compare import CompareDocument

MOST_SECONDS = 120.0  # for which a page waits for a verdict
_KEPT, _WAITING = 64, 4  # verdicts in memory, and those that wait for the one that is computed


@dataclass(frozen=True)
class Verdict:
    """The document, or why there is none; `pending`: it is being computed."""

    document: CompareDocument | None = None
    why: str = ""
    pending: bool = False


class _Entry:
    def __init__(self) -> None:
        self.began, self.found = time.monotonic(), Verdict(pending=True)


class Verdicts:
    """Verdicts by what they are made from; used by one thread, computed in another that ends with the process.

    Args:
        compare: what computes one; it may take seconds.
    """

    def __init__(self, compare: Callable[[Sequence[Path]], CompareDocument]) -> None:
        self._compare = compare
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._one_at_a_time = threading.Lock()

    def ask(self, key: Hashable, roots: Sequence[Path]) -> Verdict:
        """The verdict on these runs as far as it is known; the first time begins it.

        Args:
            key: another one where a file of a run has changed.
        """
        entry = self._entries.get(key)
        if entry is None:
            if sum(each.found.pending for each in self._entries.values()) >= _WAITING:
                return Verdict(why="Other runs are being compared. Load the page again.")
            entry = self._entries[key] = _Entry()
            threading.Thread(target=self._compute, args=(entry, list(roots)), daemon=True).start()
            while len(self._entries) > _KEPT:
                self._entries.popitem(last=False)
        if entry.found.pending and time.monotonic() - entry.began > MOST_SECONDS:
            return Verdict(why=f"Comparing takes longer than {MOST_SECONDS:.0f} s; the command has no limit.")
        return entry.found

    def _compute(self, entry: _Entry, roots: list[Path]) -> None:
        found = Verdict(why="Comparing was ended.")
        try:
            with self._one_at_a_time:
                found = self._verdict(roots)
        finally:  # one that stays pending would keep its place among the waiting for ever
            entry.found = found

    def _verdict(self, roots: list[Path]) -> Verdict:
        try:
            return Verdict(self._compare(roots))
        except PlainfilmError as error:
            return Verdict(why=" ".join(str(error).split()))
        except (MemoryError, OSError, ValueError, LookupError, TypeError) as error:
            return Verdict(why=f"These runs cannot be compared ({type(error).__name__}).")
        except Exception as error:  # noqa: BLE001 - there is nobody else in this thread to tell of a bug
            return Verdict(
                why=f"A bug in plainfilm: {type(error).__name__}. Please report it; plainfilm compare shows where."
            )


def compare_on_valid(roots: Sequence[Path]) -> CompareDocument:
    """`plainfilm compare`; torch is loaded for the first one."""
    from plainfilm.pipeline.compare import compare_runs

    return compare_runs(roots)
