"""Everything that goes to a terminal is made visible, and nothing prints elsewhere."""

from __future__ import annotations

import ast
import io
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from rich.table import Table

from plainfilm.base.sanitize import visible
from plainfilm.base.terminal import make_others_visible, tell, tell_error
from plainfilm.cli.screen import Screen

SOURCE = Path(__file__).parents[3] / "src" / "plainfilm"
HOSTILE = "a\x1b]0;pwned\x07\x9b31m\u202eb\n[red]c[/red]"
SHOWN = r"a\x1b]0;pwned\x07\x9b31m\u202eb\n[red]c[/red]"
# what may print: the one place, rich's console, and the rows of predict (exact in a file or pipe)
PRINTS = {"base/terminal.py", "cli/screen.py", "export/prediction_rows.py"}


def test_a_line_an_error_and_a_table_are_visible(capsys):
    stream = io.StringIO()
    screen = Screen(set(), file=stream, width=200)
    screen.print(HOSTILE)
    table = Table(box=None, pad_edge=False)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    screen.print(table)
    assert stream.getvalue().count(SHOWN) == 3
    tell_error(HOSTILE)
    assert capsys.readouterr().err == "plainfilm: " + visible("a\x1b]0;pwned\x07\x9b31m\u202eb [red]c[/red]") + "\n"


def test_lines_stay_lines_and_a_closed_stream_is_silent(capsys, monkeypatch):
    tell("a\n\x1bb", sys.stdout)
    assert capsys.readouterr().out == "a\n\\x1bb\n"
    monkeypatch.setattr(sys, "stderr", None)
    tell("lost")


def test_an_error_has_an_end(capsys):
    tell_error("x" * 1_000_000)
    assert len(capsys.readouterr().err) < 4100


def test_warnings_and_logs_are_visible(capsys, monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(logging, "lastResort", logging._StderrHandler(logging.WARNING))
    make_others_visible()
    assert "\x1b" not in warnings.formatwarning("tag \x1b]0;x", UserWarning, "f.py", 1, "")
    logging.lastResort.emit(logging.LogRecord("x", logging.WARNING, "f.py", 1, "tag \x1b]0;x", (), None))
    assert capsys.readouterr().err == "tag \\x1b]0;x\n"


def test_many_commands_in_one_process_wrap_the_warnings_once(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(logging, "lastResort", logging._StderrHandler(logging.WARNING))
    for _ in range(1500):  # more than Python's calls within calls
        make_others_visible()
    assert "\\x1b]0;x" in warnings.formatwarning("\x1b]0;x", UserWarning, "f.py", 1, "")


def test_nothing_else_prints():
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in ("print", "Console", "pprint", "click.echo", "traceback.print_exc") or called.endswith(
                    ("sys.stderr.write", "stdout.write")
                ):
                    found.add(path.relative_to(SOURCE).as_posix())
                    assert path.relative_to(SOURCE).as_posix() in PRINTS, (path, node.lineno, called)
    assert found == {"export/prediction_rows.py"}


def plainfilm(*words: str, closing: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    import os

    command = [sys.executable, "-m", "plainfilm", *words]
    if closing:
        command = ["sh", "-c", f'"$@" {closing}', "sh", *command]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env}, timeout=60, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_a_closed_standard_input_is_said():
    done = plainfilm("predict", "bundle", "-", closing="<&-")
    assert done.returncode == 2 and done.stderr.startswith("plainfilm: Standard input is closed")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="a home of a user")
def test_a_cache_in_the_home_of_nobody_is_said():
    done = plainfilm("cache", "ls", PLAINFILM_CACHE="~nobody-of-this-name/x")
    assert done.returncode == 2 and "'~nobody-of-this-name/x' is not known" in done.stderr
    assert done.stderr.count("\n") == 1
