"""Arrays on their way to the device, and the whole set of decoded images in its memory."""

from __future__ import annotations

import numpy as np
import torch

from plainfilm.data.cache.rows import PixelRows
from plainfilm.data.image.layout import channels_first

_SHARE = 0.5  # of the GPU's free memory; the rest is for weights, activations and what cuDNN needs
_CHUNK = 512  # images copied at a time


def send(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The values on the device; to a GPU from pinned memory, without waiting for the work that is queued there."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


class ResidentPixels:
    """Decoded images in the memory of a device, where batches are gathered without a copy from the host.

    Indexed with row numbers, int64 (n,), it gives uint8 (n, 1 or 3, h, w): the same bytes as the host's gather.
    """

    def __init__(self, pixels: np.ndarray | PixelRows, device: torch.device) -> None:
        first = torch.from_numpy(channels_first(pixels[:1]))
        self._pixels = torch.empty((len(pixels), *first.shape[1:]), dtype=torch.uint8, device=device)
        for start in range(0, len(pixels), _CHUNK):
            part = torch.from_numpy(channels_first(pixels[start : start + _CHUNK]))
            self._pixels[start : start + len(part)] = part.to(device)

    def __getitem__(self, rows: np.ndarray) -> torch.Tensor:
        return self._pixels.index_select(0, send(torch.from_numpy(rows), self._pixels.device))


def resident_pixels(pixels: np.ndarray | PixelRows, device: torch.device) -> ResidentPixels | None:
    """The pixels in the memory of a CUDA device; None elsewhere, and where they take more than half of what is free."""
    if device.type != "cuda" or not fits(int(np.prod(pixels.shape)), torch.cuda.mem_get_info(device)[0]):
        return None
    return ResidentPixels(pixels, device)


def fits(n_bytes: int, free_bytes: int) -> bool:
    """Whether so many bytes may stay in a GPU's memory."""
    return n_bytes <= _SHARE * free_bytes
