"""Drawn changes applied to a batch of pixels, on the device that holds it."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from plainfilm.data.loaders.augment import Texture
from plainfilm.data.loaders.resident import send


def apply_draw(x: torch.Tensor, matrix: np.ndarray, gain: np.ndarray, bias: np.ndarray) -> torch.Tensor:
    """Float pixels (n, c, h, w) in 0..1, warped by `matrix`, contrast and brightness changed by `gain` and `bias`, clipped to 0..1."""
    m, g, b = _beside(x, matrix, gain, bias)
    moved = functional.grid_sample(
        x, _sampling_grid(m, *x.shape[2:]), mode="bilinear", padding_mode="border", align_corners=False
    )
    g, b = g[:, None, None, None], b[:, None, None, None]
    return ((moved - 0.5) * g).add_(0.5 + b).clamp_(0, 1)


def _beside(x: torch.Tensor, *parts: np.ndarray) -> list[torch.Tensor]:
    """float32 arrays as tensors on the device of `x` and of its type, in one copy that waits for nothing."""
    flat = send(torch.from_numpy(np.concatenate([part.ravel() for part in parts])), x.device).to(x.dtype)
    split = flat.split([part.size for part in parts])
    return [one.view(part.shape) for one, part in zip(split, parts, strict=True)]


def _sampling_grid(matrix: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The points of affine_grid(), (n, height, width, 2), by sums: on a CPU its matrix products take four times as long,
    and on a GPU they may round to TensorFloat-32, whose 10 bits of a coordinate are a tenth of a pixel.

    Args:
        matrix: (n, 2, 3), from output to input coordinates in -1..1, align_corners=False.
    """
    ys, xs = (torch.arange(1 - n, n, 2, dtype=matrix.dtype, device=matrix.device) / n for n in (height, width))
    rows = matrix[:, None, :, 1] * ys[:, None] + matrix[:, None, :, 2]
    columns = matrix[:, None, :, 0] * xs[:, None]
    return rows[:, :, None] + columns[:, None]


def apply_texture(x: torch.Tensor, texture: Texture) -> torch.Tensor:
    """Float pixels (n, c, h, w) in 0..1 with another grey curve, sharpness and noise, clipped to 0..1."""
    power, detail = (part[:, None, None, None] for part in _beside(x, texture.power, texture.detail))
    x = x.pow(power)
    x = x + detail * (x - _smooth(x))
    for i in np.flatnonzero(texture.noise_sd > 0):  # one generator per image: its noise does not depend on its batch
        x[i] += float(texture.noise_sd[i]) * _noise(x, int(texture.noise_seed[i]))
    height, width = x.shape[2:]
    for i in np.flatnonzero(texture.hole[:, 2] > texture.hole[:, 0]):
        left, top, right, bottom, grey = texture.hole[i].tolist()
        x[i, :, round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = grey
    return x.clamp_(0, 1)


def _noise(x: torch.Tensor, seed: int) -> torch.Tensor:
    """Standard normal (h, w) of the size of `x`, on its device. A GPU draws it itself, other numbers than a CPU's."""
    where = x.device if x.is_cuda else torch.device("cpu")
    generator = torch.Generator(where).manual_seed(seed)
    return torch.randn(x.shape[2:], generator=generator, device=where).to(x)


def _smooth(x: torch.Tensor) -> torch.Tensor:
    """Pixels (n, c, h, w) after a Gaussian of 1/128 of the side, the edge repeated outward."""
    sigma = max(0.5, x.shape[-1] / 128)
    reach = int(np.ceil(2.5 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device) / sigma) ** 2)
    taps = (taps / taps.sum()).view(1, 1, 1, -1)
    one = x.reshape(-1, 1, *x.shape[2:])
    one = functional.conv2d(functional.pad(one, (reach, reach, 0, 0), mode="replicate"), taps)
    one = functional.conv2d(functional.pad(one, (0, 0, reach, reach), mode="replicate"), taps.transpose(2, 3))
    return one.reshape(x.shape)
