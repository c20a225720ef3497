"""Busy processes beside a benchmark, and `plainfilm train` timed alone and beside them.

    python benchmarks/neighbours.py DATA --neighbours 2 --pairs 3 -- --epochs 1 --size 96

times the whole command, from an existing cache, in ABBA order: alone, beside, beside, alone.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

BUSY = "while True: pass"


class Neighbours:
    """Processes that want a core each, for as long as the context lasts; stopped while paused."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Neighbours:
        self.processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(self.number)]
        self.pause()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def pause(self) -> None:
        for process in self.processes:
            os.kill(process.pid, signal.SIGSTOP)

    def work(self) -> None:
        for process in self.processes:
            os.kill(process.pid, signal.SIGCONT)


def train_seconds(data: Path, options: list[str]) -> float:
    """Wall time of one `plainfilm train` in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "plainfilm", "train", str(data), *options, "--out", f"{folder}/run", "-q"]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--neighbours", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=3)
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    args, options = parser.parse_args(given[:end]), given[end + 1 :]
    train_seconds(args.data, options)  # fills the cache
    alone: list[float] = []
    beside: list[float] = []
    with Neighbours(args.neighbours) as neighbours:
        for pair in range(args.pairs):
            for busy in (False, True) if pair % 2 == 0 else (True, False):
                (neighbours.work if busy else neighbours.pause)()
                (beside if busy else alone).append(train_seconds(args.data, options))
                print(f"{'beside' if busy else 'alone'} {(beside if busy else alone)[-1]:.1f} s", file=sys.stderr)
    ratios = sorted(b / a for a, b in zip(alone, beside, strict=True))
    print(
        f"alone {statistics.median(alone):.1f} s, beside {args.neighbours} {statistics.median(beside):.1f} s: "
        f"{statistics.median(ratios):.2f} times [{ratios[0]:.2f}, {ratios[-1]:.2f}] (median and range of {args.pairs} pairs)"
    )


if __name__ == "__main__":
    main()
