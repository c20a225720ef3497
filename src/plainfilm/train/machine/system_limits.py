"""The cores and memory that the machine and this process's control groups allow (no torch here)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def physical_cores(proc: Path = PROC) -> int | None:
    """Cores of the machine without hyperthreads; None where the system does not say."""
    try:
        text = (proc / "cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        return None
    pairs, package = set(), "0"
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "physical id":
            package = value.strip()
        elif name.strip() == "core id":
            pairs.add((package, value.strip()))
    return len(pairs) or None


def usable_cores(proc: Path = PROC, root: Path = GROUPS) -> int | None:
    """Physical cores, limited by the process's CPU affinity and the quota of its control groups, at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    known = [
        physical_cores(proc),
        allowed,
        *(_cores(folder, version) for folder, version in _groups("cpu", proc, root)),
    ]
    counted = [cores for cores in known if cores is not None]
    return min(counted, default=None)


def free_bytes(proc: Path = PROC, root: Path = GROUPS) -> int | None:
    """Memory available without swapping, within the limits set for this process; None where unknown."""
    known = [
        _machine_free(proc),
        *(_free_in_group(folder, version) for folder, version in _groups("memory", proc, root)),
    ]
    return min((value for value in known if value is not None), default=None)


def _groups(controller: str, proc: Path, root: Path) -> Iterator[tuple[Path, int]]:
    """Each control group around this process that may limit `controller`, with the version of its files."""
    try:
        lines = [line.split(":", 2) for line in (proc / "self/cgroup").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return
    for _, controllers, path in lines:
        if controllers and controller not in controllers.split(","):
            continue
        top, version = (root / controller, 1) if controllers else (root, 2)
        here = top / path.strip("/")  # missing when the container sees its own group as the top
        yield from ((folder, version) for folder in (here, *here.parents) if folder.is_relative_to(top))


def _cores(folder: Path, version: int) -> int | None:
    """Cores of a group's quota, rounded up: a limit of 1.5 cores gives 2, one of a third of a core 1."""
    try:
        if version == 2:
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()  # 'max' is not a number: no limit
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii")  # -1 is no limit
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii")
        return max(1, -(-int(quota) // int(period))) if int(quota) > 0 else None
    except (OSError, ValueError):
        return None


def _machine_free(proc: Path) -> int | None:
    try:
        lines = (proc / "meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    facts = dict(line.split(":", 1) for line in lines)
    return int(facts["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in facts else None


def _free_in_group(folder: Path, version: int) -> int | None:
    names = ("memory.max", "memory.current", "inactive_file") if version == 2 else (
        "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")  # fmt: skip
    limit, used, cached = names
    try:
        top = int((folder / limit).read_text(encoding="ascii"))  # 'max' is not a number: no limit
        stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        return top - int((folder / used).read_text(encoding="ascii")) + int(stat.get(cached, 0))
    except (OSError, ValueError):
        return None
