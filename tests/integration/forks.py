"""Trainings that are killed, starved or raced, each in a process forked from one parent.

The parent imports once what a training imports, and computes nothing, so that a child starts in milliseconds with no
thread of OpenMP's in an unknown state. A script, run by test_resume.py: prints one JSON document.

    python tests/integration/forks.py DATA FOLDER --kills 5 --every 7 --starts 6
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
import torch._dynamo  # torch.optim does, at the first optimiser: 7 s where no bytecode is kept
from safetensors.torch import load_file

from plainfilm.cli import app
from plainfilm.config import ExperimentConfig, load_config
from plainfilm.errors import PlainfilmError
from plainfilm.pipeline.train import resume_run, train_run
from plainfilm.plots import base  # noqa: F401
from plainfilm.runs.folder import RunDir
from plainfilm.train import (
    interruption,
)

THREADS = 1  # of a child; more are slower for a network this small
COMPARED = ("model.safetensors", "history.csv", "predictions/valid.csv", "card.json", "checkpoints/best.safetensors")
PROBED = (
    *COMPARED,
    "metrics.json",
    "probes/probes.json",
    "probes/train_features.npy",
    "probes/valid.csv",
    "figures/batch.png",
)
MOMENTS = ("batch", "note", "pause", "epoch")  # of them the note says a shortcut, in the middle of the probes
SHORT = (("note", 0.0), ("epoch", 5.0))
WRITES = ("mkstemp", "fdopen", "fsync", "chmod", "replace", "mkdir", "unlink")


PRECISION = "fp32"  # of every training


def config(data: Path, epochs: int = 4, audit: bool = False, more: dict | None = None) -> ExperimentConfig:
    """A network of 1,458 numbers: about 0.2 s for 4 epochs of 5 steps, most of it training unless it is audited."""
    return load_config(options={
        "data.path": str(data), "data.audit": audit, "train.size_px": 24, "train.batch_size": 4, "train.epochs": epochs, "train.lr": 0.01,
        "train.precision": PRECISION, "train.ema": 0.9, "train.clip": 1.0, "train.label_smoothing": 0.05, "model.filters": [4, 8], "model.kernel": 3, "model.dense": 8, "evaluate.n_boot": 100,
        **(more or {}),
    })  # fmt: skip


def fork(work: Callable[[], object]) -> int:
    """Start `work` in a child; its exit code is the one that the command would end with."""
    pid = os.fork()
    if pid:
        return pid
    code = 101
    try:
        torch.set_num_threads(THREADS)
        work()
        code = 0
    except PlainfilmError as error:
        code = error.exit_code
        print(error, file=sys.stderr)
    except OSError as error:
        code = 2
        print(error, file=sys.stderr)
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - the parent reads the code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def wait(pid: int) -> int:
    """Exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run_child(work: Callable[[], object]) -> int:
    return wait(fork(work))


class Trials:
    """One reference run, and what becomes of others."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.data, self.folder, self.cfg = data, folder, config(data)
        self.reference = folder / "reference"
        imported = folder / "imported.txt"

        def first() -> None:
            self.train(self.reference)
            imported.write_text("\n".join(sys.modules))

        if run_child(first):
            raise SystemExit("the reference run failed")
        for name in imported.read_text().splitlines():
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        started, ended = (os.stat(self.reference / name).st_mtime for name in ("checkpoints/start.json", "status.json"))
        self.seconds = ended - started  # in which a kill finds something to resume

    def train(self, out: Path, minutes: float = 0.0) -> object:
        return train_run(self.cfg, out, device="cpu", checkpoint_minutes=minutes)

    def equal(self, out: Path) -> list[str]:
        """Files that differ from the run that was never stopped."""
        return [name for name in COMPARED if (out / name).read_bytes() != (self.reference / name).read_bytes()]

    # kill -9 -----------------------------------------------------------------------------------------------------

    def kills(self, n: int, seed: int) -> list[dict]:
        """Each run is killed at a random moment once its inputs are written, half of them again while resuming."""
        draw, found, tried = random.Random(seed), [], 0
        while len(found) < n and tried < 40 * n:
            trial = self._killed(self.folder / f"kill-{tried}", draw)
            found += [trial] if trial["stopped"][0]["code"] == -signal.SIGKILL else []  # else it was done already
            tried += 1
        return found

    def _killed(self, out: Path, draw: random.Random) -> dict:
        minutes = draw.choice([0.0, 0.0, 5.0])  # a state after each step, or after each epoch only
        pid = fork(lambda: self.train(out, minutes))
        while not (out / "checkpoints" / "start.json").exists():
            time.sleep(0.001)
        stopped = [self._kill(pid, out, draw)]
        while stopped[-1]["status"] != "done" and draw.random() < 0.5:
            stopped.append(self._kill(fork(lambda: resume_run(out, checkpoint_minutes=minutes)), out, draw))
        done = RunDir(out).read_status()["status"] == "done"
        code = 0 if done else run_child(lambda: resume_run(out))
        return {"stopped": stopped, "code": code, "differ": self.equal(out), "left": leftovers(out)}

    def _kill(self, pid: int, out: Path, draw: random.Random) -> dict:
        time.sleep(draw.random() * self.seconds)
        os.kill(pid, signal.SIGKILL)
        code = wait(pid)
        status = RunDir(out).read_status()["status"]
        return {"code": code, "status": status, "at": position(out), "broken": broken(out)}

    # Ctrl-C ------------------------------------------------------------------------------------------------------

    def interrupts(self, n: int, seed: int) -> list[dict]:
        """The command is interrupted at a random moment once its inputs are written."""
        draw, found, tried = random.Random(seed), [], 0
        while len(found) < n and tried < 40 * n:
            trial = self._interrupted(self.folder / f"interrupt-{tried}", draw)
            found += [trial] if trial["code"] else []  # else it was done already
            tried += 1
        return found

    def _interrupted(self, out: Path, draw: random.Random) -> dict:
        config_file, output = out.with_suffix(".yaml"), out.with_suffix(".output")
        config_file.write_text(self.cfg.as_yaml())
        output.mkdir()

        def command() -> None:
            for number, name in ((1, "stdout"), (2, "stderr")):
                os.dup2(os.open(output / name, os.O_CREAT | os.O_WRONLY), number)
            app(["train", "--config", str(config_file), "--device", "cpu", "--out", str(out), "--json"])

        pid = fork(command)
        while not (out / "checkpoints" / "start.json").exists():
            time.sleep(0.001)
        time.sleep(draw.random() * self.seconds)
        os.kill(pid, signal.SIGINT)
        code, status = wait(pid), RunDir(out).read_status()["status"]
        facts = {
            "code": code, "status": status, "run": str(out), "stdout": (output / "stdout").read_text(),
            "said": (output / "stderr").read_text().strip().splitlines()[-1],
        }  # fmt: skip
        resumed = 0 if code == 0 else run_child(lambda: resume_run(out))
        return {**facts, "resumed": resumed, "differ": self.equal(out), "left": leftovers(out)}

    def short(self, out: Path) -> object:
        """Two epochs, states after each, the short audit before them."""
        return train_run(config(self.data, epochs=2, audit=True), out, device="cpu")

    # the k-th file operation fails ------------------------------------------------------------------------------

    def faults(self, every: int, seed: int) -> list[dict]:
        """Every `every`-th operation fails, once or from then on, in a training or in a resumed one."""
        self.reference = self.folder / "short"
        run_child(lambda: self.short(self.reference))
        found, k = [], 1 + random.Random(seed).randrange(every)
        while True:
            mode = ("once", "on")[k // every % 2] if every > 1 else "once"
            found.append(self._fault(k, mode))
            if every == 1:
                found.append(self._fault(k, "on"))
            if not found[-1]["struck"]:
                return found
            k += every

    def _fault(self, k: int, mode: str) -> dict:
        out = self.folder / f"fault-{k}-{mode}"
        struck = out.with_suffix(".struck")
        code = run_child(lambda: starved(k, mode, struck, lambda: self.short(out)))
        status = RunDir(out).read_status()["status"] if (out / "status.json").is_file() else "none"
        facts = {"k": k, "mode": mode, "struck": struck.exists(), "code": code, "status": status, "broken": broken(out)}
        if status == "done":
            return {**facts, "resumed": 0, "differ": self.equal(out)}
        begun = (out / "checkpoints" / "start.json").is_file()
        # the resumed run is starved too, at another operation, and goes on all the same
        again = run_child(lambda: starved(k // 2 + 1, mode, struck, lambda: resume_run(out)))
        done = begun and RunDir(out).read_status()["status"] == "done"
        resumed = 0 if done else run_child(lambda: resume_run(out))
        differ = self.equal(out) if resumed == 0 else []
        return {**facts, "begun": begun, "again": again, "resumed": resumed, "differ": differ, "left": leftovers(out)}

    # kill -9 at what a training says ----------------------------------------------------------------------------

    def moments(self, short: bool) -> list[dict]:
        """A training with the short audit that kills itself at an event, is resumed, killed there again, and resumed.

        `short`: in the middle of the probes and after an epoch only, without a frozen phase.
        """
        found = []
        for kind in ("whole",) if short else ("whole", "frozen first"):
            reference = self.folder / f"{kind}-probed"
            if run_child(lambda kind=kind, out=reference: self.probed(kind, out)):
                raise SystemExit(f"the reference run {kind} failed")
            for what in MOMENTS:
                for minutes in (0.0, 5.0):  # a state after each step, or after each epoch only
                    if not short or (what, minutes) in SHORT:
                        found.append(self._killed_at(what, kind, minutes, reference))
        return found

    def probed(
        self, kind: str, out: Path, minutes: float = 5.0, on_event: Callable = lambda what, facts: None
    ) -> object:
        frozen = {"model.weights": str(self.folder / "whole-probed"), "train.freeze_epochs": 1}
        cfg = config(self.data, epochs=2, audit=True, more=frozen if kind != "whole" else None)
        return train_run(cfg, out, device="cpu", checkpoint_minutes=minutes, on_event=on_event)

    def _killed_at(self, what: str, kind: str, minutes: float, reference: Path) -> dict:
        out = self.folder / f"{kind}-{what}-{minutes:g}"

        def kill(event: str, facts: dict) -> None:
            if event == what and (event != "note" or "SHORTCUT" in facts["text"]):
                os.kill(os.getpid(), signal.SIGKILL)

        codes = [run_child(lambda: self.probed(kind, out, minutes, kill))]
        codes.append(run_child(lambda: resume_run(out, checkpoint_minutes=minutes, on_event=kill)))
        if RunDir(out).read_status()["status"] != "done":
            codes.append(run_child(lambda: resume_run(out)))
        differ = [name for name in PROBED if (out / name).read_bytes() != (reference / name).read_bytes()]
        status = RunDir(out).read_status()["status"]
        return {"at": [kind, what, minutes], "codes": codes, "status": status, "differ": differ, "left": leftovers(out)}

    # races -------------------------------------------------------------------------------------------------------

    def starts(self, n: int) -> dict:
        """`n` trainings into one folder at once, then `n` resumes of one stopped run."""
        out = self.folder / "one-folder"
        codes = [wait(pid) for pid in [fork(lambda: self.train(out)) for _ in range(n)]]
        stopped = self.folder / "one-stopped"
        first = run_child(lambda: train_run(self.cfg, stopped, device="cpu", max_minutes=0))
        resumed = [wait(pid) for pid in [fork(lambda: resume_run(stopped)) for _ in range(n)]]
        return {
            "codes": sorted(codes), "differ": self.equal(out), "stopped": first, "resumed": sorted(resumed),
            "resumed_differ": self.equal(stopped),
        }  # fmt: skip

    # controls ----------------------------------------------------------------------------------------------------

    def controls(self) -> dict:
        """What the comparison says when a part of the state is lost: it must differ."""
        return {name: self._control(name, lose) for name, lose in LOSSES.items()}

    def _control(self, name: str, lose: Callable[[], None]) -> list[str]:
        out = self.folder / f"control-{name}"
        if run_child(lambda: train_run(self.cfg, out, device="cpu", max_minutes=0)) != 130:
            raise SystemExit("the control run did not stop")

        def work() -> None:
            lose()
            resume_run(out)

        if run_child(work):
            raise SystemExit(f"the control run {name} failed")
        return self.equal(out)


def lose_moments() -> None:
    whole = interruption.restore

    def restore(learn, tensors, run) -> None:
        whole(learn, tensors, run)
        for slots in learn.opt.opt.state.values():
            slots["exp_avg"].zero_()

    interruption.restore = restore


def lose_place() -> None:
    interruption._ResumeCallback.before_train = lambda self: None


def lose_weights() -> None:
    whole = interruption.restore

    def restore(learn, tensors, run) -> None:
        before = {name: value.clone() for name, value in learn.model.state_dict().items()}
        whole(learn, tensors, run)
        learn.model.load_state_dict(before)

    interruption.restore = restore


LOSSES = {"nothing": lambda: None, "moments": lose_moments, "place": lose_place, "weights": lose_weights}


def starved(k: int, mode: str, struck: Path, work: Callable[[], object]) -> None:
    """`work`, in which the k-th operation that changes a file finds the disk full; with mode 'on' all after it too."""
    count = 0

    def guard(name: str, real: Callable) -> Callable:
        def call(*args, **kwargs):
            nonlocal count
            if name == "fdopen" and "wb" not in args:
                return real(*args, **kwargs)
            count += 1
            if count == k or (mode == "on" and count > k):
                struck.touch()
                raise OSError(errno.ENOSPC, "No space left on device")
            return None if name == "fsync" else real(*args, **kwargs)  # kept short: no power is cut here

        return call

    for name in WRITES:
        owner = tempfile if name == "mkstemp" else os
        setattr(owner, name, guard(name, getattr(owner, name)))
    work()


def position(out: Path) -> list[int] | None:
    path = out / "checkpoints" / "last.json"
    state = json.loads(path.read_text())["state"] if path.is_file() else None
    return state and [state["phase"], state["epoch"], state["step"]]


def broken(out: Path) -> list[str]:
    """Files of ours that cannot be read, or hold what is no number."""
    whole = {
        ".json": lambda path: json.loads(path.read_text()) is not None,
        ".csv": lambda path: path.read_text().endswith("\n"),
        ".safetensors": lambda path: all(tensor.isfinite().all() for tensor in load_file(path).values()),
    }
    found = []
    for path in out.rglob("*"):
        if path.name.startswith(".partial-") or path.suffix not in whole:
            continue
        try:
            found += [] if whole[path.suffix](path) else [path.name]
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            found.append(f"{path.name}: {error!r}")
    return found


def leftovers(out: Path) -> list[str]:
    """Temporary files, and tensors that no state names; a finished run has one of those."""
    states = sorted(path.name for path in out.glob("checkpoints/last-*.safetensors"))
    return [path.name for path in out.rglob(".partial-*")] + states[1:]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    for option in ("kills", "interrupts", "every", "starts", "controls", "moments", "seed", "threads"):
        parser.add_argument(f"--{option}", type=int, default=0)
    parser.add_argument("--precision", default=PRECISION)
    given = parser.parse_args()
    PRECISION = given.precision
    THREADS = given.threads or THREADS
    trials = Trials(given.data, given.folder)
    answer_ = {
        "seconds": trials.seconds,
        "kills": trials.kills(given.kills, given.seed),
        "interrupts": trials.interrupts(given.interrupts, given.seed),
        "starts": trials.starts(given.starts) if given.starts else {},
        "controls": trials.controls() if given.controls else {},
        "moments": trials.moments(short=given.moments == 1) if given.moments else [],
        "faults": trials.faults(given.every, given.seed) if given.every else [],
    }
    print(json.dumps(answer_))
