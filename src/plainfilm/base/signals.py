"""A signal that asks a command to end, a closed terminal's too, ends it as Ctrl-C does: nothing stays half-written."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP")  # the third on Windows only; the last: the terminal was closed
ENDING = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
ASKED = tuple(one for one in ENDING if one.name != "SIGHUP")  # sent by somebody, and not by a terminal that is closed


_SAME = 0.3  # seconds: a terminal that is closed sends SIGHUP, and so does its shell


@dataclass
class Interrupted:
    """Whether a signal came: a library may make another error of the KeyboardInterrupt, at its import for one."""

    yes: bool = False
    _at: float = 0.0

    def note(self) -> bool:
        """Note a signal; whether it is the first. The second one ends the process at once, whatever it waits for."""
        if not self.yes:
            self.yes, self._at = True, time.monotonic()
            return True
        if time.monotonic() - self._at > _SAME:
            os._exit(130)
        return False


@contextmanager
def ended_by_signals() -> Iterator[Interrupted]:
    """Each of ENDING raises KeyboardInterrupt inside, but for those that the process ignores, as nohup asks."""
    found = Interrupted()

    def handle(number: int, frame: Any) -> None:
        if found.note():
            raise KeyboardInterrupt

    with handled(handle, lambda now: now in (signal.SIG_DFL, signal.default_int_handler)):
        yield found


@contextmanager
def handled(
    handle: Callable[[int, Any], None], replaces: Callable[[Any], bool], numbers: tuple[int, ...] = ENDING
) -> Iterator[None]:
    """`handle` takes each of `numbers` inside whose handler of now it `replaces`; outside the main thread, none."""
    before = dict[int, Any]()
    if threading.current_thread() is threading.main_thread():  # only it can set handlers
        for one in numbers:
            if replaces(signal.getsignal(one)):
                before[one] = signal.signal(one, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
