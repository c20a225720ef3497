"""What a training does once its first step is made: the shortcut probes, and the figure of a training batch.

They take seconds, and the first epoch should begin soon. Before its second epoch a training says what they found.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plainfilm.base.events import EventCallback
from plainfilm.base.files import atomic_write
from plainfilm.config import ExperimentConfig, TrainConfig
from plainfilm.data.image.layout import channels_last
from plainfilm.pipeline.prepare import Prepared
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.documents import ShortcutBaseline

if TYPE_CHECKING:
    from fastai.learner import Learner


@dataclass
class FirstStepWork:
    """On its first call, probes the run's own train and valid rows and draws a batch.

    Afterwards `ready` has a note for each shortcut, and `baseline` the probes, None without the audit.
    """

    run: RunDir
    cfg: ExperimentConfig
    ready: Prepared
    learn: Learner
    on_event: EventCallback
    baseline: ShortcutBaseline | None = None
    is_done: bool = False

    def __call__(self) -> None:
        """Do the work, and say how long it took."""
        if self.is_done:
            return
        began = time.perf_counter()
        if self.cfg.data.audit:
            self._probe()
        _draw_batch(self.run, self.learn, self.cfg.train)
        self.is_done = True
        self.on_event("pause", {"seconds": time.perf_counter() - began})

    def _probe(self) -> None:
        """The short audit: shortcut probes, and a note for each with a high score."""
        from plainfilm.evaluate.shortcuts.probe_baseline import probe_features, probe_valid, shortcut_note, unknown_note

        ready, rows = self.ready, self.ready.split.seen
        self.on_event("probe", {"pixels": "the train and valid"})
        features = probe_features(rows, self.learn.dls.train.pixels)
        self.baseline = probe_valid(
            self.run, rows, features, ready.vocab, ready.positive, has_patients=ready.table.has_patients
        )
        found = self.baseline.probes
        notes = [*shortcut_note(found, "on valid"), *unknown_note(found, "on valid")]
        for text in notes:
            self.on_event("note", {"text": text})
        self.ready = replace(ready, split=replace(ready.split, notes=(*ready.split.notes, *notes)))


def _draw_batch(run: RunDir, learn: Learner, train: TrainConfig) -> None:
    """Draw images of the first training batch as the network sees them."""
    from plainfilm.plots.base import CELL_LETTERS, as_png, plot_batch
    from plainfilm.plots.names import distinct
    from plainfilm.train.first_step import first_batch

    first = min(phase.size_px for phase in train.phases)
    x, y = first_batch(learn.dls.train, first)
    names = distinct(list(learn.dls.vocab), CELL_LETTERS)
    images = channels_last(x[:16].cpu().numpy())
    size = f", {first} px at first" if first != train.size_px else ""
    title = f"A training batch as the network sees it ({train.augment}{size})"
    atomic_write(run.figure("batch"), as_png(plot_batch(images, [names[int(k)] for k in y[:16]], title)))
