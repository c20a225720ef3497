"""Train one planned run: in this process, or in a process of its own in parallel with others."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plainfilm.base.events import EventCallback
from plainfilm.base.files import atomic_write
from plainfilm.base.json_text import parsed_json
from plainfilm.errors import OccupiedError, PlainfilmError, StoppedError
from plainfilm.experiments.cost import write_cost
from plainfilm.experiments.status import Place
from plainfilm.pipeline import train
from plainfilm.runs.environment import peak_rss_mb
from plainfilm.schemas.documents import TrainDocument

BUG, INTERRUPTED, _FAILED = 101, 130, 5
_GRACE_SECONDS = 120.0  # for a child to finish its step and write its state after Ctrl-C


@dataclass(frozen=True)
class Ended:
    """How a training ended: exit code and message, 0 and '' on success."""

    code: int
    message: str


def train_here(place: Place, device: str, on_event: EventCallback, *, offline: bool = False) -> Ended:
    """Train or resume in this process; a failure is returned, so that the other runs continue.

    Raises:
        KeyboardInterrupt, StoppedError: Ctrl-C.
    """
    before = _peak_memory_mb()
    try:
        if place.standing == "stopped":
            document = _resume(place, on_event)
        else:
            document = train.train_run(
                place.planned.cfg, place.run.root, device=device, offline=offline, on_event=on_event
            )
        write_cost(place.run, document, peak_before_mb=before)
    except StoppedError:
        raise
    except PlainfilmError as error:
        return Ended(error.exit_code, str(error))
    except Exception as error:  # noqa: BLE001 - one failure must not stop the others
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return Ended(BUG, f"A bug in plainfilm: {what}")
    finally:
        gc.collect()  # a Learner and its callbacks form a reference cycle, which keeps all decoded images of the run
    return Ended(0, "")


def _resume(place: Place, on_event: EventCallback) -> TrainDocument:
    import torch

    threads = torch.get_num_threads()
    try:
        return train.resume_run(place.run.root, on_event=on_event)
    finally:
        torch.set_num_threads(threads)  # a resumed run uses its own number of threads; the next run must not


class Workers:
    """At most `jobs` trainings at a time, each in a process with its share of the cores."""

    def __init__(self, jobs: int, plans: Path, device: str, *, offline: bool = False) -> None:
        self.jobs, self.plans, self.device, self.offline = jobs, plans, device, offline
        self.children: list[subprocess.Popen[str]] = []
        self.stopping, self.guard = threading.Event(), threading.Lock()

    def work(self, places: list[Place], ended: Any) -> None:
        """Train all; `ended(place, Ended)` runs in this thread as they end.

        Raises:
            KeyboardInterrupt: Ctrl-C, after every child has written its state.
        """
        with ThreadPoolExecutor(self.jobs) as pool:
            waiting = {pool.submit(self._train, place): place for place in places}
            try:
                while waiting:
                    done, _ = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                    for future in done:
                        ended(waiting.pop(future), future.result())
            except KeyboardInterrupt:
                self._stop()
                raise

    def _train(self, place: Place) -> Ended:
        with self.guard:
            if self.stopping.is_set():
                return Ended(INTERRUPTED, "not started")
            child = subprocess.Popen(
                self._command(place), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._environment(),
                start_new_session=True,  # Ctrl-C in the terminal reaches only this process, which forwards it once
            )  # fmt: skip
            self.children.append(child)
        output, errors = child.communicate()
        if child.returncode < 0:
            return Ended(_FAILED, _killed(-child.returncode))
        if child.returncode:
            lines = [line for line in errors.splitlines() if line.strip()] or ["no message"]
            return Ended(child.returncode, lines[-1].removeprefix("plainfilm: "))
        try:
            write_cost(place.run, TrainDocument.model_validate(parsed_json(output, "its output")))
        except OccupiedError as error:  # an `evaluate` of the run that did not end
            return Ended(error.exit_code, str(error))
        except (PlainfilmError, ValueError) as error:
            return Ended(BUG, f"its document cannot be read: {type(error).__name__}")
        return Ended(0, "")

    def _command(self, place: Place) -> list[str]:
        start = [sys.executable, "-m", "plainfilm"]
        if place.standing == "stopped":
            return [*start, "resume", str(place.run.root), "--json", "-q"]
        plan = self.plans / f"{place.run.root.name}.yaml"
        atomic_write(plan, place.planned.cfg.as_yaml())
        return [
            *start,
            "train",
            "--config",
            str(plan),
            "--out",
            str(place.run.root),
            "--device",
            self.device,
            "--json",
            "-q",
            *(["--offline"] if self.offline else []),
        ]

    def _environment(self) -> dict[str, str]:
        threads = str(max(1, (os.cpu_count() or 1) // self.jobs))
        return {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}

    def _stop(self) -> None:
        with self.guard:
            self.stopping.set()
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGINT if os.name != "nt" else signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()  # its last state is kept


def _killed(number: int) -> str:
    """Why a child left no message, in one sentence that names no path."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    full = ", as the system does when the memory is full" if name == "SIGKILL" else ""
    return f"The process was killed by {name}{full}. The same command resumes it."


def _peak_memory_mb() -> float:
    """Peak memory of this process so far."""
    return peak_rss_mb()
