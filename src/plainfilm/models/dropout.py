"""Dropout with masks from packed random bits: on CPUs torch draws a number for each unit, with one thread."""

from __future__ import annotations

import torch
from torch import nn

_STEPS = 1 << 16  # of a 16-bit integer


class _PackedDropout(nn.Dropout):
    """nn.Dropout, (any shape) -> (same shape), with four units to each 64-bit draw of torch's global generator.

    `p` is rounded to 1/65536, and kept units are scaled by 1 / (1 - p) with the rounded p, so that their mean is exact
    in float32; bfloat16 rounds the scale, as torch's dropout does there.
    Without parameters: weights files and exported networks are those of nn.Dropout. Elsewhere than on CPUs it is
    nn.Dropout, which draws in parallel there. With torch's masks a step of the paper's network takes a fifth longer.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x` itself in inference mode."""
        dropped = round(self.p * _STEPS)
        if not self.training or dropped in (0, _STEPS) or x.device.type != "cpu":
            return super().forward(x)
        return x * _scaled_mask(x, dropped)


def _scaled_mask(x: torch.Tensor, dropped: int) -> torch.Tensor:
    """Zeros, and _STEPS / (_STEPS - dropped) for the units to keep; shape, type and memory format of x.

    Args:
        dropped: how many of the _STEPS values of 16 bits drop a unit.
    """
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64)
    draws.random_(-(2**63), None)  # all 64 bits: random_() leaves out the sign, which would keep every fourth unit
    bits = draws.view(torch.int16)[: x.numel()]
    first_kept = dropped - _STEPS // 2
    # 0 and 1 by integer arithmetic: comparing 16-bit integers takes three times as long
    keep = bits.clamp_(first_kept - 1, first_kept).sub_(first_kept - 1).to(x.dtype)
    return _laid_out_like(x, keep.mul_(_STEPS / (_STEPS - dropped)))


def _laid_out_like(x: torch.Tensor, flat: torch.Tensor) -> torch.Tensor:
    """The elements of `flat` in the shape of x, and in its memory format: two formats in a product take twice as long."""
    if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
        n, channels, height, width = x.shape
        return flat.view(n, height, width, channels).permute(0, 3, 1, 2)
    return flat.view(x.shape)


def pack_masks(network: nn.Module) -> None:
    """Give every nn.Dropout in a network packed masks; the names of its layers and weights stay."""
    for module in network.modules():
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, _PackedDropout(child.p, child.inplace))
