"""A process for work that may hang, crash or take all memory: it is killed, and the next item goes on in a new one.

It is started again from this interpreter, never forked, and imports only what its task imports; the user's script is
not imported. Its replies are JSON and bytes, read up to a size; nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Literal, cast

from plainfilm.base.child_main import Item, read_item, write_item

_Reason = Literal["time", "memory", "died"]
_LOOK_EVERY = 0.1  # seconds
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from plainfilm.base.child_main import serve_items; serve_items(sys.argv[2])"
)


@dataclass(frozen=True)
class ChildLimits:
    """Of one item: `memory` bytes beyond what the child had at its start and twice the item's bytes (Linux), seconds
    of processor time (not on Windows), seconds by the clock, and bytes of the reply. `start_seconds`: to be ready. `setup_cpu_seconds`: processor time of the setup.
    """

    memory: int = 448 * 1024 * 1024
    cpu_seconds: float = 4.5
    seconds: float = 30.0
    reply: int = 64 * 1024 * 1024
    start_seconds: float = 60.0
    setup_cpu_seconds: int = 60


class ChildError(Exception):
    """An item without a reply: it took too long, too much memory, or the process ended; or `failed` names the error
    that the task raised.
    """

    def __init__(self, reason: _Reason, failed: str = "") -> None:
        super().__init__(failed or reason)
        self.reason, self.failed = reason, failed


@dataclass
class _Kills:
    """How often the children of a pool were ended."""

    count: int = 0


class ChildProcess:
    """One child, started by the first call and again after each kill; used by one thread at a time, killed by any.

    Args:
        task: 'module:function'; the function takes an Item and returns one.
        setup: an item that each new child gets first.
    """

    def __init__(
        self, task: str, limits: ChildLimits | None = None, setup: Item | None = None, kills: _Kills | None = None
    ) -> None:
        self.task, self.limits, self.setup, self._kills = task, limits or ChildLimits(), setup, kills or _Kills()
        self._process: subprocess.Popen[bytes] | None = None
        self._until: float | None = None
        self._late = False
        self._lock = threading.Lock()

    def call(
        self, head: dict[str, Any], body: bytes = b"", cpu_seconds: float | None = None, since: int | None = None
    ) -> Item:
        """The reply of the task.

        Args:
            cpu_seconds: in place of the usual limit; the deadline grows by what is more.
            since: the number of kills when this work began; after another one no child is started for it.
        Raises:
            ChildError: there is no reply within the limits, or the task raised an error.
        """
        process = self._started(self._kills.count if since is None else since)
        return self._asked(process, head, body, cpu_seconds or self.limits.cpu_seconds)

    def kill(self) -> None:
        """End the child at once; a call that waits for it raises ChildError. The next call starts another."""
        self._kills.count += 1
        self._drop()

    def _drop(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            _end(process)

    def _started(self, since: int) -> subprocess.Popen[bytes]:
        process = self._process
        if process is not None and process.poll() is None and self._kills.count == since:
            return process
        self._drop()
        if self._kills.count != since:
            raise ChildError("died")
        process = self._begun(since)
        threading.Thread(target=self._watch, args=(process,), daemon=True).start()
        self._exchanged(process, None, self.limits.start_seconds)
        if self.setup is not None:
            self._asked(process, *self.setup, self.limits.setup_cpu_seconds)
        return process

    def _begun(self, since: int) -> subprocess.Popen[bytes]:
        """A new process; a kill that came while it was started ends it too."""
        process = _begun(self.task)
        with self._lock:
            killed = self._kills.count != since
            self._process = None if killed else process
        if killed:
            _end(process)
            raise ChildError("died")
        return process

    def _asked(self, process: subprocess.Popen[bytes], head: dict[str, Any], body: bytes, cpu: float) -> Item:
        seconds = self.limits.seconds + max(0.0, cpu - self.limits.cpu_seconds)  # less is for a busy machine
        limits = {"memory": self.limits.memory, "cpu": cpu, "seconds": seconds}
        return self._exchanged(process, ({"limits": limits, "head": head}, body), seconds)

    def _exchanged(self, process: subprocess.Popen[bytes], item: Item | None, seconds: float) -> Item:
        """The reply to an item; None waits for the first one, that the child is ready."""
        self._set(time.monotonic() + seconds)
        try:
            if item is not None and process.stdin is not None:
                write_item(process.stdin, *item)
            reply, body = read_item(cast(IO[bytes], process.stdout), self.limits.reply)
        except (OSError, EOFError, ValueError, RecursionError):
            self._drop()
            raise ChildError(self._reason(process)) from None
        except BaseException:  # Ctrl-C: the reply to this item would be taken for that to the next
            self._drop()
            raise
        if self._set(None):
            self._drop()
        if "failed" in reply:
            failed = str(reply["failed"])[:80]
            raise ChildError("memory" if failed == "MemoryError" else "died", failed)
        return reply, body

    def _set(self, until: float | None) -> bool:
        """Begin or end a deadline; whether it has passed."""
        with self._lock:
            late, self._until = self._late, until
            if until is not None:
                self._late = False
            return late

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Kill the child when its deadline has passed; pipes have none on every system."""
        while process.poll() is None:
            time.sleep(_LOOK_EVERY)
            with self._lock:
                if self._process is process and self._until is not None and time.monotonic() > self._until:
                    self._late, self._until = True, None
                    process.kill()

    def _reason(self, process: subprocess.Popen[bytes]) -> _Reason:
        ended_by = [-getattr(signal, name, -1) for name in ("SIGPROF", "SIGXCPU")]
        if self._set(None) or process.returncode in ended_by:
            return "time"
        return "died"


class ChildPool:
    """Up to `size` children for one task, each started when it is needed; used by any thread."""

    def __init__(self, task: str, size: int, limits: ChildLimits | None = None, setup: Item | None = None) -> None:
        self._kills = _Kills()
        self._make: Callable[[], ChildProcess] = lambda: ChildProcess(task, limits, setup, self._kills)
        self._seats = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._all: list[ChildProcess] = []
        self._idle: list[ChildProcess] = []

    @property
    def kills(self) -> int:
        """How often kill() ran: `since` of a call that begins now."""
        return self._kills.count

    def call(
        self, head: dict[str, Any], body: bytes = b"", cpu_seconds: float | None = None, since: int | None = None
    ) -> Item:
        """As ChildProcess.call()."""
        since = self.kills if since is None else since
        with self._seats:
            child = self._taken()
            try:
                return child.call(head, body, cpu_seconds, since)
            finally:
                with self._lock:
                    self._idle.append(child)

    def kill(self) -> None:
        """End every child at once; whoever waits for one, or for a place, gets a ChildError."""
        self._kills.count += 1  # before the list is read: whoever starts a child after this sees it
        with self._lock:
            children = list(self._all)
        for child in children:
            child.kill()

    def _taken(self) -> ChildProcess:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            child = self._make()
            self._all.append(child)
            return child


def _begun(task: str) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _START, json.dumps(sys.path), task], env=_environment(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
    except (OSError, ValueError):  # too many processes, no memory, or an interpreter inside another program
        raise ChildError("died", "no process could be started") from None


def _environment() -> dict[str, str]:
    """One thread, and one place that memory is taken from: others would count as memory in use."""
    one = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX")
    return {**os.environ, **dict.fromkeys(one, "1")}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # what was not sent yet
            cast(IO[bytes], pipe).close()  # waits for a thread that is reading, which now finds the end
