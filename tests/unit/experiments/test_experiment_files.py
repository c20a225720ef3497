"""Every YAML in experiments/ is read in a test, including the grids."""

from __future__ import annotations

from pathlib import Path

import pytest

from plainfilm.config import load_config
from plainfilm.config.strict_yaml import read_yaml
from plainfilm.experiments.grid import read_experiment
from plainfilm.models.registry import MODELS

FOLDER = Path(__file__).parents[3] / "experiments"
FILES = sorted(FOLDER.rglob("*.yaml"))
OWN = {"about", "grid", "configurations"}


GRIDS = [path for path in FILES if "tune" not in read_yaml(path)]  # tests/unit/tune reads the others


def test_there_are_grids_and_plain_configs():
    assert any(OWN & read_yaml(path).keys() for path in FILES)
    assert any(not OWN & read_yaml(path).keys() for path in FILES)


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.name)
def test_an_experiment_loads_and_plans_at_least_one_run(path):
    experiment = read_experiment(path)
    assert experiment.planned
    assert len({run.folder for run in experiment.planned}) == len(experiment.planned)
    if not OWN & read_yaml(path).keys():
        assert load_config(path) == experiment.planned[0].cfg


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_experiment_opens_with_its_command_time_and_expected_score(path):
    head = path.read_text(encoding="utf-8").partition("\ndata:")[0]
    for word in ("# ", "CPU cores", "Expected"):
        assert word in head, f"{path.name} does not say {word}"


def test_each_network_of_the_registry_is_run_in_backbones_or_says_why_not():
    experiment = read_experiment(FOLDER / "backbones.yaml")
    assert {run.cfg.model.name for run in experiment.planned} == set(MODELS)
    assert all(run.configuration == run.cfg.model.name for run in experiment.planned)
    trained = [run.folder for run in experiment.only([])]
    names = ("paper", "paper-gap", "compact", "resnet18", "mobilenetv3")
    assert trained == [f"{name}-seed{seed}" for name in names for seed in range(3)]
    assert {run.cfg.model.name for run in experiment.planned if run.skip} == set(MODELS) - set(names)
