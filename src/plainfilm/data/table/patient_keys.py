"""The patient of every image, from a table's column, DICOM or file names; the keys are checked as a set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from plainfilm.data.table import kinds
from plainfilm.data.table.patients import canonical_key, composed_key

_LEADING_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")  # of each number in a key; 1.05 and 1.5 are not alike


@dataclass(frozen=True)
class PatientKeys:
    """One entry per image; '' = no key.

    `patient`: the key. `wide`: the key that our own splits keep together inside one given folder. `notes`: what was
    joined or nearly joined, without naming a patient.
    """

    patient: list[str]
    wide: list[str]
    notes: tuple[str, ...]


def final_keys(cells: Sequence[str], hashes: Sequence[str], names: Sequence[tuple[str, str]]) -> PatientKeys:
    """The key of the table, else that of DICOM, else that of the file name; equal ones in one spelling.

    In a table that names patients, an image without one has the patient of those with its DICOM or name key. If they
    are of several patients, that key says nothing; if none of them is named, it stands for the patient itself.

    Args:
        cells: of the patient column, '' everywhere without one.
        hashes: of DICOM PatientIDs; '' for none.
        names: patient and wider key of the file name; '' for none.
    """
    own, by_name = [canonical_key(cell) for cell in cells], [composed_key(patient) for patient, _ in names]
    patient = (
        _completed(own, hashes, by_name)
        if any(own)
        else [of_file or name for of_file, name in zip(hashes, by_name, strict=True)]
    )
    from_name = (not cell and key == name for cell, key, name in zip(own, patient, by_name, strict=True))
    wide = [composed_key(name[1]) if here else key for here, key, name in zip(from_name, patient, names, strict=True)]
    notes = [
        *_blank_note(own, patient),
        *_joined_notes([*zip(cells, own, strict=True), *((name, composed_key(name)) for name, _ in names)]),
        *_alike_note(set(patient) - {*hashes}),  # hashes have one spelling
    ]
    return PatientKeys(patient, wide, tuple(notes))


def _completed(patients: list[str], hashes: Sequence[str], names: Sequence[str]) -> list[str]:
    """Patients of a table, the empty ones from the other keys, first by those that lead to a patient who is named."""
    for new in (False, True):
        patients = _tied(_tied(patients, hashes, new=new), names, new=new)
    return patients


def _tied(patients: list[str], keys: Sequence[str], *, new: bool) -> list[str]:
    """Each empty patient from its key: the only patient with that key; where nobody has it, the key itself if `new`."""
    owners: dict[str, set[str]] = {}
    for patient, key in zip(patients, keys, strict=True):
        owners.setdefault(key, set()).update({patient} - {""})
    only = {key: next(iter(found), key if new else "") if len(found) < 2 else "" for key, found in owners.items()}
    return [patient or (only[key] if key else "") for patient, key in zip(patients, keys, strict=True)]


def _blank_note(own: list[str], patient: list[str]) -> list[str]:
    """How images without a patient in the table were kept together, if any of them was."""
    blank = [key for cell, key in zip(own, patient, strict=True) if not cell]
    named = set(own)
    tied, alone = sum(bool(key) and key in named for key in blank), blank.count("")
    if not any(own) or alone == len(blank):
        return []
    facts = {"n": len(blank), "of": len(own), "tied": tied, "taken": len(blank) - tied - alone, "alone": alone}
    return [kinds.BLANK_PATIENTS.note(**facts)]


def _joined_notes(spelled: Iterable[tuple[str, str]]) -> list[str]:
    """Notes on keys with several spellings, of (as written, as used)."""
    written: dict[str, set[str]] = {}
    for raw, key in spelled:
        written.setdefault(key, set()).add(raw)
    forms = {key: {composed_key(raw) for raw in found} for key, found in written.items() if key}
    numbers = sum(len(found) > 1 for found in forms.values())
    spellings = sum(len(written[key]) > len(found) for key, found in forms.items())
    found = ((kinds.EQUAL_PATIENTS, numbers), (kinds.SAME_FORM_PATIENTS, spellings))
    return [kind.note(n=n) for kind, n in found if n]


def _alike_note(keys: set[str]) -> list[str]:
    folded = Counter(_LEADING_ZEROS.sub("", key.casefold()) for key in keys - {""})
    n = sum(count for count in folded.values() if count > 1)
    return [kinds.ALIKE_PATIENTS.note(n=n)] if n else []
