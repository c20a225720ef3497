"""From logits to scores: one temperature and one bias for each class, kept in card.json."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """Scores are softmax(logits / temperature + bias).

    temperature: above 0; 1 = as trained. bias: one number for each class, or () for none; only differences count.
    """

    temperature: float = 1.0
    bias: tuple[float, ...] = ()

    @property
    def is_identity(self) -> bool:
        """Whether the scores are those of the network as trained."""
        return self.temperature == 1 and not any(self.bias)

    def probs(self, logits: NDArray[np.floating]) -> Floats:
        """Probabilities float64 (n, k) of logits (n, k). In numpy alone: predicting with a bundle needs no scipy."""
        scaled = self.logits(logits)
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def logits(self, logits: NDArray[np.floating]) -> Floats:
        """What the softmax is taken of: float64 (n, k) of logits (n, k)."""
        scaled = np.asarray(logits, dtype=np.float64) / self.temperature
        return scaled + np.array(self.bias) if self.bias else scaled

    def then(self, other: Scaling) -> Scaling:
        """This scaling with another one after it, as one scaling."""
        if not (self.bias or other.bias):
            return Scaling(self.temperature * other.temperature)
        k = len(self.bias or other.bias)
        bias = zip(self.bias or (0.0,) * k, other.bias or (0.0,) * k, strict=True)
        return Scaling(
            self.temperature * other.temperature, tuple(mine / other.temperature + theirs for mine, theirs in bias)
        )

    def line(self, positive: int) -> tuple[float, float]:
        """Of two classes, intercept and slope by which it moves the log odds of the positive class."""
        bias = self.bias or (0.0, 0.0)
        return bias[positive] - bias[1 - positive], 1 / self.temperature
