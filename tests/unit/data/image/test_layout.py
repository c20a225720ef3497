"""Colour last for people, first for networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plainfilm.data.image.layout import channels_first, channels_last


@pytest.mark.parametrize(("shape", "expected"), [((2, 4, 5), (2, 1, 4, 5)), ((2, 4, 5, 3), (2, 3, 4, 5))])
def test_there_and_back_without_a_copy(shape: tuple[int, ...], expected: tuple[int, ...]):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found = channels_first(pixels)
    assert found.shape == expected and np.shares_memory(found, pixels)
    assert np.array_equal(channels_last(found), pixels) and np.shares_memory(channels_last(found), pixels)
    if pixels.ndim == 4:
        assert found[1, 2, 3, 4] == pixels[1, 3, 4, 2]


def test_a_network_gets_the_strides_that_permute_gives():
    """A convolution's last bits depend on them."""
    pixels = torch.arange(2 * 4 * 5 * 3, dtype=torch.uint8).reshape(2, 4, 5, 3)
    assert torch.from_numpy(channels_first(pixels.numpy())).stride() == pixels.permute(0, 3, 1, 2).stride()
