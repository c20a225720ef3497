"""Which kinds of images a gate catches: counted on changed valid images, when it is fitted (numpy and scipy)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from plainfilm.evaluate.ood.ood_gate import OODGate, is_marked
from plainfilm.evaluate.ood.tolerated import spread_over
from plainfilm.evaluate.stats.intervals import Floats
from plainfilm.runs.card import GateKinds

_MOST = 60  # images of a kind; 0 of 60 is at most 6 % of all, 95 %
_BLUR, _LEFT, _NOISE, _BAR, _CROP = 1 / 32, 0.3, 0.15, 0.2, 0.5  # shares of the side, of contrast, of the full range
_SEED = 0x6A7E
_Change = Callable[[np.ndarray], np.ndarray]


def _blurred(x: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    sigma = _BLUR * x.shape[1]
    return np.asarray(gaussian_filter(x.astype(np.float64), (0, sigma, sigma, *(0 for _ in x.shape[3:]))))


def _flat(x: np.ndarray) -> np.ndarray:
    """Each image with 0.3 of its contrast about its own mean."""
    mean = x.mean(axis=(1, 2), keepdims=True)
    return np.asarray(mean + _LEFT * (x - mean))


def _noisy(x: np.ndarray) -> np.ndarray:
    return np.asarray(x + np.random.default_rng(_SEED).normal(0, _NOISE * 255, x.shape))


def _resized(x: np.ndarray, height: int, width: int) -> np.ndarray:
    from scipy.ndimage import zoom

    factors = (1, height / x.shape[1], width / x.shape[2], *(1 for _ in x.shape[3:]))
    return np.asarray(zoom(x.astype(np.float64), factors, order=1, mode="nearest", grid_mode=True))


def _cropped(x: np.ndarray) -> np.ndarray:
    """The middle half of each side, enlarged."""
    _, h, w = x.shape[:3]
    top, left, tall, wide = (round(v) for v in (h * _CROP / 2, w * _CROP / 2, h * _CROP, w * _CROP))
    return _resized(x[:, top : top + tall, left : left + wide], h, w)


def _barred(x: np.ndarray) -> np.ndarray:
    """Black bars left and right, 0.2 of the width each."""
    out, bar = np.zeros_like(x), round(_BAR * x.shape[2])
    out[:, :, bar : x.shape[2] - bar] = _resized(x, x.shape[1], x.shape[2] - 2 * bar)
    return out


KINDS: dict[str, _Change] = {
    "unchanged": lambda x: x,
    "blurred": _blurred,
    "low in contrast": _flat,
    "inverted": lambda x: 255 - x,
    "turned by 90 degrees": lambda x: np.rot90(x, 1, (1, 2)),
    "upside down": lambda x: x[:, ::-1],
    "noisy": _noisy,
    "enlarged from the middle": _cropped,
    "with black bars": _barred,
}


def changed(kind: str, pixels: np.ndarray) -> np.ndarray:
    """Images uint8 (n, s, s) or (n, s, s, 3) as one of KINDS."""
    return np.ascontiguousarray(np.clip(np.rint(KINDS[kind](pixels)), 0, 255), dtype=np.uint8)


def kinds_caught(gate: OODGate, pixels: Any, features: Callable[[np.ndarray], Floats], *, fresh: bool) -> GateKinds:
    """How many of at most 60 images the gate marks, unchanged and as each kind.

    Args:
        pixels: valid images uint8 (n, s, s) or (n, s, s, 3), or PixelRows. features: of such images, float (n, d).
        fresh: whether they did not set the gate's limit.
    """
    some = pixels[spread_over(len(pixels), _MOST)]
    made = {kind: changed(kind, some) for kind in KINDS}
    marked = {kind: int(is_marked(gate.score(x, features(x))[0]).sum()) for kind, x in made.items()}
    return GateKinds(images=len(some), fresh=fresh, marked=marked)
