"""Process settings that make training faster; SpeedConfig has every switch, environment.json what was on."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from plainfilm.base.wait_policy import wait_policy
from plainfilm.config import SPEED_SWITCHES, SpeedConfig
from plainfilm.config.gpu import GpuConfig
from plainfilm.errors import UsageError
from plainfilm.train.machine.precision import Precision
from plainfilm.train.machine.system_limits import usable_cores

# glibc malloc parameters: never trim, no mmap, one arena, grow by 256 MB. By default every large activation is
# mapped and unmapped in each step: 16,000 page faults per image at 512 px, 1.3 times the time per step.
_MALLOPT = {-1: -1, -4: 0, -8: 1, -2: 256 << 20}


_MOST_PER_CORE = 8
FUSED_ON = ("cpu", "cuda")  # torch has no fused AdamW for others


def keep_memory() -> bool:
    """Make glibc's allocator keep freed memory, permanently; False (and no effect) where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(name, value) == 1 for name, value in _MALLOPT.items())


def speed_up(speed: SpeedConfig, threads: int | None = None) -> bool:
    """Set allocator and threads of this process; True where the allocator now keeps its memory.

    Args:
        threads: of the run that is resumed; another number changes the order of summation. Measured with the paper's
            network at 48 and 128 px: 1, 2 and 3 threads gave three different sets of weights.
    """
    torch.set_num_threads(threads or threads_for(speed))
    return speed.allocator and keep_memory()


def threads_for(speed: SpeedConfig) -> int:
    """Number of threads; auto is torch's own choice (it follows OMP_NUM_THREADS), but at most the usable cores.

    Raises:
        UsageError: so many that they would only wait for each other.

    In a container with two cores of 64, torch starts 64 threads that wait for each other.
    """
    if speed.threads != "auto":
        if speed.threads > (most := _MOST_PER_CORE * (os.cpu_count() or 1)):
            raise UsageError(
                f"--threads {speed.threads}: this machine has {os.cpu_count()} cores. Give 1 to {most}, or auto."
            )
        return speed.threads
    return min(torch.get_num_threads(), usable_cores() or sys.maxsize)


def facts(device: str, speed: SpeedConfig, kept_memory: bool, precision: Precision) -> dict[str, Any]:
    """The entries of environment.json about speed: the switches as they were in effect."""
    return {
        "device": device,
        "device_name": torch.cuda.get_device_name() if device == "cuda" else device,
        "threads": torch.get_num_threads(),
        "wait_policy": wait_policy(),
        **{name: getattr(speed, name) for name in (*SPEED_SWITCHES, "backbone_masks")},
        "allocator": kept_memory,
        "fused": speed.fused and device in FUSED_ON,
        "loader_workers": 0,
        "precision": precision.name,
        "precision_reason": precision.reason,
    }


def set_up_gpu(gpu: GpuConfig) -> None:
    """Set the kernels and the rounding of CUDA in this process; a CPU's arithmetic is not touched."""
    torch.backends.cudnn.benchmark = gpu.cudnn_benchmark
    _set_tf32(products=gpu.tf32, convolutions=gpu.tf32)


def gpu_facts(device: str, gpu: GpuConfig, *, resident: bool) -> dict[str, Any]:
    """The entry of environment.json about a GPU; none on other devices. `resident`: whether the images fitted."""
    return {"gpu": {**gpu.model_dump(), "resident": resident}} if device == "cuda" else {}


@contextmanager
def full_fp32_products(device: str) -> Iterator[None]:
    """Inside, products on a GPU are those of float32: a score must not depend on how a network was trained."""
    if torch.device(device).type != "cuda":
        yield
        return
    products, convolutions = _tf32()
    _set_tf32(products=False, convolutions=False)
    try:
        yield
    finally:
        _set_tf32(products=products, convolutions=convolutions)


# By the older of torch's two interfaces: torch.export reads it, and fails once the newer one (fp32_precision) was used.
def _tf32() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def _set_tf32(*, products: bool, convolutions: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = products
    torch.backends.cudnn.allow_tf32 = convolutions
