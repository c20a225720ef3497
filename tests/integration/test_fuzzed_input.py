"""Exit 101 means a bug of ours: no damaged file, list or output of a network leads to it, however it is damaged.

Each try damages one file of a finished run or its bundle and asks a cheap reader or command. 1,000 tries run in make
test, 20,000 as a campaign; all from fixed seeds.
"""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from damage import CODES, errors_of, mutant
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.config import load_config
from plainfilm.data.csv.dialect import read_rows
from plainfilm.data.table.saved_table import read_table
from plainfilm.evaluate.finished import FinishedRun
from plainfilm.evaluate.ood.ood_gate import FEATURES, gate_from
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
            found += [f"{name} {seed + i}: {said}" for said in errors_of(lambda: read(run))]
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


VALUES = (0.0, 0.5, 1.0, 1e-300, -1e300, 1e308, np.inf, -np.inf, np.nan)


def tried_outputs(tries: int, seed: int) -> list[str]:
    """Outputs of a network with odd values and types: each image has an error, or probabilities and a judged distance."""
    card = scorer._card((KEPT / "bundle" / CARD).read_bytes())
    gate = gate_from((KEPT / "bundle" / "gate.safetensors").read_bytes())
    width, classes, found = len(gate.envelopes[FEATURES].mean), len(card.vocab), []
    pixels = np.random.default_rng(0).integers(0, 256, (2, card.channels, card.size_px, card.size_px), dtype=np.uint8)
    for i in range(tries):
        rng = np.random.default_rng([seed, i])
        made = [rng.normal(size=(2, classes)), rng.dirichlet(np.ones(classes), 2), rng.normal(size=(2, width))]
        odd = int(rng.integers(3))
        made[odd][rng.random(made[odd].shape) < rng.choice([0.02, 0.5, 1])] = rng.choice(VALUES)
        kinds = [np.float16, np.float32, np.float64, np.complex64, np.int8, bool, object, str]
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the casts, which the network's author would see
            made[odd] = made[odd].astype(kinds[int(rng.integers(len(kinds)))] if rng.random() < 0.3 else np.float32)
            bundle = scorer.Bundle(card, "", gate, SimpleNamespace(run=partial(_given, made)), 1)
            found += [f"{i}: {said}" for said in errors_of(partial(_judged, bundle, pixels, made[2]))]
    return found


def _given(outputs: list[np.ndarray], names: object, feed: object) -> list[np.ndarray]:
    return outputs


def _judged(bundle: scorer.Bundle, pixels: np.ndarray, features: np.ndarray) -> None:
    for one, of in zip(bundle.score(pixels), features, strict=True):
        usual = one.error or (0 <= one.score <= 1 and abs(sum(one.probs.values()) - 1) < 1e-3)
        assert usual, one
        assert one.error or scorer.OOD in one.flags or np.isfinite(of.astype(float)).all(), (one, of)


def test_odd_outputs_are_an_error_or_out_of_distribution():
    assert tried_outputs(100, 0) == []


@pytest.mark.campaign
def test_odd_outputs_are_an_error_or_out_of_distribution_in_thousands_of_tries():
    assert tried_outputs(4000, 1) == []


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
