"""The network of Zelenina et al., "Convolutional neural networks in the task of image classification"."""

from __future__ import annotations

import torch
from torch import nn

from plainfilm.config import ModelConfig
from plainfilm.models.registry import features_side


class PaperNet(nn.Module):
    """Three convolution blocks and two dense layers; (n, 3, size, size) -> logits (n, n_classes).

    A block is convolution (no padding, stride 1), 2x2 max-pool, ReLU, dropout. The paper puts ReLU before the pool;
    both are monotone, so the results are bit-identical and the ReLU has a quarter of the work. Softmax is in the loss.
    At 512 px with two classes: 29,556,898 parameters. Grey images may come as one channel, (n, 1, size, size).

    Args:
        cfg: filters, kernel, dropout, dense and dense_dropout; None: the paper's.
    Raises:
        ValueError: the image is too small for the blocks.
    """

    takes_grey = True  # one channel or three

    def __init__(
        self, n_classes: int, size_px: int, cfg: ModelConfig | None = None, *, pool_first: bool = True
    ) -> None:
        super().__init__()
        cfg = cfg or ModelConfig()
        side = features_side(size_px, cfg.kernel, len(cfg.filters))
        blocks: list[nn.Module] = []
        for n_in, n_out in zip((3, *cfg.filters[:-1]), cfg.filters, strict=True):
            pool, relu = nn.MaxPool2d(2), nn.ReLU(inplace=True)
            blocks += [
                _FirstConv(n_in, n_out, cfg.kernel) if not blocks else nn.Conv2d(n_in, n_out, cfg.kernel),
                *((pool, relu) if pool_first else (relu, pool)),
                nn.Dropout(cfg.dropout),
            ]
        self.features = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(cfg.filters[-1] * side * side, cfg.dense),
            nn.ReLU(inplace=True),
            nn.Dropout(cfg.dense_dropout),
            nn.Linear(cfg.dense, n_classes),
        )

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """Input of the last layer, (n, dense)."""
        features: torch.Tensor = self.head[:-1](self.features(x))
        return features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, n_classes) of normalised images (n, 3, size, size)."""
        logits: torch.Tensor = self.head(self.features(x))
        return logits


class _FirstConv(nn.Conv2d):
    """A convolution of three channels that takes a grey image as one: three equal channels are the image under the
    kernel summed over them.

    Forward and backward are those of three equal channels, in another order of sums: each channel gets the same
    gradient.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] == self.in_channels:
            return super().forward(x)
        kernel = self.weight.sum(1)
        if self.weight.is_contiguous(memory_format=torch.channels_last):
            # the strides of one channel fit both formats; these say which, and it takes half the time
            kernel = kernel.unsqueeze(-1).movedim(-1, 1)
        else:
            kernel = kernel.unsqueeze(1)
        return nn.functional.conv2d(x, kernel, self.bias)
