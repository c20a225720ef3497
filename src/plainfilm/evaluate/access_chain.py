"""A ledger on disk: one JSON object per line, each with the hash of the line before it.

It catches mistakes, not forgery: whoever can edit every file can also write a new chain.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from plainfilm.base.files import atomic_write, hash_json, read_regular
from plainfilm.base.json_text import parsed_json
from plainfilm.errors import SealError
from plainfilm.runs.run_manifest import IN_LEDGER

_IN_ITS_PLACE = (errno.EISDIR, errno.EINVAL, errno.ENXIO, errno.ELOOP)  # a folder, FIFO, device, socket, link to itself
START = "0" * 64  # what the first line names as the one before it


def read_chain(path: Path, key: str | None = None) -> list[dict[str, Any]]:
    """The accesses in a ledger, oldest first; none where there is no file.

    Args:
        key: where each line must say, as text, of what it is an access.
    Raises:
        SealError: a line is edited, missing or out of order, or what is there is no ledger.
        OSError: the file cannot be read.
    """
    accesses, before = [], START
    for number, line in enumerate(_lines(path), start=1):
        try:
            access = parsed_json(line, path.name)
            intact = access["prev"] == before and access["hash"] == _hash(access) and access["look"] == number
            intact = intact and (key is None or isinstance(access[key], str)) and _names_files(access)
        except (ValueError, KeyError, TypeError):
            intact = False
        if not intact:
            raise SealError(
                f"Line {number} of {path} was edited, removed or moved. Nothing was evaluated; restore the file from a backup."
            )
        accesses.append(access)
        before = access["hash"]
    return accesses


def _lines(path: Path) -> list[str]:
    """Only a place with nothing in it holds no access: an empty file is no ledger, since one has a line at least."""
    try:
        lines = [] if path.is_dir() else read_regular(path).decode("utf-8", "replace").splitlines()
        what = "" if lines else "it is a folder, or empty"
    except FileNotFoundError:
        lines, what = [], "it is a link to nothing" if os.path.lexists(path) else ""
    except OSError as error:
        if error.errno not in _IN_ITS_PLACE:
            raise
        what = error.strerror or "not a regular file"
    if what:
        raise SealError(
            f"{path} is no ledger of test-set accesses ({what}), and counts as unknown, not as none. Nothing was evaluated; "
            "restore the file from a backup."
        )
    return lines


def append(
    path: Path, accesses: Sequence[dict[str, Any]], added: Iterable[dict[str, Any]], *, private: bool = False
) -> list[dict[str, Any]]:
    """All accesses of the ledger at `path` after those with the facts in `added`, in one write.

    Args:
        accesses: what the ledger holds.
        private: the file is for its owner only.
    Raises:
        OSError: it cannot be written; then it is as it was.
    """
    chain = list(accesses)
    for facts in added:
        chain.append(_next(chain, facts))
    if len(chain) > len(accesses):
        atomic_write(path, "".join(json.dumps(entry, sort_keys=True) + "\n" for entry in chain), private=private)
    return chain


def _next(chain: list[dict[str, Any]], facts: dict[str, Any]) -> dict[str, Any]:
    access = {
        "look": len(chain) + 1,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "id": secrets.token_hex(8),  # two accesses in the same second are two accesses
        **facts,
        "prev": chain[-1]["hash"] if chain else START,
    }
    return {**access, "hash": _hash(access)}


def _names_files(access: dict[str, Any]) -> bool:
    files = access.get(IN_LEDGER, {})
    return isinstance(files, dict) and all(isinstance(sha256, str) for sha256 in files.values())


def _hash(access: dict[str, Any]) -> str:
    return hash_json({key: value for key, value in access.items() if key != "hash"})
