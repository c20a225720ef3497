"""The folder's and the user's ledgers of a set: no access is lost, none counts twice, and no run is locked out."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from plainfilm.errors import SealError
from plainfilm.evaluate import shared_ledgers
from plainfilm.evaluate.access_chain import read_chain
from plainfilm.evaluate.test_ledger import check_before_access, count_accesses, images_of, record_access, seal_of
from plainfilm.runs.folder import RunDir

ROWS = pd.DataFrame({"sha256": ["aa", "bb", "cc"], "label": ["A", "B", "A"]})
SEAL = seal_of(ROWS)


def train(root: Path) -> RunDir:
    run = RunDir(root)
    run.make()
    run.write_status("done", seal=SEAL, ledger_head=None)
    return run


def access(run: RunDir, **options) -> tuple[int, int]:
    seal, accesses = check_before_access(run, ROWS)
    return record_access(run, seal, accesses, {"model_sha256": "m"}, **options)


def forget(run: RunDir) -> None:
    """The run's ledger deleted and its head nulled: what a run looks like before its first access."""
    run.ledger.unlink()
    run.write_status("done", ledger_head=None)


def users(home: Path) -> Path:
    return home / "accesses" / f"{SEAL}.jsonl"


def notes() -> tuple[list[str], dict]:
    said: list[str] = []
    return said, {"on_event": lambda what, facts: said.append(facts["text"])}


def test_runs_in_two_folders_count_together(tmp_path):
    one, two = train(tmp_path / "p1" / "x"), train(tmp_path / "p2" / "x")
    assert access(one) == (1, 1)
    assert access(two) == (1, 2)
    assert count_accesses(one, SEAL) == (1, 2)


def test_a_copied_access_is_one_access_and_each_new_one_of_a_copy_counts(tmp_path):
    """The attack of finding 7: the same run in p1/x and p2/x."""
    one = train(tmp_path / "p1" / "x")
    access(one)
    two = RunDir(shutil.copytree(one.root, tmp_path / "p2" / "x"))
    assert count_accesses(two, SEAL) == (1, 1)
    assert access(two) == (2, 2)
    assert count_accesses(one, SEAL) == (1, 2)
    assert access(one) == (2, 3)


RELABELLED = ROWS.assign(label=["C", "B", "C"])  # as after the folder A was renamed to C
IMAGES = images_of(ROWS)


def train_on(root: Path, rows: pd.DataFrame, **facts) -> RunDir:
    run = train(root)
    run.write_status("done", seal=seal_of(rows), **facts)
    return run


def access_to(run: RunDir, rows: pd.DataFrame, **options) -> tuple[int, int]:
    seal, accesses = check_before_access(run, rows)
    return record_access(run, seal, accesses, {"model_sha256": "m"}, images=images_of(rows), **options)


def test_the_images_alone_have_a_fingerprint_that_no_label_changes():
    # printf 'aa\nbb\ncc\n' | sha256sum
    assert IMAGES == "97d220e0067d22e8cf1371e1cd782e421614e0c08956f1866c9b40f7a35b1aaa"
    assert images_of(RELABELLED.iloc[::-1]) == IMAGES
    assert images_of(ROWS.iloc[:2]) != IMAGES


def test_the_same_images_under_other_labels_are_not_accessed_for_the_first_time(tmp_path):
    """A class folder was renamed: the seal is another one, the images are the same."""
    old, other = (
        train_on(tmp_path / "p1" / "x", ROWS),
        train_on(tmp_path / "p1" / "y", ROWS.assign(sha256=["d", "e", "f"])),
    )
    assert [access_to(old, ROWS)[1], access_to(old, ROWS)[1]] == [1, 2]
    assert access_to(other, ROWS.assign(sha256=["d", "e", "f"])) == (1, 1)
    new = train_on(tmp_path / "p2" / "x", RELABELLED, images=IMAGES)
    assert count_accesses(new, seal_of(RELABELLED)) == (0, 2)  # before its first access too
    said, listening = notes()
    assert access_to(new, RELABELLED, **listening) == (1, 3)
    assert said == ["The same images under other labels: 2 earlier accesses, counted for all runs."]
    assert count_accesses(new, seal_of(RELABELLED)) == (1, 3)
    assert count_accesses(old, SEAL) == (2, 3)
    said.clear()
    assert access_to(old, ROWS, **listening) == (3, 4)
    assert said == ["The same images under other labels: 1 earlier access, counted for all runs."]


@pytest.mark.parametrize("kept", ["folder", "user"])
def test_either_ledger_alone_knows_the_other_labels(tmp_path, home_of_one_test, kept):
    old = train_on(tmp_path / "p1" / "x", ROWS)
    access_to(old, ROWS)
    gone = users(home_of_one_test) if kept == "folder" else old.shared_ledger(SEAL)
    gone.unlink()
    new = train_on(tmp_path / "p1" / "y", RELABELLED, images=IMAGES)
    assert count_accesses(new, seal_of(RELABELLED)) == (0, 1)


def test_lines_that_name_no_images_count_for_their_own_labels_alone_until_the_next_access(tmp_path):
    """Those of older versions."""
    old, new = train_on(tmp_path / "p1" / "x", ROWS), train_on(tmp_path / "p2" / "x", RELABELLED, images=IMAGES)
    assert [access(old), access(old)] == [(1, 1), (2, 2)]
    assert access_to(new, RELABELLED) == (1, 1)
    assert access_to(old, ROWS) == (3, 4)
    assert count_accesses(new, seal_of(RELABELLED)) == (1, 4)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_run_that_is_opened_through_a_linked_folder_is_the_same_run(tmp_path, refusal):
    run = train(tmp_path / "p1" / "x")
    access(run)
    (tmp_path / "link").symlink_to(tmp_path / "p1")
    linked = RunDir(tmp_path / "link" / "x")
    access(linked)
    assert count_accesses(run, SEAL) == (2, 2)
    forget(linked)
    shutil.rmtree(tmp_path / "p1" / ".looks")  # only the user's ledger is left
    for each in (run, linked):
        assert "lacks 2 of" in refusal(lambda each=each: count_accesses(each, SEAL), SealError)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_accesses_that_an_older_version_recorded_by_the_linked_place_are_still_missed(tmp_path, refusal, monkeypatch):
    run = train(tmp_path / "p1" / "x")
    (tmp_path / "link").symlink_to(tmp_path / "p1")
    linked = RunDir(tmp_path / "link" / "x")
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "realpath", lambda path: str(path))
        access(linked)
    forget(run)
    shutil.rmtree(tmp_path / "p1" / ".looks")
    assert "lacks 1 of" in refusal(lambda: count_accesses(linked, SEAL), SealError)


NO_LEDGER = {
    "empty": lambda path: path.write_bytes(b""), "folder": Path.mkdir,
    "fifo": lambda path: os.mkfifo(path), "link to nothing": lambda path: path.symlink_to("gone"),
    "link to itself": lambda path: path.symlink_to(path.name),
}  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="no FIFOs there, and links need a right")
@pytest.mark.parametrize("whose", ["run", "folder", "user"])
@pytest.mark.parametrize("what", NO_LEDGER)
def test_what_is_no_ledger_never_counts_as_no_access(tmp_path, home_of_one_test, refusal, whose, what):
    run = train(tmp_path / "p1" / "x")
    access(run)
    path = {"run": run.ledger, "folder": run.shared_ledger(SEAL), "user": users(home_of_one_test)}[whose]
    path.unlink()
    NO_LEDGER[what](path)
    for work in (lambda: count_accesses(run, SEAL), lambda: access(run)):
        said = refusal(work, SealError)
        assert str(path) in said and "no ledger of test-set accesses" in said


def test_a_copy_made_before_the_first_access_is_not_refused(tmp_path):
    one = train(tmp_path / "p1" / "x")
    two = RunDir(shutil.copytree(one.root, tmp_path / "p2" / "x"))
    assert (access(one), access(two), access(one)) == ((1, 1), (1, 2), (2, 3))


def test_a_folders_ledger_that_names_a_copy_elsewhere_does_not_lock_the_run_out(tmp_path):
    """p1's ledger learns of p2/x from the user's; p1/x, of the same name and id, never had that access."""
    one = train(tmp_path / "p1" / "x")
    two = RunDir(shutil.copytree(one.root, tmp_path / "p2" / "x"))
    access(two)
    assert access(train(tmp_path / "p1" / "y")) == (1, 2)
    assert len(read_chain(one.shared_ledger(SEAL))) == 2
    assert access(one) == (1, 3)


@pytest.mark.parametrize("named_by", ["both", "folder", "user"])
def test_a_run_that_lost_accesses_which_another_ledger_names_is_refused(tmp_path, home_of_one_test, refusal, named_by):
    run = train(tmp_path / "p1" / "x")
    access(run)
    access(run)
    forget(run)
    if named_by == "folder":
        users(home_of_one_test).unlink()
    if named_by == "user":
        shutil.rmtree(tmp_path / "p1" / ".looks")
    named = users(home_of_one_test) if named_by == "user" else run.shared_ledger(SEAL)
    for work in (lambda: check_before_access(run, ROWS), lambda: count_accesses(run, SEAL)):
        said = refusal(work, SealError)
        assert "lacks 2 of" in said and str(run.ledger) in said and "restore" in said
        assert str(named) in said or named_by == "both"


def test_an_older_copy_put_back_is_refused_and_goes_on_under_another_name(tmp_path):
    run = train(tmp_path / "p1" / "x")
    access(run)
    backup = shutil.copytree(run.root, tmp_path / "backup")
    access(run)
    shutil.rmtree(run.root)
    shutil.copytree(backup, run.root)
    with pytest.raises(SealError, match="lacks 1 of .*rename its folder"):
        check_before_access(run, ROWS)
    assert access(RunDir(run.root.rename(tmp_path / "p1" / "older"))) == (2, 3)


def test_a_new_run_under_the_name_of_a_deleted_one_is_not_that_run(tmp_path):
    access(train(tmp_path / "p1" / "x"))
    shutil.rmtree(tmp_path / "p1" / "x")
    assert access(train(tmp_path / "p1" / "x")) == (1, 2)


def test_lines_without_an_id_of_older_versions_count_and_lock_nobody_out(tmp_path):
    run = train(tmp_path / "p1" / "x")
    shared_ledgers.append(run.shared_ledger(SEAL), [], [{"run": "x", "run_look": "f" * 64}])
    assert count_accesses(run, SEAL) == (0, 1)
    status = json.loads(run.status.read_text())
    run.status.write_text(json.dumps({k: v for k, v in status.items() if k != "run_id"}))
    assert count_accesses(run, SEAL) == (0, 1)
    assert access(run) == (1, 2)


def test_a_deleted_ledger_of_either_kind_is_filled_again_and_a_note_says_so(tmp_path, home_of_one_test):
    run, other = train(tmp_path / "p1" / "x"), train(tmp_path / "p1" / "y")
    access(run)
    access(other)
    said, options = notes()
    shutil.rmtree(tmp_path / "p1" / ".looks")
    assert count_accesses(run, SEAL) == (1, 2)
    assert not run.shared_ledger(SEAL).exists()  # counting writes nothing
    assert access(run, **options) == (2, 3)
    assert len(read_chain(run.shared_ledger(SEAL))) == 3
    assert len(said) == 1 and "lacked 1 earlier test-set access of this run" in said[0]
    shutil.rmtree(home_of_one_test)
    assert count_accesses(other, SEAL) == (1, 3)
    assert access(other, **options) == (2, 4)
    assert len(read_chain(users(home_of_one_test))) == 4 and len(said) == 1


def test_a_folder_of_runs_taken_to_another_machine_brings_its_accesses(tmp_path, monkeypatch):
    for name in ("x", "y"):
        access(train(tmp_path / "p1" / name))
    monkeypatch.setenv("PLAINFILM_HOME", str(tmp_path / "another machine"))
    (tmp_path / "p1").rename(tmp_path / "p3")
    assert access(RunDir(tmp_path / "p3" / "x")) == (2, 3)
    assert access(train(tmp_path / "p4" / "z")) == (1, 4)


def test_a_run_brought_from_another_machine_counts_beside_those_that_are_here(tmp_path, monkeypatch):
    """Before its next access no ledger here names it: 1 of its own and 2 of the other are 3, neither 2 nor 1."""
    run = train(tmp_path / "p1" / "x")
    access(run)
    monkeypatch.setenv("PLAINFILM_HOME", str(tmp_path / "another machine"))
    other = train(tmp_path / "p2" / "y")
    access(other)
    access(other)
    moved = RunDir(run.root.rename(tmp_path / "p2" / "x"))
    assert count_accesses(moved, SEAL) == (1, 3)


def test_a_broken_ledger_of_the_user_is_refused_with_its_path(tmp_path, home_of_one_test, refusal):
    run = train(tmp_path / "p1" / "x")
    access(run)
    path = users(home_of_one_test)
    for broken in (path.read_bytes().replace(b'"look": 1', b'"look": 2'), b"\xff\xfe\n", b"[" * 100_000):
        path.write_bytes(broken)
        before = run.ledger.read_bytes()
        said = refusal(lambda: check_before_access(run, ROWS), SealError)
        assert f"Line 1 of {path} was edited" in said and run.ledger.read_bytes() == before


def test_the_users_ledger_is_private_and_names_no_path(tmp_path, home_of_one_test):
    run = train(tmp_path / "patient-7" / "x")
    access(run)
    text = users(home_of_one_test).read_text()
    assert "patient-7" not in text and str(tmp_path) not in text and run.read_status()["run_id"] not in text
    if os.name == "posix":
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (users(home_of_one_test), home_of_one_test / "accesses")]
        assert modes == [0o600, 0o700]


def not_a_folder(home: Path) -> str:
    home.write_text("")
    return str(home)


def other_user(home: Path) -> str:
    home.mkdir(mode=0o500)
    return str(home)


@pytest.mark.parametrize("make", [not_a_folder, other_user, None])
def test_without_a_writable_home_accesses_count_beside_the_runs_and_a_note_says_so(tmp_path, monkeypatch, make):
    if make is None:
        monkeypatch.setattr(shared_ledgers, "user_folder", lambda: None)
    else:
        monkeypatch.setenv("PLAINFILM_HOME", make(tmp_path / "home"))
    if make is other_user and os.access(tmp_path / "home", os.W_OK):
        monkeypatch.setattr(Path, "mkdir", refuse_below(tmp_path / "home"))  # root may write everywhere
    one, two, three = (train(tmp_path / p / "x") for p in ("p1", "p2", "p1/.."))
    said, options = notes()
    assert (access(one, **options), access(one, **options)) == ((1, 1), (2, 2))
    assert count_accesses(one, SEAL) == (2, 2)
    assert len(said) == 2 and all("beside the runs only" in note and "PLAINFILM_HOME" in note for note in said)
    assert access(two) == (1, 1) and access(three) == (1, 1)


def refuse_below(home: Path):
    mkdir = Path.mkdir

    def make(self, *args, **options):
        if self.is_relative_to(home):
            raise PermissionError(13, "Permission denied", str(self))
        mkdir(self, *args, **options)

    return make


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), NotImplementedError("no flock")])
def test_a_home_without_file_locks_is_like_one_that_cannot_be_written(tmp_path, monkeypatch, error):
    class Lock(shared_ledgers.FileLock):
        def acquire(self, *args, **options):
            if Path(self.lock_file).parent.name == "accesses":
                raise error
            return super().acquire(*args, **options)

    monkeypatch.setattr(shared_ledgers, "FileLock", Lock)
    said, options = notes()
    assert access(train(tmp_path / "p1" / "x"), **options) == (1, 1)
    assert len(said) == 1 and (str(error.strerror) if isinstance(error, OSError) else "NotImpl") in said[0]


def test_the_drawn_set_is_counted_beside_the_runs_only(tmp_path, home_of_one_test):
    """Everybody has the same one, and draws it for years."""
    assert access(train(tmp_path / "p1" / "x"), drawn=True) == (1, 1)
    assert access(train(tmp_path / "p1" / "y"), drawn=True) == (1, 2)
    assert access(train(tmp_path / "p2" / "x"), drawn=True) == (1, 1)
    assert not home_of_one_test.exists()


_FIVE_ACCESSES = """
import sys
from pathlib import Path
from plainfilm.evaluate.test_ledger import accesses_before, record_access
from plainfilm.runs.folder import RunDir

run, seal = RunDir(Path(sys.argv[1])), sys.argv[2]
for _ in range(5):
    record_access(run, seal, accesses_before(run, seal), {"model_sha256": "m"})
"""


def test_two_processes_in_two_folders_lose_no_access(tmp_path):
    """Each process writes its own folder's ledger, and both the user's."""
    runs = [train(tmp_path / p / "x") for p in ("p1", "p2")]
    both = [subprocess.Popen([sys.executable, "-c", _FIVE_ACCESSES, str(run.root), SEAL]) for run in runs]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert [count_accesses(run, SEAL) for run in runs] == [(5, 10), (5, 10)]


class Life(RuleBasedStateMachine):
    """A user's runs: accesses, copies, moves, deletions, kills. The truth is kept beside, by run.

    The ledgers that are deleted are those of one kind, so that the other kind still has each access.
    """

    folders = 2
    home_lasts = True

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.root = Path(self.place.name)
        self.patch = pytest.MonkeyPatch()
        self.patch.setenv("PLAINFILM_HOME", str(self.root / "home"))
        self.patch.setattr(os, "fsync", lambda _: None)  # nobody pulls the plug here
        self.made = 0  # accesses ever
        self.own: dict[Path, int] = {}  # of each run that is there
        self.forgot: set[Path] = set()
        self.n = 0

    def teardown(self) -> None:
        self.patch.undo()
        self.place.cleanup()

    def pick(self, k: int) -> Path:
        return sorted(self.own)[k % len(self.own)]

    def new(self, k: int) -> Path:
        self.n += 1
        return self.root / f"p{k % self.folders}" / f"x{self.n}"

    @rule(k=st.integers(0, 9))
    def train(self, k: int) -> None:
        root = self.new(k)
        train(root)
        self.own[root] = 0

    @precondition(lambda self: self.own)
    @rule(k=st.integers(0, 9), kill=st.sampled_from([None, None, "folder", "user"]))
    def access(self, k: int, kill: str | None) -> None:
        """`kill`: the process dies before it writes that ledger."""
        root = self.pick(k)
        if root in self.forgot:
            with pytest.raises(SealError):
                access(RunDir(root))
            return
        self.made, self.own[root] = self.made + 1, self.own[root] + 1
        if kill is None:
            assert access(RunDir(root)) == (self.own[root], self.made)
            return
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shared_ledgers, "_add_to_folder" if kill == "folder" else "_try_to_add_to_user", die)
            with pytest.raises(KeyboardInterrupt):
                access(RunDir(root))
        self.made, self.own[root] = self.made + 1, self.own[root] + 1
        assert access(RunDir(root)) == (self.own[root], self.made)

    @precondition(lambda self: self.own)
    @rule(k=st.integers(0, 9), to=st.integers(0, 1))
    def copy(self, k: int, to: int) -> None:
        root, copied = self.pick(k), self.new(to)
        if root not in self.forgot:
            shutil.copytree(root, copied)
            self.own[copied] = self.own[root]

    @precondition(lambda self: self.own)
    @rule(k=st.integers(0, 9), to=st.integers(0, 1))
    def move(self, k: int, to: int) -> None:
        root, moved = self.pick(k), self.new(to)
        if root not in self.forgot:
            moved.parent.mkdir(exist_ok=True)
            root.rename(moved)
            self.own[moved] = self.own.pop(root)

    @precondition(lambda self: self.own)
    @rule(k=st.integers(0, 9))
    def delete_run(self, k: int) -> None:
        root = self.pick(k)
        shutil.rmtree(root)
        del self.own[root]
        self.forgot.discard(root)

    @rule(k=st.integers(0, 1))
    def delete_ledger(self, k: int) -> None:
        shutil.rmtree(self.root / f"p{k}" / ".looks" if self.home_lasts else self.root / "home", ignore_errors=True)

    @precondition(lambda self: self.own)
    @rule(k=st.integers(0, 9))
    def forget(self, k: int) -> None:
        """After an access at this place: of a copied or moved run, the others name none here before its next one."""
        root = self.pick(k)
        if root not in self.forgot and self.own[root] and access(RunDir(root)):
            self.made += 1
            forget(RunDir(root))
            self.forgot.add(root)

    @invariant()
    def counts_are_the_truth_or_refused(self) -> None:
        for root, own in self.own.items():
            if root in self.forgot:
                with pytest.raises(SealError):
                    count_accesses(RunDir(root), SEAL)
            else:
                assert count_accesses(RunDir(root), SEAL) == (own, self.made)


def die(*_):
    raise KeyboardInterrupt


class LifeInOneFolder(Life):
    """Here the user's ledger comes and goes, as in a container whose home is new each time."""

    folders = 1
    home_lasts = False


TestLife, TestLifeInOneFolder = Life.TestCase, LifeInOneFolder.TestCase
TestLife.settings = TestLifeInOneFolder.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)


@pytest.mark.campaign
@pytest.mark.parametrize("machine", [Life, LifeInOneFolder])
def test_many_lives(machine):
    run_state_machine_as_test(machine, settings=settings(max_examples=300, stateful_step_count=25, deadline=None))
