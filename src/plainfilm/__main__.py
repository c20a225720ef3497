"""`python -m plainfilm`, and the installed command: Ctrl-C during the imports is one line too."""

import contextlib
import os
import signal
import sys
from typing import Any


def _end(number: int, frame: Any) -> None:
    """End at once: nothing is open yet, and an exception in the middle of an import may become another one."""
    os.write(2, b"plainfilm: Interrupted. Nothing was begun.\n")
    os._exit(130)


def main() -> None:
    """Run the command line of this process."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    from plainfilm.cli import app

    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        app()
    except SystemExit as end:
        if end.code == 130:
            _leave(130)
        raise


def _leave(code: int) -> None:
    """End without waiting for threads, all files being closed; an interrupt that went through exec() would else end it by SIGINT."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
