"""Marks: the words in capitals with which a note begins that every title must carry."""

from __future__ import annotations

import re

DRAWN = "DRAWN IMAGES"  # begins the note of a run on phantoms
IDENTITY = "IDENTITY RECOGNITION"  # every class is one patient
ONE_LABEL = "ONE LABEL"  # of several labels per image one was trained: present against absent
CONFOUNDED = "CLASS AND SERIES ARE CONFOUNDED"  # held-out series that lack a class, or have one each
HEAT_MAPS = "HEAT MAPS"  # begins the sentence of a check that heat maps failed, in a bundle's notes too
RECALIBRATED = "RECALIBRATED"  # the operating point was set again on images of another place
TRANSDUCTIVE = "TRANSDUCTIVE"  # the scored images, without their labels, set the threshold
_MARK = re.compile(r"[A-Z]{3}[A-Z ]+:")
_IN_TITLES = (
    TRANSDUCTIVE, RECALIBRATED, DRAWN, "LEAKY SPLIT", IDENTITY, CONFOUNDED, ONE_LABEL, "LEAKY WEIGHTS", "VALIDATION ONLY",
    "KNOWN PATIENTS",
)  # fmt: skip


def is_marked(note: str) -> bool:
    """Whether a note begins with a mark, such as 'LEAKY SPLIT: ': it is said of every score."""
    return bool(_MARK.match(note))


def marks(notes: list[str]) -> str:
    """Warning prefix of every title, e.g. 'LEAKY SPLIT: ', from the notes that begin with one; else ''."""
    found = [mark for mark in _IN_TITLES if any(note.startswith(mark) for note in notes)]
    return ", ".join(found) + ": " if found else ""
