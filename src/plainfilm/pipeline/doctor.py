"""`plainfilm doctor`: what this machine has, which speed settings are on, and what makes it slow."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time

from plainfilm.base.wait_policy import wait_policy
from plainfilm.config import SPEED_SWITCHES, SpeedConfig
from plainfilm.data.cache.admin import entries
from plainfilm.data.cache.store import cache_folder
from plainfilm.runs.environment import versions
from plainfilm.schemas.data import CacheFacts, DoctorDocument, Lever
from plainfilm.train.machine.other_processes import LoadMeter
from plainfilm.train.machine.system_limits import free_bytes, physical_cores, usable_cores

_LOW_DISK_BYTES = 2_000_000_000
_WATCHED_S = 0.5  # how long the load by other processes is measured


def examine() -> DoctorDocument:
    """Examine the machine; nothing is changed but the allocator of this process."""
    import torch

    from plainfilm.train.machine.speed import keep_memory, threads_for

    meter = LoadMeter()
    time.sleep(_WATCHED_S)
    load = meter.read()
    kept, threads = keep_memory(), threads_for(SpeedConfig())
    devices = ["cpu"]
    devices += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    document = DoctorDocument(
        versions=versions(), python=platform.python_version(), platform=platform.platform(),
        processors=os.cpu_count() or 1, cores=usable_cores() or physical_cores(), threads=threads, devices=devices,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None, others_cores=round(load.others, 2),
        slowdown=round(load.slowdown(threads), 2), memory_free_bytes=free_bytes(),
        cache=_cache_facts(), levers=_levers(kept), warnings=[],
    )  # fmt: skip
    return document.model_copy(update={"warnings": _warnings_for(document)})


def _cache_facts() -> CacheFacts:
    """The cache folder, whether it exists or not."""
    folder = cache_folder()
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return CacheFacts(
        folder=str(folder),
        bytes=sum(entry.bytes for entry in entries(folder)),
        free_bytes=shutil.disk_usage(there).free,
        writable=there.is_dir() and os.access(there, os.W_OK),
    )


def _levers(kept_memory: bool) -> list[Lever]:
    """Every speed setting of CPU training at its default, described in a sentence, with its switch."""
    found = [
        Lever(name=name, on=kept_memory if name == "allocator" else True, what=str(field.description),
              switch=f"--without {name}" if name in SPEED_SWITCHES else "--threads N")
        for name, field in SpeedConfig.model_fields.items()
        if name in (*SPEED_SWITCHES, "threads")
    ]  # fmt: skip
    waiting = Lever(
        name="wait_policy", on=wait_policy() == "passive", switch="OMP_WAIT_POLICY=ACTIVE",
        what="a thread that waits for the others sleeps: beside other work training gets its share of the processor",
    )  # fmt: skip
    cache = "an image is decoded once for all runs, and no epoch opens a file"
    return [*found, waiting, Lever(name="cache", on=True, what=cache, switch="--no-cache"), _precision()]


def _precision() -> Lever:
    """bf16, which is off unless it is asked for, and whether the processor has the arithmetic."""
    from plainfilm.train.machine.precision import bf16_support

    what = f"training steps in bfloat16: {bf16_support('cpu')[1]}"
    return Lever(name="precision", on=False, what=what, switch="--precision auto")


def _warnings_for(found: DoctorDocument) -> list[str]:
    """What makes this machine slow or a run fail, each with its remedy."""
    warnings = []
    if found.slowdown > 1:
        warnings.append(
            f"The machine is busy: other processes use {found.others_cores:.1f} of {found.processors} cores. Training "
            f"takes at least {found.slowdown:.1f} times as long as alone. Pause the other work, or wait for it."
        )
    if found.cores is not None and found.threads < found.cores:
        warnings.append(
            f"{found.threads} of {found.cores} cores are used; unset OMP_NUM_THREADS, or set it to {found.cores}."
        )
    if not found.levers[0].on:
        warnings.append(
            "The allocator's setting needs glibc, which this system does not have; a step takes about 1.3 times as long."
        )
    if not found.cache.writable:
        warnings.append(
            f"The cache folder {found.cache.folder} cannot be written; images are decoded again for every run. Set PLAINFILM_CACHE."
        )
    elif found.cache.free_bytes < _LOW_DISK_BYTES:
        warnings.append(
            f"{found.cache.free_bytes / 1e9:.1f} GB are free on the disk of the cache; free some space, or set PLAINFILM_CACHE."
        )
    if sys.platform == "win32" and len(found.cache.folder) > 150:
        warnings.append("The cache folder's path is long for Windows; set PLAINFILM_CACHE to a short one.")
    return warnings
