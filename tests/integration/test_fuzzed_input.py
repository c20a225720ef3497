"""Exit 101 means a bug of ours: no damaged file, list or output of a network leads to it, however it is damaged.

Each try damages one file of a finished run or its bundle and asks a cheap reader or command. 1,000 tries run in make
test, 20,000 as a campaign; all from fixed seeds.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.config import load_config
from plainfilm.data.csv.dialect import read_rows
from plainfilm.data.table.saved_table import read_table
from plainfilm.errors import PlainfilmError
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.shortcuts.probe_baseline import shortcut_baseline
from plainfilm.evaluate.test_ledger import count_accesses
from plainfilm.experiments.cost import read_cost
from plainfilm.experiments.grid import read_experiment
from plainfilm.export import scorer
from plainfilm.export.manifest import CARD, MANIFEST, opened, verify
from plainfilm.pipeline.run_inputs import _read_start
from plainfilm.pipeline.show import show_run
from plainfilm.report.run_data import read_reported_run
from plainfilm.runs.card import read_card
from plainfilm.runs.environment import read_environment
from plainfilm.runs.folder import RunDir
from plainfilm.runs.heat_checks_file import read_heat_checks
from plainfilm.runs.metrics_file import saved_splits
from plainfilm.train.checkpoint import _read_state

KEPT = Path(__file__).parents[1] / "artefacts" / "6b26762"
CODES = {0, 1, 2, 3, 4, 5, 130, 141}
ODD = (
    None, True, -1, 0, 1e308, 10**19, -0.0, "", "\0", "\x1b]0;x", "\u202e", "x" * 300, "done", [], {}, ["done"], [[]],
    {"": None}, [None], {"a": [1]}, 0.5, "nan", "1e999",
)  # fmt: skip
RAW = (
    b"[" * 9000, b'{"a":' * 9000, b"9" * 5000, b"NaN", b"\xff\xfe", b"", b"\0", b'"\\ud800"', b"1e999", b"null", b"[]",
    b'"', b",", b"\n", b"\r", b"\x1b[31m", b"!!float x", b"&a [*a]", b"- " * 60, b"? [a]\n: b", b"a: " * 50, b"x" * 200_000,
)  # fmt: skip


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes with one to three places cut, doubled, swapped or replaced."""
    for _ in range(rng.randint(1, 3)):
        i, j = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        j = min(j, i + rng.choice((1, 8, 200, 10**9)))
        new = rng.choice((b"", rng.choice(RAW), data[i:j] * 2, rng.randbytes(3), bytes(reversed(data[i:j]))))
        data = data[:i] + new + data[j:]
    return data


def changed(value: object, rng: random.Random) -> object:
    """A JSON value with an odd one in some place, or without a key."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: part for name, part in value.items() if name != key}
        return {**value, key: changed(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        i = rng.randrange(len(value))
        return [*value[:i], changed(value[i], rng), *value[i + 1 :]]
    return rng.choice(ODD)


def mutant(data: bytes, rng: random.Random) -> bytes:
    """A damaged file; half of the JSON stays JSON, with another value."""
    if rng.random() < 0.5:
        with contextlib.suppress(ValueError):
            lines = [json.loads(data)] if data[:1] in b"[{" else []
            return json.dumps(changed(lines[0], rng)).encode() if lines else damaged(data, rng)
    return damaged(data, rng)


def _probes(run: RunDir) -> object:
    finished = FinishedRun.open(run)
    return shortcut_baseline(finished, "valid", np.full((len(finished.part("valid")), len(finished.card.vocab)), 0.5))


def _bundle(root: Path) -> object:
    with opened(root) as source:
        files, _ = verify(source, keep=frozenset({CARD}))
    return files


READERS: dict[str, tuple[str, Callable[[RunDir], object]]] = {
    "status": ("status.json", lambda run: (run.read_status(), RunDir.open(run.root))),
    "card": ("card.json", read_card),
    "metrics": ("metrics.json", saved_splits),
    "shown": ("metrics.json", lambda run: show_run(run.root, split="valid")),
    "reported": ("metrics.json", read_reported_run),
    "history": ("history.csv", read_reported_run),
    "excluded": ("excluded.csv", read_reported_run),
    "counts": ("data.json", read_reported_run),
    "ledger": ("test_ledger.jsonl", lambda run: count_accesses(run, "a" * 64)),
    "environment": ("environment.json", read_environment),
    "cost": ("cost.json", read_cost),
    "heat": ("heat_checks.json", read_heat_checks),
    "start": ("checkpoints/start.json", _read_start),
    "state": ("checkpoints/last.json", _read_state),
    "probes": ("probes/probes.json", _probes),
    "scores": ("probes/valid.csv", _probes),
    "table": ("table.csv", lambda run: read_table(run)),
    "list": ("table.csv", lambda run: read_rows(run.table)),
    "predictions": ("predictions/valid.csv", lambda run: FinishedRun.open(run).predictions("valid")),
    "config": ("config.yaml", lambda run: load_config(run.config)),
    "experiment": ("config.yaml", lambda run: read_experiment(run.config)),
    "bundle card": (f"bundle/{CARD}", lambda run: scorer._card((run.root / "bundle" / CARD).read_bytes())),
    "manifest": (f"bundle/{MANIFEST}", lambda run: _bundle(run.root / "bundle")),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    root = tmp_path_factory.mktemp("fuzz") / "run"
    shutil.copytree(KEPT / "grid" / "small-seed0", root)
    shutil.copytree(KEPT / "bundle", root / "bundle")
    (root / "heat_checks.json").write_text('{"flat": 0}', encoding="utf-8")
    return RunDir(root)


def tried(run: RunDir, name: str, tries: int, seed: int = 0) -> list[str]:
    """What is neither read nor refused in one line: the seeds and errors."""
    relative, read = READERS[name]
    path, found = run.root / relative, []
    before = path.read_bytes()
    try:
        for i in range(tries):
            data = mutant(before, random.Random(f"{name} {seed + i}"))
            path.write_bytes(data)
            try:
                read(run)
            except PlainfilmError as error:
                if error.exit_code not in CODES or "\n" in str(error) or len(str(error)) > 12_000:
                    found.append(f"{name} {seed + i}: {str(error)[:200]}")
            except Exception as error:  # noqa: BLE001 - what we look for
                found.append(f"{name} {seed + i}: {type(error).__name__}: {str(error)[:200]}")
    finally:
        path.write_bytes(before)
    return found


SLOW = {"shown", "reported", "history", "excluded", "counts", "probes", "scores", "predictions"}


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused(run, name):
    assert tried(run, name, 10 if name in SLOW else 60) == []


@pytest.mark.campaign
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused_in_twenty_thousand_tries(run, name):
    assert tried(run, name, 400 if name in SLOW else 1200, seed=1000) == []


@pytest.mark.parametrize("outputs", [
    [np.zeros((1, 2)), np.full((2, 2), 0.5), np.zeros((2, 4))],
    [np.zeros((2, 2)), np.full((1, 2), 0.5), np.zeros((2, 4))],
    [np.zeros((2, 2)), np.full((2, 3), 0.3), np.zeros((2, 4))],
    [np.zeros((2, 2)), np.full((2, 2), 0.5), np.zeros((1, 4))],
    [np.zeros(()), np.zeros(()), np.zeros(())],
    [np.array([["a", "b"]] * 2), np.array([["a", "b"]] * 2), np.zeros((2, 4))],
    [[], [], []], [None, None, None], [],
])  # fmt: skip
def test_outputs_of_other_shapes_are_refused(refusal, outputs):
    from plainfilm.errors import BundleError

    card = scorer._card((KEPT / "bundle" / CARD).read_bytes())
    session = SimpleNamespace(run=lambda names, feed: outputs)
    bundle = scorer.Bundle(card, "", None, session, 1)
    pixels = np.zeros((2, card.channels, card.size_px, card.size_px), np.uint8)
    assert "fails" in refusal(lambda: bundle.score(pixels), BundleError)


HOSTILE = "\x1b]0;pwned\x07\x9b31m\u202e[red]x[/red]"


@pytest.mark.parametrize("command", [("show",), ("evaluate",), ("report",), ("show", "--json")])
def test_a_hostile_note_reaches_no_terminal(run, tmp_path, command):
    copy = Path(shutil.copytree(run.root, tmp_path / "run"))
    for name, at in (("card.json", ()), ("metrics.json", ("test",))):
        whole = json.loads((copy / name).read_text(encoding="utf-8"))
        part = whole
        for key in at:
            part = part[key]
        part["notes"] = [f"LEAKY SPLIT: {HOSTILE}"]
        (copy / name).write_text(json.dumps(whole), encoding="utf-8")
    done = CliRunner(env={"NO_COLOR": "1"}).invoke(app, [command[0], str(copy), *command[1:]])
    said = done.stdout + done.stderr
    assert done.exit_code in CODES, said
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(said)
    if command in (("show",), ("show", "--json")):
        assert "[red]x[/red]" in said
