"""Several trainings at a time: each in its own process, stopped together by Ctrl-C."""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from plainfilm.config import load_config
from plainfilm.experiments.grid import Planned
from plainfilm.experiments.status import Place
from plainfilm.experiments.workers import Ended, Workers
from plainfilm.runs.folder import RunDir

WAITS = "import signal, sys, time; signal.signal(signal.SIGINT, lambda *_: sys.exit(130)); open(sys.argv[1], 'w'); time.sleep(60)"
ENDS = "import os, sys; print('plainfilm: ' + os.environ['OMP_NUM_THREADS'], file=sys.stderr); sys.exit(5)"


def places(tmp_path: Path, n: int) -> list[Place]:
    return [Place(Planned("a", f"a-seed{k}", load_config()), RunDir(tmp_path / f"a-seed{k}"), "new") for k in range(n)]


def crew_of(code: str, jobs: int, tmp_path: Path, monkeypatch) -> Workers:
    crew = Workers(jobs, tmp_path, "cpu")
    monkeypatch.setattr(
        crew, "_command", lambda place: [sys.executable, "-c", code, str(tmp_path / f"{place.planned.folder}.up")]
    )
    return crew


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C reaches a child otherwise on Windows")
def test_ctrl_c_reaches_every_child_once_and_nothing_new_begins(tmp_path, monkeypatch):
    crew = crew_of(WAITS, 2, tmp_path, monkeypatch)

    def interrupt() -> None:
        until = time.monotonic() + 20
        while len(list(tmp_path.glob("*.up"))) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        crew.work(places(tmp_path, 3), lambda place, ended: None)
    assert time.monotonic() - begun < 30
    assert [child.returncode for child in crew.children] == [130, 130]  # the third was never started


def test_a_failed_child_gives_its_code_and_last_line_and_its_share_of_the_cores(tmp_path, monkeypatch):
    found: list[Ended] = []
    crew_of(ENDS, 2, tmp_path, monkeypatch).work(places(tmp_path, 3), lambda place, ended: found.append(ended))
    assert found == [Ended(5, str(max(1, (os.cpu_count() or 1) // 2)))] * 3


def test_a_child_that_prints_nothing_is_a_bug_and_not_a_success(tmp_path, monkeypatch):
    found: list[Ended] = []
    crew_of("pass", 1, tmp_path, monkeypatch).work(places(tmp_path, 1), lambda place, ended: found.append(ended))
    assert found[0].code == 101


def test_the_command_of_a_child_trains_the_planned_config(tmp_path):
    place = places(tmp_path, 1)[0]
    words = Workers(2, tmp_path / "plans", "cpu")._command(place)
    assert load_config(Path(words[words.index("--config") + 1])) == place.planned.cfg
    assert words[words.index("--out") + 1] == str(place.run.root)
    assert Workers(2, tmp_path, "cpu")._command(Place(place.planned, place.run, "stopped"))[3:5] == [
        "resume",
        str(place.run.root),
    ]
