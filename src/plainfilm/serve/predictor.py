"""The prediction for one image, as POST /predict returns it: decoded in one step, scored in the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from plainfilm.base.files import png_uri
from plainfilm.errors import BundleError, PlainfilmError
from plainfilm.export.scorer import Bundle, Prediction
from plainfilm.serve.images import network_input, overlay, png

HeatMap = Callable[[np.ndarray], np.ndarray]  # uint8 (c, h, w) -> float (h, w)
EXTRA_IMAGES = frozenset({"seen", "heat"})


@dataclass(frozen=True)
class Predictor:
    """A bundle and, where torch is installed, its heat maps."""

    bundle: Bundle
    heat: HeatMap | None

    def decode(self, image: bytes, *, quick: bool) -> np.ndarray | Prediction | None:
        """The network's input, uint8 (c, h, w), or a prediction with its `error`; None where `quick` and it may take seconds."""
        return self.bundle.quick_image_or_error(image) if quick else self.bundle.image_or_error(image)

    def predict(self, index: int, decoded: np.ndarray | Prediction, show: frozenset[str]) -> dict[str, Any]:
        """The scores of one image, and the extra images in `show` (of EXTRA_IMAGES) as data URIs; never raises for a bad image.

        A bad image has `error` filled and no extra images. `heat` stays null where no heat map can be made.
        """
        try:
            found = self.bundle.score(decoded[None])[0] if isinstance(decoded, np.ndarray) else decoded
        except BundleError as error:  # the network takes too long for this image; the next one finds it opened again
            found = Prediction(error=str(error) if str(error).startswith("E_") else f"E_SCORE: {error}")
        result: dict[str, Any] = {
            "index": index, "label": found.label, "score": found.score, "probs": found.probs,
            "flags": list(found.flags), "error": found.error,
        }  # fmt: skip
        if show and isinstance(decoded, np.ndarray) and not found.error:
            result["seen"] = png_uri(png(network_input(decoded))) if "seen" in show else None
            result["heat"] = self._heated(decoded) if "heat" in show else None
        return result

    def _heated(self, pixels: np.ndarray) -> str | None:
        try:
            return png_uri(png(overlay(self.heat(pixels)))) if self.heat else None
        except PlainfilmError:  # a network without a feature map, or the bundle's folder is gone since startup
            return None
