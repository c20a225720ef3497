"""The sealed test set: its fingerprint, and the hash-chained ledger of every test-set access.

It catches mistakes, not forgery: whoever can edit every file of a run can also write a new chain.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from plainfilm.base.files import atomic_write, hash_json
from plainfilm.base.json_text import parsed_json
from plainfilm.errors import SealError
from plainfilm.runs.folder import RunDir
from plainfilm.runs.verified_files import refuse_other_files

_START = "0" * 64


def seal_of(rows: pd.DataFrame) -> str:
    """SHA-256 of the sorted (file hash, label) pairs of the test rows; order and paths do not matter."""
    pairs = sorted(f"{sha}\t{label}\n" for sha, label in zip(rows["sha256"], rows["label"], strict=True))
    return hashlib.sha256("".join(pairs).encode("utf-8")).hexdigest()


def read_chain(path: Path) -> list[dict[str, Any]]:
    """The accesses in a ledger, oldest first.

    Raises:
        SealError: a line is edited, missing or out of order.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    except UnicodeDecodeError:
        raise SealError(f"{path.name} is not text. Nothing was evaluated; restore the file from a backup.") from None
    accesses, before = [], _START
    for number, line in enumerate(lines, start=1):
        try:
            access = parsed_json(line, path.name)
            intact = access["prev"] == before and access["hash"] == _hash(access) and access["look"] == number
        except (ValueError, KeyError, TypeError):
            intact = False
        if not intact:
            raise SealError(
                f"Line {number} of {path.name} was edited, removed or moved. Nothing was evaluated; restore the file from a backup."
            )
        accesses.append(access)
        before = access["hash"]
    return accesses


def _read_ledger(path: Path, head: str | None) -> list[dict[str, Any]]:
    """The accesses of a run; the last must be `head`, the hash that status.json repeats (None: no access yet).

    One intact access after `head` was interrupted between the two writes; it counts.

    Raises:
        SealError: the chain is broken, or ends elsewhere.
    """
    accesses = read_chain(path)
    ends = [accesses[-1]["hash"], accesses[-1]["prev"]] if accesses else [_START]
    if (head or _START) not in ends:
        raise SealError(
            f"{path.name} does not end with the access that status.json names; accesses were removed or replaced. Nothing was evaluated."
        )
    return accesses


def _append_access(path: Path, accesses: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    """Add one access to the ledger at `path`; returns its hash, the new head."""
    access = {
        "look": len(accesses) + 1,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "id": secrets.token_hex(8),  # two accesses in the same second are two accesses
        **facts,
        "prev": accesses[-1]["hash"] if accesses else _START,
    }
    access["hash"] = _hash(access)
    atomic_write(path, "".join(json.dumps(entry, sort_keys=True) + "\n" for entry in [*accesses, access]))
    return str(access["hash"])


def _hash(access: dict[str, Any]) -> str:
    return hash_json({key: value for key, value in access.items() if key != "hash"})


def accesses_before(run: RunDir, seal: str) -> list[dict[str, Any]]:
    """All accesses of a run so far; checked before the set with this seal is scored, so that a broken ledger stops it.

    Raises:
        SealError: the run's ledger or the set's is broken.
    """
    accesses = _read_ledger(run.ledger, run.read_status().get("ledger_head"))
    refuse_other_files(run, accesses)
    read_chain(run.shared_ledger(seal))
    return accesses


def check_before_access(run: RunDir, test_rows: pd.DataFrame) -> tuple[str, list[dict[str, Any]]]:
    """The run's seal and its accesses so far, after checking both.

    Raises:
        SealError: the run's ledger or the set's is broken, or the test rows are not those sealed at training.
    """
    seal = seal_of(test_rows)
    accesses = accesses_before(run, seal)
    if seal != run.read_status().get("seal"):
        raise SealError(
            "The test rows of table.csv are not those that were sealed at training. Nothing was evaluated; restore table.csv."
        )
    return seal, accesses


def record_access(run: RunDir, seal: str, accesses: list[dict[str, Any]], facts: dict[str, Any]) -> tuple[int, int]:
    """Write the access to the run's ledger, to status.json, and to the shared ledger of the set.

    Args:
        accesses: all of the run so far, of any set: its ledger is one chain.
    Returns:
        Accesses of this set by this run, and by all runs in the same folder.
    """
    head = _append_access(run.ledger, accesses, {"seal": seal, **facts})
    run.write_status("done", ledger_head=head)
    own = [*(access["hash"] for access in accesses_to(accesses, seal)), head]
    return len(own), _share(run, seal, own)


def accesses_to(accesses: list[dict[str, Any]], seal: str) -> list[dict[str, Any]]:
    """Those of one set: the run's test set, or an external one."""
    return [access for access in accesses if access["seal"] == seal]


def _share(run: RunDir, seal: str, hashes: list[str]) -> int:
    """Add the run's accesses that the set's shared ledger lacks (interrupted write, moved run); returns its length."""
    shared = run.shared_ledger(seal)
    shared.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(shared.with_suffix(".lock")):  # other runs share the set
        accesses = read_chain(shared)
        known = {access["run_look"] for access in accesses}
        for digest in hashes:
            if digest not in known:
                _append_access(shared, accesses, {"run": run.root.name, "run_look": digest})
                accesses = read_chain(shared)
    return len(accesses)


def count_accesses(run: RunDir, seal: str | None) -> tuple[int, int]:
    """Accesses so far of the set with this seal, by this run and by all runs; (0, 0) without a seal."""
    if seal is None:
        return 0, 0
    accesses = _read_ledger(run.ledger, run.read_status().get("ledger_head"))
    refuse_other_files(run, accesses)
    own = accesses_to(accesses, seal)
    return len(own), max(len(own), len(read_chain(run.shared_ledger(seal))))
