"""Rebuild a run's network from its card, with its kept weights or with random ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plainfilm.runs.card import Card
from plainfilm.runs.folder import RunDir

if TYPE_CHECKING:
    from plainfilm.models.build import Normalised


def kept_network(run: RunDir, card: Card, device: str) -> tuple[Normalised, str]:
    """The run's network with its kept weights, and the device to use."""
    from plainfilm.models.build import load_weights, pick_device

    model = bare_network(card)
    load_weights(model, run.weights)
    return model, pick_device(device)


def bare_network(card: Card, seed: int = 0) -> Normalised:
    """The run's network with random weights drawn from `seed`."""
    from plainfilm.models.build import fresh_model

    return fresh_model(
        card.model.model_copy(update={"mean": card.mean, "std": card.std}),
        len(card.vocab), card.decode["size_px"], seed, channels=card.decode["channels"],
    )  # fmt: skip
