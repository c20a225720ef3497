"""Environment variables on which a library would fail end no command."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from plainfilm.base.usable_environment import SIZES, is_size, make_environment_usable

HUGE = "9" * 20


@pytest.mark.parametrize("text", ["80", "1", "99999"])
def test_a_width_is_kept(text, monkeypatch):
    assert is_size(text)
    for name in SIZES:
        monkeypatch.setenv(name, text)
    make_environment_usable()
    assert [os.environ[name] for name in SIZES] == [text] * 3


@pytest.mark.parametrize("text", [HUGE, "100000", "0", "-5", "abc", "", "1.5", "\u0663\u0663", "\u00b2"])
def test_another_value_is_taken_away(text, monkeypatch):
    assert not is_size(text)
    for name in SIZES:
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    make_environment_usable()
    assert not set(SIZES) & set(os.environ) and os.environ["MPLBACKEND"] == "agg"


@pytest.mark.parametrize(("text", "stays"), [("1700000000", True), ("abc", False), (HUGE, False), ("-1", False)])
def test_a_date_that_ends_the_saving_of_a_figure_is_taken_away(text, stays, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    make_environment_usable()
    assert ("SOURCE_DATE_EPOCH" in os.environ) is stays


def test_help_is_printed_with_odd_sizes():
    """An OverflowError and a ValueError of rich and typer, exit 101, before."""
    odd = {"COLUMNS": HUGE, "LINES": HUGE, "TERMINAL_WIDTH": "abc", "MPLBACKEND": "nonsense"}
    words = [sys.executable, "-m", "plainfilm", "cache", "--help"]
    done = subprocess.run(words, env={**os.environ, **odd}, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0 and b"Usage" in done.stdout and done.stderr == b""


def test_a_command_does_so_before_it_imports_a_library(tmp_path):
    (tmp_path / "typer").mkdir()
    (tmp_path / "typer/__init__.py").write_text("import os; print(os.environ['MPLBACKEND']); os._exit(0)")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]), "MPLBACKEND": "nonsense"}
    words = [sys.executable, "-m", "plainfilm", "doctor"]
    assert subprocess.run(words, env=env, capture_output=True, text=True, timeout=60).stdout.strip() == "agg"
