"""The local images of a recalibration, read as external images are and scored by a run's network or a bundle's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from plainfilm.base.events import EventCallback
from plainfilm.config import load_config
from plainfilm.data.cache.rows import PixelRows, decode_with_events
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.data.image.layout import channels_first
from plainfilm.data.split.splits import label_index
from plainfilm.data.table.saved_table import COLUMNS
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.ood.ood_gate import OODGate, read_gate
from plainfilm.evaluate.predictions import predict
from plainfilm.evaluate.shift.external_set import ExternalRequest, read_external
from plainfilm.evaluate.stats.intervals import renumbered
from plainfilm.export.manifest import MANIFEST
from plainfilm.export.scorer import Bundle, open_bundle
from plainfilm.models.from_card import kept_network
from plainfilm.recalibrate.local_fit import LocalScores
from plainfilm.runs.card import Card
from plainfilm.runs.folder import RunDir

if TYPE_CHECKING:
    from plainfilm.models.build import Normalised

_BATCH = 64
NOT_CHECKED = (
    "NOT CHECKED: a bundle does not know its images, so whether local images or patients are among them is unknown."
)


@dataclass(frozen=True)
class ParentRun:
    """A finished run; its network runs in torch."""

    finished: FinishedRun
    device: str

    @property
    def card(self) -> Card:
        return self.finished.card

    @property
    def known(self) -> FinishedRun:
        """What it knows of its own images, for reading others."""
        return self.finished

    @cached_property
    def gate(self) -> OODGate | None:
        return read_gate(self.finished.run, self.card)

    @cached_property
    def network(self) -> tuple[Normalised, str]:
        """The kept network, and the device to use."""
        return kept_network(self.finished.run, self.card, self.device)

    def score(self, pixels: PixelRows | np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Logits float (n, k) of the network, and OOD scores (n,), None without a gate."""
        model, device = self.network
        logits, features = predict(model, pixels, device)
        return logits, self.gate.score(pixels, features)[0] if self.gate else None


@dataclass(frozen=True)
class ParentBundle:
    """A verified bundle; its network runs in ONNX Runtime. Which images it was trained on, it does not know."""

    bundle: Bundle
    path: Path

    @property
    def card(self) -> Card:
        return self.bundle.card

    @property
    def gate(self) -> OODGate | None:
        return self.bundle.gate

    @property
    def known(self) -> FinishedRun:
        """A run without images, for reading others."""
        nothing = pd.DataFrame({name: pd.Series(dtype=object) for name in (*COLUMNS, "group", "role", "split")})
        return FinishedRun(RunDir(self.path), self.card, load_config(options={}), nothing)

    def score(self, pixels: PixelRows | np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """As of a run."""
        step = max(1, min(_BATCH, _BATCH * 224**2 // self.bundle.card.size_px**2))  # a batch has a limit of time
        batches = (pixels[start : start + step] for start in range(0, len(pixels), step))
        parts = [self.bundle.outputs(np.ascontiguousarray(channels_first(batch))) for batch in batches]
        ood = None if parts[0][1] is None else np.concatenate([part[1] for part in parts if part[1] is not None])
        return np.concatenate([part[0] for part in parts]), ood


Parent = ParentRun | ParentBundle


def open_parent(path: Path, device: str, data: Path | None, on_event: EventCallback) -> Parent:
    """The run or bundle at `path`.

    Raises:
        DataError: neither. BundleError: a damaged bundle.
    """
    if path.suffix.casefold() == ".zip" or (path / MANIFEST).is_file():
        return ParentBundle(open_bundle(path), path)
    return ParentRun(FinishedRun.open(path, data, on_event), device)


@dataclass(frozen=True)
class LocalImages:
    """Labelled local images with their scores. `rows`: as of an external set; ood: float (n,), None without a gate."""

    rows: pd.DataFrame
    scores: LocalScores
    has_patients: bool
    ood: np.ndarray | None
    notes: tuple[str, ...]

    @property
    def patients(self) -> int | None:
        """As they are resampled; None without a patient key."""
        return self.scores.patients if self.has_patients else None


def read_local(parent: Parent, asked: ExternalRequest, on_event: EventCallback) -> LocalImages:
    """The local images, refused where they are the parent's own, and their scores; nothing is written.

    Raises:
        DataError, SealError, UsageError: as for external images.
    """
    external = read_external(parent.known, asked, on_event)
    rows = external.rows.reset_index(drop=True)
    with parent.known.decoding():
        pixels = decode_with_events(rows, DecodeSpec(**parent.card.decode), on_event, keep=False)
    logits, ood = parent.score(pixels)
    clusters = renumbered(rows["group"].to_numpy())
    scores = LocalScores(logits, label_index(rows, parent.card.vocab), clusters, tuple(rows["sha256"]))
    unknown = () if isinstance(parent, ParentRun) else (NOT_CHECKED,)
    return LocalImages(rows, scores, external.table.has_patients, ood, (*unknown, *external.notes))
