"""Printed command lines mean in a shell what they name."""

import os
import subprocess
from pathlib import Path

import pytest

from plainfilm.base.command_line import command_line

NASTY = ["a b", "it's", 'say "x"', "$HOME", "a;b", "*", "é", "back\\slash", "`id`", "(1)", "#1", "~", "a\nb"]


@pytest.mark.skipif(os.name == "nt", reason="sh")
def test_a_shell_reads_back_every_word():
    line = command_line("evaluate", *NASTY, "--split", "test")
    shell = f"plainfilm() {{ printf '%s\\0' \"$@\"; }}\n{line}"
    read = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, check=True).stdout.decode().split("\0")[:-1]
    assert read == ["evaluate", *NASTY, "--split", "test"]


def test_plain_words_stay_as_they_are():
    assert command_line("resume", Path("runs") / "one").replace("\\", "/") == "plainfilm resume runs/one"


def test_a_path_is_never_taken_for_an_option():
    assert command_line("show", Path("-run"), "--json").replace("\\", "/") == "plainfilm show ./-run --json"
