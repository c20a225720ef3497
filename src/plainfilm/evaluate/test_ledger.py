"""The sealed test set: its fingerprint, and the run's ledger of every test-set access, which other ledgers repeat."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plainfilm.base.command_line import command_line
from plainfilm.base.events import EventCallback, silent
from plainfilm.errors import SealError
from plainfilm.evaluate.access_chain import START, append, read_chain
from plainfilm.evaluate.shared_ledgers import SharedAccesses, share_accesses
from plainfilm.runs.card import Card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.trial import refuse_test_of_trial
from plainfilm.runs.verified_files import accessed_as_it_is, refuse_other_files

if TYPE_CHECKING:
    import pandas as pd


def seal_of(rows: pd.DataFrame) -> str:
    """SHA-256 of the sorted (file hash, label) pairs of the test rows; order and paths do not matter."""
    return _hash_of(f"{sha}\t{label}" for sha, label in zip(rows["sha256"], rows["label"], strict=True))


def images_of(rows: pd.DataFrame) -> str:
    """SHA-256 of the sorted file hashes alone: the same for the same images under other labels."""
    return _hash_of(rows["sha256"])


def _hash_of(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(sorted(f"{line}\n" for line in lines)).encode("utf-8")).hexdigest()


def _read_ledger(path: Path, head: str | None) -> list[dict[str, Any]]:
    """The accesses of a run; the last must be `head`, the hash that status.json repeats (None: no access yet).

    One intact access after `head` was interrupted between the two writes; it counts.

    Raises:
        SealError: the chain is broken, or ends elsewhere.
    """
    accesses = read_chain(path, "seal")
    ends = [accesses[-1]["hash"], accesses[-1]["prev"]] if accesses else [START]
    if (head or START) not in ends:
        raise SealError(
            f"{path.name} does not end with the access that status.json names; accesses were removed or replaced. Nothing was evaluated."
        )
    return accesses


def accesses_before(run: RunDir, seal: str) -> list[dict[str, Any]]:
    """All accesses of a run so far; checked before the set with this seal is scored, so that a broken ledger stops it.

    Raises:
        SealError: the run's ledger or one of the set's is broken, or the run's lacks an access that another names.
    """
    return _checked(run, seal)[0]


def _checked(run: RunDir, seal: str) -> tuple[list[dict[str, Any]], SharedAccesses]:
    status = run.read_status()
    images = status.get("images") if status.get("seal") == seal else None
    # the shared ones first: what is added meanwhile is in the run's ledger before it is in these
    shared = SharedAccesses.read(run, seal, images)
    accesses = _read_ledger(run.ledger, run.read_status().get("ledger_head"))
    refuse_other_files(run, accesses)
    shared.refuse_lost(run, accesses)
    return accesses, shared


def check_before_access(run: RunDir, test_rows: pd.DataFrame) -> tuple[str, list[dict[str, Any]]]:
    """The run's seal and its accesses so far, after checking both.

    Raises:
        SealError: as accesses_before, or the test rows are not those sealed at training, or the run is a trial.
    """
    refuse_test_of_trial(run)
    seal = seal_of(test_rows)
    accesses = accesses_before(run, seal)
    if seal != run.read_status().get("seal"):
        raise SealError(
            "The test rows of table.csv are not those that were sealed at training. Nothing was evaluated; restore table.csv."
        )
    return seal, accesses


def record_access(
    run: RunDir, seal: str, accesses: list[dict[str, Any]], facts: dict[str, Any], on_event: EventCallback = silent,
    *, drawn: bool = False, images: str | None = None,
) -> tuple[int, int]:  # fmt: skip
    """Write the access to the run's ledger, to status.json, and to the ledgers of the set, the folder's and the user's.

    Args:
        accesses: all of the run so far, of any set: its ledger is one chain.
        drawn: the set is drawn by plainfilm; the user's ledger does not count it.
        images: images_of() the set; then its accesses under other labels count for all runs, and a note says so.
    Returns:
        Accesses of this set by this run, and by all runs.
    """
    chain = append(run.ledger, accesses, [{"seal": seal, **facts}])
    run.write_status("done", ledger_head=chain[-1]["hash"])
    own = [str(access["hash"]) for access in accesses_to(chain, seal)]
    return len(own), share_accesses(run, seal, own, on_event, drawn=drawn, images=images)


def accesses_to(accesses: list[dict[str, Any]], seal: str) -> list[dict[str, Any]]:
    """Those of one set: the run's test set, or an external one."""
    return [access for access in accesses if access["seal"] == seal]


def no_test_access(run: RunDir, card: Card) -> str:
    """Why scores of test are not shown: no access at the operating point of the card is recorded; '' where one is.

    A recalibrated version has its parent's accesses in its ledger: it needs one of its own. Where its card does not count
    them, that is one that recorded this card. Raises as count_accesses().
    """
    before = card.recalibration.test_accesses if card.recalibration else 0
    own = count_accesses(run, card.seal)[0]
    if before is None and card.seal is not None:
        listed = accesses_to(accesses_before(run, card.seal), card.seal)
        own = sum(accessed_as_it_is(run, access) for access in listed)
    if own > (before or 0):
        return ""
    whose = " at its recalibrated operating point" if card.recalibration else ""
    return (
        f"No test-set access is recorded for {run.root}{whose}, and none is made here. Evaluate it on test first: "
        + command_line("evaluate", run.root, "--split", "test")
    )


def count_accesses(run: RunDir, seal: str | None) -> tuple[int, int]:
    """Accesses so far of the run's test set, by this run and by all runs; (0, 0) without one. Writes nothing.

    Args:
        seal: that of the run's card.
    Raises:
        SealError: as accesses_before, or status.json names another seal.
    """
    if seal != run.read_status().get("seal"):
        raise SealError(
            f"status.json of {run.root} does not name the test set that card.json names. Restore status.json from a backup."
        )
    if seal is None:
        return 0, 0
    accesses, shared = _checked(run, seal)
    own = {access["hash"] for access in accesses_to(accesses, seal)}
    return len(own), len(own | shared.by_all)
