"""The paper's convolutions on images of any size: BatchNorm in the blocks, global average pooling instead of Flatten."""

from __future__ import annotations

import torch
from torch import nn

from plainfilm.config import ModelConfig


class PaperGapNet(nn.Module):
    """(n, channels, h, w) -> logits (n, n_classes).

    A block is convolution (no padding, no bias: BatchNorm has one), 2x2 max-pool, BatchNorm, ReLU, dropout: pooling
    comes first, so that three layers work on a quarter of the map. The dense layers are the paper's. Their input is
    the mean over the map, so nothing depends on the image size.
    """

    def __init__(self, n_classes: int, cfg: ModelConfig, *, channels: int = 3) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for n_in, n_out in zip((channels, *cfg.filters[:-1]), cfg.filters, strict=True):
            conv = nn.Conv2d(n_in, n_out, cfg.kernel, bias=False)
            after = nn.BatchNorm2d(n_out), nn.ReLU(inplace=True), nn.Dropout(cfg.dropout)
            blocks.append(nn.Sequential(conv, nn.MaxPool2d(2), *after))
        self.blocks = nn.Sequential(*blocks)
        self.dense = nn.Sequential(
            nn.Linear(cfg.filters[-1], cfg.dense), nn.ReLU(inplace=True), nn.Dropout(cfg.dense_dropout)
        )
        self.head = nn.Linear(cfg.dense, n_classes)

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Input of the last layer, (n, dense)."""
        features: torch.Tensor = self.dense(self.blocks(x).mean((2, 3)))
        return features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, n_classes) of normalised images."""
        logits: torch.Tensor = self.head(self.pooled(x))
        return logits
