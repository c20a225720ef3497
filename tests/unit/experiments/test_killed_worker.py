"""A killed training of a grid says so, with the code of failed trainings."""

from __future__ import annotations

import signal
import sys

import pytest

from plainfilm.experiments.workers import Workers


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
@pytest.mark.parametrize(("number", "name"), [(signal.SIGKILL, "SIGKILL"), (signal.SIGSEGV, "SIGSEGV")])
def test_names_the_signal(tmp_path, monkeypatch, number, name):
    workers = Workers(1, tmp_path, "cpu")
    script = f"import os, signal; signal.signal({int(signal.SIGSEGV)}, 0); os.kill(os.getpid(), {int(number)})"
    monkeypatch.setattr(workers, "_command", lambda place: [sys.executable, "-c", script])
    ended = workers._train(None)
    assert ended.code == 5
    assert f"killed by {name}" in ended.message and "resumes" in ended.message


def test_a_child_that_fails_keeps_its_code(tmp_path, monkeypatch):
    workers = Workers(1, tmp_path, "cpu")
    script = "import sys; sys.stderr.write('plainfilm: No images.\\n'); sys.exit(2)"
    monkeypatch.setattr(workers, "_command", lambda place: [sys.executable, "-c", script])
    ended = workers._train(None)
    assert (ended.code, ended.message) == (2, "No images.")
