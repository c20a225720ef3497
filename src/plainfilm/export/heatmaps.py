"""Heat maps from a bundle: the only part of inference that needs torch, since ONNX gives no gradients."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from plainfilm.base.json_text import json_model
from plainfilm.data.image.layout import channels_last
from plainfilm.errors import BundleError, MissingError
from plainfilm.export.bundle_card import BundleCard
from plainfilm.export.manifest import CARD, WEIGHTS, opened, verify

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from plainfilm.interpret.gradcam import LastMap
    from plainfilm.models.build import Normalised

_NEEDED = ("torch", "torchvision", "captum", "matplotlib")


def require_torch() -> None:
    """Raises MissingError where heat maps cannot be made here; checks without importing anything."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingError(
            f"Heat maps need {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed. Install "
            "plainfilm with everything (pip install . in its folder), or leave heat maps out: scores do not need it."
        )


def heat_maps(bundle: Path, pixels: np.ndarray, label: str | None = None) -> np.ndarray:
    """Evidence for one class, float32 (h, w) in 0..1; zeros where there is none. Not evidence of location.

    HiResCAM on the network rebuilt from card.json and model.safetensors; built once per bundle.

    Args:
        pixels: uint8 (c, h, w), as Bundle.pixels() gives them.
        label: the class; None takes the predicted one.
    Raises:
        MissingError: torch is not installed. BundleError: the bundle is damaged. UsageError: the network has no map.
    """
    require_torch()
    card, model, place = _network(Path(bundle).absolute())
    from plainfilm.interpret.gradcam import heat_maps as explain

    image = np.ascontiguousarray(channels_last(pixels[None]))
    k = card.vocab.index(label) if label is not None else _predicted_class(card, model, image)
    heat: np.ndarray = explain(model, image, np.array([k]), place=place, method="hires-cam")[0]
    return heat


@lru_cache(maxsize=2)
def _network(path: Path) -> tuple[BundleCard, Normalised, LastMap]:
    with opened(path) as source:
        files, _ = verify(source, keep=frozenset({CARD, WEIGHTS}))
    card = json_model(BundleCard, files[CARD], CARD)
    from plainfilm.errors import DataError
    from plainfilm.export.bundle import network_of
    from plainfilm.interpret.gradcam import find_last_map

    try:
        model = network_of(card, files[WEIGHTS])
    except DataError as error:
        raise BundleError(f"{error} Export the run again.") from None
    return card, model, find_last_map(model, card.size_px)


def _predicted_class(card: BundleCard, model: Normalised, image: np.ndarray) -> int:
    from plainfilm.evaluate.metrics.predicted_class import predicted_classes
    from plainfilm.evaluate.predictions import predict

    probs = card.scaling.probs(predict(model, image)[0])
    return int(predicted_classes(probs, positive=card.positive_index, threshold=card.threshold)[0])


def heat_figure(pixels: np.ndarray, heat: np.ndarray, caption: str, label: str) -> Figure:
    """An image beside its heat map; `caption` names the row and the predicted class, never a file."""
    from plainfilm.plots.heatmaps import plot_pair

    return plot_pair(channels_last(pixels[None])[0], heat, caption, label)
