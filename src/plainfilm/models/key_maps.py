"""Names of tensors in files of other libraries, as timm's networks call them."""

from __future__ import annotations

import re
from collections.abc import Iterable

# EfficientNet as the package efficientnet_pytorch names its layers: blocks counted through, timm's by stage.
_NUMBERED = re.compile(r"(\d+)\.(.+)")
_AUXILIARY = "Mixed_6e"  # torchvision's inception_v3 may have a classifier behind it, which ours is built without
_BLOCK = re.compile(r"_blocks\.(\d+)\._(expand_conv|bn0|depthwise_conv|bn1|project_conv|bn2)\.(.+)")
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_EXPANDING = {"expand_conv": "conv_pw", "bn0": "bn1", "depthwise_conv": "conv_dw", "bn1": "bn2",
              "project_conv": "conv_pwl", "bn2": "bn3"}  # fmt: skip
_FIRST = {"depthwise_conv": "conv_dw", "bn1": "bn1", "project_conv": "conv_pw", "bn2": "bn2"}  # it does not expand


def timm_efficientnet(names: Iterable[str], target: Iterable[str]) -> dict[str, str]:
    """The new name of each of `names` that is one of efficientnet_pytorch's; `target`: all names of timm's network."""
    wanted = list(target)
    blocks = list(dict.fromkeys(found[0] for name in wanted if (found := re.match(r"blocks\.\d+\.\d+\.", name))))
    expanding = {block for block in blocks if any(name.startswith(f"{block}conv_pwl.") for name in wanted)}
    return {name: new for name in names if (new := _renamed(name, blocks, expanding)) is not None}


def _renamed(name: str, blocks: list[str], expanding: set[str]) -> str | None:
    found = _BLOCK.fullmatch(name)
    if found is None:
        layer, _, rest = name.partition(".")
        return f"{_OUTSIDE[layer]}.{rest}" if layer in _OUTSIDE else None
    number, layer, rest = int(found[1]), found[2], found[3]
    if number >= len(blocks):
        return None
    layers = _EXPANDING if blocks[number] in expanding else _FIRST
    return f"{blocks[number]}{layers[layer]}.{rest}" if layer in layers else None


def numbered_children(names: Iterable[str], children: Iterable[str]) -> list[dict[str, str]]:
    """The new names of tensors in a Sequential of a network's children ('4.0.conv1.weight'), of each way to count them.

    Args:
        children: the network's own names of them, in order, those without tensors (pooling) included.
    """
    listed = list(children)
    ways = [listed]
    if _AUXILIARY in listed:
        after = listed.index(_AUXILIARY) + 1
        ways.append([*listed[:after], "AuxLogits", *listed[after:]])
    found = [(name, int(match[1]), match[2]) for name in names if (match := _NUMBERED.fullmatch(name))]
    return [{name: f"{way[number]}.{rest}" for name, number, rest in found if number < len(way)} for way in ways]
