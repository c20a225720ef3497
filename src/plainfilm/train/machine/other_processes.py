"""How much of the processor other processes use while this one works (no torch here)."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

import psutil

_BUSY_TIMES = ("user", "system", "nice", "irq", "softirq")  # the last three exist on some systems only
_NOTICED = 0.2  # cores: what an idle desktop uses
_FULL = 0.9  # of all cores: more is never measured, since threads wait for each other
_USED_ALONE = 0.88  # of its threads' cores that a step keeps busy alone: the paper's network on two cores, 1.77 of 2
_SHORTEST = 0.25  # seconds: the system counts in hundredths, 0.08 of two cores' time in this
_AT_WORK = 0.5  # cores: above this, this process was computing and so kept the others from running


class Load(NamedTuple):
    """Cores that other processes and this one kept busy on average, and the machine's logical cores."""

    others: float
    own: float
    cores: int

    def slowdown(self, threads: int) -> float:
        """Time of a step of `threads` threads in times its time alone, at least 1; waiting threads sleep.

        An idle process sees what the others want: with equal shares a step takes at least this much longer. A computing
        one sees what it got itself, if no core was idle.
        """
        if self.others < _NOTICED:
            return 1.0
        if self.own < _AT_WORK:
            return max(1.0, (threads + self.others) / self.cores)
        if self.own + self.others < _FULL * self.cores:
            return 1.0
        return max(1.0, _USED_ALONE * min(threads, self.cores) / self.own)

    def __str__(self) -> str:
        return f"other processes use {self.others:.1f} of {self.cores} cores"


class LoadMeter:
    """Measures the load from its creation on; ended children of this process count as its own."""

    def __init__(self) -> None:
        self._began = self._times()

    def read(self) -> Load:
        """The mean load so far; after less than _SHORTEST no others are counted."""
        seconds, busy, own = (now - then for now, then in zip(self._times(), self._began, strict=True))
        cores = os.cpu_count() or 1
        others = (busy - own) / seconds if seconds >= _SHORTEST else 0.0
        return Load(min(max(0.0, others), cores), own / seconds, cores)

    @staticmethod
    def _times() -> tuple[float, float, float]:
        """Wall time, busy time of all cores, and processor time of this process with its ended children, in s."""
        system, own = psutil.cpu_times(), os.times()
        busy = sum(getattr(system, name, 0.0) for name in _BUSY_TIMES)
        return time.perf_counter(), busy, own.user + own.system + own.children_user + own.children_system
