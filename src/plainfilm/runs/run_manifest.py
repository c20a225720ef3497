"""run_manifest.json: the SHA-256 of each file of a run that another command trusts, written with the file.

It catches mistakes, mixed-up syncs and lazy forgers, and no others: whoever can edit every file can write a new manifest.
Not in it: the weights and the OOD gate, whose hashes card.json holds; status.json and the ledger, which change with each
access and hold each other's end; checkpoints, which hash themselves; and what is made for people to see or to edit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plainfilm.base.command_line import command_line
from plainfilm.base.files import atomic_write, dump_json, read_regular, sha256_of
from plainfilm.base.json_text import parsed_json
from plainfilm.errors import DataError
from plainfilm.runs.folder import RunDir

IN_STATUS, IN_LEDGER = "manifest", "run_files"  # the keys that say that there is a manifest, should it be deleted
_ABSENT = ""  # as sha256_of() says of a file that is not there
_TRIES = 3  # a reader holds no lock: the file may be replaced after its manifest was read
_Files = dict[str, list[str]]  # file -> hashes that are accepted; two only while it is written


def begin_manifest(run: RunDir) -> None:
    """An empty manifest; the run's status must name it too (IN_STATUS)."""
    _save(run, {})


def write_file(run: RunDir, path: Path, content: str | bytes) -> None:
    """Write a file of the run and its hash; the lock must be held. In a run without a manifest, only the file.

    Killed anywhere, the run stays readable: until a file is in place, its manifest accepts the one before it, or none.
    """
    files, name = read_manifest(run), name_of(run, path)
    if files is None:
        return atomic_write(path, content)
    data = content.encode("utf-8") if isinstance(content, str) else content
    found, new = sha256_of(path), hashlib.sha256(data).hexdigest()
    kept = [found] if found in (*files.get(name, []), _ABSENT) and found != new else []
    _save(run, {**files, name: [*kept, new]})
    atomic_write(path, data)
    if kept:
        _save(run, {**files, name: [new]})


def seal_files(run: RunDir, *paths: Path) -> None:
    """Add files that were written while no other command read them: those of each epoch."""
    files = read_manifest(run)
    if files is not None:
        _save(run, {**files, **{name_of(run, path): [sha256_of(path)] for path in paths}})


def remove_file(run: RunDir, path: Path) -> None:
    """Delete a file that the run does without from now on; the lock must be held. As with write_file(), a kill is no harm."""
    files, name = read_manifest(run) or {}, name_of(run, path)
    if hashes := files.pop(name, []):
        _save(run, {**files, name: [*hashes, _ABSENT]})
    path.unlink(missing_ok=True)
    if hashes:
        _save(run, files)


def read_verified(run: RunDir, path: Path) -> bytes:
    """The bytes of a file as they were written; in a run without a manifest, as they are.

    Raises:
        DataError: it is another file, or not one of the run, or the manifest is damaged or deleted.
        OSError: it cannot be read.
    """
    name, data, files = name_of(run, path), b"", None
    for _ in range(_TRIES):
        files, data = read_manifest(run), read_regular(path)
        if files is None or hashlib.sha256(data).hexdigest() in files.get(name, []):
            return data
    raise _other_file(run, name, listed=name in (files or {}))


def verify(run: RunDir, *paths: Path) -> None:
    """Refuse as read_verified() does, and a file that is gone; one that the run never had is passed over.

    Args:
        paths: none for all of the manifest.
    """
    for path in paths or [run.root / name for name in read_manifest(run) or {}]:
        if is_kept(run, path):
            read_verified(run, path)


def is_kept(run: RunDir, path: Path) -> bool:
    """Whether the run has this file.

    Raises:
        DataError: it had it, and the file was deleted.
    """
    if path.is_file():
        return True
    name = name_of(run, path)
    if _ABSENT not in (read_manifest(run) or {}).get(name, [_ABSENT]):
        raise DataError(f"{name} of {run.root} is missing, and run_manifest.json names it. {_cure(run, name)}")
    return False


def read_manifest(run: RunDir) -> _Files | None:
    """The accepted hashes by file; None for a run of an older version, or a folder that is no run.

    Raises:
        DataError: the manifest is damaged, or the run had one.
    """
    try:
        found = parsed_json(read_regular(run.manifest), run.manifest)["files"]
        return {_inside(name): [*map(str, hashes)] for name, hashes in found.items()}
    except FileNotFoundError:
        if not _had_one(run):
            return None
        what = "is missing, and the run was written with one"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        what = "is damaged"
    raise DataError(f"run_manifest.json of {run.root} {what}: its files cannot be verified. Restore it from a backup.")


def _inside(name: str) -> str:
    """The name, if it is one of a file below the run that a system can have."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part or len(part.encode("utf-8")) > 255 for part in parts):
        raise ValueError("not the name of a file of a run")
    return name


def name_of(run: RunDir, path: Path) -> str:
    """The file's name in the manifest."""
    return path.relative_to(run.root).as_posix()


def save_hashes(run: RunDir, hashes: Mapping[str, str]) -> None:
    """A manifest of these files, in place of none."""
    _save(run, {name: [sha256] for name, sha256 in hashes.items()})


def _save(run: RunDir, files: _Files) -> None:
    body: dict[str, Any] = {"schema_version": 1, "files": dict(sorted(files.items()))}
    atomic_write(run.manifest, dump_json(body))


def _had_one(run: RunDir) -> bool:
    status = run.read_status() if run.status.is_file() else {}
    ledger = read_regular(run.ledger) if run.ledger.is_file() else b""
    return bool(status.get(IN_STATUS)) or f'"{IN_LEDGER}"'.encode() in ledger


def _other_file(run: RunDir, name: str, *, listed: bool) -> DataError:
    why = "another SHA-256 than in run_manifest.json" if listed else "it is not in run_manifest.json"
    return DataError(f"{name} of {run.root} is not the file that was written ({why}). {_cure(run, name)}")


def _cure(run: RunDir, name: str) -> str:
    """What to do: the files that can be computed again, and the rest."""
    if name in ("metrics.json", "predictions/valid-shifted.csv"):
        again = ("evaluate", run.root, *(() if name == "metrics.json" else ("--split", "valid-shifted")), "--again")
    elif name in ("predictions/test.csv", "predictions/test_top.npy", "probes/test.csv"):
        again = ("evaluate", run.root, "--split", "test", "--again")
    elif name == "heat_checks.json":
        again = ("interpret", run.root)
    elif name == "cost.json":
        return "Restore it from a backup, or remove it and repeat experiments run, which measures it again."
    elif name.startswith("predictions/external-"):
        again = ("evaluate", run.root, "--external", "IMAGES")
        return (
            f"Restore it from a backup, or score those images again, which is an access of them: {command_line(*again)}"
        )
    else:
        return "Restore it from a backup, or train again."
    access = ", which is a test-set access" if "test" in again else ""
    return f"Restore it from a backup, or make it again{access}: {command_line(*again)}"
