"""The two ledgers of a set that many runs write: beside the runs of a folder, and in the user's own folder.

A line names an access of a run by its hash, so that an access counts once wherever it is named: a copied run brings none.
The folder's ledger moves with the runs; the user's joins the folders. Each is filled from the other at an access.
There is one of each by seal, which is of images and labels. A line also names the images alone, so that the accesses of
the same images under other labels count too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from plainfilm.base.events import EventCallback
from plainfilm.base.files import read_regular, sweep
from plainfilm.base.user_folder import user_folder
from plainfilm.errors import SealError
from plainfilm.evaluate.access_chain import append, read_chain
from plainfilm.runs.folder import RunDir

_WAIT_SECONDS = 60  # for the user's ledger; the folder's is waited for without end, as it may be the only one


@dataclass(frozen=True)
class SharedAccesses:
    """What both ledgers say: hashes of the accesses `by_all` runs, and those by this run, each with the file that names it."""

    by_all: frozenset[str]
    by_run: Mapping[str, Path]

    @classmethod
    def read(cls, run: RunDir, seal: str, images: str | None = None) -> SharedAccesses:
        """Nothing is written. A user's ledger that cannot be read counts as none.

        Args:
            images: see images_of(); None: as the ledgers say, which in older versions did not.
        Raises:
            SealError: a ledger is broken.
        """
        folder, user = read_chain(run.shared_ledger(seal)), _read_user(seal)
        path, all_marks = _user_ledger(seal), _Marks.known(run)
        by_run = {
            _access(line): run.shared_ledger(seal) for marks in all_marks for line in folder if _has(line, marks.folder)
        }
        if path is not None:
            by_run |= {_access(line): path for marks in all_marks for line in user if _has(line, marks.user)}
        named = images or next((str(line["images"]) for line in [*folder, *user] if "images" in line), None)
        return cls(frozenset(map(_access, [*folder, *user])) | _under_other_labels(run, seal, named), by_run)

    def refuse_lost(self, run: RunDir, accesses: Iterable[dict[str, Any]]) -> None:
        """Check that the run's own ledger holds all that the others name of it.

        Raises:
            SealError: it does not.
        """
        lost = self.by_run.keys() - {access["hash"] for access in accesses}
        if lost:
            raise SealError(
                f"{run.ledger} lacks {len(lost)} of the run's test-set accesses, which {self.by_run[min(lost)]} names. Nothing was "
                "evaluated; restore it and status.json from a backup. If the run is an older copy of itself, rename its folder."
            )


@dataclass(frozen=True)
class _Marks:
    """How lines of the two ledgers tell this run at this place from its copies."""

    folder: dict[str, str | None]
    user: dict[str, str | None]

    @classmethod
    def of(cls, run: RunDir) -> _Marks:
        """With all links of its place resolved: a run that is opened through a linked folder is the same run."""
        return cls.known(run)[0]

    @classmethod
    def known(cls, run: RunDir) -> list[_Marks]:
        """Those of its place, and of the place as it was named, which older versions wrote."""
        run_id, real = run.read_status().get("run_id"), Path(os.path.realpath(run.root))
        return [cls._at(place, run_id) for place in dict.fromkeys((real, run.root))]

    @classmethod
    def _at(cls, root: Path, run_id: str | None) -> _Marks:
        """None for a run of an older version, which has no id before its next access.

        The user's ledger must hold no path, so it holds a hash of it; the id, which is not in it, keeps that from being guessed.
        """
        name = root.name
        if not run_id:
            return cls({"run": name, "run_id": None}, {"run": name, "place": None})
        place = hashlib.sha256(f"{run_id}\n{root}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return cls({"run": name, "run_id": str(run_id)}, {"run": name, "place": place})


def ledger_folders(run: RunDir) -> list[Path]:
    """Where the ledgers are that runs share: beside the run, and the user's."""
    return [path.parent for path in (run.shared_ledger("any"), _user_ledger("any")) if path is not None]


def _has(line: dict[str, Any], marks: dict[str, str | None]) -> bool:
    return all(value is not None and line.get(key) == value for key, value in marks.items())


def _access(line: dict[str, Any]) -> str:
    return str(line.get("run_look"))


def _user_ledger(seal: str) -> Path | None:
    folder = user_folder()
    return folder and folder / "accesses" / f"{seal}.jsonl"


def _read_user(seal: str) -> list[dict[str, Any]]:
    path = _user_ledger(seal)
    try:
        return read_chain(path) if path else []
    except OSError:  # of another user, or on a disk that is gone
        return []


def _under_other_labels(run: RunDir, seal: str, images: str | None) -> frozenset[str]:
    """Accesses of the same images by other seals, as the ledgers beside those of this seal say."""
    own = [path for path in (run.shared_ledger(seal), _user_ledger(seal)) if path is not None]
    others = [path for each in own for path in sorted(each.parent.glob("*.jsonl")) if path != each]
    return frozenset(_access(line) for path in others if images for line in _read_if_of(images, path))


def _read_if_of(images: str, path: Path) -> list[dict[str, Any]]:
    """A ledger of these images; none where it is of others, or cannot be read."""
    try:
        return read_chain(path) if images.encode() in read_regular(path) else []
    except OSError:
        return []


def share_accesses(
    run: RunDir, seal: str, own: Sequence[str], on_event: EventCallback, *, drawn: bool, images: str | None
) -> int:
    """Add to both ledgers what they lack, and count; an interrupted write, a deleted ledger or a moved run is mended so.

    Args:
        own: hashes of the run's accesses of this set, the last of which was just made.
        drawn: the set is drawn, so that everybody has the same; it is counted beside the runs only.
        images: as SharedAccesses.read().
    Returns:
        Accesses of this set, under any labels, by all runs.
    """
    marks, user = _Marks.of(run), _read_user(seal)
    folder, lacked = _add_to_folder(run, seal, _lines(own, marks.folder, user, images))
    if lacked & set(own[:-1]):
        n = len(lacked & set(own[:-1]))
        on_event("note", {"text": f"The ledger beside the runs lacked {n} earlier test-set access{'es' * (n > 1)} of this run; added."})  # fmt: skip
    if not drawn:
        user = _try_to_add_to_user(seal, _lines(own, marks.user, folder, images), on_event) or user
    same = {*own, *map(_access, folder), *map(_access, user)}
    if n := len(_under_other_labels(run, seal, images) - same):
        on_event("note", {"text": f"The same images under other labels: {n} earlier access{'es' * (n > 1)}, counted for all runs."})  # fmt: skip
    return len(same) + n


def _lines(
    own: Sequence[str], marks: dict[str, str | None], others: list[dict[str, Any]], images: str | None
) -> dict[str, dict[str, Any]]:
    """The lines that a ledger should have, by access. Those of others have no marks: they may be of a copy of this run."""
    of = {"images": images} if images else {}
    known = {_access(line): {"run": line.get("run"), "run_look": _access(line), **of} for line in others}
    return known | {digest: {**marks, "run_look": digest, **of} for digest in own}


def _add(path: Path, lines: dict[str, dict[str, Any]], *, private: bool) -> tuple[list[dict[str, Any]], set[str]]:
    """The whole ledger, and the accesses that it lacked."""
    found = read_chain(path)
    lacked = lines.keys() - {_access(line) for line in found}
    return append(path, found, [line for key, line in lines.items() if key in lacked], private=private), lacked


def _add_to_folder(run: RunDir, seal: str, lines: dict[str, dict[str, Any]]) -> tuple[list[dict[str, Any]], set[str]]:
    path = run.shared_ledger(seal)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):  # other runs share the set
        return _add(path, lines, private=False)


def _try_to_add_to_user(
    seal: str, lines: dict[str, dict[str, Any]], on_event: EventCallback
) -> list[dict[str, Any]] | None:
    """The user's whole ledger; None where it cannot be written, which a note says: containers and read-only homes."""
    path, why = _user_ledger(seal), "no home folder is known"
    try:
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(path.parent / ".lock", timeout=_WAIT_SECONDS, mode=0o600):
                sweep(path.parent)
                return _add(path, lines, private=True)[0]
    except (OSError, NotImplementedError) as error:  # NotImplementedError: a file system without locks
        why = getattr(error, "strerror", None) or type(error).__name__
    on_event("note", {"text": f"This test-set access is counted beside the runs only, because your own ledger cannot be written ({why}). Set PLAINFILM_HOME to a folder that stays."})  # fmt: skip
    return None
