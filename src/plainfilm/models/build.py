"""Build a network by name: the registry's facts and the config become an nn.Module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from plainfilm.base.events import EventCallback, silent
from plainfilm.base.files import regular_file
from plainfilm.base.seeds import INIT, torch_seed
from plainfilm.config import ModelConfig, SpeedConfig
from plainfilm.errors import DataError, MissingError, UsageError
from plainfilm.models.backbones import BackboneParts, build_backbone, grey_stem, own_pooled
from plainfilm.models.compact import CompactNet
from plainfilm.models.dropout import pack_masks
from plainfilm.models.find_weights import find_weights, with_statistics
from plainfilm.models.load_weights import load_initial
from plainfilm.models.paper import PaperNet
from plainfilm.models.paper_gap import PaperGapNet
from plainfilm.models.registry import check_options, get_spec, statistics

_ONE_GREY_LEVEL = 1 / 255  # the smallest standard deviation that an image is divided by


class Normalised(nn.Module):
    """A network with its own normalisation in front; pixels 0..1, (n, 1 or 3, h, w) -> logits (n, k).

    `standardise`: each image is normalised by its own mean and standard deviation over all pixels and channels, and
    `mean` and `std` are not used; an image of one grey level becomes zeros.

    Normalisation is part of the network, so training, evaluation and export cannot differ in it. For a network with
    three input channels, a grey batch is expanded right before the network, unless the network takes one channel too
    and `mean` and `std` are the same for all three; for one with a single channel, both are averaged over the channels.

    `as_grey`: whether grey images enter as one channel.
    `initial_weights`: what was loaded into it before training, for the card; None when it starts from scratch.
    `precision`: bf16 runs the network in bfloat16 autocast while it trains; pixels, weights and logits stay float32, and
    in eval mode everything is.
    """

    mean: torch.Tensor
    std: torch.Tensor
    initial_weights: dict[str, Any] | None = None
    precision: str = "fp32"

    def __init__(
        self,
        network: nn.Module,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        parts: BackboneParts | None = None,
        channels: int = 3,
        *,
        standardise: bool = False,
        speed: SpeedConfig | None = None,
    ) -> None:
        super().__init__()
        speed = speed or SpeedConfig()
        self.network, self._parts, self.standardise = network, parts, standardise
        alike = standardise or len(set(mean)) == len(set(std)) == 1
        self.as_grey = speed.grey_first_layer and alike and getattr(network, "takes_grey", False)
        if channels == 1:
            mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

        # the CPU's convolutions run 1.2 to 1.4 times faster on channels_last
        self.memory_format = torch.channels_last if speed.channels_last else torch.contiguous_format
        self.to(memory_format=self.memory_format)

    def _normalised(self, x: torch.Tensor) -> torch.Tensor:
        channels = x.shape[1] if self.as_grey else self.mean.shape[1]
        if self.standardise:
            x = x - x.mean((1, 2, 3), keepdim=True)
            x = x / x.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(_ONE_GREY_LEVEL)
            x = x.expand(-1, channels, -1, -1)
        else:
            x = (x.expand(-1, channels, -1, -1) - self.mean[:, :channels]) / self.std[:, :channels]
        return x.contiguous(memory_format=self.memory_format)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, k) of images, or of precomputed features (n, d)."""
        logits: torch.Tensor
        if x.ndim == 2:
            logits = self.head(x)
        elif self.training and self.precision == "bf16":
            normalised = self._normalised(x)
            with torch.autocast(x.device.type, torch.bfloat16):
                logits = self.network(normalised)
            logits = logits.float()
        else:
            logits = self.network(self._normalised(x))
        return logits

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Input of the last layer, (n, d); `head` turns it into logits."""
        return self.parts.pooled(self.network, self._normalised(x))

    @property
    def parts(self) -> BackboneParts:
        """The names of the network's stem, stages and head."""
        if self._parts is None:
            raise TypeError("this network was wrapped without naming its parts")
        return self._parts

    @property
    def head(self) -> nn.Linear:
        """The last linear layer."""
        layer = self.network.get_submodule(self.parts.head)
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"the last layer {self.parts.head!r} is not linear")
        return layer


def fresh_model(
    cfg: ModelConfig,
    n_classes: int,
    size_px: int,
    seed: int = 0,
    *,
    channels: int = 3,
    speed: SpeedConfig | None = None,
) -> Normalised:
    """A fresh network whose weights are a function of (cfg, n_classes, size_px, seed, channels).

    It reads no weights file, whatever `cfg.weights` says: build_model() does.

    Args:
        channels: of the images, 1 or 3. The paper's network has three input channels for both; the others get as
            many as the images have.
    Raises:
        ConfigError: unknown name, an option the network does not have, or an unsupported size.
        MissingError: the network's library is not installed.
    """
    spec, speed = check_options(cfg, size_px), speed or SpeedConfig()
    channels = int(spec.channels) if spec.channels.isdigit() else channels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, INIT))
        if spec.library == "plainfilm":
            network, parts = _OWN[spec.name](cfg, n_classes, size_px, channels, speed)
        else:
            network, parts = build_backbone(spec, n_classes, size_px)
            if channels == 1:
                grey_stem(network, parts.stems)
    if speed.packed_masks and (spec.library == "plainfilm" or speed.backbone_masks == "packed"):
        pack_masks(network)
    return Normalised(network, *statistics(cfg), parts, channels, standardise=cfg.standardise, speed=speed)


def build_model(
    cfg: ModelConfig, classes: int | Sequence[str], size_px: int, seed: int = 0, *, channels: int = 3,
    speed: SpeedConfig | None = None, offline: bool = False, on_event: EventCallback = silent,
) -> Normalised:  # fmt: skip
    """A network ready for training: `cfg.weights` loaded, normalised as those weights expect, with a new head.

    pixels in 0..1, (n, 1 or 3, h, w) -> logits (n, n_classes). `initial_weights` says what happened to each tensor;
    None where `cfg.weights` is 'none'.

    Args:
        classes: their number, or their names; where these are those of the run that `cfg.weights` names, its head is
            kept.
        seed: initialises what is not loaded. channels: of the images, 1 or 3.
        offline: download no ImageNet weights; else `on_event` receives host and size before a download.
    Raises:
        ConfigError, MissingError, DataError: those of find_weights(), load_initial() and fresh_model().
    """
    vocab: Sequence[str] = () if isinstance(classes, int) else classes
    n_classes = classes if isinstance(classes, int) else len(classes)
    found = find_weights(cfg, offline=offline, on_event=on_event)
    model = fresh_model(with_statistics(cfg, found), n_classes, size_px, seed, channels=channels, speed=speed)
    if found is not None:
        load_initial(model, get_spec(cfg.name), found, list(vocab))
    return model


def _paper(
    cfg: ModelConfig, n_classes: int, size_px: int, channels: int, speed: SpeedConfig
) -> tuple[nn.Module, BackboneParts]:
    blocks = tuple((f"features.{4 * i}",) for i in range(len(cfg.filters)))
    parts = BackboneParts("head.4", ("features.0",), (*blocks, ("head.1",), ("head.4",)), own_pooled)
    return PaperNet(n_classes, size_px, cfg, pool_first=speed.pool_first), parts


def _paper_gap(
    cfg: ModelConfig, n_classes: int, size_px: int, channels: int, speed: SpeedConfig
) -> tuple[nn.Module, BackboneParts]:
    blocks = tuple((f"blocks.{i}",) for i in range(len(cfg.filters)))
    parts = BackboneParts("head", ("blocks.0.0",), (*blocks, ("dense",), ("head",)), own_pooled)
    return PaperGapNet(n_classes, cfg, channels=channels), parts


def _compact(
    cfg: ModelConfig, n_classes: int, size_px: int, channels: int, speed: SpeedConfig
) -> tuple[nn.Module, BackboneParts]:
    stages = (("stem",), ("stage1",), ("stage2",), ("stage3",), ("head",))
    return CompactNet(n_classes, channels=channels, dropout=cfg.dropout), BackboneParts(
        "head", ("stem.0",), stages, own_pooled
    )


_Builder = Callable[[ModelConfig, int, int, int, SpeedConfig], tuple[nn.Module, BackboneParts]]
_OWN: dict[str, _Builder] = {"paper": _paper, "paper-gap": _paper_gap, "compact": _compact}


def parameter_groups(model: nn.Module) -> list[list[nn.Parameter]]:
    """All parameters, in groups from stem to head; those of no named stage (a class token) are in the first.

    A network whose parts are not named (a user's own module) is one group.
    """
    if not isinstance(model, Normalised) or model._parts is None:
        return [list(model.parameters())]
    stages = model.parts.stages
    groups: list[list[nn.Parameter]] = [[] for _ in stages]
    for name, parameter in model.network.named_parameters():
        fits = [(len(part), i) for i, stage in enumerate(stages) for part in stage if f"{name}.".startswith(f"{part}.")]
        groups[max(fits)[1] if fits else 0].append(parameter)
    return [group for group in groups if group]


def parameter_count(model: nn.Module) -> int:
    """Number of trainable parameters in `model`."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def load_weights(model: Normalised, path: Path) -> None:
    """Load a safetensors file into a network built for it.

    Raises:
        DataError: names or shapes differ.
    """
    try:
        model.network.load_state_dict(load_file(regular_file(path)))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Restore it, or train again.") from None
    except RuntimeError as error:
        raise DataError(
            f"{path.name} does not fit the network its config describes ({str(error).splitlines()[0]}). Train it again."
        ) from None


def pick_device(name: str) -> str:
    """The device to work on: 'auto' takes a GPU where there is one.

    Raises:
        UsageError: no such device. MissingError: this machine has none.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name not in ("auto", *there):
        raise UsageError(f"--device {name!r} is not known; expected auto, cpu, cuda or mps.")
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if there[device])
    if not there[name]:
        raise MissingError(f"No {name} device was found on this machine. Use --device cpu, or --device auto.")
    return name
