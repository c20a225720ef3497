"""Patient keys from file names, and the secret behind those of DICOM files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
import unicodedata
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plainfilm.base.files import atomic_write, read_regular
from plainfilm.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_SECRET_BYTES = 32


@dataclass(frozen=True)
class _NamePreset:
    """How a public data set names its files.

    `pattern` finds the patient key; where the set restarts its numbering (Kermany: per subtype), `wide` finds the
    wider key under which two of its patient keys may be one child.
    """

    pattern: re.Pattern[str]
    wide: re.Pattern[str]
    source: str


def _preset(pattern: str, wide: str | None = None, *, source: str) -> _NamePreset:
    return _NamePreset(re.compile(pattern), re.compile(wide or pattern), source)


_PRESETS = (
    # 808 of the 1,635 numbers of the official train folder carry both subtypes; it is unknown whether that is one
    # child. The number alone would also give 170 false overlaps between train and test, where numbering restarts.
    _preset(r"^(person\d+_(?:bacteria|virus))_", r"^(person\d+)_", source="Kermany et al. 2018, pneumonia"),
    _preset(r"^(IM-\d+)-", source="Kermany et al. 2018, normal"),
    _preset(r"^(NORMAL2-IM-\d+)-", source="Kermany et al. 2018, normal, second counter"),
    _preset(r"^(phantom-\d+)-", source="plainfilm phantom"),
)


@dataclass(frozen=True)
class _PatientKey:
    """`patient` is the key itself; `wide` is the key that our own splits keep together inside one given folder."""

    patient: str
    wide: str


def key_from_name(relative: str, pattern: str | None = None) -> _PatientKey | None:
    """The patient key in a file name, or None.

    Args:
        relative: path below the data folder, with '/'.
        pattern: the user's regex, searched in the file name (in the whole relative path when it holds a '/');
            its first group is the patient. None tries the presets.
    """
    name = relative.rpartition("/")[2]
    if pattern is not None:
        match = re.search(pattern, relative if "/" in pattern else name)
        return _PatientKey(match[1], match[1]) if match and match[1] else None
    for preset in _PRESETS:
        match = preset.pattern.match(name)
        wide = preset.wide.match(name)
        if match and wide:
            return _PatientKey(match[1], wide[1])
    return None


def composed_key(key: str) -> str:
    """The key without spaces around it, in composed Unicode form (NFC)."""
    return unicodedata.normalize("NFC", key.strip())


def canonical_key(key: str) -> str:
    """One spelling for keys of a table that are one patient: composed, and '7.0' is '7'; '007' stays, since a leading zero may
    mean something."""
    return re.sub(r"^([+-]?\d+)\.0*$", r"\1", composed_key(key))


def known_patients(keys: Iterable[str], others: Iterable[str]) -> set[str]:
    """The patients, in one spelling, that are in both: tables of other programs and versions may spell one patient differently."""
    return {canonical_key(key) for key in keys} & {canonical_key(key) for key in others} - {""}


def are_known(keys: pd.Series[str], others: Iterable[str]) -> pd.Series[bool]:
    """Whether each patient is among others, in any spelling; '' is nobody."""
    return keys.map(canonical_key).isin(known_patients(keys, others))


def require_matches(keys: Sequence[_PatientKey | None], pattern: str | None, first_name: str) -> None:
    """Refuse a user's pattern that matches no file name at all.

    Raises:
        DataError: no key found although a pattern was given.
    """
    if pattern is not None and not any(keys):
        raise DataError(
            f"The patient pattern {pattern!r} fits none of {len(keys)} file names (first: {first_name!r}). "
            "Its first group must catch the patient, e.g. --patient-pattern '^(p\\d+)_'."
        )


def are_restarted(folders: Sequence[Hashable], keys: Sequence[_PatientKey | None]) -> bool:
    """Whether most keys of several images lie in several folders of their class: then the numbers restart in each folder,
    as OsiriX's IM-0001 does for each patient, and are no patients.

    Args:
        folders: of each file, below its class folder.
    """
    places: dict[str, list[Hashable]] = {}
    for folder, key in zip(folders, keys, strict=True):
        if key is not None:
            places.setdefault(key.patient, []).append(folder)
    several = [len(set(found)) > 1 for found in places.values() if len(found) > 1]
    return 2 * sum(several) > len(several)


class PatientSecret:
    """The key of the hashes that replace DICOM PatientIDs: random, created once, readable by its owner only.

    Where it cannot be saved it lasts as long as the process: the groups are the same, only their names change.
    """

    def __init__(self, folder: Path, *, keep: bool) -> None:
        self.path, self.keep, self._lock = folder / "patient.key", keep, threading.Lock()
        self._value = self._read()

    @property
    def fingerprint(self) -> str:
        """Distinguishes two keys without revealing either; '' while there is none."""
        return hashlib.sha256(self._value).hexdigest()[:16] if self._value else ""

    def value(self) -> bytes:
        """The key, created if there is none."""
        with self._lock:
            if not self._value:
                self._value = os.urandom(_SECRET_BYTES)
                if self.keep:
                    self._value = self._made(self._value)
            return self._value

    def _read(self) -> bytes:
        with contextlib.suppress(OSError):
            found = read_regular(self.path)
            return found if len(found) == _SECRET_BYTES else b""
        return b""

    def _made(self, fresh: bytes) -> bytes:
        """The saved key: `fresh`, or that of another process that was first."""
        own = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            atomic_write(own, fresh, private=True)
            try:
                os.link(own, self.path)  # fails where the key is there already; a rename would replace it
            finally:
                own.unlink()
        except FileExistsError:
            return self._read() or fresh
        except (OSError, NotImplementedError, AttributeError):
            with contextlib.suppress(OSError):
                atomic_write(self.path, fresh, private=True)
        return fresh
