"""Pooled features of a frozen network, computed once: an epoch of the head then takes a fraction of a second."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import torch
from fastai.learner import Learner

from plainfilm.data.image.layout import channels_first
from plainfilm.data.loaders.block import CacheDL
from plainfilm.train.callbacks import raise_if_stop_requested
from plainfilm.train.other_processes import Load, LoadMeter

_BATCH = 64


class _FeaturePass(NamedTuple):
    """Seconds per image of the pass that computed the features, and the load of the machine meanwhile."""

    per_image: float
    load: Load


def hold_features(learn: Learner) -> None:
    """Let the loaders yield the network's features of each image, without augmentation, instead of the image.

    The network is in inference mode for this: BatchNorm uses its running statistics. `learn.feature_pass`: how long it
    took.
    """
    learn.model.eval()
    meter, began = LoadMeter(), time.perf_counter()
    pixels, found = learn.dls.train.pixels, []
    with torch.no_grad():
        for start in range(0, len(pixels), _BATCH):
            raise_if_stop_requested(learn)
            batch = torch.from_numpy(channels_first(pixels[start : start + _BATCH])).to(learn.dls.device or "cpu")
            found.append(learn.model.features(batch.float().div_(255)).float().cpu().numpy())
    learn.feature_pass = _FeaturePass((time.perf_counter() - began) / len(pixels), meter.read())
    _set_features(learn, np.concatenate(found))


def release_features(learn: Learner) -> None:
    """Let the loaders yield images again."""
    _set_features(learn, None)


def _set_features(learn: Learner, features: np.ndarray | None) -> None:
    for dl in learn.dls.loaders:
        if isinstance(dl, CacheDL):
            dl.features = features
