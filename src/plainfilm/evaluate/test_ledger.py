"""The sealed test set: its fingerprint, and the chained ledger of every look at it.

It catches mistakes, not a forger: who can edit every file of a run can also write a new chain.
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
from plainfilm.errors import SealError
from plainfilm.runs.folder import RunDir

_START = "0" * 64


def seal_of(rows: pd.DataFrame) -> str:
    """SHA-256 of the sorted (file hash, label) pairs of the test rows; order and paths do not matter."""
    pairs = sorted(f"{sha}\t{label}\n" for sha, label in zip(rows["sha256"], rows["label"], strict=True))
    return hashlib.sha256("".join(pairs).encode("utf-8")).hexdigest()


def read_chain(path: Path) -> list[dict[str, Any]]:
    """The looks of a ledger, oldest first.

    Raises:
        SealError: a line is edited, missing or out of order.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    looks, before = [], _START
    for number, line in enumerate(lines, start=1):
        try:
            look = json.loads(line)
            intact = look["prev"] == before and look["hash"] == _hash(look) and look["look"] == number
        except (ValueError, KeyError, TypeError):
            intact = False
        if not intact:
            raise SealError(
                f"Line {number} of {path.name} was edited, removed or moved. Nothing was evaluated; restore the file from a backup."
            )
        looks.append(look)
        before = look["hash"]
    return looks


def _read_ledger(path: Path, head: str | None) -> list[dict[str, Any]]:
    """The looks of a run, which must end at `head`, the hash that status.json repeats (None: no look yet).

    One intact look beyond `head` is a look that was interrupted between the two writes; it counts.

    Raises:
        SealError: the chain is broken, or ends elsewhere.
    """
    looks = read_chain(path)
    ends = [looks[-1]["hash"], looks[-1]["prev"]] if looks else [_START]
    if (head or _START) not in ends:
        raise SealError(
            f"{path.name} does not end with the look that status.json names; looks were cut off or replaced. Nothing was evaluated."
        )
    return looks


def _append_access(path: Path, looks: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    """Add one look to the ledger at `path`; returns its hash, the new head."""
    look = {
        "look": len(looks) + 1,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "id": secrets.token_hex(8),  # two looks in the same second are two looks
        **facts,
        "prev": looks[-1]["hash"] if looks else _START,
    }
    look["hash"] = _hash(look)
    atomic_write(path, "".join(json.dumps(entry, sort_keys=True) + "\n" for entry in [*looks, look]))
    return str(look["hash"])


def _hash(look: dict[str, Any]) -> str:
    return hash_json({key: value for key, value in look.items() if key != "hash"})


def accesses_before(run: RunDir, seal: str) -> list[dict[str, Any]]:
    """All looks of a run so far, before one at the set with this seal: refused here, or the pictures are scored first.

    Raises:
        SealError: the run's ledger or the set's is broken.
    """
    looks = _read_ledger(run.ledger, run.read_status().get("ledger_head"))
    read_chain(run.shared_ledger(seal))
    return looks


def check_before_access(run: RunDir, test_rows: pd.DataFrame) -> tuple[str, list[dict[str, Any]]]:
    """The run's seal and its looks so far, after checking both.

    Raises:
        SealError: the run's ledger or the set's is broken, or the test rows are not the ones that were sealed when the run was made.
    """
    seal = seal_of(test_rows)
    looks = accesses_before(run, seal)
    if seal != run.read_status()["seal"]:
        raise SealError(
            "The test rows of table.csv are not those that were sealed at training. Nothing was evaluated; restore table.csv."
        )
    return seal, looks


def record_access(run: RunDir, seal: str, looks: list[dict[str, Any]], facts: dict[str, Any]) -> tuple[int, int]:
    """Write the look to the run's ledger, to status.json, and to the ledger of the set that was looked at.

    Args:
        looks: all of the run so far, at whichever set: its ledger is one chain.
    Returns:
        Looks of this run, and looks by all runs beside it, at this set.
    """
    head = _append_access(run.ledger, looks, {"seal": seal, **facts})
    run.write_status("done", ledger_head=head)
    own = [*(look["hash"] for look in accesses_to(looks, seal)), head]
    return len(own), _share(run, seal, own)


def accesses_to(looks: list[dict[str, Any]], seal: str) -> list[dict[str, Any]]:
    """Those at one set: the run's test set, or an external one."""
    return [look for look in looks if look["seal"] == seal]


def _share(run: RunDir, seal: str, hashes: list[str]) -> int:
    """Add the run's looks that the test set's ledger lacks (an interrupted write, a moved run); returns its length."""
    shared = run.shared_ledger(seal)
    shared.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(shared.with_suffix(".lock")):  # other runs look at the same set
        looks = read_chain(shared)
        known = {look["run_look"] for look in looks}
        for digest in hashes:
            if digest not in known:
                _append_access(shared, looks, {"run": run.root.name, "run_look": digest})
                looks = read_chain(shared)
    return len(looks)


def count_accesses(run: RunDir, seal: str | None) -> tuple[int, int]:
    """Looks so far at the set with this seal, of this run and of all runs; (0, 0) where there is none."""
    if seal is None:
        return 0, 0
    own = accesses_to(_read_ledger(run.ledger, run.read_status().get("ledger_head")), seal)
    return len(own), max(len(own), len(read_chain(run.shared_ledger(seal))))
