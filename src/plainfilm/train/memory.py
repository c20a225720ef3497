"""What a training will take of the machine's memory, told before it starts: Linux kills what takes too much, and raises
nothing that could be caught. And what keeps it from growing beyond that.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from fastai.callback.core import Callback
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from plainfilm.errors import TrainingError
from plainfilm.train.system_limits import free_bytes

# Measured growth of resident memory over the activations counted below: 0.47 to 1.04 of them, on the paper's network
# at 64 to 512 px and 4 to 64 images a batch.
_MARGIN = 1.1
# Bytes per trainable number: itself, its gradient, two moments, an average; a copy with gradients for the timed steps; a state's
# bytes on their way to the disk. The allocator gives the later ones what the earlier ones leave.
_PER_PARAMETER = 36
# Bytes per number that a small batch needs beside those: copies of weights, moments and average while a state is
# written, and the rate finder's. They take the place of activations, so the larger of the two counts. Measured with
# 29.6 million numbers at 512 px and 2 to 16 images a batch: up to 49.
_COPIES = 50
_INFERENCE_BATCH = 64  # evaluate.predictions.BATCH, whatever the training batch is


class PlainLosses(Callback):
    """Keeps fastai's loss of each step as a Python number, not as the tensor it is.

    A tensor that stays for good is put between two activations and keeps them from growing together again once they
    are free, so that the next step's find no place of their size. At 192 px a training of 60 epochs grew to 13.5 GB in
    this way, of which 0.5 GB were in use; with numbers it stays at 1.9 GB.
    """

    order = 51  # after fastai's Recorder

    def after_batch(self) -> None:
        if self.training:
            self.recorder.losses[-1] = float(self.recorder.losses[-1])


def _image_bytes(model: nn.Module, channels: int, size_px: int) -> tuple[int, int]:
    """Bytes per image of a batch in training, and in inference.

    Counted in a forward pass of a copy: what it keeps for the backward pass, and the two largest outputs, which live
    beside their gradients.
    """
    trial, n = copy.deepcopy(model).train(), 2  # a BatchNorm needs two
    own = {_id_of(tensor) for tensor in (*trial.parameters(), *trial.buffers())}
    kept: dict[int, torch.Tensor] = {}
    outputs: list[int] = [0]

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if _id_of(tensor) not in own:
            kept[_id_of(tensor)] = tensor  # held, so that no other storage gets its place
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
    """A number for the memory behind a tensor, the same for its views."""
    return int(tensor.untyped_storage()._cdata)


def require_memory(model: nn.Module, *, images: int, channels: int, size_px: int, batch_size: int) -> None:
    """Refuse a training that will not fit beside what runs now; says nothing where the system does not tell.

    Args:
        images: train and valid together; their pixels stay in memory.
    Raises:
        TrainingError: names what is needed, what is free, and the largest batch that fits.
    """
    free = free_bytes()
    if free is None:
        return
    training, inference = (_MARGIN * each for each in _image_bytes(model, channels, size_px))
    numbers = sum(p.numel() for p in model.parameters())
    fixed = _PER_PARAMETER * numbers + images * channels * size_px**2
    batch_size = min(batch_size, images)
    least = max(_COPIES * numbers, min(_INFERENCE_BATCH, images) * inference)  # whatever the batch
    needed = fixed + max(batch_size * training, least)
    if needed <= free:
        return
    fits = int((free - fixed) / training)
    largest = 1 << (fits.bit_length() - 1) if fits > 0 else 0  # of the powers of two
    if largest and fixed + least <= free:
        advice = f"Take --batch-size {largest}."
    else:
        advice = "No batch size fits; take a smaller --size, or a machine with more memory."
    raise TrainingError(
        f"Training would need about {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free "
        f"({batch_size} images of {size_px} px a batch). {advice}"
    )
