"""Check the weights of `--weights RUN` for leakage: images they were trained on must not be in the new valid or test.

Only tables are compared, which have hashes from the scan: no image is opened, least of all one of test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plainfilm.base.events import EventCallback
from plainfilm.config import ExperimentConfig
from plainfilm.data.split.splits import Split
from plainfilm.data.table.patients import are_known, known_patients
from plainfilm.data.table.saved_table import read_table
from plainfilm.errors import ConfigError, DataError, GateError
from plainfilm.evaluate.shift.known_images import identical_images
from plainfilm.models.find_weights import FoundWeights
from plainfilm.pipeline.prepare import Prepared, prepare
from plainfilm.runs.card import Card, read_card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.saved_config import read_run_yaml

_UNKNOWN = (
    "UNCHECKED WEIGHTS: whether the weights were trained on images of valid or test cannot be checked, "
    "since {what} without a table of images."
)
# Rows of the source run that shaped its weights: train rows trained them, valid rows selected the epoch. An image of the
# new valid may come from the source's valid, since both select a model; a test image must come from neither.
_SHAPED_BY = {"valid": ("train",), "test": ("train", "valid")}


@dataclass(frozen=True)
class _Shared:
    """Images of one split of the new run that shaped the weights; `by_key` of them match by patient key alone."""

    split: str
    images: int
    of: int
    by_key: int

    def words(self) -> str:
        return f"{self.images} of {self.of} {self.split} images"


def prepare_without_overlap(
    cfg: ExperimentConfig, found: FoundWeights | None, on_event: EventCallback, ready: Prepared | None = None
) -> Prepared:
    """The result of prepare(), or `ready` where it is known, with the initial weights checked against its split; raises
    what both raise."""
    ready = ready or prepare(cfg, on_event)
    split = _check_weights(ready.split, found, allow_leak=cfg.data.allow_leak)
    for note in split.notes[len(ready.split.notes) :]:
        on_event("note", {"text": note})
    return replace(ready, split=split)


def _check_weights(split: Split, found: FoundWeights | None, *, allow_leak: bool) -> Split:
    """The split, with a note if the weights were trained on its valid or test images, or if that is unknown.

    Raises:
        GateError: there is such an overlap, and `allow_leak` is not set. DataError: a source's table is damaged.
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
                f"The weights of --weights were trained or selected on {what}. Give both runs the same split file "
                "(plainfilm split DATA --out split.csv; train --split split.csv), use other weights, or repeat with "
                "--allow-leak, which every output will say."
            )
        notes.append(f"LEAKY WEIGHTS, allowed by --allow-leak: the weights were trained or selected on {what}.")
    if not whole:
        what = "they come" if not tables else "an earlier one of the weights they were trained from comes"
        notes.append(_UNKNOWN.format(what=what))
    return replace(split, notes=tuple(notes))


def _how(shared: list[_Shared]) -> str:
    """How the images match; a key alone may also belong to another patient, in a set with its own numbering."""
    keys, images = sum(part.by_key for part in shared), sum(part.images for part in shared)
    if keys == 0:
        return "the same images"
    return "the same patient keys, but no identical image" if keys == images else f"{keys} by patient key alone"


def _tables_behind(found: FoundWeights) -> tuple[list[pd.DataFrame], bool]:
    """The tables of the run that trained these weights, and of the runs that it started from; False if one is missing.

    Raises:
        DataError: a table is damaged.
    """
    run = RunDir(found.path.parent)
    if found.kind != "run" or not run.table.is_file():
        return [], False
    tables, whole = _tables_before(run, found.card.initial_weights if found.card else None)
    return [read_table(run), *tables], whole


def _tables_before(run: RunDir, initial: dict[str, Any] | None) -> tuple[list[pd.DataFrame], bool]:
    """The tables of all runs that this one started from, directly or not; False if one is missing.

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
        tables.append(read_table(run))
    return tables, True


def _source(run: RunDir, sha256: str) -> tuple[RunDir, dict[str, Any] | None] | None:
    """The run that this one started from, if it still has those weights, and its own initial weights.

    Raises:
        DataError: the config that names it was edited.
    """
    try:
        named = Path(read_run_yaml(run)["model"]["weights"])
    except (ConfigError, KeyError, TypeError):
        return None
    try:
        source = RunDir(named)
        card = read_card(source) if source.card.is_file() else None
    except DataError:
        return None
    return (source, card.initial_weights) if card is not None and card.weights_sha256 == sha256 else None


def _shared_images(rows: pd.DataFrame, tables: list[pd.DataFrame]) -> list[_Shared]:
    """Valid and test rows that shaped the weights of the runs of `tables`; a split without one is left out."""
    found = []
    for name, used in _SHAPED_BY.items():
        part = rows[rows["split"] == name]
        image, patient = np.zeros(len(part), dtype=bool), np.zeros(len(part), dtype=bool)
        for table in tables:
            source = table[table["split"].isin(used)]
            image |= identical_images(part, source).to_numpy()
            patient |= are_known(part["patient"], source["patient"]).to_numpy()
        if (image | patient).any():
            found.append(_Shared(name, int((image | patient).sum()), len(part), int((patient & ~image).sum())))
    return found


def refuse_overlap(external: pd.DataFrame, run: RunDir, card: Card) -> list[str]:
    """Notes about external images and the weights that the run started from.

    Args:
        external: rows with sha256, content, patient, relative.
    Raises:
        DataError: an image among them shaped those weights.
    """
    tables, whole = _tables_before(run, card.initial_weights)
    image, patients = np.zeros(len(external), dtype=bool), set[str]()
    for table in tables:
        source = table[table["split"].isin(_SHAPED_BY["test"])]
        image |= identical_images(external, source).to_numpy()
        patients |= set(source["patient"])
    if image.any():
        raise DataError(
            f"{int(image.sum())} of {len(external)} external images shaped the weights that this run started from "
            f"(first: {external['relative'].to_numpy()[image.argmax()]!r}). They are not external; remove them. Nothing was evaluated."
        )
    people = set(external["patient"]) - {""}
    notes = []
    if known := known_patients(people, patients):
        notes.append(
            f"KNOWN PATIENTS: {len(known)} of {len(people)} external patient keys are those of images behind the run's initial "
            "weights too. If they are the same people, the score is optimistic."
        )
    if not whole:
        notes.append(
            "UNCHECKED WEIGHTS: whether the weights that this run started from were trained on external images cannot "
            "be checked: the table of their training images is missing."
        )
    return notes
