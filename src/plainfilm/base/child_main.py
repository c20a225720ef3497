"""The child's side of child_process: replies to items until its parent ends."""

from __future__ import annotations

import faulthandler
import json
import math
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from queue import SimpleQueue
from typing import IO, Any

resource: Any = None
if sys.platform != "win32":
    import resource

Item = tuple[dict[str, Any], bytes]  # a small JSON object, and bytes
_FRAME = struct.Struct("<IQ")  # lengths of the JSON and of the bytes
_MOST_JSON = 1 << 20


def serve_items(task: str) -> None:
    """Reply to items until the parent closes the pipe or ends, also while one is worked on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent decides
    for limit in ("SIGPROF", "SIGXCPU"):  # who started the parent may have had them ignored, which is inherited
        if hasattr(signal, limit):
            signal.signal(getattr(signal, limit), signal.SIG_DFL)
    replies, items = _own_stdout(), SimpleQueue[Item]()
    for watch, given in ((_read_items, (items,)), (_leave_with_parent, ())):
        threading.Thread(target=watch, args=given, daemon=True).start()
    module, _, name = task.partition(":")
    work: Callable[[dict[str, Any], bytes], Item] = getattr(import_module(module), name)
    try:
        write_item(replies, {"ready": True}, b"")
        base = _address_space()
        while True:
            write_item(replies, *_reply(work, base, *items.get()))
    except OSError:  # the parent ended; an ordinary exit would wait for the thread that reads
        os._exit(1)


def _reply(work: Callable[[dict[str, Any], bytes], Item], base: int, asked: dict[str, Any], body: bytes) -> Item:
    limits = asked["limits"]
    _limit(base + limits["memory"] + 2 * len(body), limits["cpu"], limits["seconds"])
    try:
        return work(asked["head"], body)
    except Exception as error:  # noqa: BLE001 - whatever the task raises is its reply
        return {"failed": type(error).__name__}, b""
    finally:
        _set_timer(0)


def write_item(file: IO[bytes], head: dict[str, Any], body: bytes) -> None:
    """Send one item."""
    text = json.dumps(head).encode()
    file.write(_FRAME.pack(len(text), len(body)) + text)
    file.write(body)
    file.flush()


def read_item(file: IO[bytes], most: int) -> Item:
    """One item. Raises: EOFError at the end; ValueError where it is none, or larger than `most` bytes."""
    texts, bodies = _FRAME.unpack(_exactly(file, _FRAME.size))
    if texts > _MOST_JSON or bodies > most:
        raise ValueError("too large")
    head = json.loads(_exactly(file, texts))
    if not isinstance(head, dict):
        raise ValueError("no object")
    return head, _exactly(file, bodies)


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _own_stdout() -> IO[bytes]:
    """The pipe to the parent; what a library prints goes nowhere."""
    replies = os.fdopen(os.dup(1), "wb", -1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return replies


def _read_items(items: SimpleQueue[Item]) -> None:
    """Read items; ends the process, busy or not, when the parent has closed the pipe or has ended."""
    while True:
        try:
            items.put(read_item(sys.stdin.buffer, sys.maxsize))
        except (EOFError, OSError, ValueError, MemoryError):  # of a parent that ended in the middle too
            os._exit(1)


def _leave_with_parent() -> None:
    """Ends the process with its parent also where a fork of the parent holds the pipe open; Windows has no forks."""
    parent = os.getppid()
    while os.getppid() == parent or os.name == "nt":
        time.sleep(1)
    os._exit(1)


def _address_space() -> int:
    """Bytes of address space in use; 0 where the system does not say."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _limit(memory: int, cpu_seconds: float, seconds: float) -> None:
    """The limits of the next item: all address space in bytes, and seconds of processor time from now on.

    Where the system has none, the process ends `seconds` from now: C code that holds Python's lock stops the threads above.
    """
    if resource is None:
        faulthandler.dump_traceback_later(seconds, exit=True)  # the next item replaces it
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = resource.getrusage(resource.RUSAGE_SELF)
    # whole seconds only, but nothing that a task loads can take it away, as it could the timer
    _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + math.ceil(cpu_seconds) + 1)
    _set_timer(cpu_seconds)
    if sys.platform == "linux":
        _lower(resource.RLIMIT_AS, memory)


def _set_timer(cpu_seconds: float) -> None:
    """The process ends after so much processor time, also in C code: nobody handles SIGPROF. 0: no more."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)


def _lower(kind: int, limit: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
