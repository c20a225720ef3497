"""`--external DIR`: images from elsewhere, new to the run, read in the same way as its own.

That they are external is checked: an image of the run's own train or valid set is refused, and one of its sealed test
set is refused by its path, before any file is read. On request such images are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from plainfilm.base.events import EventCallback
from plainfilm.base.listing import NAMED, some
from plainfilm.config import DataConfig, load_config
from plainfilm.data.archives.unpack import data_folder
from plainfilm.data.csv.columns import options_that_fit
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.data.split.splits import NO_PATIENTS, grouped
from plainfilm.data.synthetic.drawn_files import drawn_note
from plainfilm.data.table.image_table import ImageTable, refuse_damaged, scan_table
from plainfilm.data.table.patients import known_patients
from plainfilm.errors import DataError, UsageError
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.shift.external_classes import renamed, without_classes
from plainfilm.evaluate.shift.known_images import (
    refuse_own_images,
    refuse_sealed_folder,
    sealed_files,
    transductive_note,
    with_local,
    without_known,
)
from plainfilm.evaluate.test_ledger import seal_of
from plainfilm.runs.card import Card
from plainfilm.schemas.evaluate import LeftOut

PREFIX = "external-"
_AS_TRAINED = ("max_bad", "follow_links", "cache", "missing_label", "keep_label", "labels_as_text", "one_label")


@dataclass(frozen=True)
class ExternalRequest:
    """External images, and how to read them.

    path: a folder of class folders, with or without train/val/test above them, or a CSV. names: their class names -> the
    run's; equal names need no entry. patient_pattern: finds the patient in their file names; None: the patterns that
    plainfilm knows. leave_out: their classes that are not scored. drop_known: leave out images that the run knows, and
    those of patients that it learned from, where they are refused or noted otherwise. reading: keys of the section
    data, such as {"label_column": "dx"}; what is not in it is as in the run, where that fits.
    """

    path: Path
    names: Mapping[str, str] = field(default_factory=dict)
    patient_pattern: str | None = None
    leave_out: Sequence[str] = ()
    drop_known: bool = False
    reading: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ExternalSet:
    """Images of a run's classes from elsewhere.

    `rows`: as in a run's table, with `group`; labels are the run's class names. `table`: what was done with each file. `read_with`: how;
    `left_out`: what the user left out, None where nothing was asked to be.
    """

    rows: pd.DataFrame
    table: ImageTable
    path: Path
    notes: tuple[str, ...]
    read_with: DataConfig
    left_out: LeftOut | None = None

    @property
    def seal(self) -> str:
        """SHA-256 of the sorted (file hash, label) pairs, as of a test set."""
        return seal_of(self.rows)

    @property
    def name(self) -> str:
        """Its name in the run's files: from its content, since a folder's name may be a person's."""
        return PREFIX + self.seal[:8]


def parse_map(pairs: list[str]) -> dict[str, str]:
    """['healthy=NORMAL'] -> {'healthy': 'NORMAL'}.

    Raises:
        UsageError: a pair is not THEIRS=OURS, or names a class twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        theirs, sign, ours = pair.partition("=")
        if not (theirs and sign and ours) or theirs in found:
            raise UsageError(
                f"--map {pair!r} is not understood; expected THEIRS=OURS, each of their classes once, e.g. --map healthy=NORMAL."
            )
        found[theirs] = ours
    return found


def read_external(finished: FinishedRun, asked: ExternalRequest, on_event: EventCallback) -> ExternalSet:
    """The external images; every file but those of the run's test set is read once, and nothing is scored.

    Raises:
        DataError: no image, a class that the run does not know, too many damaged files, another bit depth, or an image
            of the run's train or valid set. SealError: an image of the run's test set. UsageError: `names` or
            `leave_out` has a class that does not exist. ConfigError: `reading` has a wrong key or value.
    """
    path, card, own = asked.path.absolute(), finished.card, with_local(finished)
    sealed = sealed_files(own)
    if not asked.drop_known:
        refuse_sealed_folder(path, sealed)
    data = _reading(finished, path, asked)
    with finished.decoding():
        table, found = scan_table(
            path, data, lambda done, of: on_event("scan", {"done": done, "of": of}),
            sealed=sealed if asked.drop_known else frozenset(),
        )  # fmt: skip
    refuse_damaged(table, found, data)
    _refuse_deeper(table, path, card)
    chosen = without_classes(table, asked.leave_out, asked.names)
    chosen = replace(chosen, rows=chosen.rows.assign(label=renamed(chosen, path, card.vocab, asked.names)))
    chosen, left_out = without_known(chosen, own) if asked.drop_known else (chosen, LeftOut())
    left_out = left_out.model_copy(update={"classes": _counts(table, asked.leave_out)})
    rows = grouped(chosen.rows, wide=False)
    refuse_own_images(rows, own)
    notes = (
        *(f"External images: {note}" for note in table.notes),
        *_left_out_notes(left_out, len(rows)),
        *_notes(rows, own, card),
        *transductive_note(finished, rows),
    )
    return ExternalSet(rows, chosen, path, notes, data, left_out if asked.drop_known or asked.leave_out else None)


def _reading(finished: FinishedRun, path: Path, asked: ExternalRequest) -> DataConfig:
    """How the images are read: pixels as the run decodes its own; the rest as asked, else as in the run where that fits."""
    spec, trained = DecodeSpec(**finished.card.decode), finished.cfg.data
    keys = {
        **{name: getattr(trained, name) for name in _AS_TRAINED}, **options_that_fit(data_folder(path, spec.megapixels).path, None, trained),
        **{name: value for name, value in asked.reading.items() if value is not None},
        "path": str(path), "bits": spec.bits, "tiff": spec.tiff, "frame": spec.frame, "max_megapixels": spec.megapixels,
    }  # fmt: skip
    if data_folder(path, spec.megapixels).path.is_dir() and "one_label" not in asked.reading:
        keys["one_label"] = None  # the folders are named by the run's classes, or by --map
    if asked.patient_pattern is not None:
        keys["patient_pattern"] = asked.patient_pattern
    return load_config(options={f"data.{name}": value for name, value in keys.items()}).data


def _refuse_deeper(table: ImageTable, path: Path, card: Card) -> None:
    if DecodeSpec(**card.decode).bits is None and table.bits is not None:
        raise DataError(
            f"{path} holds {table.bits}-bit images; the run was trained on 8-bit images only, and the two grey scales cannot be "
            "compared. Convert them to 8 bits in the same way as the train images."
        )


def _counts(table: ImageTable, classes: Sequence[str]) -> dict[str, int]:
    return {name: int((table.rows["label"] == name).sum()) for name in classes}


def _left_out_notes(found: LeftOut, used: int) -> list[str]:
    notes = []
    if found.classes:
        listed = some([f"{n} of class {name!r}" for name, n in found.classes.items()], NAMED)
        notes.append(f"Left out by --leave-out: {listed}. The score says nothing about such images.")
    if found.images or found.patient_images:
        notes.append(
            f"Left out by --drop-known: {found.images} external images that are in the run's train, valid or test set, and "
            f"{found.patient_images} more of {found.patients} patients of train or valid; {used} images are left."
        )
    return notes


def _notes(rows: pd.DataFrame, own: pd.DataFrame, card: Card) -> list[str]:
    notes = drawn_note(rows, "external images")
    if missing := [name for name in card.vocab if name not in set(rows["label"])]:
        notes.append(
            f"No external image is of class {' or '.join(missing) if len(missing) <= 2 else some(missing)}: metrics that need one are not estimable."
        )
    if (rows["given"] != "").any():
        notes.append("The external train/val/test parts were pooled; the network was trained on none of them.")
    patients = set(rows["patient"]) - {""}
    if known := known_patients(patients, own.loc[own["split"] != "test", "patient"]):
        notes.append(
            f"KNOWN PATIENTS: {len(known)} of {len(patients)} external patient keys are in the run's train or valid set "
            "too. If they are the same people, the score is optimistic; --drop-known leaves their images out."
        )
    unknown = int((rows["patient"] == "").sum())
    if unknown == len(rows):
        notes.append(NO_PATIENTS)
    elif unknown:
        notes.append(f"{unknown} of {len(rows)} external images have no patient key and count as their own patients.")
    colour = int((~rows["grey"].astype(bool)).sum())
    if colour and DecodeSpec(**card.decode).channels == 1:
        notes.append(f"{colour} of {len(rows)} external images are in colour and converted to grey, as in training.")
    return notes
