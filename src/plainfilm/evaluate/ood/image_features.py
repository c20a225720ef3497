"""Coarse image features that blur, noise and compression hardly change (numpy only)."""

from __future__ import annotations

from typing import Any

import numpy as np

from plainfilm.evaluate.stats.intervals import Floats

LAYOUT_SIDE, GREY_SIDE = 16, 32
_CHUNK = 256  # images processed together
_ONE_GREY_LEVEL = 1 / 255
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_ENTROPY_LEVELS = 32


def image_features(pixels: Any) -> dict[str, Floats]:
    """Two views of each image, float (n, d): 'layout' and 'grey levels'.

    'layout': 16 x 16 cells, standardised by the image's own mean and standard deviation: what is where, whatever the
    exposure. 'grey levels': statistics of 32 x 32 cells: mean, standard deviation, quantiles and entropy, edges at
    three scales across and down, correlation with its own mirror images, and colour.

    Args:
        pixels: uint8 (n, h, w) or (n, h, w, 3), as decode() gives them; rows are read with slices.
    """
    parts = [_views(pixels[start : start + _CHUNK]) for start in range(0, len(pixels), _CHUNK)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _views(pixels: np.ndarray) -> dict[str, Floats]:
    unit = pixels.astype(np.float64) / 255
    grey = unit if unit.ndim == 3 else unit.mean(axis=3)
    small = _cells(grey, GREY_SIDE)
    colour = np.zeros(len(grey)) if unit.ndim == 3 else np.abs(unit - grey[..., None]).mean(axis=(1, 2, 3))
    return {
        "layout": _standardised(_cells(grey, LAYOUT_SIDE)).reshape(len(grey), -1),
        "grey levels": np.column_stack([_levels(small), _edges(small), _mirrors(small), colour]),
    }


def _cells(grey: Floats, side: int) -> Floats:
    """Images (n, h, w) as means over side x side cells, fewer where an image has fewer pixels."""
    for axis in (1, 2):
        n = min(side, grey.shape[axis])
        edges = np.linspace(0, grey.shape[axis], n + 1).round().astype(np.int64)
        sums = np.add.reduceat(grey, edges[:-1], axis=axis)
        grey = sums / np.expand_dims(np.diff(edges), (0, 2) if axis == 1 else (0, 1))
    return grey


def _standardised(x: Floats) -> Floats:
    x = x - x.mean(axis=(1, 2), keepdims=True)
    return np.asarray(x / np.maximum(x.std(axis=(1, 2), keepdims=True), _ONE_GREY_LEVEL))


def _levels(small: Floats) -> Floats:
    """Mean, standard deviation, quantiles and entropy in bits, (n, 10)."""
    flat = small.reshape(len(small), -1)
    level = np.minimum((flat * _ENTROPY_LEVELS).astype(np.int64), _ENTROPY_LEVELS - 1)
    share = np.stack([(level == i).mean(axis=1) for i in range(_ENTROPY_LEVELS)], axis=1)
    entropy = -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=1)
    return np.column_stack([flat.mean(axis=1), flat.std(axis=1), np.quantile(flat, _QUANTILES, axis=1).T, entropy])


def _edges(small: Floats) -> Floats:
    """Log of the mean step between neighbours, across and down, at 32, 16 and 8 cells, (n, 6)."""
    found = []
    for side in (GREY_SIDE, GREY_SIDE // 2, GREY_SIDE // 4):
        coarse = _cells(small, side)
        found += [np.log(np.abs(np.diff(coarse, axis=axis)).mean(axis=(1, 2)) + _ONE_GREY_LEVEL) for axis in (2, 1)]
    return np.column_stack(found)


def _mirrors(small: Floats) -> Floats:
    """Correlation of each image with itself mirrored left to right, upside down, and across its diagonal, (n, 3)."""
    x = _standardised(small)
    side = min(x.shape[1:])
    square = x[:, :side, :side]
    pairs = ((x, x[:, :, ::-1]), (x, x[:, ::-1]), (square, square.transpose(0, 2, 1)))
    return np.column_stack([(a * b).mean(axis=(1, 2)) for a, b in pairs])
