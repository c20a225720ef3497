"""Arrays as PNG: what the network sees, and a heat map to lay over it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

# From no colour to a strong one; readable on grey images and with red-green colour blindness.
_HEAT = np.array(
    [(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], float
)  # matplotlib's inferno


def png(pixels: np.ndarray) -> bytes:
    """A PNG of uint8 (h, w) grey, (h, w, 3) RGB or (h, w, 4) RGBA."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()


def network_input(pixels: np.ndarray) -> np.ndarray:
    """uint8 (h, w) or (h, w, 3) from the network's input, uint8 (1 or 3, h, w)."""
    return pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, 2)


def overlay(heat: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 4) from a heat map float (h, w) >= 0: the hotter a place, the more opaque."""
    top = float(heat.max())
    share = np.clip(heat / top, 0, 1) if top > 0 else np.zeros_like(heat)
    at = np.linspace(0, 1, len(_HEAT))
    colours = [np.interp(share, at, _HEAT[:, i]) for i in range(3)]
    layers: np.ndarray = np.rint(np.stack([*colours, 190 * share**0.75], axis=2)).astype(np.uint8)
    return layers
