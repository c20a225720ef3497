"""`python -m plainfilm`, and the installed command: a signal ends it in one line, before and after its work too."""

import contextlib
import os
import sys

from plainfilm.base.signals import INTERRUPTED, end_at_once, say, take


def main() -> None:
    """Run the command line of this process."""
    take(end_at_once)
    from plainfilm.base.usable_environment import make_environment_usable

    make_environment_usable()  # before a library reads it
    from plainfilm.cli import app

    code: object = INTERRUPTED
    try:
        app()
    except KeyboardInterrupt:  # a moment before or after what says it itself
        say(b"plainfilm: Interrupted.\n")
    except SystemExit as end:
        code = end.code
    take(lambda *_: _leave(code))  # the work is over, and the code is that of the work
    if code == INTERRUPTED:
        _leave(code)
    sys.exit(code)  # type: ignore[arg-type]


def _leave(code: object) -> None:
    """End without waiting for threads, all files being closed; an interrupt that went through exec() would else end it by SIGINT."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(bool(code)))


if __name__ == "__main__":
    main()
