"""Arrays as PNG: what the network sees, and a heat map to lay over it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from plainfilm.data.image.layout import channels_last

# matplotlib's cividis, in steps of a tenth: the colours of the report (plots.heatmaps), which a bundle cannot import
_HEAT = np.array(
    [
        (0, 34, 78), (12, 52, 112), (53, 69, 108), (79, 87, 108), (102, 105, 112), (125, 124, 120), (148, 142, 119),
        (173, 162, 114), (200, 184, 102), (229, 207, 82), (254, 232, 56),
    ], float,
)  # fmt: skip
_PALER = 0.35  # the report draws the heat over an image that is this much nearer to white


def png(pixels: np.ndarray) -> bytes:
    """A PNG of uint8 (h, w) grey, (h, w, 3) RGB or (h, w, 4) RGBA."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()


def network_input(pixels: np.ndarray) -> np.ndarray:
    """uint8 (h, w) or (h, w, 3) from the network's input, uint8 (1 or 3, h, w)."""
    return np.asarray(channels_last(pixels[None])[0])


def overlay(heat: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 4) from a heat map float (h, w) >= 0: laid over the image it is as in the report.

    The hotter a place, the more opaque; a map of zeros only makes the image paler.
    """
    top = float(heat.max())
    share = np.clip(heat / top, 0, 1) if top > 0 else np.zeros_like(heat)
    at = np.linspace(0, 1, len(_HEAT))
    colours = np.stack([np.interp(share, at, _HEAT[:, i]) for i in range(3)], axis=2)
    own = (0.25 + 0.5 * share if top > 0 else share)[..., None]
    both = own + _PALER * (1 - own)  # of the heat and, below it, the white that makes the image paler
    mixed = (own * colours + _PALER * (1 - own) * 255) / both
    layers: np.ndarray = np.rint(np.concatenate([mixed, 255 * both], axis=2)).astype(np.uint8)
    return layers
