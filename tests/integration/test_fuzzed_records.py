"""The records of a run that vouch for the rest, damaged: its manifest, its ledger, the folder's and the user's.

As in test_fuzzed_input: read, or refused in one line. And a file that is not the one written is never taken for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from damage import CODES, ODD, changed, damaged, errors_of, mutant
from typer.testing import CliRunner

from plainfilm.base.files import hash_json
from plainfilm.cli import app
from plainfilm.data.table.saved_table import read_table
from plainfilm.errors import PlainfilmError
from plainfilm.evaluate.access_chain import START
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.test_ledger import check_before_access, count_accesses, record_access
from plainfilm.experiments.cost import read_cost
from plainfilm.pipeline.show import adopt_run, show_run
from plainfilm.report.run_data import read_reported_run
from plainfilm.runs.card import read_card
from plainfilm.runs.environment import read_environment
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import saved_splits
from plainfilm.runs.run_manifest import is_kept, read_manifest, read_verified, verify
from plainfilm.runs.verified_files import adopt_files, files_at_access, unverified_note

KEPT = Path(__file__).parents[1] / "artefacts" / "6b26762"
SEAL = next((KEPT / "grid" / ".looks").glob("*.jsonl")).stem
HOME = Path("home")  # below the folder of the runs


def access(run: RunDir) -> tuple[int, int]:
    table = read_table(run)
    seal, accesses = check_before_access(run, table[table["split"] == "test"])
    return record_access(run, seal, accesses, {"model_sha256": "m", **files_at_access(run, "test", None)})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a manifest and two test-set accesses, one of them older, the ledger beside it, and a user's folder."""
    root = tmp_path_factory.mktemp("records")
    shutil.copytree(KEPT / "grid", root / "grid")
    run = RunDir(root / "grid" / "small-seed0")
    adopt_files(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAINFILM_HOME", str(root / HOME))
        access(run)
    return root


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch) -> RunDir:
    monkeypatch.setenv("PLAINFILM_HOME", str(place / HOME))
    return RunDir(place / "grid" / "small-seed0")


@contextlib.contextmanager
def kept(*paths: Path) -> Iterator[None]:
    before = {path: path.read_bytes() for path in paths}
    try:
        yield
    finally:
        for path, data in before.items():
            path.write_bytes(data)


def ledgers(run: RunDir) -> dict[str, Path]:
    user = run.root.parents[1] / HOME / "accesses" / f"{SEAL}.jsonl"
    return {"run": run.ledger, "folder": run.shared_ledger(SEAL), "user": user}


def chained(lines: list[Any]) -> list[Any]:
    """The lines with hashes that fit: what a forger would write, so that their other values are read."""
    before, made = START, []
    for number, line in enumerate(lines, start=1):
        if isinstance(line, dict):
            line = {**{key: value for key, value in line.items() if key != "hash"}, "prev": before, "look": number}
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                before = hash_json(line)
                line["hash"] = before
        made.append(line)
    return made


def forged(data: bytes, rng: random.Random) -> bytes:
    """A ledger with lines changed, left out, doubled or in another order, most of them with hashes that fit."""
    lines: list[Any] = [json.loads(line) for line in data.splitlines()]
    for _ in range(rng.randint(1, 2)):
        i = rng.randrange(len(lines)) if lines else 0
        how = rng.random()
        if how < 0.7:
            lines[i : i + 1] = [changed(line, rng) for line in lines[i : i + 1]]
        else:
            lines = [*lines[:i], *lines[i + 1 :]] if how < 0.8 else [*lines, *lines[i:]] if how < 0.9 else lines[::-1]
    made = chained(lines) if rng.random() < 0.8 else lines
    return "".join(json.dumps(line, sort_keys=True) + "\n" for line in made).encode("utf-8", "surrogatepass")


def with_its_end(run: RunDir, data: bytes) -> None:
    """The run's ledger, and its last hash in status.json, as the forger would write both."""
    run.ledger.write_bytes(data)
    status = json.loads(run.status.read_bytes())
    with contextlib.suppress(ValueError, TypeError, KeyError, IndexError):
        status["ledger_head"] = json.loads(data.splitlines()[-1])["hash"]
    run.status.write_text(json.dumps(status), encoding="utf-8")


def counted(run: RunDir) -> object:
    return count_accesses(run, SEAL), count_accesses(run, "a" * 64)


def tried_ledger(run: RunDir, name: str, tries: int, seed: int) -> list[str]:
    path, found = ledgers(run)[name], []
    works: list[Callable[[], object]] = [lambda: counted(run), lambda: access(run), lambda: show_run(run.root)]
    with kept(*ledgers(run).values(), run.status):
        before, all_of = path.read_bytes(), {each: each.read_bytes() for each in (*ledgers(run).values(), run.status)}
    for i in range(tries):
        rng = random.Random(f"{name} ledger {seed + i}")
        work = works[0] if rng.random() < 0.8 else rng.choice(works[1:])
        data = forged(before, rng) if rng.random() < 0.7 else damaged(before, rng)
        with_its_end(run, data) if name == "run" else path.write_bytes(data)
        found += [f"{name} {seed + i}: {said}" for said in errors_of(work)]
        for each, whole in all_of.items():
            each.write_bytes(whole)
    return found


@pytest.mark.parametrize("name", ["run", "folder", "user"])
def test_a_damaged_or_forged_ledger_is_counted_or_refused(run, name):
    assert tried_ledger(run, name, 60, 0) == []


@pytest.mark.campaign
@pytest.mark.parametrize("name", ["run", "folder", "user"])
def test_a_damaged_or_forged_ledger_is_counted_or_refused_in_thousands_of_tries(run, name):
    assert tried_ledger(run, name, 1500, 1000) == []


MANIFEST_READERS: dict[str, Callable[[RunDir], object]] = {
    "hashes": lambda run: (read_manifest(run), unverified_note(run)),
    "kept": lambda run: [is_kept(run, path) for path in (run.card, run.local, run.heat_checks)],
    "all": verify,
    "shown": lambda run: show_run(run.root),
    "adopted": lambda run: adopt_run(run.root),
    "access": lambda run: files_at_access(run, "test", None),
    "counted": counted,
}


def tried_manifest(run: RunDir, tries: int, seed: int) -> list[str]:
    found = []
    with kept(run.manifest, run.status, *ledgers(run).values()):
        before = run.manifest.read_bytes()
        for i in range(tries):
            rng = random.Random(f"manifest {seed + i}")
            run.manifest.write_bytes(mutant(before, rng))
            name = rng.choice(list(MANIFEST_READERS))
            found += [f"{name} {seed + i}: {said}" for said in errors_of(partial(MANIFEST_READERS[name], run))]
    return found


def test_a_damaged_manifest_is_read_or_refused(run):
    assert tried_manifest(run, 60, 0) == []


@pytest.mark.campaign
def test_a_damaged_manifest_is_read_or_refused_in_thousands_of_tries(run):
    assert tried_manifest(run, 1500, 1000) == []


READERS: dict[str, Callable[[RunDir], object]] = {
    "card.json": read_card,
    "metrics.json": saved_splits,
    "environment.json": read_environment,
    "cost.json": read_cost,
    "table.csv": read_table,
    "config.yaml": lambda run: FinishedRun.open(run),
    "predictions/valid.csv": lambda run: FinishedRun.open(run).predictions("valid"),
    "history.csv": read_reported_run,
    "excluded.csv": read_reported_run,
    "data.json": read_reported_run,
}
SLOW = {"config.yaml", "predictions/valid.csv", "history.csv", "excluded.csv", "data.json"}


def tried_file(run: RunDir, name: str, tries: int, seed: int) -> list[str]:
    """First as it is, which must be refused; then with its hash in the manifest, as a forger would leave both."""
    path, found = run.root / name, []
    with kept(path, run.manifest):
        before, manifest = path.read_bytes(), json.loads(run.manifest.read_bytes())
        for i in range(tries):
            rng = random.Random(f"{name} of a manifest {seed + i}")
            data = mutant(before, rng)
            path.write_bytes(data)
            said = errors_of(lambda: READERS[name](run))
            with contextlib.suppress(PlainfilmError):
                read_verified(run, path)
                said += ["taken for the file that was written"] if data != before else []
            sealed = {**manifest, "files": {**manifest["files"], name: [digest(data)]}}
            run.manifest.write_text(json.dumps(sealed), encoding="utf-8")
            said += errors_of(lambda: READERS[name](run))
            run.manifest.write_text(json.dumps(manifest), encoding="utf-8")
            found += [f"{name} {seed + i}: {one}" for one in said]
    return found


def digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", READERS)
def test_a_file_beside_a_manifest_is_never_taken_for_another(run, name):
    assert tried_file(run, name, 5 if name in SLOW else 25, 0) == []


@pytest.mark.campaign
@pytest.mark.parametrize("name", READERS)
def test_a_file_beside_a_manifest_is_never_taken_for_another_in_thousands_of_tries(run, name):
    assert tried_file(run, name, 150 if name in SLOW else 500, 1000) == []


def as_folder(path: Path) -> None:
    path.mkdir()


def as_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def as_link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


KINDS = [as_folder, as_link_to_itself, as_link_to_nothing, as_pipe, as_endless]
RECORDS = ["run_manifest.json", "status.json", "card.json", "metrics.json", "test_ledger.jsonl", "folder", "user"]


@pytest.mark.skipif(os.name == "nt", reason="pipes and links of a POSIX system")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", RECORDS)
def test_what_is_no_file_in_the_place_of_a_record_is_one_line_and_no_hang(run, name, kind):
    path = ledgers(run).get(name, run.root / name)
    with kept(path, run.status):
        path.unlink()
        try:
            kind(path)
            for words in (["show", str(run.root)], ["compare", str(run.root), str(run.root)]):
                done = CliRunner(env={"NO_COLOR": "1"}).invoke(app, words)
                assert done.exit_code in CODES, done.stderr
                assert sum(line.startswith("plainfilm:") for line in done.stderr.splitlines()) <= 1
        finally:
            path.rmdir() if kind is as_folder else path.unlink()


def test_the_damage_reaches_what_it_is_for():
    """Forged lines keep a valid chain with odd values inside; without that, the tries above would test the hash alone."""
    data = b"".join(json.dumps(line).encode() + b"\n" for line in chained([{"seal": "s"}, {"seal": "t"}]))
    made = [forged(data, random.Random(i)) for i in range(200)]
    odd = [line for whole in made for line in map(json.loads, whole.splitlines()) if isinstance(line, dict)]
    assert sum(line.get("seal") in ODD for line in odd if isinstance(line.get("seal"), str)) > 5
