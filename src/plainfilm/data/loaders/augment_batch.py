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
    grid = _grid_of_terms(m, x.shape) if x.is_cuda else functional.affine_grid(m, list(x.shape), align_corners=False)
    moved = functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    g, b = g[:, None, None, None], b[:, None, None, None]
    return ((moved - 0.5) * g).add_(0.5 + b).clamp_(0, 1)


def _beside(x: torch.Tensor, *parts: np.ndarray) -> list[torch.Tensor]:
    """float32 arrays as tensors on the device of `x` and of its type, in one copy that waits for nothing."""
    flat = send(torch.from_numpy(np.concatenate([part.ravel() for part in parts])), x.device).to(x.dtype)
    split = flat.split([part.size for part in parts])
    return [one.view(part.shape) for one, part in zip(split, parts, strict=True)]


def _grid_of_terms(matrix: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """affine_grid() term by term, float (n, h, w, 2): its matrix product may round to TensorFloat-32 on a GPU, and
    10 bits of a coordinate are a tenth of a pixel."""
    axes = (((2 * torch.arange(n, device=matrix.device) + 1) / n - 1).to(matrix) for n in shape[2:])
    y, x = torch.meshgrid(*axes, indexing="ij")
    m = matrix[:, :, :, None, None]
    return torch.stack([m[:, i, 0] * x + m[:, i, 1] * y + m[:, i, 2] for i in (0, 1)], dim=-1)


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
