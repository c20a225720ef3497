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
        scaled = np.asarray(logits, dtype=np.float64) / self.temperature
        scaled = scaled + np.array(self.bias) if self.bias else scaled
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def then(self, slope: float, intercept: float, positive: int) -> Scaling:
        """Of two classes: the scaling whose logit of the positive score is intercept + slope times this one's.

        Args:
            slope: above 0. positive: index of the positive class.
        """
        bias = [slope * each for each in self.bias or (0.0, 0.0)]
        bias[positive] += intercept
        return Scaling(self.temperature / slope, tuple(bias))


def logit_of(probs: Floats, positive: int) -> Floats:
    """Log odds (n,) of the positive class of two, from probabilities (n, 2); finite: scores are saved with nine digits."""
    p = np.clip(np.asarray(probs, dtype=np.float64)[:, positive], 1e-9, 1 - 1e-9)
    return np.asarray(np.log(p) - np.log1p(-p))
