"""Cores and memory that a process may use, from files as Linux writes them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from plainfilm.train.machine import system_limits

V1, V2 = ("memory.limit_in_bytes", "memory.usage_in_bytes"), ("memory.max", "memory.current")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_this_machine_reports_its_limits():
    assert 50_000_000 < system_limits.free_bytes() < 10**13
    assert 1 <= system_limits.usable_cores() <= 4096


def group(folder: Path, names: tuple[str, str], limit: object, used: int, stat: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip((*names, "memory.stat"), (limit, used, stat), strict=True):
        (folder / name).write_text(f"{value}\n")


@pytest.fixture
def proc(tmp_path):
    """proc(text): a /proc whose process is in the groups of `text`."""

    def write(text: str, cores: int = 64) -> Path:
        folder = tmp_path / "proc"
        (folder / "self").mkdir(parents=True)
        (folder / "self/cgroup").write_text(text)
        (folder / "cpuinfo").write_text(
            "".join(f"processor\t: {i}\nphysical id\t: {i % 2}\ncore id\t\t: {i // 4}\n\n" for i in range(2 * cores))
        )
        return folder

    return write


def test_the_limits_of_all_groups_around_the_process_count(tmp_path, proc):
    """Version 2: 'max' is no limit; what the system can drop of the used memory is free."""
    group(tmp_path / "a", V2, 1000, 300, "anon 250\ninactive_file 50")
    group(tmp_path / "a" / "b", V2, "max", 200, "inactive_file 0")
    assert system_limits.free_bytes(proc("0::/a/b\n"), tmp_path) == 1000 - 300 + 50


def test_version_1_has_its_own_names_and_a_container_sees_itself_as_the_top(tmp_path, proc):
    group(tmp_path / "memory", V1, 5000, 1000, "total_inactive_file 10")
    assert system_limits.free_bytes(proc("5:devices:/x\n4:cpu,memory:/docker/0f\n"), tmp_path) == 4010


def test_cores_are_counted_without_hyperthreads(tmp_path, proc):
    assert system_limits.physical_cores(proc("")) == 64
    assert system_limits.physical_cores(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("given", "cores"), [("200000 100000", 2), ("150000 100000", 2), ("30000 100000", 1), ("max 100000", None)]
)
def test_a_group_with_little_time_is_given_few_threads(tmp_path, proc, monkeypatch, given, cores):
    """64 cores of which a container may use two: as many threads as cores would wait for each other."""
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(128)), raising=False)
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/cpu.max").write_text(given + "\n")
    assert system_limits.usable_cores(proc("0::/a/b\n"), tmp_path) == (cores or 64)


@pytest.mark.parametrize(("quota", "cores"), [(300000, 3), (-1, 64)])
def test_version_1_writes_quota_and_period_apart(tmp_path, proc, monkeypatch, quota, cores):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(128)), raising=False)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert system_limits.usable_cores(proc("3:cpu,cpuacct:/docker/7\n"), tmp_path) == cores


def test_a_process_that_is_bound_to_processors_counts_those(tmp_path, proc, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    assert system_limits.usable_cores(proc(""), tmp_path) == 3


def test_without_control_groups_there_is_no_limit(tmp_path):
    assert system_limits.free_bytes(tmp_path / "nothing", tmp_path) is None
