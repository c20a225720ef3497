"""The run folder: its file names, lock and status."""

from __future__ import annotations

import contextlib
import errno
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from plainfilm.base.command_line import command_line
from plainfilm.base.files import atomic_write, dump_json, read_regular, sweep, tidy
from plainfilm.base.json_text import parsed_json
from plainfilm.base.sanitize import frames_alone
from plainfilm.errors import (
    DataError,
    DivergedError,
    OccupiedError,
    PlainfilmError,
    PrunedError,
    StoppedError,
    UsageError,
)
from plainfilm.runs.status_facts import check_facts, why_at_its_end, why_unfinished

_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # of a disk, often a network one
_Status = Literal["running", "done", "diverged", "interrupted", "failed", "pruned"]
CHECKPOINT_MINUTES = 5.0  # at 512 px a state is 355 MB and takes 0.7 to 1.5 s to write, half a step of 16 images


@dataclass(frozen=True)
class Pace:
    """How often training writes its state besides at the end of each epoch, after how long it stops (None: never),
    and when it began, as time.perf_counter(). None of this changes a result, so it is not part of the config.
    """

    checkpoint_minutes: float
    max_minutes: float | None
    began: float


class RunDir:
    """A run's folder; the only place that names the paths in it."""

    def __init__(self, root: Path) -> None:
        self.root = tidy(root)
        self.config = self.root / "config.yaml"
        self.environment = self.root / "environment.json"
        self.table = self.root / "table.csv"
        self.excluded = self.root / "excluded.csv"
        self.data = self.root / "data.json"
        self.history = self.root / "history.csv"
        self.timing = self.root / "timing.csv"
        self.l2_head = self.root / "l2_head.json"
        self.status = self.root / "status.json"
        self.manifest = self.root / "run_manifest.json"  # hashes of the files that other commands trust
        self.weights = self.root / "model.safetensors"
        self.card = self.root / "card.json"
        self.people_card = self.root / "card.yaml"  # edited by people
        self.gate = self.root / "gate.safetensors"
        self.metrics = self.root / "metrics.json"
        self.cost = self.root / "cost.json"
        self.report = self.root / "report.html"
        self.bundle = self.root / "bundle"
        self.probes = self.root / "probes" / "probes.json"
        self.probe_features = self.root / "probes" / "train_features.npy"
        self.heat_checks = self.root / "heat_checks.json"
        self.label_errors = self.root / "suspects.csv"
        self.local = self.root / "local.csv"  # rows of the local images that a version was recalibrated on
        self.ledger = self.root / "test_ledger.jsonl"
        self.log = self.root / "log.txt"

        self.start = self.root / "checkpoints" / "start.json"  # the inputs of the run; written after all other inputs
        self.state = self.root / "checkpoints" / "last.json"  # latest training state; names and hashes its tensors

    def checkpoint(self, name: str) -> Path:
        """Weights saved during training, e.g. of the best epoch so far."""
        return self.root / "checkpoints" / f"{name}.safetensors"

    def state_tensors(self, number: int) -> Path:
        """Tensors of the `number`-th state; only the one named by last.json is valid."""
        return self.checkpoint(f"last-{number}")

    @property
    def resume_command(self) -> str:
        """Shell command that resumes this run."""
        return command_line("resume", self.root)

    def predictions(self, split: str) -> Path:
        """CSV with one row per image of `split`."""
        return self.root / "predictions" / f"{split}.csv"

    def top_images(self, split: str) -> Path:
        """Pixels of the images with the largest losses, as given to the network."""
        return self.root / "predictions" / f"{split}_top.npy"

    def probe_scores(self, split: str) -> Path:
        """Scores of the shortcut probes for each image of `split`, in the order of its predictions."""
        return self.root / "probes" / f"{split}.csv"

    def figure(self, name: str) -> Path:
        """A PNG."""
        return self.root / "figures" / f"{name}.png"

    def shared_ledger(self, seal: str) -> Path:
        """Ledger of the test-set accesses of all runs in the same folder, for the test set with this seal."""
        return self.root.parent / ".looks" / f"{seal}.jsonl"

    @classmethod
    def plan(cls, out: Path | None, model: str, runs: Path = Path("runs")) -> RunDir:
        """Path of a new run; nothing is created yet, so that rejected data leaves nothing behind.

        `out` is the folder itself; None means `runs/<time>-<model>-<4 hex>`.

        Raises:
            OccupiedError: the folder exists and is not empty.
        """
        root = out or runs / f"{time.strftime('%Y%m%d-%H%M%S')}-{model}-{secrets.token_hex(2)}"
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise OccupiedError(
                f"{root} exists and is not empty; a run is never overwritten. Choose another --out.{cls(root)._or_else()}"
            )
        return cls(root)

    def _or_else(self) -> str:
        """What can be done with a folder that is in the way, as a sentence; '' where it is no run, or one that cannot go on."""
        try:
            status = self.read_status()["status"] if self.status.is_file() else ""
        except DataError:
            return ""
        if status == "done":
            return f" It holds a finished run; see its results: {command_line('show', self.root)}"
        go_on = status in ("interrupted", "failed") and self.start.is_file()
        return f" Or resume it: {self.resume_command}" if go_on else ""

    def make(self) -> None:
        """Create the planned folder; it must still be empty.

        Raises:
            OccupiedError: another process has filled it.
            DataError: it cannot be created.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"The folder {self.root} cannot be created ({error.strerror}). Choose another --out."
            ) from None
        self._refuse_if_used()

    def _refuse_if_used(self) -> None:
        if {path.name for path in self.root.iterdir()} - {".lock"}:
            raise OccupiedError(f"{self.root} is in use by another process. Choose another --out.")

    @classmethod
    def open(cls, root: Path) -> RunDir:
        """An existing, finished run.

        Raises:
            DataError: `root` is not a run folder, or its training did not finish.
        """
        run = cls.existing(root)
        status = run.read_status()["status"]
        if status != "done":
            raise DataError(f"The run {root} {why_unfinished(status, run._again, run.resume_command)}")
        return run

    @classmethod
    def existing(cls, root: Path) -> RunDir:
        """A run in any state.

        Raises:
            DataError: `root` is not a run folder.
        """
        run = cls(root)
        if not run.status.is_file():
            raise DataError(f"{root} is not a run folder (no status.json in it). Give the folder that train printed.")
        return run

    def refuse_unless_stopped(self) -> None:
        """Check that the run can be resumed. Hold the lock: then 'running' means that the writer died.

        Raises:
            UsageError: there is nothing to resume. DataError: it stopped before its inputs were complete.
        """
        if why := why_at_its_end(self.read_status()["status"], self._again):
            raise UsageError(f"The run {self.root} {why}")
        if not self.start.is_file():
            raise DataError(
                f"The run {self.root} has no checkpoints/start.json: it stopped before its inputs were written, or the "
                "file was lost. Nothing can be resumed; train again into another folder."
            )

    @property
    def _again(self) -> str:
        """Shell command that trains the config of this run again."""
        return command_line("train", "--config", self.config, "--out", "NEW")

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Create the planned folder and hold its lock; of several processes that try, one wins.

        Raises:
            OccupiedError: another process was first. DataError: the folder cannot be created or written.
        """
        self.make()
        with self.lock():
            self._refuse_if_used()  # again: another process may have come and gone since
            yield

    @contextlib.contextmanager
    def lock(self, wait_seconds: float = 0) -> Iterator[None]:
        """Hold the lock of the run for writing; not to be taken twice.

        Raises:
            OccupiedError: another living process holds it after that time. DataError: the folder cannot be written.
        """
        lock = FileLock(self.root / ".lock", timeout=wait_seconds)
        try:
            lock.acquire()
        except Timeout:
            raise OccupiedError(
                f"{self.root} is being written by another process. Wait for it, or choose another folder."
            ) from None
        except (OSError, NotImplementedError) as error:
            raise DataError(_unlocked(self.root, error)) from None
        try:
            sweep(self.root)
            yield
        finally:
            lock.release()

    def is_locked(self) -> bool:
        """True while a living process is writing this run; nothing is written, as a writer has made its lock before."""
        lock = FileLock(self.root / ".lock", timeout=0)
        if not Path(lock.lock_file).exists():
            return False
        try:
            lock.acquire()
        except Timeout:
            return True
        except (OSError, NotImplementedError) as error:
            if getattr(error, "errno", None) not in (None, *_WITHOUT_LOCKS):
                raise
            return False  # no locks here, so that no writer can hold one
        lock.release()
        return False

    def write_status(self, status: _Status, **facts: Any) -> None:
        """Write the status of the run; earlier facts, such as the random `run_id`, are kept unless given again."""
        before = parsed_json(read_regular(self.status), self.status) if self.status.is_file() else {}
        for name in ("code", "message"):
            before.pop(name, None)
        before.setdefault("run_id", secrets.token_hex(8))  # tells the run from a later one in the same folder
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        atomic_write(self.status, dump_json({**before, "schema_version": 1, "status": status, "updated": now, **facts}))

    def read_status(self) -> dict[str, Any]:
        """status.json; `running` without a living writer reads as `interrupted`."""
        try:
            found: dict[str, Any] = parsed_json(read_regular(self.status), self.status)
            check_facts(found)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise DataError(
                f"status.json of {self.root} is damaged. Restore it from a backup, or train again."
            ) from None
        if found["status"] == "running" and not self.is_locked():
            found["status"] = "interrupted"
        return found

    @contextlib.contextmanager
    def outcome(self) -> Iterator[None]:
        """Record in status.json how the work ends, whatever happens; the lock must be held.

        The traceback of a bug goes to log.txt. An OSError becomes a DataError.
        """
        try:
            yield
            self.write_status("done")
        except (KeyboardInterrupt, StoppedError):
            self._try_to_write_status("interrupted")
            raise
        except PrunedError:
            self.write_status("pruned")
            raise
        except DivergedError as error:
            self._try_to_write_status("diverged", code=error.exit_code, message=str(error))
            raise
        except OSError as error:
            self._try_to_write_status("failed", code=DataError.exit_code, message=type(error).__name__)
            what = error.strerror or type(error).__name__
            go_on = f"then: {self.resume_command}" if self.start.is_file() else "then train again into another folder."
            raise DataError(
                f"The system refused a file operation in {self.root} ({what}). Finished work is kept. "
                f"Check the free space and the permissions, {go_on}"
            ) from error
        except BaseException as error:
            self._try_to_write_status("failed", code=getattr(error, "exit_code", 101), message=type(error).__name__)
            if not isinstance(error, PlainfilmError):
                with contextlib.suppress(OSError):
                    before = self.log.read_text(encoding="utf-8") if self.log.is_file() else ""
                    atomic_write(self.log, before + frames_alone(error))
            raise

    def _try_to_write_status(self, status: _Status, **facts: Any) -> None:
        # This fails too on a full disk; 'running' without a writer reads as interrupted, and the first error matters.
        with contextlib.suppress(OSError):
            self.write_status(status, **facts)


def _unlocked(root: Path, error: OSError | NotImplementedError) -> str:
    """Why the lock of a run cannot be taken. ENOLCK, ENOTSUP and ENOSYS are those of a network disk without locks."""
    if isinstance(error, OSError) and error.errno not in _WITHOUT_LOCKS:
        return f"The run folder {root} cannot be written ({error.strerror}). Fix its permissions, or copy it."
    return f"The disk of {root} has no file locks: two processes could write one run. Choose a local disk (--out)."
