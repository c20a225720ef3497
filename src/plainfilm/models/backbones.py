"""Networks of torchvision and timm, with the names of their stem, stages and head.

Parameters keep the library's names, so its weight files load.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from plainfilm.errors import ConfigError
from plainfilm.models.registry import ModelSpec, require_library

_Pooled = Callable[[Any, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class BackboneParts:
    """Names inside a network.

    `head`: its last linear layer; `stems`: the convolutions that take the image; `stages`: module names from stem to
    head, one group per learning rate; `pooled`: network, normalised images -> input of the head, (n, d).
    """

    head: str
    stems: tuple[str, ...]
    stages: tuple[tuple[str, ...], ...]
    pooled: _Pooled


def own_pooled(network: Any, x: torch.Tensor) -> torch.Tensor:
    """The pooled features of our own networks."""
    features: torch.Tensor = network.pooled(x)
    return features


def _chain_pooled(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """torchvision's networks are chains of children; the last one is the head, or a Sequential that ends with it."""
    *body, last = [child for child in network.children() if child is not None]
    for child in body:
        x = child(x)
    x = torch.flatten(x, 1)
    return last[:-1](x) if isinstance(last, nn.Sequential) else x


def _densenet_pooled(network: Any, x: torch.Tensor) -> torch.Tensor:
    """DenseNet has a ReLU and a mean between its two children."""
    return torch.relu(network.features(x)).mean((2, 3))


def _timm_pooled(network: Any, x: torch.Tensor) -> torch.Tensor:
    """The input of the classifier, as timm computes it."""
    features: torch.Tensor = network.forward_head(network.forward_features(x), pre_logits=True)
    return features


_RESNET = BackboneParts("fc", ("conv1",), (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",), ("fc",)), _chain_pooled)  # fmt: skip
_PARTS = {
    "resnet18": _RESNET,
    "resnet34": _RESNET,
    "resnet50": _RESNET,
    "densenet121": BackboneParts(
        "classifier", ("features.conv0",),
        (
            ("features.conv0", "features.norm0"), ("features.denseblock1", "features.transition1"),
            ("features.denseblock2", "features.transition2"), ("features.denseblock3", "features.transition3"),
            ("features.denseblock4", "features.norm5"), ("classifier",),
        ),
        _densenet_pooled,
    ),
    "vgg16": BackboneParts(
        "classifier.6", ("features.0",),
        (("features.0", "features.2"), ("features",), ("classifier.0", "classifier.3"), ("classifier.6",)),
        _chain_pooled,
    ),
    "inception_v3": BackboneParts(
        "fc", ("Conv2d_1a_3x3.conv",),
        (
            ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"),
            ("Mixed_5b", "Mixed_5c", "Mixed_5d"),
            ("Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
            ("Mixed_7a", "Mixed_7b", "Mixed_7c"), ("fc",),
        ),
        _chain_pooled,
    ),
    "mobilenet_v3_large": BackboneParts(
        "classifier.3", ("features.0.0",),
        (
            ("features.0",), tuple(f"features.{i}" for i in range(1, 7)), tuple(f"features.{i}" for i in range(7, 13)),
            tuple(f"features.{i}" for i in range(13, 17)), ("classifier.0",), ("classifier.3",),
        ),
        _chain_pooled,
    ),
    "efficientnet_b0": BackboneParts(
        "classifier.1", ("features.0.0",),
        (
            ("features.0",), ("features.1", "features.2", "features.3"), ("features.4", "features.5"),
            ("features.6", "features.7", "features.8"), ("classifier.1",),
        ),
        _chain_pooled,
    ),
}  # fmt: skip
# The auxiliary classifier is left out. The builder's own initialisation (standard deviation 0.1 everywhere) gave logits
# of 5e9 before BatchNorm had seen any batch, which would count as diverged; torch's default does not.
_SETTINGS: dict[str, dict[str, Any]] = {"inception_v3": {"aux_logits": False, "init_weights": False}}


def build_backbone(spec: ModelSpec, n_classes: int, size_px: int) -> tuple[nn.Module, BackboneParts]:
    """A library's network with a fresh head and three input channels.

    Raises:
        MissingError: the library is not installed. ConfigError: the network cannot be used here, or at this size.
    """
    require_library(spec)
    if spec.library == "torchvision":
        import torchvision

        network = torchvision.models.get_model(
            spec.builder, weights=None, num_classes=n_classes, **_SETTINGS.get(spec.builder, {})
        )
        return network, _PARTS[spec.builder]
    return _build_timm(spec, n_classes, size_px)


def _build_timm(spec: ModelSpec, n_classes: int, size_px: int) -> tuple[nn.Module, BackboneParts]:
    import timm

    # pretrained=False: timm downloads nothing; weights come only from models.load_weights
    sized: dict[str, Any] = {"img_size": size_px} if spec.patch_px > 1 else {}
    try:
        network = timm.create_model(spec.builder, pretrained=False, num_classes=n_classes, in_chans=3, **sized)
        parts = _timm_parts(spec, network)
        with torch.no_grad():
            shape = network.eval()(torch.zeros(1, 3, size_px, size_px)).shape
    except (RuntimeError, ValueError, AssertionError, TypeError, IndexError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"The network {spec.name!r} cannot be used with {size_px} px images ({why}). Choose --size {spec.size_px}, or another --model."
        ) from None
    if tuple(shape) != (1, n_classes):
        raise ConfigError(f"The network {spec.name!r} gives outputs of shape {tuple(shape)}, not one score per class. Choose another --model.")  # fmt: skip
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", (1,))[0]
    if size_px % patch:  # timm would silently drop the rest of the image
        raise ConfigError(f"train.size_px: {spec.name!r} cuts images into patches of {patch} px; {size_px} is not a multiple. Choose --size {size_px - size_px % patch}.")  # fmt: skip
    return network.train(), parts


def _timm_parts(spec: ModelSpec, network: Any) -> BackboneParts:
    facts = network.default_cfg
    head, stem = facts["classifier"], facts["first_conv"]
    if not isinstance(head, str) or not isinstance(network.get_submodule(head), nn.Linear):
        raise ConfigError(f"The network {spec.name!r} does not end with one linear layer. Choose another --model.")
    stems = (stem,) if isinstance(stem, str) else tuple(stem)
    stages: list[tuple[str, ...]] = []
    for name, child in network.named_children():
        if isinstance(child, nn.Sequential | nn.ModuleList) and not any(s.startswith(f"{name}.") for s in stems):
            stages += [(f"{name}.{part}",) for part, inner in child.named_children() if list(inner.parameters())]
        elif name != head and list(child.parameters()):
            stages.append((name,))
    return BackboneParts(head, stems, (*(stage for stage in stages if stage != (head,)), (head,)), _timm_pooled)


def grey_stem(network: nn.Module, stems: tuple[str, ...]) -> None:
    """Make the first convolutions take one channel: each kernel is summed over its three.

    For images whose channels are equal after normalisation the outputs stay the same, padding included.
    """
    for name in stems:
        old = network.get_submodule(name)
        new = _summed(old) if isinstance(old, nn.Conv2d) and old.groups == 1 else None
        if new is None:
            raise ConfigError(f"The first layer {name!r} is not a plain convolution and cannot take grey images. Choose another --model.")  # fmt: skip
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, new)


def _summed(old: nn.Conv2d) -> nn.Conv2d | None:
    """The same layer for one channel, of the same class: timm's pad by the image's size. None where a grey image
    would come out otherwise, as from a layer that standardises its kernels."""
    new = copy.deepcopy(old)
    new.in_channels, new.weight = 1, nn.Parameter(old.weight.detach().sum(1, keepdim=True))
    grey = torch.linspace(-1, 1, 37 * 37).view(1, 1, 37, 37)
    with torch.no_grad():
        alike = torch.allclose(new(grey), old(grey.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-4)
    return new if alike else None
