"""A FIFO, socket or device in place of a file is refused in one line and never waited for."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from plainfilm.base.files import read_regular, regular_file, sha256_of
from plainfilm.config.strict_yaml import read_yaml
from plainfilm.data.cache.store import Store
from plainfilm.data.csv.dialect import read_rows
from plainfilm.data.split.path_list import read_path_list
from plainfilm.errors import ConfigError, DataError
from plainfilm.evaluate.ood.ood_gate import read_gate
from plainfilm.experiments.cost import read_cost
from plainfilm.experiments.failures import with_failures
from plainfilm.experiments.test_log import read_access_log, require_writable
from plainfilm.models.build import load_weights
from plainfilm.models.load_weights import _read_tensors
from plainfilm.pipeline.run_inputs import _read_start
from plainfilm.runs.card import has_own_weights, read_card
from plainfilm.runs.folder import RunDir
from plainfilm.runs.metrics_file import saved_splits
from plainfilm.runs.saved_config import read_run_config
from plainfilm.train import checkpoint

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")


def ended(call):
    """What `call` raises or gives; a hang fails after 20 s (a thread, since the open itself would not end)."""
    found: list[object] = []

    def work() -> None:
        try:
            found.append(call())
        except Exception as error:  # noqa: BLE001 - whatever it is, the test looks at it
            found.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(20)
    assert found, "it waits"
    return found[0]


@pytest.fixture
def fifo(tmp_path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


def test_a_file_is_read_and_what_is_none_is_refused(tmp_path, fifo):
    (tmp_path / "file").write_bytes(b"a\r\nb")
    assert read_regular(tmp_path / "file") == b"a\r\nb"
    for odd in (fifo, Path("/dev/zero")):
        error = ended(lambda odd=odd: read_regular(odd))
        assert isinstance(error, OSError) and error.strerror == "not a regular file", odd
    assert isinstance(ended(lambda: read_regular(tmp_path)), IsADirectoryError)
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{short}/s")
        assert isinstance(ended(lambda: read_regular(Path(short) / "s")), OSError)


def test_the_readers_of_what_a_user_names_do_not_wait(fifo):
    for call, kind, says in [
        (lambda: read_yaml(fifo), ConfigError, "cannot be read (not a regular file)"),
        (lambda: read_rows(fifo), DataError, "cannot be read (not a regular file)"),
        (lambda: read_path_list(fifo, "split", ("path",)), DataError, "cannot be read"),
    ]:
        error = ended(call)
        assert isinstance(error, kind) and says in str(error) and "\n" not in str(error)


def test_a_card_and_weights_that_are_fifos_are_refused(tmp_path):
    run = RunDir(tmp_path)
    os.mkfifo(run.card)
    assert "card.json cannot be read (not a regular file)" in str(ended(lambda: read_card(run)))
    assert ended(lambda: has_own_weights(run)) is False
    os.mkfifo(run.weights)
    assert isinstance(ended(lambda: sha256_of(run.weights)), OSError)


def test_the_files_of_a_run_do_not_wait(tmp_path):
    run = RunDir(tmp_path)
    run.start.parent.mkdir()
    for path in (run.weights, run.gate, run.start, run.state_tensors(1), run.table, run.metrics, run.config):
        os.mkfifo(path)
    card = SimpleNamespace(gate_sha256="0" * 64)
    for call, says in [
        (lambda: read_gate(run, card), "gate.safetensors is missing or not the file"),
        (lambda: _read_start(run), "start.json is missing or damaged"),
        (lambda: load_weights(SimpleNamespace(network=torch.nn.Linear(1, 1)), run.weights), "not a regular file"),
        (lambda: _read_tensors(run.weights), "not a regular file"),
        (lambda: read_cost(run), "missing or damaged"),
        (lambda: saved_splits(run), "metrics.json"),
        (lambda: read_run_config(run), "not a regular file"),
    ]:
        error = ended(call)
        assert isinstance(error, DataError) and says in str(error) and "\n" not in str(error), error


def test_a_checkpoint_that_is_a_fifo_is_one_line(tmp_path, monkeypatch):
    run = RunDir(tmp_path)
    run.start.parent.mkdir()
    os.mkfifo(run.state)
    assert "cannot be used" in str(ended(lambda: checkpoint._read_state(run)))
    run.state.unlink()
    run.state.write_text("{}")
    os.mkfifo(run.state_tensors(1))
    monkeypatch.setattr(checkpoint, "_read_state", lambda _: SimpleNamespace(start_sha256="s", number=1))
    assert "last-1.safetensors cannot be read (not a regular file)" in str(
        ended(lambda: checkpoint.read_checkpoint(run, "s"))
    )


def test_the_files_of_an_experiment_do_not_wait(tmp_path):
    os.mkfifo(tmp_path / "failures.json")
    assert ended(lambda: with_failures(tmp_path, [], [])) == []
    os.mkfifo(tmp_path / "looks.jsonl")
    for call in (read_access_log, require_writable):
        error = ended(lambda call=call: call(tmp_path / "looks.jsonl"))
        assert isinstance(error, DataError) and "not a log of test-set accesses" in str(error)


def test_a_path_for_a_library_is_that_of_a_file_with_content(tmp_path, fifo):
    path = tmp_path / "file"
    path.write_bytes(b"")
    for odd in (fifo, path, tmp_path, Path("/dev/zero"), tmp_path / "gone"):
        assert isinstance(ended(lambda odd=odd: regular_file(odd)), OSError), odd
    path.write_bytes(b"a")
    assert regular_file(path) == path


@pytest.mark.parametrize("suffix", [".json", ".npy"])
def test_an_index_or_block_of_the_cache_that_is_a_fifo_is_skipped(tmp_path, suffix):
    import numpy as np

    store = Store(tmp_path, {"size": 2})
    with store.lock():
        block = store.write(["a" * 64], np.zeros((1, 2, 2), np.uint8))
    assert len(store.blocks()) == 1
    path = store.folder / f"{block.name}{suffix}"
    path.unlink()
    os.mkfifo(path)
    assert ended(store.blocks) == []
