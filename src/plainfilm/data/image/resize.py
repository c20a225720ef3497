"""Pixels to the size the network sees: squished, padded or cropped; on request through one common low-pass filter."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

ResizeMode = Literal["squish", "pad", "crop"]
# Standard deviation in pixels of the result. Files of one class may be larger or stored more coarsely than those of
# the other; what is above this band reveals how an image was made. 3 px did no better on the originals (0.914).
_LOWPASS_SIGMA_PX = 1.5


def resize(pixels: np.ndarray, size_px: int, mode: ResizeMode = "squish") -> np.ndarray:
    """uint8 or float32 (h, w[, 3]) -> (size, size[, 3]), antialiased.

    `squish` loses the aspect; `pad` keeps it and adds black; `crop` keeps it and loses everything outside the middle square.
    """
    height, width = pixels.shape[:2]
    if (height, width) == (size_px, size_px):
        return np.array(pixels)
    if mode == "pad":
        return _padded(pixels, size_px)
    box = None
    if mode == "crop":
        side = min(height, width)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    # a copy: an array view of a Pillow image is read-only, and torch warns of it
    return np.array(Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.BILINEAR, box=box))


def _padded(pixels: np.ndarray, size_px: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = size_px / max(height, width)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(Image.fromarray(pixels).resize(inner, Image.Resampling.BILINEAR))
    left, top = (size_px - inner[0]) // 2, (size_px - inner[1]) // 2
    out = np.zeros((size_px, size_px, *pixels.shape[2:]), dtype=pixels.dtype)
    out[top : top + inner[1], left : left + inner[0]] = small
    return out


def harmonised(grey: np.ndarray, size_px: int, mode: ResizeMode, levels: int | None) -> np.ndarray:
    """uint8 (h, w) -> uint8 (size, size) through the common path: resize in float, low-pass, then at most `levels` greys."""
    small = _lowpass(resize(grey.astype(np.float32), size_px, mode), _LOWPASS_SIGMA_PX)
    top = 255 if levels is None else levels - 1
    steps = np.rint(small.clip(0, 255) * (top / 255))
    return np.rint(steps * (255 / top)).astype(np.uint8)


def _lowpass(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian, edges repeated; numpy alone, since an export that predicts has no scipy."""
    radius = int(np.ceil(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2).astype(np.float32)
    kernel /= kernel.sum()
    for axis in (0, 1):
        pad = [(radius, radius) if i == axis else (0, 0) for i in (0, 1)]
        wide = np.pad(pixels, pad, mode="edge")
        length = pixels.shape[axis]
        pixels = sum(k * wide.take(range(i, i + length), axis=axis) for i, k in enumerate(kernel))
    return pixels
