"""A training that does not fit is refused before it starts, with a batch size that fits."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from plainfilm.config import ModelConfig
from plainfilm.errors import DivergedError, TrainingError
from plainfilm.evaluate.predictions import _BATCH
from plainfilm.models.build import build_model
from plainfilm.train import memory


@pytest.fixture(scope="module")
def paper():
    return build_model(ModelConfig(), 2, 128)


def need(paper, monkeypatch, free, batch_size=64, images=600):
    monkeypatch.setattr(memory, "free_bytes", lambda: free)
    memory.require_memory(paper, images=images, channels=1, size_px=128, batch_size=batch_size)


def test_bytes_of_a_network_that_can_be_counted_by_hand():
    """Two linear layers on 2 x 2 grey pixels: the input (4 floats), the ReLU's output (8) and nothing else is kept."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    training, inference = memory._image_bytes(network, channels=1, size_px=2)
    assert training == 4 * (4 + 8) + 2 * 4 * 8
    assert inference == 2 * 4 * 8


def test_counting_leaves_the_network_and_the_random_numbers_as_they_were(paper):
    before, random = {n: v.clone() for n, v in paper.state_dict().items()}, torch.get_rng_state()
    paper.eval()
    memory._image_bytes(paper, 1, 128)
    assert all(torch.equal(before[name], value) for name, value in paper.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert not paper.training
    assert all(p.grad is None for p in paper.parameters())


def test_a_training_that_does_not_fit_is_refused_with_the_largest_batch_that_does(paper, monkeypatch):
    need(paper, monkeypatch, 2_000_000_000)
    with pytest.raises(TrainingError, match="^Training would need about .* GB .* are free") as error:
        need(paper, monkeypatch, 250_000_000)
    assert error.value.exit_code == 5
    assert not isinstance(error.value, DivergedError)
    advised = int(re.search(r"--batch-size (\d+)", str(error.value))[1])
    need(paper, monkeypatch, 250_000_000, advised)
    with pytest.raises(TrainingError):
        need(paper, monkeypatch, 250_000_000, 2 * advised)


def test_where_no_batch_fits_a_smaller_size_is_advised(paper, monkeypatch):
    with pytest.raises(TrainingError, match="No batch size fits; use a smaller --size"):
        need(paper, monkeypatch, 20_000_000)


def test_a_batch_is_never_larger_than_the_set(paper, monkeypatch):
    need(paper, monkeypatch, 250_000_000, batch_size=100_000, images=20)


def test_nothing_is_refused_where_the_free_memory_is_unknown(paper, monkeypatch):
    need(paper, monkeypatch, None, batch_size=10**9, images=10**9)


def test_it_knows_the_batch_of_the_inference_pass():
    assert memory._INFERENCE_BATCH == _BATCH
