"""Train images of a phase with a smaller size: the mean over areas of the decoded pixels, batch by batch."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import torch
from fastai.torch_core import TensorImage
from fasttransform import Transform
from torch.nn import functional


class _Sized(Protocol):
    """A loader; `size_px`: the side of its images in training, None as decoded."""

    size_px: int | None


class Shrink(Transform):
    """Reduces the train images to the size of the loader's phase; before augmentation, which then costs less too."""

    order, split_idx = 12, 0  # between IntToFloatTensor (10) and Augment (15), on the train subset only

    def __init__(self) -> None:
        self.dl: _Sized | None = None

    def encodes(self, x: TensorImage) -> TensorImage:
        size_px = None if self.dl is None else self.dl.size_px
        if size_px is None or size_px >= x.shape[-1]:
            return x
        return type(x)(_area_mean(x.as_subclass(torch.Tensor), size_px))


def _area_mean(x: torch.Tensor, size_px: int) -> torch.Tensor:
    """Float images (n, c, side, side) reduced to (n, c, size_px, size_px): each pixel is the mean of the area it covers.

    Where the sides have no integer ratio, a pixel at a border counts by the share of it that is covered; torch's own
    "area" would give it its full weight. No random number is drawn, and an image does not depend on the others.
    """
    if x.shape[-1] % size_px == 0:  # three times as fast: 40 instead of 120 ms for 64 images, 512 to 256 px
        return functional.avg_pool2d(x, x.shape[-1] // size_px)
    shares = _shares(x.shape[-1], size_px, x.dtype, x.device)
    return torch.matmul(torch.matmul(shares, x), shares.T)


@lru_cache(maxsize=8)
def _shares(side: int, size_px: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Share of each old pixel in each new one along an axis, (size_px, side); rows sum to 1. Sent to the device once."""
    new = torch.arange(size_px, dtype=torch.float64)[:, None] * (side / size_px)
    old = torch.arange(side, dtype=torch.float64)[None]
    covered = torch.minimum(new + side / size_px, old + 1) - torch.maximum(new, old)
    return (covered.clamp_(min=0) / (side / size_px)).to(dtype).to(device)
