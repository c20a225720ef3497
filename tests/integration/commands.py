"""The commands as a user types them, in this process, which has imported fastai already."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from typer.testing import CliRunner, Result

from plainfilm.cli import app


def plainfilm(*args: object, code: int = 0, **env: str) -> Result:
    """What `plainfilm ARGS` prints, stdout and stderr apart, on a terminal of 120 columns where `env` names no other."""
    done = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "120", **env}).invoke(app, [str(arg) for arg in args])
    assert done.exit_code == code, f"exit {done.exit_code}, expected {code}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


def plainfilm_in_one_place(*args: object, place: Path, code: int = 0, terminal: bool = False, **env: str) -> list[str]:
    """The lines of `plainfilm ARGS 2>&1`, in their order, as read from the file `place` or from a terminal."""
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        for name, value in {"NO_COLOR": "1", **env}.items():
            patch.setenv(name, value)
        if "COLUMNS" not in env:
            patch.delenv("COLUMNS", raising=False)
        both = stack.enter_context(_terminal(place) if terminal else place.open("w", encoding="utf-8"))
        patch.setattr(sys, "stdout", both)
        patch.setattr(sys, "stderr", both)
        with pytest.raises(SystemExit) as end:
            app([str(arg) for arg in args])
    text = place.read_text(encoding="utf-8")
    assert end.value.code == code, text
    return _MOVES.sub("\n", _COLOURS.sub("", text)).splitlines()


_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_MOVES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r\n?")  # of the progress bars


@contextlib.contextmanager
def _terminal(place: Path) -> Iterator[TextIO]:
    """A terminal whose screen is copied to `place`."""
    import pty

    ours, theirs = pty.openpty()

    def copy() -> None:
        with place.open("wb") as file, contextlib.suppress(OSError):  # the other end was closed
            while chunk := os.read(ours, 4096):
                file.write(chunk)

    reader = threading.Thread(target=copy)
    reader.start()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        yield stream
    reader.join()
    os.close(ours)
