"""`--external DIR`: images from elsewhere, that the run never saw, read as its own were.

What makes them external is checked, not believed: a picture of the run's own train or valid set is refused, and one of
its sealed test set even before it is opened, where the path tells it.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from plainfilm.base.events import EventCallback
from plainfilm.config import DataConfig, ExperimentConfig
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.data.split.splits import NO_PATIENTS, grouped
from plainfilm.data.table.image_table import ImageTable, refuse_damaged, scan_table
from plainfilm.errors import DataError, SealError, UsageError
from plainfilm.evaluate.test_ledger import seal_of
from plainfilm.runs.card import Card

PREFIX = "external-"


@dataclass(frozen=True)
class ExternalSet:
    """Images of a run's classes from elsewhere.

    `rows`: as those of a run's table, with `group`; labels are the run's own names. `table`: what became of each file.
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
        """What the run's files call it: by its content, since a folder's name may be a person's."""
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


def read_external(
    path: Path, card: Card, cfg: ExperimentConfig, own: pd.DataFrame, *, names: Mapping[str, str],
    patient_pattern: str | None, on_event: EventCallback,
) -> ExternalSet:  # fmt: skip
    """The external images, every file read once; nothing is scored.

    Args:
        path: a folder of class folders, with or without train/val/test above them, or a CSV.
        own: all rows of the run's table.
        names: their class names -> the run's; names that are equal need none.
        patient_pattern: finds the patient in their file names; None: the names that plainfilm knows.
    Raises:
        DataError: no image, a class that the run does not know, too many damaged files, another bit depth, or a picture
            that the run learned from or chose by. SealError: a picture of the run's test set. UsageError: `names` names
            a class that is not there.
    """
    _refuse_test_folder(path, own)
    spec = DecodeSpec(**card.decode)
    data = DataConfig(
        path=str(path), bits=cast(Any, spec.bits), tiff=spec.tiff, frame=spec.frame,
        patient_pattern=patient_pattern, max_bad=cfg.data.max_bad, follow_links=cfg.data.follow_links, cache=cfg.data.cache,
    )  # fmt: skip
    table, found = scan_table(path, data, lambda done, of: on_event("scan", {"done": done, "of": of}))
    refuse_damaged(table, found, data)
    if spec.bits is None and table.bits is not None:
        raise DataError(
            f"{path} holds pictures of {table.bits} bits; the run was trained on 8-bit pictures alone, so nobody knows how "
            "theirs compare. Convert them to 8 bits as the training pictures were made."
        )
    rows = grouped(table.rows.assign(label=_renamed(table, path, card.vocab, names)), wide=False)
    _refuse_own_pictures(rows, own)
    return ExternalSet(rows, table, path, tuple(_notes(rows, own, card, spec)))


def _refuse_test_folder(path: Path, own: pd.DataFrame) -> None:
    """By their paths alone: a test picture is opened by nothing but a look at the test set."""
    root = os.path.join(os.path.realpath(path), "")  # a link to the folder is the folder
    inside = sum(os.path.realpath(str(test)).startswith(root) for test in own.loc[own["split"] == "test", "path"])
    if inside:
        raise SealError(
            f"{path} holds {inside} files of this run's sealed test set; they are not external, and none was opened. Use --split test."
        )


def _renamed(table: ImageTable, path: Path, vocab: list[str], names: Mapping[str, str]) -> pd.Series[str]:
    """Labels in the run's names."""
    theirs = table.classes
    for given, wanted in names.items():
        if given not in theirs or wanted not in vocab:
            what, choice = (given, theirs) if given not in theirs else (wanted, vocab)
            whose = "the external classes" if choice is theirs else "the run's classes"
            raise UsageError(f"--map {given}={wanted}: {what!r} is none of {whose} {', '.join(choice)}. Mend the name.")
    strange = [name for name in theirs if names.get(name, name) not in vocab]
    if strange:
        near = difflib.get_close_matches(strange[0].casefold(), [name.casefold() for name in vocab], n=1)
        ours = next((name for name in vocab if near and name.casefold() == near[0]), vocab[0])
        raise DataError(
            f"{path} has the class {strange[0]!r}, which the run does not know; its classes are {', '.join(vocab)}. "
            f"Say which one it is, e.g. --map {strange[0]}={ours}, or leave its images out."
        )
    return table.rows["label"].map(lambda name: names.get(name, name))


def _refuse_own_pictures(rows: pd.DataFrame, own: pd.DataFrame) -> None:
    """Identical files and identical pictures of the run's own sets."""
    for splits, kind in ((["test"], SealError), (["train", "valid"], DataError)):
        mine = own[own["split"].isin(splits)]
        same = rows["sha256"].isin(mine["sha256"]) | rows["content"].isin(mine["content"])
        if same.any():
            where = "sealed test" if splits == ["test"] else "train or valid"
            raise kind(
                f"{int(same.sum())} of {len(rows)} external images are pictures of this run's {where} set "
                f"(first: {rows['relative'].to_numpy()[same.to_numpy().argmax()]!r}). They are not external; remove them. Nothing was evaluated."
            )


def _notes(rows: pd.DataFrame, own: pd.DataFrame, card: Card, spec: DecodeSpec) -> list[str]:
    notes = []
    missing = [name for name in card.vocab if name not in set(rows["label"])]
    if missing:
        notes.append(f"No external image is of class {' or '.join(missing)}: what needs one is not estimable.")
    if (rows["given"] != "").any():
        notes.append("The external train/val/test folders were pooled: nothing of them was learned from.")
    people = set(rows["patient"]) - {""}
    known = people & set(own.loc[own["split"] != "test", "patient"])
    if known:
        notes.append(
            f"KNOWN PATIENTS: {len(known)} of {len(people)} external patients have a key that the run's train or valid set "
            "has too. If they are the same people, the score flatters."
        )
    unknown = int((rows["patient"] == "").sum())
    if unknown == len(rows):
        notes.append(NO_PATIENTS)
    elif unknown:
        notes.append(f"{unknown} of {len(rows)} external images have no patient key and count as their own patients.")
    colour = int((~rows["grey"].astype(bool)).sum())
    if colour and spec.channels == 1:
        notes.append(
            f"{colour} of {len(rows)} external images are in colour and seen in grey, as the network was trained."
        )
    return notes
