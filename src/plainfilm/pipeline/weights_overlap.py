"""What the weights of `--weights RUN` have seen: images that taught them must not stand in the new valid or test.

Only tables are compared, which hold hashes from the scan: no picture is opened, of test least of all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plainfilm.base.events import EventCallback
from plainfilm.config import ExperimentConfig
from plainfilm.config.strict_yaml import read_yaml
from plainfilm.data.split.splits import Split
from plainfilm.data.table.image_table import read_table
from plainfilm.errors import DataError, GateError
from plainfilm.models.find_weights import FoundWeights
from plainfilm.pipeline.prepare import Prepared, prepare
from plainfilm.runs.card import Card, read_card
from plainfilm.runs.folder import RunDir

_PIXEL_CONTENT = ("sha256", "content")  # the same file; the same pixels in another file
_UNKNOWN = (
    "UNCHECKED WEIGHTS: whether the weights have seen images of valid or test cannot be checked, "
    "since {what} without a table of images."
)
# What of the source shaped its weights: its train rows taught them, its valid rows chose among their epochs. A valid
# image that has chosen before chooses once more, as valid images do; a test image must have done neither.
_SHAPED_BY = {"valid": ("train",), "test": ("train", "valid")}


@dataclass(frozen=True)
class _Shared:
    """Images of one split of the new run that shaped the weights; `by_key` of them by their patient's key alone."""

    split: str
    images: int
    of: int
    by_key: int

    def words(self) -> str:
        return f"{self.images} of {self.of} {self.split} images"


def prepare_without_overlap(cfg: ExperimentConfig, found: FoundWeights | None, on_event: EventCallback) -> Prepared:
    """What prepare() finds out, with the weights to start from checked against its split; raises what both raise."""
    ready = prepare(cfg, on_event)
    split = _check_weights(ready.split, found, allow_leak=cfg.data.allow_leak)
    for note in split.notes[len(ready.split.notes) :]:
        on_event("note", {"text": note})
    return replace(ready, split=split)


def _check_weights(split: Split, found: FoundWeights | None, *, allow_leak: bool) -> Split:
    """The split with a note, where the weights have seen its valid or test images, or nobody can tell.

    Raises:
        GateError: they have seen some, and `allow_leak` is not set. DataError: the table of a source is damaged.
    """
    if found is None or found.kind == "imagenet":
        return split
    tables, whole = _tables_behind(found)
    shared = _shared_images(split.rows, tables)
    notes = list(split.notes)
    if shared:
        what = f"{' and '.join(part.words() for part in shared)} ({_how(shared)})"
        if not allow_leak:
            raise GateError(
                f"The weights that --weights names have seen {what} when they were made. Give both runs the same split file "
                "(plainfilm split DATA --out split.csv; train --split split.csv), take other weights, or repeat with "
                "--allow-leak, which every output will say."
            )
        notes.append(f"LEAKY WEIGHTS, allowed by --allow-leak: the weights have seen {what} when they were made.")
    if not whole:
        what = "they come" if not tables else "an earlier one of the weights they were trained from comes"
        notes.append(_UNKNOWN.format(what=what))
    return replace(split, notes=tuple(notes))


def _how(shared: list[_Shared]) -> str:
    """By what they are the same; a key alone may also be that of another patient, of a set that counts anew."""
    keys, images = sum(part.by_key for part in shared), sum(part.images for part in shared)
    if keys == 0:
        return "the same pictures"
    return "patients of the same key, no picture the same" if keys == images else f"{keys} by the patient's key alone"


def _tables_behind(found: FoundWeights) -> tuple[list[pd.DataFrame], bool]:
    """The tables of the run whose weights these are, and of the runs that it started from; False where one lacks.

    Raises:
        DataError: a table is damaged.
    """
    run = RunDir(found.path.parent)
    if found.kind != "run" or not run.table.is_file():
        return [], False
    tables, whole = _tables_before(run, found.card.initial_weights if found.card else None)
    return [read_table(run.table), *tables], whole


def _tables_before(run: RunDir, initial: dict[str, Any] | None) -> tuple[list[pd.DataFrame], bool]:
    """The tables of the runs that this one started from, and of those before them; False where one lacks.

    Args:
        initial: `initial_weights` of the run's card.
    Raises:
        DataError: a table is damaged.
    """
    tables: list[pd.DataFrame] = []
    while initial is not None and initial["kind"] != "imagenet":
        before = _source(run, str(initial["sha256"]))
        if before is None or not before[0].table.is_file():
            return tables, False
        run, initial = before
        tables.append(read_table(run.table))
    return tables, True


def _source(run: RunDir, sha256: str) -> tuple[RunDir, dict[str, Any] | None] | None:
    """The run that this one started from, if its weights are still those, and what that one started from."""
    try:
        source = RunDir(Path(read_yaml(run.config)["model"]["weights"]))
        card = read_card(source) if source.card.is_file() else None
    except (DataError, KeyError, TypeError):
        return None
    return (source, card.initial_weights) if card is not None and card.weights_sha256 == sha256 else None


def _shared_images(rows: pd.DataFrame, tables: list[pd.DataFrame]) -> list[_Shared]:
    """Valid and test rows that shaped the weights of the runs behind `tables`; a split without one is left out."""
    found = []
    for name, taught in _SHAPED_BY.items():
        part = rows[rows["split"] == name]
        picture, patient = np.zeros(len(part), dtype=bool), np.zeros(len(part), dtype=bool)
        for table in tables:
            source = table[table["split"].isin(taught)]
            for column in _PIXEL_CONTENT:
                picture |= part[column].isin(set(source[column])).to_numpy()
            patient |= part["patient"].isin(set(source["patient"]) - {""}).to_numpy()
        if (picture | patient).any():
            found.append(_Shared(name, int((picture | patient).sum()), len(part), int((patient & ~picture).sum())))
    return found


def refuse_overlap(external: pd.DataFrame, run: RunDir, card: Card) -> list[str]:
    """What must be said of external images beside weights that the run started from.

    Args:
        external: rows with sha256, content, patient, relative.
    Raises:
        DataError: a picture among them shaped those weights.
    """
    tables, whole = _tables_before(run, card.initial_weights)
    picture, patients = np.zeros(len(external), dtype=bool), set[str]()
    for table in tables:
        source = table[table["split"].isin(_SHAPED_BY["test"])]
        for column in _PIXEL_CONTENT:
            picture |= external[column].isin(set(source[column])).to_numpy()
        patients |= set(source["patient"])
    if picture.any():
        raise DataError(
            f"{int(picture.sum())} of {len(external)} external images shaped the weights that this run started from "
            f"(first: {external['relative'].to_numpy()[picture.argmax()]!r}). They are not external; remove them. Nothing was evaluated."
        )
    people = set(external["patient"]) - {""}
    notes = []
    if known := people & patients:
        notes.append(
            f"KNOWN PATIENTS: {len(known)} of {len(people)} external patients have a key that images behind the run's first "
            "weights have too. If they are the same people, the score flatters."
        )
    if not whole:
        notes.append(
            "UNCHECKED WEIGHTS: whether the weights that this run started from have seen external images cannot be "
            "checked: the table of what taught them is not there."
        )
    return notes
