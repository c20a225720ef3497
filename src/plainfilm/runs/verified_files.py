"""What is made of a run's manifest: a note for older runs, adoption, and what each test-set access keeps of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from plainfilm.base.command_line import command_line
from plainfilm.base.events import EventCallback
from plainfilm.base.files import sha256_of
from plainfilm.base.json_text import parsed_json
from plainfilm.errors import SealError, UsageError
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import IN_LEDGER, IN_STATUS, name_of, read_manifest, read_verified, save_hashes, verify

_Access = Mapping[str, Any]


def unverified_note(run: RunDir) -> list[str]:
    """One note for a run of a version without a manifest, else none."""
    if not run.status.is_file() or read_manifest(run) is not None:
        return []
    adopt = command_line("show", run.root, "--adopt")
    return [f"{run.root.name} was written by an older version, and its files are not verified; this takes them as they are now: {adopt}"]  # fmt: skip


def say_unverified(run: RunDir, on_event: EventCallback) -> None:
    """The note as an event."""
    for text in unverified_note(run):
        on_event("note", {"text": text})


def adopt_files(run: RunDir, check: Callable[[], object] = bool) -> bool:
    """Write the manifest of a run that has none, of its files as they are now; False where it has one, and it matches.

    Args:
        check: raises what must be refused, before anything is written.
    Raises:
        DataError: a file does not match the manifest, or the manifest was deleted. UsageError: the run is not done.
    """
    with run.lock():
        if read_manifest(run) is not None:
            verify(run)
            return False
        if run.read_status()["status"] != "done":
            raise UsageError(f"The run {run.root} is not done; only a finished run is adopted.")
        check()
        save_hashes(run, {name_of(run, path): sha256_of(path) for path in _trusted(run) if path.is_file()})
        run.write_status("done", **{IN_STATUS: True})
    return True


def _trusted(run: RunDir) -> list[Any]:
    own = (
        run.config, run.environment, run.table, run.excluded, run.data, run.history, run.timing, run.card, run.metrics,
        run.cost, run.heat_checks, run.local,
    )  # fmt: skip
    return [*own, *(path for name in ("predictions", "probes") for path in sorted((run.root / name).glob("*")))]


def files_at_access(run: RunDir, split: str, scores: str | None) -> dict[str, Any]:
    """What an access records: the hashes of the inputs and of the scores; nothing for a run without a manifest.

    Args:
        scores: the text of the predictions that will be written, None: they are there.
    """
    files, name = read_manifest(run), name_of(run, run.predictions(split))
    if files is None:
        return {}
    kept = {each: files[each][-1] for each in _inputs(run) if each in files}
    found = files.get(name, [""])[-1] if scores is None else hashlib.sha256(scores.encode()).hexdigest()
    return {IN_LEDGER: {**kept, name: found}}


def accessed_as_it_is(run: RunDir, access: _Access) -> bool:
    """Whether an access recorded the card that the run has; one of its parent, and one that recorded none, did not."""
    card = name_of(run, run.card)
    return access.get(IN_LEDGER, {}).get(card) in (read_manifest(run) or {}).get(card, [])


def refuse_other_files(run: RunDir, accesses: Sequence[_Access]) -> None:
    """Refuse inputs and scores that are not those of the accesses: then the manifest was written again, or mixed up.

    The scores may be those of any access of their set: one that was killed has not written its own. A recalibrated
    version has another card than the accesses of its parent, and other scores until its own first access.

    Raises:
        SealError: names the file.
    """
    files = read_manifest(run)
    said = [access for access in accesses if IN_LEDGER in access]
    if files is None or not said:
        return
    moved_on = _is_recalibrated(run)
    for name in sorted({name for access in said for name in access[IN_LEDGER]}):
        naming = [access[IN_LEDGER] for access in said if name in access[IN_LEDGER]]
        same = name not in files or {found[name] for found in naming} & set(files[name])
        compared = name in _inputs(run) or _all_say(accesses, said, name)
        if compared and not same and not (moved_on and _is_the_parents(run, name, naming[-1])):
            raise SealError(
                f"{name} of {run.root} is not the file of its test-set accesses, although run_manifest.json names it. "
                "Restore both from a backup."
            )


def _is_the_parents(run: RunDir, name: str, last: Mapping[str, str]) -> bool:
    """Whether what an access said of the card or of scores is about the parent of a recalibrated version."""
    card = name_of(run, run.card)
    return last.get(card) not in (read_manifest(run) or {}).get(card, []) and name not in set(_inputs(run)) - {card}


def _inputs(run: RunDir) -> list[str]:
    return [name_of(run, path) for path in (run.card, run.config, run.table, run.excluded)]


def _is_recalibrated(run: RunDir) -> bool:
    try:
        return parsed_json(read_verified(run, run.card), run.card).get("recalibration") is not None
    except (OSError, ValueError, AttributeError):  # missing or damaged: others say so
        return False


def _all_say(accesses: Sequence[_Access], said: Sequence[_Access], name: str) -> bool:
    """Whether each access of this set recorded its scores; those of older versions did not."""
    seals = {access["seal"] for access in said if name in access[IN_LEDGER]}
    return all(IN_LEDGER in access for access in accesses if access["seal"] in seals)
