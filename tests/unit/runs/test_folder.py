from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from plainfilm.base.files import TEMP_PREFIX, atomic_write
from plainfilm.errors import DataError, DivergedError, OccupiedError, StoppedError, TrainingError, UsageError
from plainfilm.runs.folder import RunDir
from wording import lacking

SEAL = "5e" * 32


def test_the_next_writer_of_a_run_removes_leftovers(tmp_path):
    run = RunDir(tmp_path / "run")
    run.make()
    (run.root / f"{TEMP_PREFIX}y").write_text("half")
    with run.lock():
        assert [path.name for path in run.root.iterdir()] == [".lock"]


def test_a_run_is_never_overwritten(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "note.txt").write_text("mine")
    with pytest.raises(OccupiedError, match="not empty") as error:
        RunDir.plan(tmp_path / "run", "paper")
    assert error.value.exit_code == 4
    (tmp_path / "run" / "status.json").write_text("{}")  # damaged: nothing is known of it
    with pytest.raises(OccupiedError, match=r"Choose another --out\.$"):
        RunDir.plan(tmp_path / "run", "paper")


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("done", ". It holds a finished run; see its results: plainfilm show '{run}'"),
        ("interrupted", ". Or resume it: plainfilm resume '{run}'"),
        ("failed", ". Or resume it: plainfilm resume '{run}'"),
        ("diverged", "Choose another --out."),  # resume would diverge again
    ],
)
def test_a_run_in_the_way_is_resumed_only_where_resume_would_go_on(tmp_path, status, advice):
    run = RunDir(tmp_path / "my run")
    run.start.parent.mkdir(parents=True)
    run.start.write_text("{}")
    run.write_status(status)
    with pytest.raises(OccupiedError) as error:
        RunDir.plan(run.root, "paper")
    assert str(error.value).endswith(advice.format(run=run.root))
    run.start.unlink()  # it stopped before its inputs were written
    with pytest.raises(OccupiedError) as error:
        RunDir.plan(run.root, "paper")
    assert "resume" not in str(error.value)


def test_a_run_s_path_is_shown_without_detours(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    (tmp_path / "far" / "there").mkdir(parents=True)
    (tmp_path / "work" / "link").symlink_to(tmp_path / "far" / "there")
    monkeypatch.chdir(tmp_path / "work")
    assert RunDir(Path("../runs/one")).root == tmp_path / "runs" / "one"
    # here the two dots lead to the folder of the link's target
    assert RunDir(Path("link/../there")).root == tmp_path / "work" / "link" / ".." / "there"


def test_planning_a_run_creates_nothing(tmp_path):
    RunDir.plan(tmp_path / "run", "paper")
    assert list(tmp_path.iterdir()) == []


def test_default_names_do_not_collide(tmp_path):
    assert len({RunDir.plan(None, "paper", tmp_path).root for _ in range(4)}) == 4  # of 65,536


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (KeyboardInterrupt(), "interrupted", None),
        (StoppedError("time"), "interrupted", None),
        (DivergedError("nan"), "diverged", 5),
        (TrainingError("memory"), "failed", 5),
        (ValueError("bug"), "failed", 101),
        (DataError("x"), "failed", 2),
    ],
)
def test_status_says_how_a_session_ended(tmp_path, error, status, code):
    run = RunDir(tmp_path / "run")
    run.make()
    with pytest.raises(type(error)), run.lock(), run.outcome():
        run.write_status("running", seal=SEAL)
        raise error
    found = json.loads(run.status.read_text())
    assert (found["status"], found.get("code"), found["seal"]) == (status, code, SEAL)
    assert run.log.exists() == (code == 101)


def test_a_refused_file_operation_says_how_to_continue(tmp_path, monkeypatch):
    """For any operation, and also when even the status cannot be written any more."""
    run = RunDir(tmp_path / "my run")
    run.make()
    for begun in (False, True):
        if begun:
            atomic_write(run.start, "{}")
        with pytest.raises(DataError) as error, run.lock(), run.outcome():
            run.write_status("running", seal=SEAL)
            with monkeypatch.context() as full:
                full.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
                run.write_status("running")
        assert lacking(str(error.value), "(No space left on device)", "Finished work is kept") == []
        next_step = f": plainfilm resume '{run.root}'" if begun else "train again into another folder."
        assert str(error.value).endswith(next_step)
        assert (run.read_status()["status"], run.read_status()["code"]) == ("failed", 2)


def test_a_status_that_cannot_be_written_does_not_hide_the_first_error(tmp_path, monkeypatch):
    run = RunDir(tmp_path / "run")
    run.make()
    with pytest.raises(KeyboardInterrupt), run.lock(), run.outcome():
        run.write_status("running")
        monkeypatch.setattr(os, "replace", lambda *args: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        raise KeyboardInterrupt
    monkeypatch.undo()
    assert run.read_status()["status"] == "interrupted"


def test_of_two_runs_planned_in_one_folder_the_second_is_refused(tmp_path):
    first, second = RunDir.plan(tmp_path / "run", "paper"), RunDir.plan(tmp_path / "run", "paper")
    with first.claim():
        with pytest.raises(OccupiedError, match="another process"), second.claim():
            pass
        first.write_status("running")
    with pytest.raises(OccupiedError, match="in use by another process"), second.claim():
        pass


@pytest.mark.parametrize(
    ("status", "start", "kind", "words"),
    [
        ("done", True, UsageError, "already done"),
        ("diverged", True, UsageError, "smaller --lr"),
        ("interrupted", False, DataError, "no checkpoints/start.json"),
        ("running", True, None, ""),
        ("interrupted", True, None, ""),
        ("failed", True, None, ""),
    ],
)
def test_only_a_stopped_run_can_be_resumed(tmp_path, status, start, kind, words):
    run = RunDir(tmp_path / "run")
    run.make()
    with run.lock():
        run.write_status(status)
        if start:
            atomic_write(run.start, "{}")
        if kind is None:
            run.refuse_unless_stopped()
            return
        with pytest.raises(kind, match=words) as error:
            run.refuse_unless_stopped()
        assert error.value.exit_code == 2


def test_a_running_status_without_its_writer_reads_as_interrupted(tmp_path):
    run = RunDir(tmp_path / "run")
    run.make()
    with run.lock(), run.outcome():
        run.write_status("running")
        assert run.read_status()["status"] == "running"
        run.write_status("running")
    run.write_status("running")
    assert run.read_status()["status"] == "interrupted"
    with pytest.raises(DataError, match="'interrupted', not 'done'"):
        RunDir.open(run.root)


def test_the_second_writer_of_a_run_is_refused(tmp_path):
    run = RunDir(tmp_path / "run")
    run.make()
    with run.lock(), pytest.raises(OccupiedError, match="another process"), RunDir(tmp_path / "run").lock():
        pass


def test_a_run_keeps_its_id_and_a_new_run_in_the_same_folder_has_another(tmp_path):
    ids = []
    for _ in range(2):
        run = RunDir(tmp_path / "run")
        run.make()
        for status in ("running", "interrupted", "done"):
            run.write_status(status)
            ids.append(run.read_status()["run_id"])
        shutil.rmtree(run.root)
    assert ids[0] == ids[1] == ids[2] != ids[3] == ids[4] == ids[5]


def test_a_folder_that_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"not a run folder \(no status.json"):
        RunDir.open(tmp_path)


@pytest.mark.parametrize(
    ("error", "says", "not_said"),
    [
        (OSError(errno.ENOLCK, "No locks available"), ["no file locks", "local disk"], "permissions"),
        (OSError(errno.ENOTSUP, "Operation not supported"), ["no file locks", "local disk"], "permissions"),
        (NotImplementedError("use SoftFileLock instead"), ["no file locks", "local disk"], "SoftFileLock"),
        (PermissionError(errno.EACCES, "Permission denied"), ["cannot be written", "permissions"], "no file locks"),
    ],
)
def test_a_disk_without_locks_is_not_one_without_permissions(tmp_path, monkeypatch, error, says, not_said):
    def acquire(*_, **__):
        raise error

    monkeypatch.setattr("plainfilm.runs.folder.FileLock.acquire", acquire)
    with pytest.raises(DataError) as found, RunDir(tmp_path).lock():
        pass
    assert lacking(str(found.value), *says) == [] and not_said not in str(found.value)
    if "permissions" not in says:
        assert RunDir(tmp_path).is_locked() is False


def test_asking_for_a_lock_that_nobody_made_writes_nothing(tmp_path):
    run = RunDir(tmp_path / "run")
    run.root.mkdir()
    assert not run.is_locked() and list(run.root.iterdir()) == []
    with run.lock():
        assert RunDir(run.root).is_locked()
