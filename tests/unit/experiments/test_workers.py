"""Several trainings at a time: each in its own process, stopped together by Ctrl-C."""

from __future__ import annotations

import _thread
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from plainfilm.config import load_config
from plainfilm.experiments.grid import Planned
from plainfilm.experiments.status import Place
from plainfilm.experiments.workers import Ended, Workers
from plainfilm.runs.folder import RunDir

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a script is no program on Windows")
CHILD = """#!{python}
import json, os, pathlib, signal, sys, time
place = pathlib.Path({folder!r}) / str(os.getpid())
place.with_suffix(".part").write_text(json.dumps(sys.argv[1:]))
"""
WAITS = "signal.signal(signal.SIGINT, lambda *_: sys.exit(130)); place.with_suffix('.part').rename(place.with_suffix('.up')); time.sleep(60)"
ENDS = "print('plainfilm: ' + os.environ['OMP_NUM_THREADS'], file=sys.stderr); sys.exit(5)"


def places(tmp_path: Path, n: int, standing: str = "new") -> list[Place]:
    return [
        Place(Planned("a", f"a-seed{k}", load_config()), RunDir(tmp_path / f"a-seed{k}"), standing) for k in range(n)
    ]


@pytest.fixture
def children_do(tmp_path, monkeypatch) -> Callable[[str], None]:
    """children_do(code): what every child runs in Python's place; each leaves its arguments beside it."""

    def do(code: str) -> None:
        program = tmp_path / "python"
        program.write_text(CHILD.format(python=sys.executable, folder=str(tmp_path)) + code)
        program.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(program))

    return do


def asked(tmp_path: Path) -> list[str]:
    """The arguments of the one child."""
    (path,) = tmp_path.glob("*.part")
    return json.loads(path.read_text())


def test_ctrl_c_reaches_every_child_once_and_nothing_new_begins(tmp_path, children_do):
    children_do(WAITS)
    crew = Workers(2, tmp_path / "plans", "cpu")

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


def endings(jobs: int, todo: list[Place], **options: bool) -> list[Ended]:
    found: list[Ended] = []
    Workers(jobs, todo[0].run.root.parent / "plans", "cpu", **options).work(
        todo, lambda place, ended: found.append(ended)
    )
    return found


def test_a_failed_child_gives_its_code_and_last_line_and_its_share_of_the_cores(tmp_path, children_do):
    children_do(ENDS)
    assert endings(2, places(tmp_path, 3)) == [Ended(5, str(max(1, (os.cpu_count() or 1) // 2)))] * 3


def test_a_child_that_answers_nothing_is_a_bug_and_not_a_success(tmp_path, children_do):
    children_do("")
    assert [ended.code for ended in endings(1, places(tmp_path, 1))] == [101]


@pytest.mark.parametrize("offline", [False, True])
def test_a_child_is_asked_to_train_the_planned_config(tmp_path, children_do, offline):
    children_do("")
    (place,) = places(tmp_path, 1)
    endings(2, [place], offline=offline)
    words = asked(tmp_path)
    options = dict(pairwise(words))
    assert words[:3] == ["-m", "plainfilm", "train"]
    assert load_config(Path(options["--config"])) == place.planned.cfg
    assert (options["--out"], options["--device"]) == (str(place.run.root), "cpu")
    assert ("--offline" in words) is offline and "--json" in words  # its answer is read


def test_a_child_is_asked_to_go_on_with_a_stopped_run(tmp_path, children_do):
    children_do("")
    (place,) = places(tmp_path, 1, "stopped")
    endings(2, [place])
    words = asked(tmp_path)
    assert words[:2] == ["-m", "plainfilm"] and "train" not in words
    assert dict(pairwise(words))["resume"] == str(place.run.root)
