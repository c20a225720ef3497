"""The cost of a configuration, from the run's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from plainfilm.experiments.cost import read_cost
from plainfilm.runs.folder import RunDir


def test_parameters_are_those_that_are_trained_not_the_statistics_of_batchnorm(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    shapes = {"conv.weight": (2, 1, 3, 3), "norm.weight": (2,), "norm.bias": (2,), "norm.running_mean": (2,),
              "norm.running_var": (2,), "norm.num_batches_tracked": ()}  # fmt: skip
    save_file({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, run.weights)
    cost = read_cost(run)
    assert cost.parameters == 18 + 2 + 2
    assert cost.weights_mb == run.weights.stat().st_size / 1e6
    assert (cost.seconds, cost.latency) == (None, None)
