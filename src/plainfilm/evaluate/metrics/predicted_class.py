"""Scores -> the predicted class of each image."""

from __future__ import annotations

import numpy as np

from plainfilm.errors import DataError
from plainfilm.evaluate.stats.intervals import Floats, Ints


def predicted_classes(probs: Floats, *, positive: int | None, threshold: float | None) -> Ints:
    """Predicted class of each image, int (n,), 0..k-1.

    Args:
        probs: float (n, k).
        positive: the positive class of two; not used without a threshold.
        threshold: an image is predicted positive when its positive probability is >= threshold. None: the largest
            probability, and the first class among equals.
    """
    if threshold is None:
        return np.asarray(probs.argmax(axis=1), dtype=np.int64)
    if positive not in (0, 1) or probs.shape[1] != 2:
        raise DataError(f"A threshold ({threshold}) needs two classes and a positive one. Pass threshold=None.")
    return np.where(probs[:, positive] >= threshold, positive, 1 - positive).astype(np.int64)
