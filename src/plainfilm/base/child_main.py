"""The child's side of child_process: replies to items until its parent ends."""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import IO, Any

resource: Any = None
if sys.platform != "win32":
    import resource

Item = tuple[dict[str, Any], bytes]  # a small JSON object, and bytes
_FRAME = struct.Struct("<IQ")  # lengths of the JSON and of the bytes
_MOST_JSON = 1 << 20


def serve_items(task: str) -> None:
    """Reply to items until the parent closes the pipe or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent decides
    replies = _own_stdout()
    module, _, name = task.partition(":")
    work: Callable[[dict[str, Any], bytes], Item] = getattr(import_module(module), name)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    write_item(replies, {"ready": True}, b"")
    base = _address_space()
    while True:
        asked, body = _next_item()
        _limit(base + asked["limits"]["memory"] + 2 * len(body), asked["limits"]["cpu"])
        try:
            head, out = work(asked["head"], body)
        except Exception as error:  # noqa: BLE001 - whatever the task raises is its reply
            head, out = {"failed": type(error).__name__}, b""
        del asked, body
        write_item(replies, head, out)


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


def _next_item() -> Item:
    """The next item; ends the process when the parent has closed the pipe."""
    try:
        return read_item(sys.stdin.buffer, sys.maxsize)
    except (EOFError, OSError, ValueError, MemoryError):  # of a parent that ended in the middle too
        os._exit(1)


def _leave_with_parent() -> None:
    """Ends the process, busy or not, with its parent, also where a fork of the parent holds the pipe open."""
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


def _limit(memory: int, cpu_seconds: int) -> None:
    """The limits of the next item: all address space in bytes, and seconds of processor time from now on."""
    if resource is None:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + cpu_seconds + 1)
    if sys.platform == "linux":
        _lower(resource.RLIMIT_AS, memory)


def _lower(kind: int, limit: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
