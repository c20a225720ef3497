"""A small Learner for the training tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from plainfilm.config import ModelConfig, TrainConfig
from plainfilm.data.loaders.block import make_dls
from plainfilm.models.build import build_model
from plainfilm.train.learner import make_learner

SIZE = 40


@pytest.fixture
def make_learn(tmp_path) -> Callable[..., Any]:
    """make_learn(seed=0, model=None, **train): 40 train, 20 valid, 12 test images of 40 px in batches of 8; class SICK has a
    bright square. `seed` initialises the weights of the paper's network, or of the ModelConfig `model`.
    """
    rng = np.random.default_rng(0)
    label = np.arange(72) % 2
    pixels = rng.integers(0, 120, (72, SIZE, SIZE), dtype=np.uint8)
    pixels[label == 1, 10:30, 10:30] += 100
    rows = pd.DataFrame({
        "label": np.where(label == 1, "SICK", "WELL"), "split": np.repeat(["train", "valid", "test"], (40, 20, 12)),
        "sha256": [hashlib.sha256(p.tobytes()).hexdigest() for p in pixels],
    })  # fmt: skip

    def make(seed: int = 0, model: ModelConfig | None = None, **train: Any) -> Any:
        cfg = TrainConfig(**{"size_px": SIZE, "batch_size": 8, "epochs": 2, "lr": 2e-3, **train})
        dls = make_dls(rows, pixels, cfg, vocab=["SICK", "WELL"])
        network = build_model(model or ModelConfig(filters=(4, 4, 8), dense=16), 2, SIZE, seed, speed=cfg.speed)
        return make_learner(dls, network, cfg, path=tmp_path)

    return make


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks as small as these are slower with more, and much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
