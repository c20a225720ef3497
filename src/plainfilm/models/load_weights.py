"""Load weights from any file or an earlier run into a network, and report which tensors fit."""

from __future__ import annotations

import json
import re
import struct
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from plainfilm.base.files import read_regular, regular_file
from plainfilm.errors import DataError
from plainfilm.models.find_weights import FoundWeights
from plainfilm.models.key_maps import numbered_children, timm_efficientnet
from plainfilm.models.registry import ModelSpec

if TYPE_CHECKING:
    from plainfilm.models.build import Normalised

_Tensors = dict[str, torch.Tensor]
_CONTAINERS = ("state_dict", "model_state_dict", "model", "network")
_PREFIXES = ("module.", "network.", "backbone.", "model.", "encoder.", "_orig_mod.")
_XRV, _XRV_RANGE = "torchxrayvision", "-1024,1024"
_XRV_STD = 0.01  # 1/2048 with that range; that of no other normalisation is as small
_CONVERT = "python -c \"import torch; torch.save(torch.load('FILE', weights_only=False).state_dict(), 'weights.pt')\""
_SAFETENSORS_HEADER_MAX = 100_000_000  # bytes; the format's own limit
# Before 2017 DenseNet's layers were named norm.1, conv.2; torchvision's file still uses these names.
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
# Largest share of the network's tensors that may be missing, and of unknown tensors among its own layers. resnet18 fits
# half of resnet34 and resnet34 all of resnet18: neither may pass.
_MAX_MISFIT = 0.1


@dataclass(frozen=True)
class _KeyReport:
    """What happened to each tensor. `fresh`: keys that keep their random values on purpose (the head, and layers that
    depend on the image size); `notes`: conversions, as text."""

    loaded: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]
    fresh: tuple[str, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for card.json."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _read_tensors(path: Path) -> _Tensors:
    """The tensors of a weights file, whose format is found by content: safetensors, or a PyTorch file from which
    nothing but tensors is unpickled.

    Raises:
        DataError: it is neither, is damaged, or would run code.
    """
    try:
        head = read_regular(path, 16)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}). Check the path and its rights.") from None
    if not head:
        raise DataError(f"{path} is empty; expected a weights file. Get it again.")
    if len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= _SAFETENSORS_HEADER_MAX:
        try:
            return load_file(regular_file(path))
        except (SafetensorError, json.JSONDecodeError, OSError, ValueError) as error:
            raise DataError(f"{path} is a damaged safetensors file ({_first_line(error)}). Get it again.") from None
    if head.startswith(b"PK\x03\x04") or head.startswith(b"\x80"):
        return _unwrapped(_read_torch(path), path)
    raise DataError(
        f"{path} is not a weights file: it begins with {head[:12]!r}. Expected safetensors, or a state_dict saved with PyTorch (.pth, .pt, .bin)."
    )


def _read_torch(path: Path) -> Any:
    try:
        # an open file: given a name, torch would choose the reader by it. The warnings are about pickle protocols
        # that it may not know, and then it fails.
        with warnings.catch_warnings(action="ignore"), regular_file(path).open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a file from elsewhere can fail in any way, and all of them mean the same
        if re.search(r"Unsupported (global|class|operand)|GLOBAL", str(error)):
            raise DataError(_holds_objects(path, str(error))) from None
        raise DataError(f"{path} is damaged or not a PyTorch file ({_first_line(error)}). Get it again.") from None


def _holds_objects(path: Path, said: str) -> str:
    """The refusal of a file with Python objects; `said`: torch's words, which name the first of them."""
    found = re.search(r"GLOBAL ([\w.]{1,80})", said)
    kind = found[1] if found else ""
    refused = f"{path} holds Python objects besides tensors{f' ({kind})' if kind else ''}, which could run code; none was loaded."
    if kind.startswith(_XRV):
        return (
            f"{refused} torchxrayvision saves whole models. If you trust the file, write its tensors alone where that "
            f"package is installed: {_CONVERT} Then give weights.pt, with --range {_XRV_RANGE}."
        )
    return (
        f"{refused} If you trust it and it is a whole model, write its tensors alone where it can be loaded: {_CONVERT}"
    )


def _unwrapped(content: Any, path: Path) -> _Tensors:
    """The tensors inside the containers that training scripts write."""
    for _ in range(len(_CONTAINERS)):
        if not isinstance(content, Mapping):
            break
        inner = next((content[name] for name in _CONTAINERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            break
        content = inner
    tensors = {}
    if isinstance(content, Mapping):
        tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise DataError(f"{path} holds no named tensors. Expected a state_dict, or one under {', '.join(_CONTAINERS)}.")
    return tensors


def load_initial(model: Normalised, spec: ModelSpec, found: FoundWeights, vocab: list[str]) -> _KeyReport:
    """Load weights into a new network, and record them in `model.initial_weights`.

    The head is loaded if it has the same number of classes, and from a run only if they are the same classes; else it
    keeps its random values. A three-channel first kernel is summed for grey images; a grey one is spread over three
    channels in equal thirds.

    Raises:
        DataError: the weights belong to another architecture, or are not finite.
    """
    target = model.network.state_dict()
    given = _named_as(_read_tensors(found.path), target, [name for name, _ in model.network.named_children()])
    head = f"{model.parts.head}."
    fresh = {name for name in target if name.startswith(head)} if found.card and found.card.vocab != vocab else set()
    given, notes = _fitted(given, target, model.parts.stems)
    notes += _scale_note(given, model)
    if spec.name == "paper" and _size_differs(given, target):
        fresh |= {name for name in target if name.startswith("head.")}
        notes.append("the dense layers belong to another image size and start from random weights")
    sort = _sorted(given, target, head, fresh)
    _refuse_other_architecture(sort, given, target, head, found.path)
    with torch.no_grad():
        for name in sort["loaded"]:
            if not bool(torch.isfinite(given[name].float()).all()):
                raise DataError(f"{found.path}: {name} holds NaN or infinite values. Use other weights.")
            target[name].copy_(given[name])
    missing, unexpected, mismatched, kept = (tuple(sort[k]) for k in ("missing", "unexpected", "mismatched", "fresh"))
    report = _KeyReport(len(sort["loaded"]), missing, unexpected, mismatched, kept, tuple(notes))
    model.initial_weights = {"kind": found.kind, "sha256": found.sha256, "report": report.as_dict()}
    return report


def _named_as(given: _Tensors, target: Mapping[str, torch.Tensor], children: Sequence[str]) -> _Tensors:
    """The same tensors under the network's names, as far as dropping wrapper prefixes, and the names and numbers of
    other libraries, lead there."""

    def hits(tensors: _Tensors) -> int:
        return len(tensors.keys() & target.keys())

    while True:
        bare = [{name.removeprefix(prefix): value for name, value in given.items()} for prefix in _PREFIXES]
        ways = [
            {name: _OLD_DENSENET.sub(r"\1\2", name) for name in given},
            timm_efficientnet(given, target),
            *numbered_children(given, children),
        ]
        best = max([*bare, *({way.get(name, name): value for name, value in given.items()} for way in ways)], key=hits)
        if hits(best) <= hits(given):
            wrapped = [each for each in bare if each.keys() != given.keys() and not hits(given)]
            deeper = [each for each in wrapped if len(each) == len(given)]
            if not deeper:
                return given
            given = deeper[0]  # a wrapper in a wrapper: nothing fits until both prefixes are dropped
            continue
        given = best


def _fitted(given: _Tensors, target: Mapping[str, torch.Tensor], stems: tuple[str, ...]) -> tuple[_Tensors, list[str]]:
    """The tensors, with stems converted to the number of channels and position embeddings to the grid size."""
    given, notes = dict(given), []
    for name in (f"{stem}.weight" for stem in stems):
        if name not in given or name not in target or given[name].ndim != 4:
            continue
        has, wants = given[name].shape[1], target[name].shape[1]
        if (has, wants) == (3, 1):
            given[name] = given[name].sum(1, keepdim=True)
            notes.append(f"{name} summed over its three channels for grey images")
        elif (has, wants) == (1, 3):
            given[name] = given[name].expand(-1, 3, -1, -1) / 3
            notes.append(f"{name} spread over three channels in equal thirds")
    positions = "pos_embed"
    if positions in given and positions in target and given[positions].shape != target[positions].shape:
        resized = _resized_grid(given[positions], target[positions].shape)
        if resized is not None:
            given[positions] = resized
            notes.append("pos_embed resized to the grid of this image size")
    return given, notes


def _scale_note(given: _Tensors, model: Normalised) -> list[str]:
    """What a file of torchxrayvision lacks: it is known by its operating thresholds, and its images by their scale."""
    if "op_threshs" not in given or float(model.std.max()) < _XRV_STD:
        return []
    return [f"the weights seem to be torchxrayvision's, whose images are in -1024..1024: give --range {_XRV_RANGE}"]


def _resized_grid(old: torch.Tensor, shape: torch.Size) -> torch.Tensor | None:
    """Position embeddings (1, t + g*g, d) resized bicubically to another grid, with the first t tokens kept; None if
    the shapes do not match."""
    if old.ndim != 3 or len(shape) != 3 or old.shape[2] != shape[2]:
        return None
    for tokens in (1, 0, 2):
        sides = [round(max(n - tokens, 0) ** 0.5) for n in (old.shape[1], shape[1])]
        if all(side > 0 and side**2 == n - tokens for side, n in zip(sides, (old.shape[1], shape[1]), strict=True)):
            grid = old[:, tokens:].float().reshape(1, sides[0], sides[0], -1).permute(0, 3, 1, 2)
            grid = nn.functional.interpolate(grid, size=(sides[1],) * 2, mode="bicubic", antialias=True)
            return torch.cat((old[:, :tokens].float(), grid.flatten(2).transpose(1, 2)), dim=1)
    return None


def _size_differs(given: _Tensors, target: Mapping[str, torch.Tensor]) -> bool:
    name = "head.1.weight"
    return name in given and given[name].shape != target[name].shape and given[name].shape[:1] == target[name].shape[:1]


def _sorted(given: _Tensors, target: Mapping[str, torch.Tensor], head: str, fresh: set[str]) -> dict[str, list[str]]:
    sort: dict[str, list[str]] = {k: [] for k in ("loaded", "missing", "mismatched", "fresh")}
    for name, tensor in target.items():
        fits = name in given and given[name].shape == tensor.shape
        if name in fresh or (name.startswith(head) and not fits):
            sort["fresh"].append(name)
        elif fits:
            sort["loaded"].append(name)
        elif name in given:
            sort["mismatched"].append(name)
        elif not name.endswith("num_batches_tracked"):  # older files lack it, and training does not read it
            sort["missing"].append(name)
    # a head of which only one part fits would be a mix of old and new
    if any(name.startswith(head) for name in sort["fresh"]):
        part = [name for name in sort["loaded"] if name.startswith(head)]
        sort["loaded"] = [name for name in sort["loaded"] if name not in part]
        sort["fresh"] += part
    sort["unexpected"] = sorted(given.keys() - target.keys())
    return sort


def _refuse_other_architecture(
    sort: dict[str, list[str]], given: _Tensors, target: Mapping[str, torch.Tensor], head: str, path: Path
) -> None:
    apart = (
        *sort["fresh"],
        *(name for name in target if name.startswith(head) or name.endswith("num_batches_tracked")),
    )
    body = [name for name in target if name not in apart]
    loaded = set(sort["loaded"]) & set(body)
    tops = {name.split(".")[0] for name in body}
    siblings = [n for n in sort["unexpected"] if n.split(".")[0] in tops and not n.endswith("num_batches_tracked")]
    if max(len(body) - len(loaded), len(siblings)) <= _MAX_MISFIT * len(body):
        return
    if sort["mismatched"]:
        name = sort["mismatched"][0]
        first = f"{name} has shape {tuple(given[name].shape)}, expected {tuple(target[name].shape)}"
    elif sort["missing"]:
        first = f"{sort['missing'][0]} is missing"
    else:
        first = f"{(siblings or sort['unexpected'])[0]} has no place"
    raise DataError(
        f"{path} holds weights of another architecture: {len(loaded)} of the network's {len(body)} tensors fit, "
        f"{len(sort['unexpected'])} of the file's {len(given)} have no place ({first}). Give the --model they were made with."
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")[:160]
