"""The precision of training steps: fp32, or bf16 where the machine computes in bfloat16 itself.

`models.build.Normalised` carries it out; validation, scores, loss, weights and optimiser are fp32 in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import nn

from plainfilm.base.events import EventCallback
from plainfilm.config import ExperimentConfig, TrainConfig
from plainfilm.errors import ConfigError, MissingError
from plainfilm.models.build import Normalised

_PROCESSORS = {"avx512_bf16": "AVX-512 BF16", "amx_bf16": "AMX"}  # capability -> its name for people


class Precision(NamedTuple):
    """What the training steps compute in, fp32 or bf16, and why; no reason where the config says fp32."""

    name: str
    reason: str


def bf16_support(device: str) -> tuple[bool, str]:
    """Whether `device` computes in bfloat16 itself, and what says so. Emulation does not count: it is many times slower."""
    if device == "cpu":
        capabilities: Mapping[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        found = [name for key, name in _PROCESSORS.items() if capabilities.get(key)]
        if found:
            return True, f"this processor has {' and '.join(found)}"
        return False, "this processor has neither AVX-512 BF16 nor AMX; a step would take 11 to 34 times as long"
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return native, f"this GPU {'computes' if native else 'does not compute'} in bfloat16"
    return False, f"bfloat16 is not offered on {device}"


def choose_precision(train: TrainConfig, device: str) -> Precision:
    """What `train.precision` means on this device.

    Raises:
        MissingError: bf16, and the device does not compute in it.
    """
    if train.precision == "fp32":
        return Precision("fp32", "")
    if all(phase.freeze for phase in train.phases):
        return Precision("fp32", "only the head is trained, on features computed in fp32")
    native, reason = bf16_support(device)
    if train.precision == "bf16" and not native:
        raise MissingError(
            f"--precision bf16: {reason}. Use --precision fp32, or auto, which takes bf16 where it is native."
        )
    return Precision("bf16" if native else "fp32", reason)


def settle_precision(cfg: ExperimentConfig, device: str, on_event: EventCallback) -> tuple[ExperimentConfig, Precision]:
    """The config with fp32 or bf16 in place of auto; says which, unless fp32 was asked for."""
    found = choose_precision(cfg.train, device)
    if cfg.train.precision != "fp32":
        on_event("precision", found._asdict())
    return with_precision(cfg, found.name), found


def with_precision(cfg: ExperimentConfig, name: str) -> ExperimentConfig:
    """The config with this precision."""
    return cfg.model_copy(update={"train": cfg.train.model_copy(update={"precision": name})})


def require_precision(root: Path, name: str, device: str) -> None:
    """Refuse to go on with a run where its precision is not native.

    Raises:
        MissingError: the run began in bf16, and `device` does not compute in it.
    """
    native, reason = bf16_support(device) if name == "bf16" else (True, "")
    if not native:
        raise MissingError(
            f"The run {root} began in bf16 and cannot go on here: {reason}. Resume it on a machine with bfloat16 "
            "arithmetic (plainfilm doctor says whether one has it), or train again with --precision fp32."
        )


def set_precision(model: nn.Module, name: str) -> None:
    """Let the training steps of a network of build_model() compute in this precision.

    Raises:
        ConfigError: bf16 for another network.
    """
    if isinstance(model, Normalised):
        model.precision = name
    elif name == "bf16":
        raise ConfigError(
            "train.precision: bf16 is for the networks of build_model(). Leave it out, and use torch.autocast in the "
            "forward() of your own."
        )


def precision_of_phase(cfg: ExperimentConfig, phase: int) -> Literal["fp32", "bf16"]:
    """What the steps of a phase computed in: a head alone is trained in fp32."""
    bf16 = cfg.train.precision == "bf16" and not cfg.train.phases[phase].freeze
    return "bf16" if bf16 else "fp32"
