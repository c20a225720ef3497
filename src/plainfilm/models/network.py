"""What every network here can do beside being called: give its features, and name its parameters from first to last."""

from __future__ import annotations

import torch
from torch import nn


class Network(nn.Module):
    """Pictures (n, c, h, w) -> features (n, d) -> logits (n, k)."""

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """What the last layer sees of normalised pictures, (n, d)."""
        raise NotImplementedError

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (n, k) of features (n, d)."""
        raise NotImplementedError

    def parameter_groups(self) -> list[list[nn.Parameter]]:
        """All parameters, from the first layers to the last one; the last group is what classify() uses."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, k) of normalised pictures."""
        return self.classify(self.pooled(x))
