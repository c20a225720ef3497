"""Sharpness of images with changes that the gate is to let pass (numpy, scipy, Pillow; only where a gate is fitted)."""

from __future__ import annotations

from typing import Any

import numpy as np

from plainfilm.data.synthetic.corruptions import corrupted
from plainfilm.evaluate.ood.image_features import SHARPNESS, image_features
from plainfilm.evaluate.stats.intervals import Floats

# Without them 98 % of lightly noisy drawn images were marked, and 67 % after JPEG 60. Blur stays out: with it blur of
# 1/32 of the side passed again (10 to 67 % marked, for 100 %).
_CHANGES = ("jpeg-60", "noise")
_MOST = 200  # images


def tolerated_sharpness(pixels: Any) -> Floats:
    """Sharpness (3 m, d) of m <= 200 images spread over `pixels`, as they are and after each change.

    Args:
        pixels: uint8 (n, h, w) or (n, h, w, 3), or PixelRows.
    """
    which = spread_over(len(pixels), _MOST)
    some = pixels[which]
    each = [some, *(corrupted(some, name, which) for name in _CHANGES)]
    return np.vstack([image_features(x, [SHARPNESS])[SHARPNESS] for x in each])


def spread_over(n: int, most: int) -> np.ndarray:
    """At most `most` numbers of 0..n-1, evenly spread, int64."""
    return np.linspace(0, n - 1, min(most, n)).round().astype(np.int64)
