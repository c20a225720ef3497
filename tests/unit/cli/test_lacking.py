"""What the machine lacks is one line with an exit code of its own, not a bug."""

from __future__ import annotations

import io
import sys

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


def test_an_exit_of_a_library_is_no_reader_that_left(monkeypatch):
    """_PLAINFILM_COMPLETE=x ended with 141, the code of a broken pipe."""
    done = CliRunner().invoke(main.app, ["show"], prog_name="plainfilm", env={"_PLAINFILM_COMPLETE": "x"})
    assert done.exit_code == 2

    def left(*args, **more):
        try:
            raise BrokenPipeError
        except OSError:
            sys.exit(1)  # as typer does

    monkeypatch.setattr(main.HelpGroup, "main", left)
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # it is closed
    with pytest.raises(SystemExit) as ended:
        main.app(["doctor"])
    assert ended.value.code == 141


@pytest.mark.parametrize(
    ("lines", "code", "says"),
    [
        ("int('x')", 3, "The library odd_library cannot be loaded (ValueError: invalid literal"),
        ("import odd_part", 3, "The library odd_library cannot be loaded (UnicodeDecodeError"),
        ("def work(): int('x')", 101, "A bug in plainfilm: ValueError"),
    ],
)
def test_a_library_that_fails_at_its_import_is_no_bug_of_ours(monkeypatch, tmp_path, lines, code, says):
    """As matplotlib does for settings that are not UTF-8; an error of a call is ours all the same."""
    (tmp_path / "odd_library.py").write_text(lines)
    (tmp_path / "odd_part.py").write_text("b'\\xff'.decode()")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("odd_library", "odd_part"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def command(*args, **more):
        import odd_library

        odd_library.work()

    monkeypatch.setattr(main.HelpGroup, "main", command)
    done = CliRunner().invoke(main.app, ["doctor"])
    assert done.exit_code == code and done.stderr.count("\n") == 1
    assert says in done.stderr


def test_a_very_long_path_is_cut(monkeypatch):
    """Such as PLAINFILM_CACHE: the system refuses it, and the line would be all of it."""

    def fail(*args, **more):
        raise OSError(36, "File name too long", "/a" * 5000)

    monkeypatch.setattr(main.HelpGroup, "main", fail)
    done = CliRunner().invoke(main.app, ["doctor"])
    assert done.exit_code == 2 and len(done.stderr) < 300 and "File name too long" in done.stderr
