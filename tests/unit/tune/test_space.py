"""Which keys a search may vary, and what it may give them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from plainfilm.config.strict_yaml import read_yaml
from plainfilm.config.tune import Axis
from plainfilm.errors import ConfigError
from plainfilm.tune.plan import read_plan
from plainfilm.tune.space import Space, value_at
from wording import lacking

SPACE = {
    "train.lr": {"log": [1e-4, 1e-1]},
    "model.filters": {"choice": [[4, 8], [8, 8]]},
    "train.batch_size": {"int": [8, 10]},
}


STUDIES = [path for path in (Path(__file__).parents[3] / "experiments").rglob("*.yaml") if "tune" in read_yaml(path)]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_a_study_of_the_repository_is_read_and_its_default_is_in_its_space(path):
    plan = read_plan(path)
    assert plan.space.encode(plan.default).keys() == plan.tune.space.keys()


def test_there_are_studies():
    assert STUDIES


def write(folder: Path, **tune: Any) -> Path:
    path = folder / "lr.yaml"
    path.write_text(json.dumps({"train": {"size_px": 48}, "tune": {"trials": 3, "space": SPACE, **tune}}))
    return path


@pytest.mark.parametrize(
    ("space", "facts"),
    [
        ({"train.lrr": {"log": [1e-4, 1e-2]}}, ["tune.space.train.lrr", "unknown key", "'train.lr'"]),
        ({"train.seed": {"int": [0, 9]}}, ["tune.space.train.seed", "luckiest", "confirm"]),
        ({"data.split": {"choice": ["patient", "image"]}}, ["tune.space.data.split", "different images"]),
        ({"data.per_class": {"int": [10, 99]}}, ["tune.space.data.per_class", "different images"]),
        ({"data.path": {"choice": ["a", "b"]}}, ["tune.space.data.path"]),
        ({"evaluate.n_boot": {"int": [100, 200]}}, ["tune.space.evaluate.n_boot", "no select score"]),
        ({"train.keep": {"choice": ["best", "last"]}}, ["tune.space.train.keep", "best epoch"]),
        ({"train.lr": {"log": [0, 1]}}, ["tune.space.train.lr", "above 0"]),
        ({"train.lr": {"uniform": [2, 1]}}, ["lower number first"]),
        ({"train.lr": {"log": [1, 2], "choice": [1, 2]}}, ["found log and choice"]),
        ({"train.lr": {}}, ["found nothing"]),
        ({"train.lr": {"log": ["1e-4", "1e-2"]}}, ["tune.space.train.lr"]),
        ({"train.batch_size": {"uniform": [8, 64]}}, ["tune.space.train.batch_size", "valid integer"]),
        ({"train.batch_size": {"int": [0, 4]}}, ["tune.space.train.batch_size", "0 is refused"]),
        ({"train.batch_size": {"int": [1.5, 4]}}, ["two whole numbers"]),
        ({"train.augment": {"choice": ["none", "some"]}}, ["tune.space.train.augment", '"some" is refused']),
        ({"train.augment": {"choice": ["none", "none"]}}, ["listed twice"]),
        ({}, ["tune.space"]),
    ],
)  # fmt: skip
def test_a_space_is_refused_in_one_line_that_says_why(tmp_path, refusal, space, facts):
    said = refusal(lambda: read_plan(write(tmp_path, space=space)), ConfigError)
    assert lacking(said, *facts) == [], said


@pytest.mark.parametrize(
    ("tune", "facts"),
    [
        ({"trials": 1}, ["tune.trials"]),
        ({"sampler": "best"}, ["tune.sampler", "'tpe', 'gp' or 'random'"]),
        ({"prune": "median", "space": {"train.epochs": {"int": [2, 9]}}}, ["train.epochs", "prune: none"]),
        ({"trials": 9, "space": {"train.batch_size": {"int": [8, 10]}}}, ["9 trials of a space with 4 configs"]),
        ({"trials": 4, "space": {"train.batch_size": {"int": [64, 66]}}}, ["4 trials of a space with 3 configs"]),
        ({"spaces": {}}, ["tune.spaces", "did you mean 'space'?"]),
        ({"confirm": {"best": 3}}, ["tune.confirm.best", "unknown key", "top, seeds"]),
    ],
)
def test_the_section_is_read_strictly(tmp_path, refusal, tune, facts):
    said = refusal(lambda: read_plan(write(tmp_path, **tune)), ConfigError)
    assert lacking(said, *facts) == [], said


def test_all_faults_are_told_at_once(tmp_path, refusal):
    said = refusal(
        lambda: read_plan(write(tmp_path, space={"train.seed": {"int": [0, 9]}, "train.lrr": {"log": [1, 2]}})),
        ConfigError,
    )
    assert lacking(said, "tune.space.train.seed", "tune.space.train.lrr") == []


def test_a_file_without_the_section_is_refused(tmp_path, refusal):
    (tmp_path / "plain.yaml").write_text("train: {epochs: 2}\n")
    assert lacking(refusal(lambda: read_plan(tmp_path / "plain.yaml"), ConfigError), "tune:", "trials") == []


def test_a_study_of_another_sampler_or_seed_has_a_name_of_its_own(tmp_path):
    path = write(tmp_path)
    assert [read_plan(path, None, *given).name for given in ((None, None), ("random", None), ("gp", 1))] == [
        "lr", "lr-random", "lr-gp-seed1",
    ]  # fmt: skip
    assert read_plan(path, None, "random", 7).tune.seed == 7


def test_values_and_codes_are_the_same_thing():
    space = Space({key: Axis.model_validate(axis) for key, axis in SPACE.items()})
    values = {"train.lr": 0.01, "model.filters": [8, 8], "train.batch_size": 9}
    assert space.encode(values) == {"train.lr": 0.01, "model.filters": "[8, 8]", "train.batch_size": 9}
    assert space.decode(space.encode(values)) == values
    off = {"train.lr": "auto", "model.filters": [1], "train.batch_size": 11}
    assert space.encode(off) == {}
    assert space.size == math.inf
    finite = Space({key: axis for key, axis in space.axes.items() if key != "train.lr"})
    assert finite.size == len(list(finite.configs())) == 6


def test_a_choice_is_what_a_config_holds_so_that_a_restart_finds_it_in_the_space(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = {"model.weights": {"choice": ["none", "w.pth"]}, "train.wd": {"choice": [0, 0.01]}}
    plan = read_plan(write(tmp_path, space=space))
    assert plan.tune.space["model.weights"].choice == ("none", str(tmp_path / "w.pth"))
    cfg = plan.config({"model.weights": "w.pth", "train.wd": 0})
    assert plan.space.encode({key: value_at(cfg, key) for key in space}).keys() == space.keys()


def test_a_rate_that_another_key_would_take_is_refused(tmp_path, refusal):
    path = tmp_path / "frozen.yaml"
    frozen = {"model": {"name": "resnet18", "weights": "w.pth"}, "train": {"size_px": 64, "freeze": True}}
    path.write_text(json.dumps({**frozen, "tune": {"trials": 3, "space": {"train.lr": {"log": [1e-4, 1e-2]}}}}))
    assert lacking(refusal(lambda: read_plan(path), ConfigError), "tune.space.train.lr", "another key") == []


def test_the_default_is_what_the_file_holds(tmp_path):
    plan = read_plan(write(tmp_path))
    assert plan.default == {"train.lr": 1e-3, "model.filters": [16, 32, 64], "train.batch_size": 64}
    cfg = plan.config({"train.lr": 0.05, "model.filters": [4, 8], "train.batch_size": 8}, train__seed=3)
    assert (cfg.train.lr, cfg.model.filters, cfg.train.batch_size, cfg.train.seed, cfg.train.size_px) == (
        0.05,
        (4, 8),
        8,
        3,
        48,
    )


def test_a_whole_number_range_is_counted_not_listed():
    assert Space({"train.batch_size": Axis.model_validate({"int": [8, 10**15]})}).size == 10**15 - 7


@pytest.mark.parametrize("given", [None, {}, {"audit": False}])
def test_data_is_set_whatever_the_file_says_of_it(tmp_path, given):
    path = tmp_path / "lr.yaml"
    path.write_text(json.dumps({"data": given, "tune": {"trials": 3, "space": {"train.lr": {"log": [1e-4, 1e-1]}}}}))
    assert read_plan(path, tmp_path).base.data.path == str(tmp_path)


@pytest.mark.parametrize(
    ("data", "fact"),
    [(5, "data"), ({"split": "image"}, "data.split: image"), ({"allow_leak": True}, "data.allow_leak")],
)
def test_data_that_is_no_section_or_leaks_is_refused(tmp_path, refusal, data, fact):
    path = tmp_path / "lr.yaml"
    path.write_text(json.dumps({"data": data, "tune": {"trials": 3, "space": {"train.lr": {"log": [1e-4, 1e-1]}}}}))
    assert fact in refusal(lambda: read_plan(path, tmp_path), ConfigError)


def test_pruning_is_free_where_every_trial_has_the_same_schedule(tmp_path):
    assert read_plan(write(tmp_path, prune="median")).tune.prune == "median"


def test_pruning_is_refused_where_a_recipe_changes_the_schedule(tmp_path, refusal):
    path = tmp_path / "lr.yaml"
    space = {"train.recipe": {"choice": ["all", "head-then-all"]}}
    weighted = {"model": {"name": "resnet18", "weights": "w.pth"}, "train": {"size_px": 64}}
    path.write_text(json.dumps({**weighted, "tune": {"trials": 2, "prune": "median", "space": space}}))
    said = refusal(lambda: read_plan(path), ConfigError)
    assert lacking(said, "train.recipe", "prune: none") == [], said
