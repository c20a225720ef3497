"""What can be trained: one row of facts per network (no torch here)."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from plainfilm.errors import ConfigError


@dataclass(frozen=True)
class ModelSpec:
    """Facts that train, card and table need before the network is built.

    `mean`, `std`: per input channel, on pixels in 0..1; applied inside the network's wrapper.
    """

    name: str
    size_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    source: str


MODELS = {
    "paper": ModelSpec(
        name="paper",
        size_px=512,
        # fixed numbers near a radiograph's own, not statistics of the data: nothing of valid or test can enter
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        licence="Apache-2.0",
        source="Zelenina et al., Convolutional neural networks in the task of image classification",
    ),
}


def get_spec(name: str) -> ModelSpec:
    """The facts of one network.

    Raises:
        ConfigError: no such network; near names are suggested.
    """
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"There is no model {name!r}; known: {', '.join(MODELS)}.{hint}")
    return MODELS[name]
