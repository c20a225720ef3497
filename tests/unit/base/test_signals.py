"""A signal ends the work in order, the second one at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from plainfilm.base.signals import ENDING

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of a POSIX system")
_HANGS = """
import sys, time
from plainfilm.base.signals import ended_by_signals
with ended_by_signals():
    try:
        print("up", flush=True)
        time.sleep(60)
    finally:
        print("ending", flush=True)
        time.sleep(float(sys.argv[1]))  # what the end waits for
        print("in order", flush=True)
"""


def started(seconds: float) -> subprocess.Popen[str]:
    running = subprocess.Popen([sys.executable, "-c", _HANGS, str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    assert running.stdout.readline() == "up\n"
    return running


@pytest.mark.parametrize("second", ENDING)
def test_a_second_signal_ends_a_process_that_waits_for_its_end(second):
    running = started(60)
    running.send_signal(signal.SIGINT)
    assert running.stdout.readline() == "ending\n"
    time.sleep(0.5)
    running.send_signal(second)
    assert running.communicate(timeout=30)[0] == "" and running.returncode == 130


def test_two_signals_at_once_are_one():
    """A closed terminal sends SIGHUP, and so does its shell: the end is still in order."""
    running = started(0.5)
    running.send_signal(signal.SIGHUP)
    assert running.stdout.readline() == "ending\n"
    running.send_signal(signal.SIGHUP)
    assert running.communicate(timeout=30)[0] == "in order\n"
