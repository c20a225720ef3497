"""The cost of a configuration, from the run's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from plainfilm.errors import DataError, OccupiedError
from plainfilm.experiments import cost as cost_module
from plainfilm.experiments.cost import read_cost, write_cost
from plainfilm.runs import run_manifest
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import begin_manifest, read_manifest, read_verified, write_file


def test_parameters_are_those_that_are_trained_not_the_statistics_of_batchnorm(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    shapes = {"conv.weight": (2, 1, 3, 3), "norm.weight": (2,), "norm.bias": (2,), "norm.running_mean": (2,),
              "norm.running_var": (2,), "norm.num_batches_tracked": ()}  # fmt: skip
    save_file({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, run.weights)
    cost = read_cost(run)
    assert cost.parameters == 18 + 2 + 2
    assert cost.weights_mb == run.weights.stat().st_size / 1e6
    assert (cost.seconds, cost.latency) == (None, None)


def test_a_cost_that_is_saved_while_evaluate_writes_loses_no_entry_of_the_manifest(tmp_path: Path, monkeypatch) -> None:
    """Between the reading and the writing of the manifest, another writer comes; it must wait, or be refused."""
    run = RunDir(tmp_path)
    begin_manifest(run)
    run.write_status("done", manifest=True)
    save_file({"w": np.zeros(2, np.float32)}, run.weights)
    real, refused = run_manifest.read_manifest, []

    def read(of: RunDir):
        found = real(of)
        monkeypatch.setattr(run_manifest, "read_manifest", real)
        try:
            with run.lock():
                write_file(run, run.predictions("test"), "scores")
        except OccupiedError:
            refused.append(1)
        return found

    monkeypatch.setattr(cost_module, "_time", lambda _: {})  # it reads a file, and so the manifest
    monkeypatch.setattr(run_manifest, "read_manifest", read)
    write_cost(run)
    assert read_cost(run).parameters == 2
    if not refused:
        assert read_verified(run, run.predictions("test")) == b"scores"
    assert refused == [1] and list(read_manifest(run) or {}) == ["cost.json"]


def test_a_cost_waits_for_the_run_to_be_free(tmp_path: Path, monkeypatch) -> None:
    run = RunDir(tmp_path)
    run.write_status("done")
    save_file({"w": np.zeros(2, np.float32)}, run.weights)
    monkeypatch.setattr(cost_module, "_WAIT_SECONDS", 0.05)
    with run.lock(), pytest.raises(OccupiedError):
        write_cost(run)
    assert not run.cost.exists()


def test_a_cost_that_was_edited_is_measured_again_once_it_is_removed(tmp_path: Path) -> None:
    """As its message says."""
    run = RunDir(tmp_path)
    begin_manifest(run)
    run.write_status("done", manifest=True)
    save_file({"w": np.zeros(2, np.float32)}, run.weights)
    write_cost(run)
    run.cost.write_text("{}")
    with pytest.raises(DataError, match="remove it and repeat experiments run"):
        read_cost(run)
    run.cost.unlink()
    with pytest.raises(DataError, match="is missing"):
        read_cost(run)
    write_cost(run)
    assert read_cost(run).parameters == 2
