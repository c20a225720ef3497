"""How often the test set of a study was evaluated: read from the ledgers, never written here."""

from __future__ import annotations

from pathlib import Path

from plainfilm.evaluate.test_ledger import count_accesses
from plainfilm.runs.folder import RunDir


def count_test_accesses(folder: Path) -> tuple[int, int]:
    """Test-set accesses by the study's own runs, and by all runs that the ledgers know of, a copy of the data included.

    Raises:
        SealError: a ledger is broken.
    """
    found = [(0, 0)]
    for run in map(RunDir, sorted([*(folder / "trials").glob("trial-*"), *(folder / "confirmed").glob("trial-*")])):
        if run.status.is_file() and (status := run.read_status())["status"] == "done":
            found.append(count_accesses(run, status.get("seal")))
    own = sum(each for each, _ in found)
    return own, max(own, *(by_all for _, by_all in found))
