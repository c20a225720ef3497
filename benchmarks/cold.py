"""Seconds from the start of a process to its end: the time a user waits before anything happens.

python benchmarks/cold.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "plainfilm --help": ["-m", "plainfilm", "--help"],
    "plainfilm train --help": ["-m", "plainfilm", "train", "--help"],
    "import fastai.vision.all": ["-c", "import fastai.vision.all"],
}
STARTS = 7


def seconds(arguments: list[str]) -> float:
    """Seconds of one start, with warm disk caches."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    found = {name: [seconds(arguments)] for name, arguments in COMMANDS.items()}  # the first fills the disk cache
    for _ in range(STARTS):  # in turn, so that a busy minute affects all
        for name, arguments in COMMANDS.items():
            found[name].append(seconds(arguments))
    for name, values in found.items():
        print(f"{name:26} median {statistics.median(values[1:]):.2f} s of {STARTS}, first {values[0]:.2f} s")


if __name__ == "__main__":
    main()
