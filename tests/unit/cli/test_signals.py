"""Ctrl-C, SIGTERM and a closed terminal end a command in one line, from its first moment on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from plainfilm.base.signals import ENDING, ended_by_signals
from plainfilm.cli import app
from plainfilm.cli.main import _OneLineErrors

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of a POSIX system")
ENTRIES = {
    "module": [sys.executable, "-m", "plainfilm"],
    "script": [sys.executable, "-c", "from plainfilm.__main__ import main; main()"],
}


@pytest.mark.parametrize(("entry", "number"), [("module", one) for one in ENDING] + [("script", ENDING[-1])])
def test_a_signal_during_the_first_imports_is_one_line(entry, number, tmp_path):
    """A module of the imports waits, as a slow disk would make it; before, this was a traceback, or the end by the signal."""
    (tmp_path / "typer").mkdir()
    waits = "import pathlib, time; pathlib.Path('up').write_text(''); time.sleep(30)"
    (tmp_path / "typer/__init__.py").write_text(waits)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    running = subprocess.Popen(
        [*ENTRIES[entry], "doctor"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=env, restore_signals=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )  # fmt: skip
    until = time.monotonic() + 60
    while not (tmp_path / "up").exists() and time.monotonic() < until:
        time.sleep(0.01)
    running.send_signal(number)
    said = running.communicate(timeout=30)[1]
    assert running.returncode == 130 and said == "plainfilm: Interrupted. Nothing was begun.\n"


def test_the_handlers_are_taken_before_what_takes_time_is_imported():
    """From the start of the interpreter to these lines a signal has its default; typing and dataclasses double that time."""
    code = "import sys; old = set(sys.modules); import plainfilm.base.signals; print(*sorted(set(sys.modules) - old))"
    new = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"],
                         capture_output=True, text=True, check=True).stdout.split()  # fmt: skip
    assert "signal" in new and not {"typing", "dataclasses", "inspect", "threading", "pathlib"} & set(new)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_after_the_work_leaves_the_code_of_the_work(number):
    lines = (
        "import atexit, signal; from plainfilm.cli.main import _OneLineErrors; import plainfilm.__main__ as start\n"
        f"signal.signal({int(number)}, signal.SIG_DFL)\n"
        "_OneLineErrors.main = lambda *a, **k: exit(3)\n"
        f"atexit.register(signal.raise_signal, {int(number)}); start.main()"
    )
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (3, "")


def test_a_signal_between_the_works_handlers_and_the_last_ones_says_nothing_of_the_work():
    lines = (
        "import signal, sys; from plainfilm.cli.main import _OneLineErrors; import plainfilm.__main__ as start\n"
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        "_OneLineErrors._run = lambda *a, **k: print('done') or 3\n"
        "take, calls = start.take, []\n"
        "def late(handler):\n"
        "    if calls: signal.raise_signal(signal.SIGTERM)\n"
        "    calls.append(take(handler))\n"
        "start.take, sys.argv = late, ['plainfilm', 'doctor']; start.main()"
    )
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (3, "done\n", "")


def test_an_interrupt_beside_the_work_is_no_traceback():
    lines = (
        "from plainfilm.cli.main import _OneLineErrors; import plainfilm.__main__ as start\n"
        "def run(*a, **k): raise KeyboardInterrupt\n"
        "_OneLineErrors.main = run; start.main()"
    )
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "plainfilm: Interrupted.\n")


def test_the_installed_command_enters_where_ctrl_c_is_handled():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"plainfilm": "plainfilm.__main__:main"}


@pytest.mark.parametrize("number", ENDING)
def test_each_signal_that_ends_becomes_a_keyboard_interrupt_and_is_put_back(number):
    before = [signal.getsignal(one) for one in ENDING]
    with pytest.raises(KeyboardInterrupt), ended_by_signals() as found:
        signal.raise_signal(number)
    assert found.yes and [signal.getsignal(one) for one in ENDING] == before


def test_the_hang_up_that_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals() as found:
            signal.raise_signal(signal.SIGHUP)
        assert not found.yes
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("error", [ImportError("numpy failed"), OSError(5, "Input/output error"), None])
def test_what_a_library_makes_of_an_interrupt_is_no_bug(error, monkeypatch):
    """numpy, at its import, turns any error into ImportError."""

    def command(*_args, **_more):
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            raise error or typer.Exit(130) from None

    monkeypatch.setattr(_OneLineErrors.__mro__[1], "main", command)
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 130 and done.stderr.count("\n") == 1, done.stderr
    assert "Interrupted" in done.stderr and "bug" not in done.stderr


def test_lines_to_a_closed_terminal_are_dropped_and_other_errors_are_not():
    from plainfilm.cli.screen import Screen

    class Gone:
        def __init__(self, number):
            self.number = number

        def write(self, text):
            raise OSError(self.number, "x")

        def flush(self):
            pass

    Screen(set(), file=Gone(5)).print("x")
    with pytest.raises(OSError):
        Screen(set(), file=Gone(28)).print("x")


def test_an_interrupt_inside_of_exec_ends_with_130_and_waits_for_no_thread():
    """CPython notes it there as unhandled, and would end by SIGINT though it was handled."""
    code = (
        "import signal, sys, threading, time; from plainfilm.cli.main import _OneLineErrors; import plainfilm.__main__ as start\n"
        "def run(*a, **k):\n"
        "    threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "    try: exec('signal.raise_signal(signal.SIGTERM)')\n"
        "    except KeyboardInterrupt: return 130\n"
        "_OneLineErrors.__mro__[1].main = run; sys.argv = ['plainfilm', 'doctor']; start.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=40)
    assert done.returncode == 130 and done.stderr.count("\n") == 1, done.stderr
