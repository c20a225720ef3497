"""The pooled features of a frozen network, computed once: an epoch of its head then takes a fraction of a second."""

from __future__ import annotations

import numpy as np
import torch
from fastai.learner import Learner

from plainfilm.data.loaders.block import CacheDL
from plainfilm.train.callbacks import meet_request

_BATCH = 64


def hold_features(learn: Learner) -> None:
    """Let the loaders give the network's features of each picture, without augmentation, in place of the picture.

    The network stands in its inference mode for this: a BatchNorm uses the statistics of its weights.
    """
    learn.model.eval()
    pixels, found = learn.dls.train.pixels, []
    with torch.no_grad():
        for start in range(0, len(pixels), _BATCH):
            meet_request(learn)
            batch = torch.from_numpy(pixels[start : start + _BATCH]).to(learn.dls.device or "cpu")
            batch = batch[:, None] if batch.ndim == 3 else batch.permute(0, 3, 1, 2)
            found.append(learn.model.features(batch.float().div_(255)).float().cpu().numpy())
    _give(learn, np.concatenate(found))


def release_features(learn: Learner) -> None:
    """Let the loaders give pictures again."""
    _give(learn, None)


def _give(learn: Learner, features: np.ndarray | None) -> None:
    for dl in learn.dls.loaders:
        if isinstance(dl, CacheDL):
            dl.features = features
