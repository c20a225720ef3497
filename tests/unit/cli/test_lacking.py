"""What the machine lacks is one line with an exit code of its own, not a bug."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import plainfilm.cli.main as main


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (ImportError("libx.so: failed to map\nsegment", name="torch"), 3, "libx.so: failed to map segment"),
        (MemoryError(), 5, "memory is not enough"),
        (ImportError("no such name", name="plainfilm.base"), 101, "A bug in plainfilm"),
    ],
)
def test_is_one_line(monkeypatch, error, code, says):
    def fail(*args, **more):
        raise error

    monkeypatch.setattr(main.HelpGroup, "main", fail)
    done = CliRunner().invoke(main.app, ["doctor"])
    assert done.exit_code == code
    assert says in done.stderr and done.stderr.count("\n") == 1
