"""`--external DIR`: images from elsewhere, new to the run, read in the same way as its own.

That they are external is checked: an image of the run's own train or valid set is refused, and one of its sealed test
set is refused by its path, before any file is read.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pandas as pd

from plainfilm.base.events import EventCallback
from plainfilm.config import DataConfig
from plainfilm.data.csv.columns import options_that_fit
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.data.split.splits import NO_PATIENTS, grouped
from plainfilm.data.synthetic.drawn_files import drawn_note
from plainfilm.data.table.image_table import ImageTable, refuse_damaged, scan_table
from plainfilm.data.table.patients import known_patients
from plainfilm.errors import DataError, SealError, UsageError
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.test_ledger import seal_of
from plainfilm.runs.card import Card

PREFIX = "external-"


@dataclass(frozen=True)
class ExternalRequest:
    """External images, and how to read them.

    path: a folder of class folders, with or without train/val/test above them, or a CSV. names: their class names -> the
    run's; equal names need no entry. patient_pattern: finds the patient in their file names; None: the patterns that
    plainfilm knows.
    """

    path: Path
    names: Mapping[str, str] = field(default_factory=dict)
    patient_pattern: str | None = None


@dataclass(frozen=True)
class ExternalSet:
    """Images of a run's classes from elsewhere.

    `rows`: as in a run's table, with `group`; labels are the run's class names. `table`: what was done with each file.
    """

    rows: pd.DataFrame
    table: ImageTable
    path: Path
    notes: tuple[str, ...]

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
    """The external images; every file is read once and nothing is scored.

    Raises:
        DataError: no image, a class that the run does not know, too many damaged files, another bit depth, or an image
            of the run's train or valid set. SealError: an image of the run's test set. UsageError: `names` has a class
            that does not exist.
    """
    path, card, own = asked.path.absolute(), finished.card, finished.rows
    _refuse_test_folder(path, own)
    spec, as_trained = DecodeSpec(**card.decode), finished.cfg.data
    data = DataConfig(
        path=str(path), bits=cast(Any, spec.bits), tiff=spec.tiff, frame=spec.frame,
        patient_pattern=asked.patient_pattern, max_bad=as_trained.max_bad, follow_links=as_trained.follow_links,
        cache=as_trained.cache,
        missing_label=as_trained.missing_label, keep_label=as_trained.keep_label,
        labels_as_text=as_trained.labels_as_text, one_label=as_trained.one_label,
        **cast(Any, options_that_fit(path, None, as_trained)),
    )  # fmt: skip
    table, found = scan_table(path, data, lambda done, of: on_event("scan", {"done": done, "of": of}))
    refuse_damaged(table, found, data)
    if spec.bits is None and table.bits is not None:
        raise DataError(
            f"{path} holds {table.bits}-bit images; the run was trained on 8-bit images only, and the two grey scales cannot be "
            "compared. Convert them to 8 bits in the same way as the train images."
        )
    rows = grouped(table.rows.assign(label=_renamed(table, path, card.vocab, asked.names)), wide=False)
    _refuse_own_images(rows, own)
    return ExternalSet(rows, table, path, (*table.notes, *_notes(rows, own, card, spec)))


def _refuse_test_folder(path: Path, own: pd.DataFrame) -> None:
    """Compares paths only, since test files are read in test-set accesses alone."""
    root = os.path.join(os.path.realpath(path), "")  # a link to the folder is the folder
    count = sum(os.path.realpath(str(test)).startswith(root) for test in own.loc[own["split"] == "test", "path"])
    if count:
        raise SealError(
            f"{path} holds {count} files of this run's sealed test set; they are not external, and none was read. Use --split test."
        )


def _renamed(table: ImageTable, path: Path, vocab: list[str], names: Mapping[str, str]) -> pd.Series[str]:
    """Labels as the run's class names."""
    theirs = table.classes
    for given, wanted in names.items():
        if given not in theirs or wanted not in vocab:
            what, choice = (given, theirs) if given not in theirs else (wanted, vocab)
            whose = "the external classes" if choice is theirs else "the run's classes"
            raise UsageError(
                f"--map {given}={wanted}: {what!r} is not one of {whose} {', '.join(choice)}. Correct the name."
            )
    unknown = [name for name in theirs if names.get(name, name) not in vocab]
    if unknown:
        near = difflib.get_close_matches(unknown[0].casefold(), [name.casefold() for name in vocab], n=1)
        ours = next((name for name in vocab if near and name.casefold() == near[0]), vocab[0])
        raise DataError(
            f"{path} has the class {unknown[0]!r}, which the run does not know; its classes are {', '.join(vocab)}. "
            f"Map it to one of them, e.g. --map {unknown[0]}={ours}, or leave its images out."
        )
    return table.rows["label"].map(lambda name: names.get(name, name))


def _refuse_own_images(rows: pd.DataFrame, own: pd.DataFrame) -> None:
    """Refuse files and decoded images that are identical to one of the run's own."""
    for splits, kind in ((["test"], SealError), (["train", "valid"], DataError)):
        mine = own[own["split"].isin(splits)]
        same = rows["sha256"].isin(mine["sha256"]) | rows["content"].isin(mine["content"])
        if same.any():
            where = "sealed test" if splits == ["test"] else "train or valid"
            raise kind(
                f"{int(same.sum())} of {len(rows)} external images are in this run's {where} set "
                f"(first: {rows['relative'].to_numpy()[same.to_numpy().argmax()]!r}). They are not external; remove them. Nothing was evaluated."
            )


def _notes(rows: pd.DataFrame, own: pd.DataFrame, card: Card, spec: DecodeSpec) -> list[str]:
    notes = drawn_note(rows, "external images")
    if missing := [name for name in card.vocab if name not in set(rows["label"])]:
        notes.append(f"No external image is of class {' or '.join(missing)}: metrics that need one are not estimable.")
    if (rows["given"] != "").any():
        notes.append("The external train/val/test folders were pooled; the network was trained on none of them.")
    patients = set(rows["patient"]) - {""}
    if known := known_patients(patients, own.loc[own["split"] != "test", "patient"]):
        notes.append(
            f"KNOWN PATIENTS: {len(known)} of {len(patients)} external patient keys are in the run's train or valid set "
            "too. If they are the same people, the score is optimistic."
        )
    unknown = int((rows["patient"] == "").sum())
    if unknown == len(rows):
        notes.append(NO_PATIENTS)
    elif unknown:
        notes.append(f"{unknown} of {len(rows)} external images have no patient key and count as their own patients.")
    colour = int((~rows["grey"].astype(bool)).sum())
    if colour and spec.channels == 1:
        notes.append(f"{colour} of {len(rows)} external images are in colour and converted to grey, as in training.")
    return notes
