"""The network of a bundle: in this process where this user exported it, else in one that can be killed.

A process for each thread that scores, up to four: it holds the network once more. An image sends and gets a few hundred
kilobytes.
"""

from __future__ import annotations

import importlib.util
import math
import os
import stat
import threading
import weakref
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from plainfilm.base.child_process import ChildError, ChildLimits, ChildPool
from plainfilm.base.files import read_regular
from plainfilm.base.user_folder import user_folder
from plainfilm.data.image import sandbox
from plainfilm.errors import BundleError, MissingError, PlainfilmError
from plainfilm.export.onnx_runtime import open_session, run_options, session_facts

INPUT, OUTPUTS = "image", ("logits", "probs", "features")
_TASK = "plainfilm.export.onnx_runtime:work"
_GB, _MB = 1 << 30, 1 << 20
_PROCESSES = 4  # each may take 2 GB: one for each of 16 threads would be 32 GB
_FLOOR = 3  # seconds of processor time
# seconds of processor time for the first image and for a batch, whatever card and first image say: by the rule below an
# image of 2,048 px, the largest that training allows, has 87 on a slow laptop, and a network of 660 MB 33 more
_MOST_SECONDS = 120
_SLOWER = 10  # times the first image, which runs on cold caches and so takes longer than each of a batch
_WHY = {"time": "takes too long", "memory": "takes too much memory", "died": "was stopped or crashed"}
_RECORD, _LONGEST = "exported_networks.txt", 16 * _MB  # a line of 65 bytes each


class Network(Protocol):
    """A network that is open; used by any thread."""

    def facts(self) -> dict[str, Any]:
        """Name, type and shape of what it takes and gives."""

    def begun(self) -> int:
        """What run() needs to know when work begins, so that none goes on after kill()."""

    def run(self, pixels: np.ndarray, since: int | None = None) -> list[np.ndarray]:
        """The OUTPUTS for images uint8 (n, c, h, w)."""

    def kill(self, *, for_good: bool = False) -> None:
        """End what runs now where that is possible, and with `for_good` whatever comes."""


class _OwnNetwork:
    """In this process; a run ends with the node that is computed when it is killed."""

    def __init__(self, model: bytes | Path) -> None:
        self._session = open_session(model if isinstance(model, bytes) else str(model))
        self._lock, self._kills, self._running = threading.Lock(), 0, list[Any]()

    def facts(self) -> dict[str, Any]:
        return session_facts(self._session)

    def begun(self) -> int:
        return self._kills

    def run(self, pixels: np.ndarray, since: int | None = None) -> list[np.ndarray]:
        options = run_options()
        with self._lock:
            if since not in (None, self._kills):
                raise _bundle_error(ChildError("died"))
            self._running.append(options)
        try:
            found: list[np.ndarray] = self._session.run(list(OUTPUTS), {INPUT: pixels}, options)
        finally:
            with self._lock:
                self._running.remove(options)
        return found

    def kill(self, *, for_good: bool = False) -> None:
        with self._lock:
            self._kills += 1
            for options in self._running:
                options.terminate = True


class _FencedNetwork:
    """In a process for each thread that runs it, up to four, with limits of time and memory; a fifth thread waits.

    To open it and for the first image: 3 s of processor time, 1 more for each 20 MB, and for each 224 x 224 pixels of an
    image. The first image is then the measure for others: ten times as long for each image, at least 3 s. No
    more than two minutes for either, whatever the card says. Processor time, as a busy machine must kill nothing; Windows has the deadline by the clock alone, 30 s later.
    """

    def __init__(self, model: bytes | Path, sha256: str, size_px: int, threads: int) -> None:
        size = len(model) if isinstance(model, bytes) else model.stat().st_size
        self._first = min(_MOST_SECONDS, math.ceil(_FLOOR + size / (20 * _MB) + (size_px / 224) ** 2))
        limits = ChildLimits(memory=2 * _GB + 4 * size, cpu_seconds=_FLOOR, setup_cpu_seconds=self._first)
        path, body = (None, model) if isinstance(model, bytes) else (str(model.absolute()), b"")
        self._make = lambda: ChildPool(
            _TASK, min(threads, _PROCESSES), limits, ({"open": path, "sha256": sha256}, body)
        )
        self._pools: dict[int, ChildPool] = {}  # by process: a fork must not write into the pipes of its parent
        self._lock, self._stopped, self._one = threading.Lock(), False, 0.0
        weakref.finalize(self, _kill_own, self._pools)

    def facts(self) -> dict[str, Any]:
        return self._asked({}, b"", self._first, None)[0]

    def begun(self) -> int:
        return self._pool().kills

    def run(self, pixels: np.ndarray, since: int | None = None) -> list[np.ndarray]:
        n = len(pixels)
        cpu = min(_MOST_SECONDS, math.ceil(_SLOWER * n * self._one) if self._one else self._first * n)
        head = {"images": pixels.shape, "input": INPUT, "outputs": OUTPUTS}
        reply, body = self._asked(head, pixels.tobytes(), max(_FLOOR, cpu), since)
        self._one = self._one or min(max(float(reply["seconds"]) / n, 1e-6), self._first)
        return _arrays(reply["shapes"], body)

    def kill(self, *, for_good: bool = False) -> None:
        self._stopped = self._stopped or for_good
        _kill_own(self._pools)

    def _asked(self, head: dict[str, Any], body: bytes, cpu: int, since: int | None) -> tuple[dict[str, Any], bytes]:
        try:
            pool = self._pool()
            since = pool.kills if since is None else since
            if self._stopped:
                raise ChildError("died")
            return pool.call(head, body, cpu, since)
        except ChildError as error:
            raise _bundle_error(error) from None

    def _pool(self) -> ChildPool:
        with self._lock:
            if os.getpid() not in self._pools:
                self._pools.clear()
                self._pools[os.getpid()] = self._make()
            return self._pools[os.getpid()]


def open_network(model: bytes | Path, sha256: str, size_px: int, threads: int) -> Network:
    """The network of a bundle, where sandbox.used() says: `auto` runs what this user did not export in its own process.

    Args:
        sha256: of the file. size_px: side of an image. threads: that run it at once.
    Raises:
        BundleError: it cannot be opened within the limits. MissingError: ONNX Runtime is not installed.
    """
    if importlib.util.find_spec("onnxruntime") is None:
        raise MissingError("Prediction needs ONNX Runtime. Install it: pip install onnxruntime.")
    if sandbox.mode() == "on" or (sandbox.mode() == "auto" and sha256 not in _exported()):
        return _FencedNetwork(model, sha256, size_px, threads)
    try:
        return _OwnNetwork(model)
    except ImportError:
        raise MissingError("ONNX Runtime cannot be loaded. Install it again: pip install onnxruntime.") from None
    except Exception as error:  # noqa: BLE001 - it raises a dozen types of its own, which share only Exception
        raise _unloadable(type(error).__name__) from None


def remember(sha256: str) -> None:
    """Note a network that this user exported; where that cannot be written, it counts as foreign."""
    try:
        folder = user_folder()
        if folder is None or sha256 in _exported():
            return
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _append(folder / _RECORD, sha256 + "\n")
    except (OSError, PlainfilmError):
        return


def _append(path: Path, line: str) -> None:
    """Add a line to a regular file, which only its owner can read where this makes it; raises OSError for any other."""
    # O_NONBLOCK: opening a FIFO that nobody reads would wait for ever; Windows has no such flag and no such files
    how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(path, how, 0o600), "w", encoding="ascii") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("not a regular file")
        file.write(line)


def _exported() -> frozenset[str]:
    try:
        folder = user_folder()
        return frozenset(read_regular(folder / _RECORD, _LONGEST).decode("ascii").split()) if folder else frozenset()
    except (OSError, ValueError, PlainfilmError):
        return frozenset()


def _bundle_error(error: ChildError) -> BundleError:
    if error.reason == "died" and error.failed:
        return _unloadable(error.failed)
    return BundleError(
        f"E_LIMIT: the network of the bundle {_WHY[error.reason]}. If you know where it comes from, "
        "plainfilm predict --sandbox off runs it without limits."
    )


def _unloadable(why: str) -> BundleError:
    if why == "ChangedError":
        return BundleError("model.onnx of the bundle changed while it was loaded. Run the command again.")
    return BundleError(f"model.onnx of the bundle cannot be loaded or run ({why}). Export it again.")


def _arrays(shapes: list[list[int]], body: bytes) -> list[np.ndarray]:
    """Arrays float32 of these shapes, one behind the other in `body`; raises ValueError where they do not fill it."""
    numbers = np.frombuffer(body, np.float32)
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    if ends[-1] != len(numbers):
        raise ValueError("outputs of another size")
    return [part.reshape(shape) for part, shape in zip(np.split(numbers, ends[:-1]), shapes, strict=True)]


def _kill_own(pools: dict[int, ChildPool]) -> None:
    pool = pools.get(os.getpid())
    if pool is not None:
        pool.kill()
