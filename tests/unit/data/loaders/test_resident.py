"""The decoded images in a device's memory: on the CPU its twin gives the batches of the host's gather, bit by bit."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
import torch

from plainfilm.config import TrainConfig
from plainfilm.data.cache.rows import PixelRows
from plainfilm.data.loaders import resident
from plainfilm.data.loaders.block import make_dls
from plainfilm.data.loaders.resident import ResidentPixels, fits, resident_pixels, send

CPU = torch.device("cpu")


def pixels_of(*colour: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 12, 10, *colour), dtype=np.uint8)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(resident, "_CHUNK", 7)  # 30 images: four whole chunks and one of two


@pytest.mark.parametrize("colour", [(), (3,)], ids=["grey", "colour"])
@pytest.mark.parametrize("on_disk", [False, True])
def test_batches_of_a_resident_set_are_those_of_the_gather(colour, on_disk):
    pixels = pixels_of(*colour)
    rows = pd.DataFrame({
        "label": np.where(np.arange(30) % 2, "A", "B"), "split": np.repeat(["train", "valid"], (21, 9)),
        "sha256": [hashlib.sha256(p.tobytes()).hexdigest() for p in pixels],
    })  # fmt: skip
    # two blocks, the second first, as the cache may hold them
    given = (
        PixelRows([pixels[15:], pixels[:15]], np.repeat([1, 0], 15), np.tile(np.arange(15), 2)) if on_disk else pixels
    )
    cfg = TrainConfig(batch_size=4, size_px=16, augment="strong")
    hosted, held = (make_dls(rows, given, cfg, vocab=["A", "B"]) for _ in range(2))
    assert [dl.resident for dl in hosted.loaders] == [None, None]
    for dl in held.loaders:
        dl.resident = ResidentPixels(given, CPU)
        dl.pixels = None  # a gather from the host would fail
    for there, here in zip(hosted.loaders, held.loaders, strict=True):
        for (x, y), (x2, y2) in zip(there, here, strict=True):
            assert type(x) is type(x2)
            assert torch.equal(x, x2)
            assert torch.equal(y, y2)
    assert held.train.new().resident is held.train.resident


def test_the_resident_set_has_colour_first_and_gives_rows_in_the_order_asked_for():
    pixels = pixels_of(3)
    found = ResidentPixels(pixels, CPU)[np.array([29, 0, 29])]
    assert (found.dtype, found.shape) == (torch.uint8, (3, 3, 12, 10))
    np.testing.assert_array_equal(found[0].numpy(), pixels[29].transpose(2, 0, 1))
    np.testing.assert_array_equal(found[1].numpy(), pixels[0].transpose(2, 0, 1))
    assert torch.equal(found[0], found[2])


def test_half_of_the_free_memory_may_be_used():
    assert fits(50, 100)
    assert not fits(51, 100)


def test_a_set_that_does_not_fit_stays_on_the_host_as_on_a_cpu(monkeypatch):
    pixels = pixels_of()  # 3,600 bytes
    assert resident_pixels(pixels, CPU) is None
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (7199, 10**9))
    assert resident_pixels(pixels, torch.device("cuda")) is None


def test_on_a_cpu_nothing_is_copied():
    values = torch.arange(3)
    assert send(values, CPU) is values
