"""The order of the axes: decoded images have colour last, a network takes it first."""

from __future__ import annotations

import numpy as np


def channels_first(pixels: np.ndarray) -> np.ndarray:
    """(n, h, w) or (n, h, w, 3) as a view (n, 1, h, w) or (n, 3, h, w)."""
    return pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)


def channels_last(pixels: np.ndarray) -> np.ndarray:
    """(n, 1, h, w) or (n, 3, h, w) as a view (n, h, w) or (n, h, w, 3)."""
    return pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)
