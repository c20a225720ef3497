"""The manifest of a run: what is refused, kills between two writes, and runs of older versions."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from plainfilm.base import files
from plainfilm.errors import DataError, SealError
from plainfilm.runs import run_manifest
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import (
    begin_manifest,
    is_kept,
    read_manifest,
    read_verified,
    remove_file,
    seal_files,
    verify,
    write_file,
)
from plainfilm.runs.verified_files import adopt_files, files_at_access, refuse_other_files, unverified_note

A = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"  # printf a | sha256sum


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run folder with a manifest, and one file in it."""
    run = RunDir(tmp_path / "r")
    begin_manifest(run)
    run.write_status("done", manifest=True)
    write_file(run, run.card, "a")
    return run


def test_the_manifest_holds_the_hash_of_what_was_written(run):
    assert json.loads(run.manifest.read_text()) == {"schema_version": 1, "files": {"card.json": [A]}}
    write_file(run, run.predictions("valid"), b"path\n")
    assert sorted(read_manifest(run)) == ["card.json", "predictions/valid.csv"]
    assert read_verified(run, run.predictions("valid")) == b"path\n"


def test_a_file_that_is_edited_unknown_or_gone_is_refused_by_name(run, refusal):
    run.card.write_text("b")
    assert refusal(lambda: read_verified(run, run.card)).startswith(f"card.json of {run.root} is not the file")
    assert "card.json" in refusal(lambda: verify(run))
    run.card.unlink()
    for work in (lambda: is_kept(run, run.card), lambda: verify(run), lambda: adopt_files(run)):
        assert "card.json" in refusal(work)
    run.data.write_text("{}")
    assert "data.json" in refusal(lambda: read_verified(run, run.data))
    assert not is_kept(run, run.local)


@pytest.mark.parametrize("name", ["card.json", "predictions/x.csv", "probes/n.npy"])
def test_any_bit_that_is_flipped_is_found(run, name):
    path, data = run.root / name, os.urandom(48)
    write_file(run, path, data)
    for place in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(DataError, match=name):
            read_verified(run, path)
    path.write_bytes(data)
    assert read_verified(run, path) == data


@pytest.mark.parametrize("at", range(4))
def test_killed_between_two_writes_the_old_file_or_the_new_one_is_read(run, monkeypatch, at):
    """Three writes replace a file; the kill comes before the write numbered `at`."""
    real, made = files.atomic_write, []

    def write(path, content, **kwargs):
        if len(made) == at:
            raise KeyboardInterrupt
        made.append(path.name)
        real(path, content, **kwargs)

    monkeypatch.setattr(run_manifest, "atomic_write", write)
    if at == 3:
        write_file(run, run.card, "new")
    else:
        with pytest.raises(KeyboardInterrupt):
            write_file(run, run.card, "new")
    assert made == ["run_manifest.json", "card.json", "run_manifest.json"][:at]
    monkeypatch.setattr(run_manifest, "atomic_write", real)
    assert read_verified(run, run.card) == (b"new" if at >= 2 else b"a")
    write_file(run, run.card, "newer")  # and it goes on: one hash again
    assert len(read_manifest(run)["card.json"]) == 1 and read_verified(run, run.card) == b"newer"


def test_killed_before_a_first_write_the_file_is_missing_and_written_again(run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            run_manifest, "atomic_write", lambda p, c: files.atomic_write(p, c) if p == run.manifest else 1 / 0
        )
        with pytest.raises(ZeroDivisionError):
            write_file(run, run.metrics, "{}")
    with pytest.raises(FileNotFoundError):
        read_verified(run, run.metrics)
    assert not is_kept(run, run.metrics)
    write_file(run, run.metrics, "{}")
    assert read_verified(run, run.metrics) == b"{}"


def test_a_file_replaced_between_manifest_and_reading_is_read_again(run, monkeypatch):
    real, calls = run_manifest.read_manifest, []

    def read(of):
        found = real(of)
        if not calls:
            calls.append(1)
            write_file(run, run.card, "b")  # another process, now
        return found

    monkeypatch.setattr(run_manifest, "read_manifest", read)
    assert read_verified(run, run.card) == b"b"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": 3}', "[" * 100_000])
def test_a_damaged_manifest_is_one_line(run, refusal, content):
    run.manifest.write_text(content)
    assert "run_manifest.json" in refusal(lambda: read_verified(run, run.card))


def test_a_deleted_manifest_does_not_make_an_old_run(run, refusal):
    run.manifest.unlink()
    assert "is missing" in refusal(lambda: read_verified(run, run.card))
    assert "is missing" in refusal(lambda: adopt_files(run))
    status = json.loads(run.status.read_text())
    del status["manifest"]
    run.status.write_text(json.dumps(status))
    assert read_verified(run, run.card) == b"a"
    run.ledger.write_text('{"run_files": {}}\n')  # an access says it too
    assert "is missing" in refusal(lambda: read_verified(run, run.card))


def test_an_old_run_is_read_with_one_note_until_it_is_adopted(tmp_path, refusal):
    run = RunDir(tmp_path / "old")
    run.root.mkdir()
    run.write_status("done")
    write_file(run, run.card, "a")
    assert not run.manifest.exists() and read_verified(run, run.card) == b"a"
    (note,) = unverified_note(run)
    assert "older version" in note and "--adopt" in note
    assert adopt_files(run) and read_manifest(run) == {"card.json": [A]} and unverified_note(run) == []
    before = run.manifest.read_bytes()
    assert not adopt_files(run) and run.manifest.read_bytes() == before
    run.card.write_text("b")
    assert "card.json" in refusal(lambda: adopt_files(run))


def test_files_of_each_epoch_are_sealed_at_the_end(run):
    run.history.write_text("1")
    seal_files(run, run.history)
    assert read_verified(run, run.history) == b"1" and read_verified(run, run.card) == b"a"


def test_a_run_that_is_moved_or_copied_keeps_its_manifest(run, tmp_path):
    other = RunDir(shutil.copytree(run.root, tmp_path / "elsewhere"))
    shutil.move(run.root, tmp_path / "moved")
    for place in (other, RunDir(tmp_path / "moved")):
        assert read_verified(place, place.card) == b"a"


def test_a_file_that_is_removed_on_purpose_is_not_missed_even_after_a_kill(run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            remove_file(run, run.card)
    assert is_kept(run, run.card) and read_verified(run, run.card) == b"a"  # killed before it was deleted
    run.card.unlink()
    assert not is_kept(run, run.card)  # and after
    remove_file(run, run.card)
    assert read_manifest(run) == {} and not is_kept(run, run.card)


@pytest.mark.parametrize(
    ("name", "does"),
    [
        ("cost.json", "remove it and repeat experiments run"),
        ("predictions/external-a.csv", "--external IMAGES"),
        ("predictions/external-a_top.npy", "--external IMAGES"),
        ("predictions/test.csv", "--split test --again"),
        ("table.csv", "or train again"),
    ],
)
def test_each_file_names_what_makes_it_again(run, refusal, name, does):
    write_file(run, run.root / name, "1")
    (run.root / name).write_text("2")
    said = refusal(lambda: verify(run))
    assert said.startswith(name) and does in said


class TestLedger:
    """An access holds the hashes: a manifest that is written again over edited scores does not pass."""

    def accessed(self, run: RunDir, seal: str = "s", scores: str = "1") -> dict:
        access = {"seal": seal, **files_at_access(run, "test", scores)}
        write_file(run, run.predictions("test"), scores)
        return access

    def forge(self, run: RunDir, path: Path, content: str) -> None:
        write_file(run, path, content)  # as one would who knows the tool

    def test_edited_scores_and_inputs_are_refused(self, run, refusal):
        write_file(run, run.table, "t")
        accesses = [self.accessed(run)]
        refuse_other_files(run, accesses)
        self.forge(run, run.predictions("test"), "2")
        assert "predictions/test.csv" in refusal(lambda: refuse_other_files(run, accesses), SealError)
        self.forge(run, run.predictions("test"), "1")
        refuse_other_files(run, accesses)
        self.forge(run, run.table, "u")
        assert "table.csv" in refusal(lambda: refuse_other_files(run, accesses), SealError)

    def test_an_access_that_was_killed_leaves_the_scores_of_the_one_before(self, run):
        accesses = [self.accessed(run), {"seal": "s", **files_at_access(run, "test", "2")}]
        refuse_other_files(run, accesses)

    def test_another_card_and_accesses_of_older_versions_are_not_compared(self, run):
        accesses = [self.accessed(run)]
        write_file(run, run.predictions("test"), "rescored")
        refuse_other_files(run, [{"seal": "s"}, *accesses])
        write_file(run, run.card, '{"recalibration": {"method": "platt"}}')
        refuse_other_files(run, accesses)
        external = {"seal": "e", **files_at_access(run, "external-a", "3")}
        refuse_other_files(run, [*accesses, external])  # of another set: test was scored by the parent still
        accesses.append(self.accessed(run, scores="of the version"))
        self.forge(run, run.predictions("test"), "2")  # the version's own access: its scores are compared again
        with pytest.raises(SealError, match=r"predictions/test\.csv"):
            refuse_other_files(run, accesses)

    def test_edited_scores_with_an_edited_card_are_refused_by_the_card(self, run, refusal):
        accesses = [self.accessed(run)]
        self.forge(run, run.predictions("test"), "2")
        for card in ('{"threshold": 0.1}', "no JSON", '{"recalibration": null}', "[]"):
            self.forge(run, run.card, card)
            assert "card.json" in refusal(lambda: refuse_other_files(run, accesses), SealError)


@pytest.mark.parametrize("name", ["/etc/hostname", "../r/card.json", "", "a//b", "x" * 300, "a\0b", "\ud800"])
def test_a_manifest_that_names_no_file_of_the_run_is_damaged(run, refusal, name):
    run.manifest.write_text(json.dumps({"schema_version": 1, "files": {"card.json": [A], name: [A]}}))
    for work in (lambda: verify(run), lambda: read_verified(run, run.card)):
        assert "run_manifest.json" in refusal(work) and "is damaged" in refusal(work)
