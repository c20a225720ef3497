"""A signal that asks a command to end, a closed terminal's too, ends it as Ctrl-C does: nothing stays half-written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

# SIGHUP: the terminal was closed; Windows has none
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@dataclass
class Interrupted:
    """Whether a signal came: a library may make another error of the KeyboardInterrupt, at its import for one."""

    yes: bool = False


@contextmanager
def ended_by_signals() -> Iterator[Interrupted]:
    """Each of ENDING raises KeyboardInterrupt inside, but for those that the process ignores, as nohup asks."""
    found = Interrupted()

    def handle(number: int, frame: Any) -> None:
        found.yes = True
        raise KeyboardInterrupt

    with handled(handle, lambda now: now in (signal.SIG_DFL, signal.default_int_handler)):
        yield found


@contextmanager
def handled(handle: Callable[[int, Any], None], replaces: Callable[[Any], bool]) -> Iterator[None]:
    """`handle` takes each of ENDING inside whose handler of now it `replaces`; outside the main thread, none."""
    before = dict[int, Any]()
    if threading.current_thread() is threading.main_thread():  # only it can set handlers
        for one in ENDING:
            if replaces(signal.getsignal(one)):
                before[one] = signal.signal(one, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
