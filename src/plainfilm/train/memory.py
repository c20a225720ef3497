"""Estimate the memory of a training before it starts: Linux kills a process that takes too much, and raises nothing that
could be caught. And keep it from growing during training.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from fastai.callback.core import Callback
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from plainfilm.errors import TrainingError
from plainfilm.train.machine.system_limits import free_bytes

# Measured growth of resident memory relative to the activations counted below: 0.47 to 1.04, with the paper's network
# at 64 to 512 px and batches of 4 to 64 images.
_MARGIN = 1.1
# Bytes per trainable parameter: itself, its gradient, two moments, an average; a copy with gradients for the timed steps;
# the bytes of a state being written. The allocator reuses for later ones what earlier ones free.
_PER_PARAMETER = 36
# Bytes per parameter that a small batch needs in addition: copies of weights, moments and average while a state is
# written, and the rate finder's. They reuse the memory of activations, so the larger of the two counts. Measured with
# 29.6 million parameters at 512 px and batches of 2 to 16 images: up to 49.
_COPIES = 50
_INFERENCE_BATCH = 64  # evaluate.predictions.BATCH, independent of the training batch


class PlainLosses(Callback):
    """Keeps fastai's loss of each step as a Python float instead of a tensor.

    A tensor that is never freed is allocated between two activations and fragments the memory: once the activations
    are freed, the next step finds no gap of their size. At 192 px a training of 60 epochs grew to 13.5 GB in this way,
    of which 0.5 GB were in use; with floats it stays at 1.9 GB.
    """

    order = 51  # after fastai's Recorder

    def after_batch(self) -> None:
        if self.training:
            self.recorder.losses[-1] = float(self.recorder.losses[-1])


def _image_bytes(model: nn.Module, channels: int, size_px: int) -> tuple[int, int]:
    """Bytes per image of a batch in training, and in inference.

    Counted in a forward pass of a copy: the tensors saved for the backward pass, and twice the largest output, for an
    output and its gradient.
    """
    trial, n = copy.deepcopy(model).train(), 2  # BatchNorm needs two
    own = {_id_of(tensor) for tensor in (*trial.parameters(), *trial.buffers())}
    kept: dict[int, torch.Tensor] = {}
    outputs: list[int] = [0]

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if _id_of(tensor) not in own:
            kept[_id_of(tensor)] = tensor  # a reference, so that no other storage gets its address
        return tensor

    def note(module: nn.Module, given: Any, made: Any) -> None:
        if isinstance(made, torch.Tensor):
            outputs.append(made.numel() * made.element_size())

    for module in trial.modules():
        module.register_forward_hook(note)
    with torch.random.fork_rng(devices=[]), saved_tensors_hooks(keep, lambda tensor: tensor):
        trial(torch.zeros(n, channels, size_px, size_px))
    saved = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    return (saved + 2 * max(outputs)) // n, 2 * max(outputs) // n


def _id_of(tensor: torch.Tensor) -> int:
    """An identifier of a tensor's storage, the same for its views."""
    return int(tensor.untyped_storage()._cdata)


def require_memory(model: nn.Module, *, images: int, channels: int, size_px: int, batch_size: int) -> None:
    """Refuse a training that does not fit into the free memory; does nothing where the system does not report it.

    Args:
        images: train and valid together; their pixels stay in memory.
    Raises:
        TrainingError: says what is needed, what is free, and the largest batch that fits.
    """
    free = free_bytes()
    if free is None:
        return
    training, inference = (_MARGIN * each for each in _image_bytes(model, channels, size_px))
    numbers = sum(p.numel() for p in model.parameters())
    fixed = _PER_PARAMETER * numbers + images * channels * size_px**2
    batch_size = min(batch_size, images)
    least = max(_COPIES * numbers, min(_INFERENCE_BATCH, images) * inference)  # independent of the batch
    needed = fixed + max(batch_size * training, least)
    if needed <= free:
        return
    fits = int((free - fixed) / training)
    largest = 1 << (fits.bit_length() - 1) if fits > 0 else 0  # a power of two
    if largest and fixed + least <= free:
        advice = f"Use --batch-size {largest}."
    else:
        advice = "No batch size fits; use a smaller --size, or a machine with more memory."
    raise TrainingError(
        f"Training would need about {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free "
        f"({batch_size} images of {size_px} px per batch). {advice}"
    )
