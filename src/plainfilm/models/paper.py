"""The network of Zelenina et al., "Convolutional neural networks in the task of image classification"."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from plainfilm.models.registry import features_side


class PaperNet(nn.Module):
    """Three convolution blocks and two dense layers; (n, 3, size, size) -> logits (n, n_classes).

    A block is convolution (no padding, stride 1), 2x2 max-pool, ReLU, dropout. The paper puts ReLU before the pool;
    both are monotone, so the results are bit-identical and the ReLU has a quarter of the work. Softmax is in the loss.
    At 512 px with two classes: 29,556,898 parameters.

    Raises:
        ValueError: the image is too small for the blocks.
    """

    def __init__(
        self,
        n_classes: int,
        size_px: int,
        *,
        filters: Sequence[int] = (16, 32, 64),
        kernel: int = 5,
        dropout: float = 0.2,
        dense: int = 128,
        dense_dropout: float = 0.5,
        pool_first: bool = True,
    ) -> None:
        super().__init__()
        side = features_side(size_px, kernel, len(filters))
        blocks: list[nn.Module] = []
        for n_in, n_out in zip((3, *filters[:-1]), filters, strict=True):
            pool, relu = nn.MaxPool2d(2), nn.ReLU(inplace=True)
            blocks += [
                nn.Conv2d(n_in, n_out, kernel),
                *((pool, relu) if pool_first else (relu, pool)),
                nn.Dropout(dropout),
            ]
        self.features = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(filters[-1] * side * side, dense),
            nn.ReLU(inplace=True),
            nn.Dropout(dense_dropout),
            nn.Linear(dense, n_classes),
        )

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Input of the last layer, (n, dense)."""
        features: torch.Tensor = self.head[:-1](self.features(x))
        return features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, n_classes) of normalised images (n, 3, size, size)."""
        logits: torch.Tensor = self.head(self.features(x))
        return logits
