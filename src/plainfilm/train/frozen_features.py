"""Pooled features of a frozen network, computed once: an epoch of the head then takes a fraction of a second.

They are kept in the cache by the weights that made them, so a second training of the head computes none.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any, NamedTuple

import numpy as np
import torch
from fastai.learner import Learner

from plainfilm.data.cache.features import FeatureCache
from plainfilm.data.image.layout import channels_first
from plainfilm.data.loaders.block import CacheDL
from plainfilm.models.build import Normalised
from plainfilm.runs.environment import versions
from plainfilm.train.callbacks import raise_if_stop_requested
from plainfilm.train.machine.other_processes import Load, LoadMeter
from plainfilm.train.machine.speed import full_fp32_products

_BATCH = 64


class FeaturePass(NamedTuple):
    """Seconds per image of the pass that computed the features, and the load of the machine meanwhile."""

    per_image: float
    load: Load


def hold_features(learn: Learner) -> None:
    """Let the loaders yield the network's features of each image, without augmentation, instead of the image.

    The network is in inference mode for this: BatchNorm uses its running statistics. A FeatureCache as
    `learn.feature_cache` is read first, and keeps what is computed. `learn.feature_pass`: how long they took to compute;
    None where they were read.
    """
    learn.model.eval()
    learn.feature_pass = None
    cache: FeatureCache | None = getattr(learn, "feature_cache", None)
    made_by = _made_by(learn.model, str(learn.dls.device or "cpu")) if cache else {}
    meter, began, computed = LoadMeter(), time.perf_counter(), 0
    found, parts, kept = [], _parts(learn), True
    for rows in parts:
        mine = cache.part(rows) if cache else None
        features = mine.read(made_by) if mine else None
        if features is None:
            features, computed = _computed(learn, rows), computed + len(rows)
            kept = kept and mine is not None and mine.write(made_by, features)  # a full disk is noted once
        found.append(features)
    if computed:
        learn.feature_pass = FeaturePass((time.perf_counter() - began) / computed, meter.read())
    _set_features(learn, np.concatenate(found)[np.argsort(np.concatenate(parts))])


def _parts(learn: Learner) -> list[np.ndarray]:
    """Numbers of the train rows and of all others, which runs with another part of the train images share.

    No batch holds rows of both, so that either part's features are bit-identical whatever the other is.
    """
    train = np.isin(np.arange(len(learn.dls.train.pixels)), learn.dls.train.dataset.items)
    return [rows for rows in (np.flatnonzero(train), np.flatnonzero(~train)) if len(rows)]


def _computed(learn: Learner, rows: np.ndarray) -> np.ndarray:
    """Features of these rows, float32 (n, d)."""
    pixels, found = learn.dls.train.pixels, []
    # an inference tensor could not be trained on: these are copied to one array
    with torch.inference_mode(), full_fp32_products(str(learn.dls.device or "cpu")):
        for start in range(0, len(rows), _BATCH):
            raise_if_stop_requested(learn)
            images = channels_first(pixels[rows[start : start + _BATCH]])
            batch = torch.from_numpy(images).to(learn.dls.device or "cpu")
            found.append(learn.model.features(batch.float().div_(255)).float().cpu().numpy())
    return np.concatenate(found)


def _made_by(model: Normalised, device: str) -> dict[str, Any]:
    """What determines the bits of features, besides images, preprocessing and the network's options."""
    installed = versions()
    return {
        "weights": _weights_sha256(model), "features": model.head.in_features,
        "standardise": model.standardise, "memory_format": str(model.memory_format), "as_grey": model.as_grey,
        "versions": {name: installed[name] for name in ("plainfilm", "torch", "torchvision", "timm")}, "batch": _BATCH, "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "processor": torch.backends.cpu.get_cpu_capability(),
    }  # fmt: skip


def _weights_sha256(model: Normalised) -> str:
    """Hash of all tensors in front of the head, BatchNorm's statistics and the normalisation included."""
    digest, head = hashlib.sha256(), f"{model.parts.head}."
    named = {name: value for name, value in model.network.state_dict().items() if not name.startswith(head)}
    for name, value in sorted({**named, "/mean": model.mean, "/std": model.std}.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def release_features(learn: Learner) -> None:
    """Let the loaders yield images again."""
    _set_features(learn, None)


def _set_features(learn: Learner, features: np.ndarray | None) -> None:
    for dl in learn.dls.loaders:
        if isinstance(dl, CacheDL):
            dl.features = features
