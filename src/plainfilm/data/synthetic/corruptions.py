"""Valid images as another machine might have produced them: a fixed list of small changes (numpy, scipy and Pillow).

A valid set cut from train shares its scanner, its compression and its operators, so its scores saturate and do not
separate models. The list below does not imitate any test set; it holds what acquisition, export and storage commonly
change, in both directions.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from plainfilm.base.seeds import CORRUPTION, mix

_Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _blur(x: np.ndarray, rng: np.random.Generator, *, sigma_share: float) -> np.ndarray:
    """Gaussian blur; `sigma_share` of the side."""
    return np.asarray(gaussian_filter(x, _sides(x, sigma_share)))


def _sharpen(x: np.ndarray, rng: np.random.Generator, *, sigma_share: float, amount: float) -> np.ndarray:
    """Unsharp mask: adds `amount` times the detail that a blur removes."""
    detail: np.ndarray = x - _blur(x, rng, sigma_share=sigma_share)
    return x + amount * detail


def _noise(x: np.ndarray, rng: np.random.Generator, *, sd: float) -> np.ndarray:
    """Gaussian noise of `sd` of the full range, the same in all channels."""
    drawn = rng.normal(0, sd, x.shape[:2])
    return x + (drawn if x.ndim == 2 else drawn[..., None])


def _jpeg(x: np.ndarray, rng: np.random.Generator, *, quality: int) -> np.ndarray:
    """After JPEG compression at this quality."""
    buffer = io.BytesIO()
    Image.fromarray(_to_uint8(x)).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        return np.asarray(image, dtype=np.float64) / 255


def _gamma(x: np.ndarray, rng: np.random.Generator, *, power: float) -> np.ndarray:
    """Grey levels 0..1 raised to `power`."""
    return np.asarray(np.clip(x, 0, 1) ** power)


def _contrast(x: np.ndarray, rng: np.random.Generator, *, gain: float) -> np.ndarray:
    """Contrast about mid-grey, scaled by `gain`."""
    return (x - 0.5) * gain + 0.5


def _resample(x: np.ndarray, rng: np.random.Generator, *, share: float) -> np.ndarray:
    """Scaled to `share` of the side and back."""
    image = Image.fromarray(_to_uint8(x))
    small = image.resize([max(1, round(side * share)) for side in image.size], Image.Resampling.BILINEAR)
    return np.asarray(small.resize(image.size, Image.Resampling.BILINEAR), dtype=np.float64) / 255


# Fixed before any model was evaluated with it; after a change here, old and new numbers are not comparable.
CORRUPTIONS: dict[str, _Change] = {
    "blur": partial(_blur, sigma_share=1 / 128),
    "blur-strong": partial(_blur, sigma_share=2 / 128),
    "sharpen": partial(_sharpen, sigma_share=1 / 128, amount=1.0),
    "sharpen-strong": partial(_sharpen, sigma_share=1 / 128, amount=2.0),
    "noise": partial(_noise, sd=0.03),
    "noise-strong": partial(_noise, sd=0.06),
    "jpeg-95": partial(_jpeg, quality=95),
    "jpeg-60": partial(_jpeg, quality=60),
    "jpeg-30": partial(_jpeg, quality=30),
    "gamma-dark": partial(_gamma, power=1.4),
    "gamma-light": partial(_gamma, power=0.7),
    "contrast-low": partial(_contrast, gain=0.7),
    "contrast-high": partial(_contrast, gain=1.3),
    "half-size": partial(_resample, share=0.5),
}


def corrupted(pixels: np.ndarray, name: str, keys: np.ndarray) -> np.ndarray:
    """uint8 images (n, h, w) or (n, h, w, 3) after one of CORRUPTIONS; depends on the image and the name alone.

    Args:
        keys: int64 (n,), content keys, which seed the noise.
    """
    change, number = CORRUPTIONS[name], list(CORRUPTIONS).index(name)
    out = np.empty_like(pixels)
    for i, key in enumerate(keys.tolist()):
        rng = np.random.default_rng(int(mix(CORRUPTION, number, key)))
        out[i] = _to_uint8(change(pixels[i].astype(np.float64) / 255, rng))
    return out


def _to_uint8(x: np.ndarray) -> np.ndarray:
    """Grey levels 0..1, clipped, as uint8."""
    return np.asarray(np.clip(x * 255 + 0.5, 0, 255), dtype=np.uint8)


def _sides(x: np.ndarray, share: float) -> tuple[float, ...]:
    return (share * x.shape[0], share * x.shape[1], *(0.0 for _ in range(x.ndim - 2)))
