"""Bytes that glibc's allocator holds after the first epoch of a training, and after the twenty-first."""

from __future__ import annotations

import ctypes
import hashlib
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from fastai.callback.core import Callback

from plainfilm.config import ModelConfig, TrainConfig
from plainfilm.data.loaders.block import make_dls
from plainfilm.models.build import build_model
from plainfilm.train.learner import make_learner
from plainfilm.train.machine.speed import keep_memory

SIZE, IMAGES, EPOCHS = 64, 512, 21
M_TOP_PAD = -2


class Mallinfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t) for name in ("arena", *"bcdefghij")
    ]  # ten numbers; the first is all that is held


class Note(Callback):
    def after_epoch(self) -> None:
        if self.epoch in (0, EPOCHS - 1):
            mallinfo2 = ctypes.CDLL(None).mallinfo2
            mallinfo2.restype = Mallinfo2
            print(mallinfo2().arena, flush=True)


keep_memory()
ctypes.CDLL(None).mallopt(M_TOP_PAD, 1 << 20)  # grow by what is needed, not by 256 MB, so that little growth is seen
pixels = np.random.default_rng(0).integers(0, 255, (IMAGES + 64, SIZE, SIZE), dtype=np.uint8)
rows = pd.DataFrame({
    "label": np.where(np.arange(len(pixels)) % 2, "SICK", "WELL"), "split": np.repeat(["train", "valid"], (IMAGES, 64)),
    "sha256": [hashlib.sha256(p.tobytes()).hexdigest() for p in pixels],
})  # fmt: skip
cfg = TrainConfig(size_px=SIZE, batch_size=64, epochs=EPOCHS, augment="robust")
model = build_model(ModelConfig(name="compact"), 2, SIZE)
with tempfile.TemporaryDirectory() as folder:
    learn = make_learner(
        make_dls(rows, pixels, cfg, vocab=["SICK", "WELL"]),
        model,
        cfg,
        path=Path(folder),
        on_event=lambda what, facts: None,
    )
    learn.add_cb(Note())
    learn.fit(EPOCHS)
