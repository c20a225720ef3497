"""A signal that asks a command to end, a closed terminal's too, ends it as Ctrl-C does: nothing stays half-written.

Every import here comes before a command has its handlers, so there are few; typing alone takes 30 ms.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

INTERRUPTED = 130  # 128 + SIGINT, as in other tools
_NAMES = ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP")  # the third on Windows only; the last: the terminal was closed
ENDING = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
ASKED = tuple(one for one in ENDING if one.name != "SIGHUP")  # sent by somebody, and not by a terminal that is closed
_code: int | None = None  # of the work, once it has begun
_SAME = 0.3  # seconds: a terminal that is closed sends SIGHUP, and so does its shell


class Interrupted:
    """Whether a signal came: a library may make another error of the KeyboardInterrupt, at its import for one."""

    yes: bool = False
    _at: float = 0.0

    def note(self) -> bool:
        """Note a signal; whether it is the first. The second one ends the process at once, whatever it waits for."""
        if self.is_first():
            return True
        if not self.is_same():
            os._exit(INTERRUPTED)
        return False

    def is_first(self) -> bool:
        """Note a signal; whether it is the first."""
        if self.yes:
            return False
        self.yes, self._at = True, time.monotonic()
        return True

    def is_same(self) -> bool:
        """Whether a later signal comes so soon that it is the first one again, sent by another process."""
        return time.monotonic() - self._at <= _SAME


@contextmanager
def ended_by_signals() -> Iterator[Interrupted]:
    """Each of ENDING raises KeyboardInterrupt inside, but for those that the process ignores, as nohup asks."""
    found = Interrupted()

    def handle(number: int, frame: Any) -> None:
        if found.note():
            raise KeyboardInterrupt

    with handled(handle, _is_nobodys):
        work_is_over(INTERRUPTED)  # so far
        yield found


@contextmanager
def handled(
    handle: Callable[[int, Any], None], replaces: Callable[[Any], bool], numbers: tuple[int, ...] = ENDING
) -> Iterator[None]:
    """`handle` takes each of `numbers` inside whose handler of now it `replaces`; outside the main thread, none."""
    import threading

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # only it can set handlers
        for one in numbers:
            if replaces(signal.getsignal(one)):
                before[one] = signal.signal(one, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def take(handler: Callable[[int, Any], None]) -> None:
    """Let `handler` have each of ENDING that nobody handles or ignores, from now on; in the main thread."""
    for one in ENDING:
        if _is_nobodys(signal.getsignal(one)):
            signal.signal(one, handler)


def work_is_over(code: object) -> None:
    """Note the exit code of this process's work, for a signal that comes before it ends: see end_at_once()."""
    global _code
    _code = code if isinstance(code, int) else int(bool(code))


def _leave(code: int) -> None:
    """End without waiting for threads, all files being closed; an interrupt that went through exec() would else end it by SIGINT."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)


def end_at_once(number: int, frame: Any) -> None:
    """End the process before its work, or after it with its code: nothing is open then.

    An exception in the middle of an import may become another one.
    """
    if _code is not None:
        _leave(_code)
    say(b"plainfilm: Interrupted. Nothing was begun.\n")
    os._exit(INTERRUPTED)


def say(line: bytes) -> None:
    """A line on stderr, if it is open; Python's own stream may be in the middle of another."""
    with suppress(OSError):
        os.write(2, line)


def _is_nobodys(handler: Any) -> bool:
    return handler in (signal.SIG_DFL, signal.default_int_handler, end_at_once)
