"""The load by other processes: the arithmetic on known times, and one real busy process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from plainfilm.train.machine import other_processes
from plainfilm.train.machine.other_processes import Load, LoadMeter


def clocks(monkeypatch, wall: float, own: float, child: float, **system: float) -> None:
    """Let the clocks show these times in s."""
    monkeypatch.setattr(other_processes.time, "perf_counter", lambda: wall)
    monkeypatch.setattr(other_processes.os, "times", lambda: SimpleNamespace(
        user=own, system=own / 4, children_user=child, children_system=0.0))  # fmt: skip
    monkeypatch.setattr(other_processes.psutil, "cpu_times", lambda: SimpleNamespace(**system))
    monkeypatch.setattr(other_processes.os, "cpu_count", lambda: 4)


def test_idle_time_and_this_process_do_not_count(monkeypatch):
    clocks(monkeypatch, 100.0, 8.0, 1.0, user=50.0, system=10.0, nice=0.0, irq=0.0, softirq=0.0, idle=900.0, iowait=7.0)
    meter = LoadMeter()
    # in 10 s: all 10 + 4 + 3 + 1 + 2 = 20 s busy, of which 8 + 2 + 2 = 12 s are this process and its child
    clocks(
        monkeypatch, 110.0, 16.0, 3.0, user=60.0, system=14.0, nice=3.0, irq=1.0, softirq=2.0, idle=920.0, iowait=9.0
    )
    load = meter.read()
    assert load == pytest.approx((0.8, 1.2, 4))
    assert str(load) == "other processes use 0.8 of 4 cores"


def test_a_system_without_nice_and_irq_is_measured_too(monkeypatch):
    clocks(monkeypatch, 0.0, 0.0, 0.0, user=5.0, system=5.0, idle=0.0)
    meter = LoadMeter()
    clocks(monkeypatch, 2.0, 0.8, 0.0, user=7.0, system=6.0, idle=0.0)
    assert meter.read() == pytest.approx((1.0, 0.5, 4))


def test_rounded_clocks_give_no_negative_load(monkeypatch):
    clocks(monkeypatch, 0.0, 0.0, 0.0, user=5.0, system=5.0, idle=0.0)
    meter = LoadMeter()
    clocks(monkeypatch, 1.0, 2.0, 0.0, user=6.0, system=5.0, idle=0.0)
    assert meter.read().others == 0.0


def test_in_a_moment_a_hundredth_of_a_second_is_no_other_process(monkeypatch):
    clocks(monkeypatch, 0.0, 0.0, 0.0, user=5.0, system=5.0, idle=0.0)
    meter = LoadMeter()
    clocks(monkeypatch, 0.02, 0.0, 0.0, user=5.01, system=5.0, idle=0.0)
    assert meter.read().others == 0.0


@pytest.mark.parametrize(
    ("load", "threads", "slowdown"),
    [
        (Load(0.1, 0.0, 2), 2, 1.0),  # an idle desktop
        (Load(1.0, 0.0, 2), 2, 1.5),  # three runnable threads on two cores
        (Load(2.0, 0.0, 2), 2, 2.0),
        (Load(1.0, 0.0, 8), 4, 1.0),  # room for all
        (Load(0.8, 1.1, 2), 2, 1.6),  # at work beside one busy process: alone the two threads use 1.76 cores
        (Load(0.8, 1.1, 2), 8, 1.6),  # more threads than cores want no more than the cores
        (Load(0.1, 1.1, 2), 2, 1.0),  # the rest was idle: own waiting, not other work
        (Load(0.2, 1.6, 2), 2, 1.1),
        (Load(0.3, 3.0, 16), 8, 1.0),  # cores are free: nobody was in the way
        (Load(0.9, 1.76, 4), 2, 1.0),
    ],
)  # fmt: skip
def test_what_a_busy_machine_costs(load, threads, slowdown):
    assert load.slowdown(threads) == pytest.approx(slowdown)


def test_a_real_busy_process_is_seen():
    with subprocess.Popen(
        [sys.executable, "-c", "import time\nt = time.time()\nwhile time.time() < t + 20: pass"]
    ) as busy:
        try:
            time.sleep(0.3)
            meter = LoadMeter()
            time.sleep(0.7)
            load = meter.read()
        finally:
            busy.kill()
    assert 0.4 < load.others <= (os.cpu_count() or 1)
    assert load.own < 0.4  # it slept
