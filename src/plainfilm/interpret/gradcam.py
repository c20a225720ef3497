"""Heat maps: which positions of an image the score of one class depends on, by Grad-CAM on the network's last map.

A heat map is not evidence of location: its cells are large, and the score may depend on something elsewhere in the image.
`interpret.heatmap_checks` measures how far it can be trusted.

Sources: Selvaraju et al., ICCV 2017 (Grad-CAM); Draelos & Carin 2020, arXiv 2011.08891 (HiResCAM); captum runs both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from torch import nn
from torch.nn.functional import interpolate

from plainfilm.data.image.layout import channels_first
from plainfilm.errors import UsageError
from plainfilm.models.build import Normalised

Method = Literal["grad-cam", "hires-cam"]
_Layout = Literal["nchw", "nhwc", "tokens"]
_BATCH = 8  # at 512 px the paper's network keeps 33 MB per image for the backward pass


@dataclass(frozen=True)
class LastMap:
    """The deepest layer whose output is still a map: its `name` in the network and its `cells` (rows, columns).

    `layout`: nchw; nhwc; or tokens, (n, prefix + cells, d), whose first `prefix` tokens have no position.
    """

    name: str
    layout: _Layout
    cells: tuple[int, int]
    prefix: int = 0


def find_last_map(model: Normalised, size_px: int) -> LastMap:
    """The last layer of any network whose individual positions still affect the score; found by one pass and its gradients.

    For a convolutional network this is the last map before pooling. For a transformer whose head reads only the class
    token it is the input of the last attention: after that, the other positions no longer reach the score.

    Raises:
        UsageError: the network has no such layer, or its last map has one cell at this size.
    """
    seen: list[tuple[str, torch.Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, name=name: _keep(seen, name, out))
        for name, module in model.network.named_modules()
        if name
    ]
    try:
        with torch.enable_grad():
            draw = torch.Generator().manual_seed(0)
            x = torch.rand(1, 1, size_px, size_px, generator=draw).to(model.mean.device).requires_grad_()
            features = model.eval().features(x)
            # a plain sum of features would not do: the sum of a layer norm's outputs is constant
            target = (features * torch.randn(features.shape, generator=draw).to(features.device)).sum()
            grads = torch.autograd.grad(target, [x, *(out for _, out in seen)], allow_unused=True)[1:]
    finally:
        for hook in hooks:
            hook.remove()
    width, prefix = model.head.in_features, int(getattr(model.network, "num_prefix_tokens", 0))
    places = [(_place(name, out.shape, width, prefix), grad) for (name, out), grad in zip(seen, grads, strict=True)]
    tokens = any(place and place.layout == "tokens" for place, _ in places)  # attention matrices are not maps
    for place, grad in reversed(places):
        if place and grad is not None and not (tokens and place.layout == "nchw") and _to_map(grad, place).any():
            return place
    raise UsageError(f"The network has no map of more than one cell at {size_px} px; heat maps cannot be drawn. Use --heat-maps 0.")  # fmt: skip


def _keep(seen: list[tuple[str, torch.Tensor]], name: str, out: object) -> None:
    if isinstance(out, torch.Tensor) and out.requires_grad and out.ndim in (3, 4):
        seen.append((name, out))


def _place(name: str, shape: torch.Size, width: int, prefix: int) -> LastMap | None:
    """The kind of map an output is, by its shape (images are square); `width`: number of input features of the head."""
    if len(shape) == 3:
        side = round(max(shape[1] - prefix, 0) ** 0.5)
        known = shape[2] == width and side > 1 and side * side == shape[1] - prefix
        return LastMap(name, "tokens", (side, side), prefix) if known else None
    if shape[2] == shape[3]:
        return LastMap(name, "nchw", (shape[2], shape[3])) if shape[2] > 1 else None
    known = shape[1] == shape[2] and shape[3] == width and shape[1] > 1
    return LastMap(name, "nhwc", (shape[1], shape[2])) if known else None


def _to_map(out: torch.Tensor, place: LastMap) -> torch.Tensor:
    """An output as (n, c, rows, columns)."""
    if place.layout == "tokens":
        return out[:, place.prefix :].transpose(1, 2).reshape(len(out), -1, *place.cells)
    return out.permute(0, 3, 1, 2) if place.layout == "nhwc" else out


class _AsMap(nn.Module):
    """A layer whose output passes through `map` as (n, c, rows, columns), where captum can see it."""

    def __init__(self, layer: nn.Module, place: LastMap) -> None:
        super().__init__()
        self.layer, self.place, self.map = layer, place, nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x)
        seen: torch.Tensor = self.map(_to_map(out, self.place))
        if self.place.layout == "nhwc":
            return seen.permute(0, 2, 3, 1)
        return torch.cat((out[:, : self.place.prefix], seen.flatten(2).transpose(1, 2)), dim=1)


@contextmanager
def _watched(model: Normalised, place: LastMap) -> Iterator[nn.Module]:
    """The module whose output is the map; inside the context, an _AsMap wraps a layer whose output has another layout."""
    layer = model.network.get_submodule(place.name)
    if place.layout == "nchw":
        yield layer
        return
    parent, _, own = place.name.rpartition(".")
    holder, wrapped = model.network.get_submodule(parent), _AsMap(layer, place)
    setattr(holder, own, wrapped)
    try:
        yield wrapped.map
    finally:
        setattr(holder, own, layer)


def _log_odds(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """log(p / (1 - p)) of each image's class, (n,); with two classes the difference of the logits."""
    mine = logits.gather(1, classes[:, None])
    others = logits.masked_fill(
        torch.zeros_like(logits, dtype=torch.bool).scatter(1, classes[:, None], True), -torch.inf
    )
    return mine[:, 0] - others.logsumexp(1)


def heat_maps(
    model: Normalised, pixels: np.ndarray, classes: np.ndarray, *, place: LastMap | None = None,
    method: Method = "grad-cam", device: str = "cpu",
) -> np.ndarray:  # fmt: skip
    """Evidence for one class, float32 (n, h, w) in 0..1 at the size of the images; the maximum of each map is 1.

    A map of zeros: no position is evidence for the class. Grad-CAM weights each feature by its mean gradient, so it
    cannot distinguish positions that a dense layer weights differently (the paper's network). HiResCAM weights each
    position separately, and equals Grad-CAM where the map is averaged before a linear head.

    Args:
        pixels: uint8 (n, h, w) or (n, h, w, 3), square.
        classes: int (n,), whose log odds the heat explains.
        place: result of find_last_map(), to save its pass.
    """
    model.to(device).eval()
    place = place or find_last_map(model, pixels.shape[1])
    heats = [np.empty((0, *pixels.shape[1:3]), np.float32)]
    with _watched(model, place) as layer, torch.enable_grad():
        for start in range(0, len(pixels), _BATCH):
            x = torch.from_numpy(channels_first(np.ascontiguousarray(pixels[start : start + _BATCH]))).to(device)
            x = x.float().div_(255)
            named = torch.from_numpy(np.asarray(classes[start : start + _BATCH], dtype=np.int64)).to(device)
            cells = _attributed(model, layer, x, named, method)
            heat = interpolate(cells, size=x.shape[2:], mode="bilinear", align_corners=False)[:, 0]
            top = heat.amax((1, 2), keepdim=True)
            scaled = torch.where(top > 0, heat / top.clamp_min(torch.finfo(heat.dtype).tiny), torch.zeros_like(heat))
            heats.append(scaled.detach().cpu().numpy().astype(np.float32))
    return np.concatenate(heats)


def _attributed(model: Normalised, layer: nn.Module, x: torch.Tensor, classes: torch.Tensor, method: Method) -> torch.Tensor:  # fmt: skip
    """Non-negative heat of each cell, (n, 1, rows, columns)."""

    def score(images: torch.Tensor) -> torch.Tensor:
        return _log_odds(model(images), classes)

    if method == "grad-cam":
        cells: torch.Tensor = LayerGradCam(score, layer).attribute(x, relu_attributions=True)
        return cells
    products = LayerGradientXActivation(score, layer, multiply_by_inputs=True).attribute(x)
    return torch.relu(products.sum(1, keepdim=True))
