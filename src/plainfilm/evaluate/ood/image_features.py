"""Image features of the OOD gate (numpy only): two coarse views that small changes hardly move, and sharpness."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from plainfilm.evaluate.stats.intervals import Floats

LAYOUT, GREY_LEVELS, SHARPNESS = IMAGE_VIEWS = ("layout", "grey levels", "sharpness")
LAYOUT_SIDE, GREY_SIDE, _SHARP_SIDE = 16, 32, 4
_CHUNK = 256  # images processed together
_ONE_GREY_LEVEL = 1 / 255
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_ENTROPY_LEVELS = 32


def image_features(pixels: Any, views: Collection[str] = IMAGE_VIEWS) -> dict[str, Floats]:
    """Views of each image, float (n, d), those of IMAGE_VIEWS that are in `views`.

    'layout': 16 x 16 cells, standardised by the image's own mean and standard deviation: what is where, whatever the
    exposure. 'grey levels': statistics of 32 x 32 cells: mean, standard deviation, quantiles and entropy, edges at
    three scales across and down, correlation with its own mirror images, and colour. 'sharpness': detail by
    place, at two scales.

    Args:
        pixels: uint8 (n, h, w) or (n, h, w, 3), as decode() gives them; rows are read with slices.
    """
    parts = [_views(pixels[start : start + _CHUNK], views) for start in range(0, len(pixels), _CHUNK)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _views(pixels: np.ndarray, views: Collection[str]) -> dict[str, Floats]:
    unit = pixels.astype(np.float64) / 255
    grey = unit if unit.ndim == 3 else unit.mean(axis=3)
    made = {
        LAYOUT: lambda: _layout(grey),
        GREY_LEVELS: lambda: _grey_levels(unit, grey),
        SHARPNESS: lambda: _sharpness(grey),
    }
    return {name: make() for name, make in made.items() if name in views}


def _layout(grey: Floats) -> Floats:
    return _standardised(_cells(grey, LAYOUT_SIDE)).reshape(len(grey), -1)


def _grey_levels(unit: Floats, grey: Floats) -> Floats:
    small = _cells(grey, GREY_SIDE)
    colour = np.zeros(len(grey)) if unit.ndim == 3 else np.abs(unit - grey[..., None]).mean(axis=(1, 2, 3))
    return np.column_stack([_levels(small), _edges(small), _mirrors(small), colour])


def _sharpness(grey: Floats) -> Floats:
    """Log of the mean squared Laplacian in 4 x 4 cells, of the pixels and of their means in twos, (n, 32).

    Blur lowers both, the finer more. Source of the measure: Pech-Pacheco et al., ICPR 2000;3:314 (its variance).
    """
    fine = grey.astype(np.float32)
    h, w = (side // 2 * 2 for side in fine.shape[1:])
    rows = fine[:, :h:2, :w] + fine[:, 1:h:2, :w]
    pairs = rows.reshape(-1, 2) @ np.full(2, 0.25, np.float32)  # seven times as fast as a sum of every second column
    return np.hstack([_detail(fine), _detail(pairs.reshape(len(fine), h // 2, w // 2))])


def _detail(x: np.ndarray) -> Floats:
    steps = 4 * x[:, 1:-1, 1:-1]
    for beside in (x[:, :-2, 1:-1], x[:, 2:, 1:-1], x[:, 1:-1, :-2], x[:, 1:-1, 2:]):
        steps -= beside  # in place: three times as fast as a sum of arrays that leave the processor's cache
    energy = _cells(np.square(steps, out=steps), _SHARP_SIDE).reshape(len(x), -1)
    return np.asarray(np.log(energy.astype(np.float64) + _ONE_GREY_LEVEL**2))


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
