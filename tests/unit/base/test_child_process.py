"""Work that hangs, crashes or takes all memory ends alone: the item has an error, the next one is answered."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from plainfilm.base import child_process
from plainfilm.base.child_main import read_item
from plainfilm.base.child_process import ChildError, ChildLimits, ChildPool, ChildProcess

LIMITS = ChildLimits(cpu_seconds=0, seconds=30)
_TASK = """
import os, sys, time

def work(head, body):
    do = head.get("do")
    if do == "spin":
        while True:
            pass
    if do == "work for":
        import signal
        head["left"], end = signal.getitimer(signal.ITIMER_PROF)[0], time.process_time() + head["seconds"]
        while time.process_time() < end:
            pass
    if do == "alone":  # as on Windows: no parent to look at
        os.getppid = lambda at=os.getppid(): at
    if do == "unlimited":  # nor any limits of the system
        import plainfilm.base.child_main as here
        here.resource = None
    if do == "lock":  # C code that gives no other thread a turn
        import re
        re.match("(a+)+$", "a" * 60 + "b")
    if do == "sleep":
        time.sleep(60)
    if do == "memory":
        bytearray(3 << 29)
    if do == "exit":
        os._exit(0)
    if do == "raise":
        raise KeyError("name of a patient")
    if do == "print":
        os.write(1, b"not an answer")
    if do == "large":
        return {}, bytes(1000)
    if do == "env":
        return {"pid": os.getpid(), "modules": sorted(sys.modules), "stdin": sys.argv}, b""
    return {"head": head, "n": len(body)}, body[::-1]
"""


@pytest.fixture(autouse=True)
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_task.py").write_text(_TASK, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def child():
    child = ChildProcess("a_task:work", LIMITS)
    yield child
    child.kill()


def test_the_answer_has_the_head_and_the_bytes(child: ChildProcess):
    assert child.call({"a": "ü"}, b"abc") == ({"head": {"a": "ü"}, "n": 3}, b"cba")


@pytest.mark.parametrize(
    ("do", "reason"), [("spin", "time"), ("exit", "died"), ("raise", "died"), ("memory", "memory")]
)
def test_a_bad_item_is_an_error_and_the_next_is_answered(child: ChildProcess, do: str, reason: str):
    if sys.platform != "linux" and do == "memory":
        pytest.skip("address space is limited on Linux only")
    with pytest.raises(ChildError) as found:
        child.call({"do": do})
    assert found.value.reason == reason and "patient" not in str(found.value)
    assert child.call({}, b"ab") == ({"head": {}, "n": 2}, b"ba")


@pytest.mark.skipif(sys.platform == "win32", reason="without limits of processor time")
def test_processor_time_is_limited_in_parts_of_a_second_for_each_item():
    """By a timer that ends the process in C code too; how exact it is depends on the system, so that it is asked itself."""
    child = ChildProcess("a_task:work", ChildLimits(cpu_seconds=0.75, seconds=60))
    left = [child.call({"do": "work for", "seconds": 0.1})[0]["head"]["left"] for _ in range(3)]
    assert all(0.6 < each <= 0.75 + 0.02 for each in left)  # the system counts in hundredths
    process = child._process
    with pytest.raises(ChildError) as error:
        child.call({"do": "lock"})
    assert error.value.reason == "time" and process.returncode == -signal.SIGPROF


def test_a_child_that_sleeps_is_killed_at_the_deadline():
    child = ChildProcess("a_task:work", ChildLimits(seconds=0.3))
    with pytest.raises(ChildError) as found:
        child.call({"do": "sleep"})
    assert found.value.reason == "time"
    assert child.call({}, b"ab")[1] == b"ba"
    child.kill()


def test_what_a_library_prints_is_no_answer(child: ChildProcess):
    assert child.call({"do": "print"}, b"ab")[1] == b"ba"


def test_an_answer_larger_than_the_limit_is_not_read():
    child = ChildProcess("a_task:work", ChildLimits(reply=999))
    with pytest.raises(ChildError):
        child.call({"do": "large"})
    child.kill()


def test_a_child_has_neither_the_script_nor_anything_heavy(child: ChildProcess):
    modules = set(child.call({"do": "env"})[0]["modules"])
    assert not modules & {"torch", "pandas", "numpy", "fastai", "pydantic", "pytest", "__mp_main__"}


def test_each_new_child_answers_its_setup_first():
    child = ChildProcess("a_task:work", LIMITS, setup=({"do": "exit"}, b""))
    with pytest.raises(ChildError):
        child.call({})


def test_killing_from_another_thread_ends_a_call_at_once(child: ChildProcess):
    child.call({})
    threading.Timer(0.2, child.kill).start()
    began = time.monotonic()
    with pytest.raises(ChildError) as found:
        child.call({"do": "sleep"})
    assert found.value.reason == "died" and time.monotonic() - began < 20


def test_a_pool_answers_many_threads_with_few_children():
    pool, found = ChildPool("a_task:work", 2, LIMITS), {}

    def ask(i: int) -> None:
        found[i] = pool.call({"do": "env", "i": i})[0]["pid"]

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(8)) and 1 <= len(set(found.values())) <= 2
    pool.kill()
    assert not any(psutil.pid_exists(pid) for pid in found.values())


@pytest.mark.parametrize("busy", [["spin"], [], ["alone", "spin"], ["alone", "unlimited", "lock"]])
def test_no_child_outlives_a_killed_parent(tmp_path: Path, busy: list[str]):
    """The script has no main guard and comes from stdin, which a child must neither run nor read."""
    script = f"""
import sys, threading, time
sys.path.insert(0, {str(tmp_path)!r})
from plainfilm.base.child_process import ChildLimits, ChildProcess
child = ChildProcess("a_task:work", ChildLimits(cpu_seconds=100, seconds=2))
print(child.call({{"do": "env"}})[0]["pid"], flush=True)
def work():
    for do in {busy}:
        child.call({{"do": do}})
threading.Thread(target=work, daemon=True).start()
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    parent.stdin.write(script.encode())
    parent.stdin.close()
    pid = int(parent.stdout.readline())
    time.sleep(0.3)
    assert psutil.pid_exists(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 30
    while psutil.pid_exists(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_in_the_terminal_leaves_the_child_to_its_parent(child: ChildProcess):
    pid = child.call({"do": "env"})[0]["pid"]
    os.kill(pid, signal.SIGINT)
    assert child.call({"do": "env"})[0]["pid"] == pid


@pytest.mark.parametrize("sent", [b"", b"\0" * 8, b"\xff" * 12, b"\2\0\0\0" + b"\0" * 8 + b"[]"])
def test_an_answer_that_is_none_is_refused(sent: bytes, tmp_path: Path):
    (tmp_path / "sent").write_bytes(sent)
    with (tmp_path / "sent").open("rb") as file, pytest.raises((EOFError, ValueError)):
        read_item(file, 100)


def test_a_kill_refuses_what_waits_for_a_place_and_starts_nothing(monkeypatch: pytest.MonkeyPatch):
    """Three calls, one child: the one that works and the two that wait all end with the kill; the next call is answered."""
    pool, found = ChildPool("a_task:work", 1, LIMITS), []
    starts, begun = [], child_process._begun
    monkeypatch.setattr(child_process, "_begun", lambda task: starts.append(task) or begun(task))
    pool.call({})

    def ask() -> None:
        try:
            pool.call({"do": "sleep"})
        except ChildError as error:
            found.append(error.reason)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    pool.kill()
    for thread in threads:
        thread.join(20)
    assert found == ["died"] * 3 and len(starts) == 1
    assert pool.call({}, b"ab")[1] == b"ba" and len(starts) == 2
    pool.kill()


def test_a_kill_while_a_child_is_started_ends_that_child_too(monkeypatch: pytest.MonkeyPatch):
    pool, made, begun = ChildPool("a_task:work", 1, LIMITS), [], child_process._begun

    def slow(task: str) -> subprocess.Popen[bytes]:
        made.append(begun(task))
        pool.kill()
        return made[0]

    monkeypatch.setattr(child_process, "_begun", slow)
    with pytest.raises(ChildError):
        pool.call({})
    assert len(made) == 1 and made[0].poll() is not None
