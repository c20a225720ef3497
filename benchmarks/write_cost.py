"""Seconds that a run spends after each epoch on writing its state and its best weights, flushed to disk.

python benchmarks/write_cost.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save

from plainfilm.base.files import atomic_write
from plainfilm.config import ModelConfig
from plainfilm.models.build import build_model


def seconds(size_px: int) -> tuple[float, float]:
    """Median seconds and megabytes of weights, moments and best weights of the paper's network."""
    weights = {name: value.contiguous() for name, value in build_model(ModelConfig(), 2, size_px).state_dict().items()}
    state = {
        f"{slot}.{name}": torch.rand_like(value)
        for slot in ("model", "exp_avg", "exp_avg_sq")
        for name, value in weights.items()
    }
    taken, size = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(5):
            started = time.perf_counter()
            for name, tensors in (("last", state), ("best", weights)):
                data = save(tensors)
                size = len(data) + (size if name == "best" else 0)
                atomic_write(Path(folder) / name, data)
            taken.append(time.perf_counter() - started)
    return statistics.median(taken), size / 1e6


if __name__ == "__main__":
    for size_px in (128, 224, 512):
        took, megabytes = seconds(size_px)
        print(f"{size_px} px: {took:.2f} s for {megabytes:.0f} MB after an epoch")
