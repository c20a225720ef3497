"""Facts from the scan, cached by file content: a second scan hashes every file and decodes only new content."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from plainfilm.base.files import atomic_write, hash_json, read_regular, sweep
from plainfilm.base.json_text import parsed_json
from plainfilm.data.image import decode
from plainfilm.data.image.decode import ImageFacts

_MAX_PARTS = 16  # then they are merged into one


class FactsBook:
    """Facts by SHA-256 of the file, for one way of reading; kept as immutable JSON parts.

    It holds no path and no name, and of a DICOM file only sizes and the keyed hash of its PatientID.
    """

    def __init__(self, root: Path, reading: Mapping[str, Any]) -> None:
        about = {**reading, "decode": decode.VERSION, **decode.libraries()}
        self.folder = root / "facts" / hash_json(about)[:16]
        self.known: dict[str, ImageFacts] = {}
        for part in self._parts():
            self.known.update(_read(part))

    def get(self, sha256: str) -> ImageFacts | None:
        """Facts of a file with this content; None if unknown."""
        return self.known.get(sha256)

    def add(self, facts: list[ImageFacts]) -> None:
        """Store new facts; where the folder cannot be written, they are kept in memory only."""
        fresh = {fact.sha256: fact for fact in facts if fact.sha256 not in self.known}
        if not fresh:
            return
        self.known.update(fresh)
        with contextlib.suppress(OSError, NotImplementedError, Timeout):
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock", timeout=10):
                sweep(self.folder)
                self._write(fresh)

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("*.json"))

    def _write(self, fresh: dict[str, ImageFacts]) -> None:
        old = self._parts()
        if len(old) >= _MAX_PARTS:
            fresh = {**{k: v for part in old for k, v in _read(part).items()}, **fresh}
        body = [asdict(fact) for fact in fresh.values()]
        name = hash_json(body)
        new = self.folder / f"{name[:24]}.json"
        atomic_write(new, json.dumps({"facts": body, "check": name}))
        if len(old) >= _MAX_PARTS:
            for part in set(old) - {new}:
                part.unlink(missing_ok=True)


def _read(part: Path) -> dict[str, ImageFacts]:
    """The facts of one part; none where it is damaged."""
    try:
        written = parsed_json(read_regular(part), part)
        if written["check"] != hash_json(written["facts"]):
            return {}
        return {fact["sha256"]: ImageFacts(**fact) for fact in written["facts"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
