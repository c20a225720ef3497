from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace

import pandas as pd
import pytest

from plainfilm.errors import SealError
from plainfilm.evaluate.access_chain import append
from plainfilm.evaluate.test_ledger import (
    _read_ledger,
    accesses_before,
    check_before_access,
    count_accesses,
    no_test_access,
    record_access,
    seal_of,
)
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import save_hashes

ROWS = pd.DataFrame({"sha256": ["aa", "bb", "cc"], "label": ["A", "B", "A"], "path": ["1", "2", "3"]})


@pytest.fixture
def run(tmp_path):
    run = RunDir(tmp_path / "runs" / "one")
    run.make()
    run.write_status("done", seal=seal_of(ROWS), ledger_head=None)
    return run


def access(run):
    seal, accesses = check_before_access(run, ROWS)
    return record_access(run, seal, accesses, {"model_sha256": "m"})


def test_the_seal_is_the_content_not_the_order_or_the_path():
    # printf 'aa\tA\nbb\tB\ncc\tA\n' | sha256sum
    assert seal_of(ROWS) == "73280f877a1623d25073d1f999ef3faf8a5dcf6cc89afdf5f8ec7a3c4b9c36e3"
    assert seal_of(ROWS.iloc[::-1].assign(path="moved")) == seal_of(ROWS)
    assert seal_of(ROWS.assign(label="A")) != seal_of(ROWS)
    assert seal_of(ROWS.iloc[:2]) != seal_of(ROWS)


def test_accesses_are_counted_for_the_run_and_for_the_set(run, tmp_path):
    assert access(run) == (1, 1)
    assert access(run) == (2, 2)
    other = RunDir(tmp_path / "runs" / "two")
    other.make()
    other.write_status("done", seal=seal_of(ROWS), ledger_head=None)
    assert access(other) == (1, 3)
    assert count_accesses(run, seal_of(ROWS)) == (2, 3)


def test_accesses_of_the_parent_are_counted_and_show_no_scores_of_a_recalibrated_version(run):
    def card(before=None):
        about = None if before is None else SimpleNamespace(test_accesses=before)
        return SimpleNamespace(seal=seal_of(ROWS), recalibration=about)

    assert no_test_access(run, card()) and no_test_access(run, card(0))
    access(run)
    assert not no_test_access(run, card()) and no_test_access(run, card(1))  # made from a run with one access
    access(run)
    assert not no_test_access(run, card(1)) and count_accesses(run, seal_of(ROWS)) == (2, 2)


def test_where_a_version_does_not_count_its_parents_accesses_one_that_records_its_card_is_its_own(run):
    card = SimpleNamespace(seal=seal_of(ROWS), recalibration=SimpleNamespace(test_accesses=None))
    run.card.write_text('{"recalibration": {}}', encoding="utf-8")
    assert no_test_access(run, card)
    own = hashlib.sha256(run.card.read_bytes()).hexdigest()
    save_hashes(run, {"card.json": own})
    recorded = ({}, {"run_files": {"card.json": "a" * 64}}, {"run_files": {"card.json": own}})
    for files, shown in zip(recorded, (False, False, True), strict=True):  # two of its parent, then its own
        record_access(run, card.seal, accesses_before(run, card.seal), {"model_sha256": "m", **files})
        assert (not no_test_access(run, card)) == shown


def edit(lines):
    lines[1] = lines[1].replace('"model_sha256": "m"', '"model_sha256": "n"')
    return lines


def with_new_hash(lines):
    """The first line edited and its own hash made right again; the second still names the old one."""
    first = json.loads(lines[0])
    first["model_sha256"] = "n"
    body = {k: v for k, v in first.items() if k != "hash"}
    first["hash"] = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return [json.dumps(first, sort_keys=True), *lines[1:]]


@pytest.mark.parametrize(
    "tamper",
    [
        edit,
        with_new_hash,
        lambda lines: lines[:2],  # the last access removed
        lambda lines: lines[1:],  # the first access removed
        lambda lines: [],
        lambda lines: [lines[1], lines[0], lines[2]],
        lambda lines: [lines[0], lines[0], lines[2]],
        lambda lines: [*lines, lines[2]],
        lambda lines: [lines[0], "not json", lines[2]],
        lambda lines: [lines[0], "[]", lines[2]],
    ],
)
def test_a_changed_ledger_is_detected_and_nothing_is_evaluated(run, tamper):
    for _ in range(3):
        access(run)
    lines = run.ledger.read_text().splitlines()
    run.ledger.write_text("".join(line + "\n" for line in tamper(lines)))
    with pytest.raises(SealError) as error:
        check_before_access(run, ROWS)
    assert error.value.exit_code == 2


@pytest.mark.parametrize("writes", [1, 2, 3, 4])
def test_an_access_interrupted_between_its_writes_counts_and_locks_nobody_out(run, monkeypatch, writes):
    """The four files of an access are written one after the other; a kill may come after any of them."""
    access(run)
    from plainfilm.base import files
    from plainfilm.evaluate import access_chain as chain

    left = [writes]

    def write(path, content, **options):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        files.atomic_write(path, content, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(chain, "atomic_write", write)
        patch.setattr(
            RunDir,
            "write_status",
            lambda self, status, **f: write(self.status, json.dumps({**json.loads(self.status.read_text()), **f})),
        )
        access(run)
        raise KeyboardInterrupt
    assert access(run) == (3, 3)


def test_accesses_of_two_runs_at_once_are_all_counted(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    several = []
    for name in ("one", "two", "three"):
        run = RunDir(tmp_path / "runs" / name)
        run.make()
        run.write_status("done", seal=seal_of(ROWS), ledger_head=None)
        several.append(run)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda run: [access(run) for _ in range(5)], several))
    assert {count_accesses(run, seal_of(ROWS)) for run in several} == {(5, 15)}


@pytest.mark.parametrize(("status", "card"), [(None, seal_of(ROWS)), ("0" * 64, seal_of(ROWS)), (seal_of(ROWS), None)])
def test_a_status_and_a_card_of_different_test_sets_are_refused(run, status, card, refusal):
    """Else one command would count accesses that the next one does not see."""
    access(run)
    run.write_status("done", seal=status)
    assert "status.json" in refusal(lambda: count_accesses(run, card), SealError)


OTHER = ROWS.assign(sha256=["dd", "ee", "ff"])


def test_accesses_of_two_sets_share_one_chain_and_are_counted_apart(run, tmp_path):
    """The test set and an external one: neither counts for the other, in the run or in the ledgers beside it."""
    assert access(run) == (1, 1)
    seal, accesses = seal_of(OTHER), _read_ledger(run.ledger, run.read_status()["ledger_head"])
    assert record_access(run, seal, accesses, {"model_sha256": "m"}) == (1, 1)
    assert access(run) == (2, 2)
    assert count_accesses(run, seal_of(ROWS)) == (2, 2)
    assert [entry["look"] for entry in _read_ledger(run.ledger, run.read_status()["ledger_head"])] == [1, 2, 3]
    other = RunDir(tmp_path / "runs" / "two")
    other.make()
    other.write_status("done", seal=seal_of(ROWS), ledger_head=None)
    assert record_access(other, seal, [], {"model_sha256": "m"}) == (1, 2)
    assert count_accesses(other, seal_of(ROWS)) == (0, 2)


def test_a_changed_ledger_of_the_set_is_detected_and_nothing_is_counted(run):
    for _ in range(2):
        access(run)
    shared = run.shared_ledger(seal_of(ROWS))
    shared.write_text(shared.read_text().replace('"run": "one"', '"run": "two"', 1))
    before = run.ledger.read_bytes()
    with pytest.raises(SealError, match="Line 1 of .* was edited"):
        check_before_access(run, ROWS)  # before any image is scored: no access is recorded that did not happen
    assert run.ledger.read_bytes() == before


def test_a_run_that_was_moved_brings_its_accesses_along(run, tmp_path):
    access(run)
    access(run)
    moved = tmp_path / "elsewhere" / "one"
    moved.parent.mkdir()
    run.root.rename(moved)
    assert access(RunDir(moved)) == (3, 3)


def test_a_deleted_ledger_is_detected(run):
    access(run)
    run.ledger.unlink()
    with pytest.raises(SealError, match="removed or replaced"):
        check_before_access(run, ROWS)


def test_other_test_rows_than_the_sealed_ones_are_refused(run):
    with pytest.raises(SealError, match="not those that were sealed"):
        check_before_access(run, ROWS.assign(label=["B", "B", "A"]))


def test_a_ledger_reads_back_what_was_appended(tmp_path):
    path = tmp_path / "ledger.jsonl"
    head = append(path, [], [{"seal": "s"}])[-1]["hash"]
    accesses = _read_ledger(path, head)
    assert [(entry["look"], entry["seal"], entry["hash"]) for entry in accesses] == [(1, "s", head)]
