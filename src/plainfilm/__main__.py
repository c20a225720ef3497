"""`python -m plainfilm`, and the installed command: a signal ends it in one line, before and after its work too."""

import signal
import sys

from plainfilm.base.signals import INTERRUPTED, end_at_once, say, take, work_is_over


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
    work_is_over(code)
    take(end_at_once)
    if code == INTERRUPTED:  # one that went through exec() would else end the process by SIGINT
        end_at_once(signal.SIGINT, None)
    sys.exit(code)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
