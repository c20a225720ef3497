"""`python -m plainfilm`, and the installed command: Ctrl-C during the imports is one line too."""

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
    sys.exit(app())


if __name__ == "__main__":
    main()
