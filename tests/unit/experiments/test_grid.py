"""An experiment file becomes runs, or one line that names every fault."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from plainfilm.errors import ConfigError
from plainfilm.experiments.grid import Experiment, read_experiment
from wording import lacking

Read = Callable[..., Experiment]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """read(text, name='grid.yaml'): the experiment of a file with this text."""

    def read_text(text: str, name: str = "grid.yaml", data: Path | None = None) -> Experiment:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return read_experiment(path, data)

    return read_text


@pytest.fixture
def refused(read, refusal) -> Callable[..., str]:
    return lambda text, name="grid.yaml": refusal(lambda: read(text, name), ConfigError)


def folders(experiment: Experiment) -> list[str]:
    return [run.folder for run in experiment.planned]


def test_the_grid_is_a_product_and_seeds_repeat_a_configuration(read):
    found = read("grid: {model.dense: [64, 32], train.size_px: [64, 96], train.seed: [0, 1]}")
    assert folders(found) == [
        "dense_64-size_px_64-seed0", "dense_64-size_px_64-seed1", "dense_64-size_px_96-seed0", "dense_64-size_px_96-seed1",
        "dense_32-size_px_64-seed0", "dense_32-size_px_64-seed1", "dense_32-size_px_96-seed0", "dense_32-size_px_96-seed1",
    ]  # fmt: skip
    assert len(found.configurations) == 4
    last = found.planned[-1].cfg
    assert (last.model.dense, last.train.size_px, last.train.seed) == (32, 96, 1)
    assert last.train.phases[0].size_px == 96


def test_configurations_are_crossed_with_the_grid_and_keep_their_names(read):
    found = read(
        "train: {epochs: 3}\n"
        "configurations: [{name: wide, model.filters: [32, 64]}, {name: slow, train.lr: 1e-4, train.epochs: 9}]\n"
        "grid: {train.seed: [4, 5]}"
    )
    assert folders(found) == ["wide-seed4", "wide-seed5", "slow-seed4", "slow-seed5"]
    assert [run.cfg.train.epochs for run in found.planned] == [3, 3, 9, 9]
    assert found.planned[0].cfg.model.filters == (32, 64)


def test_a_file_without_a_grid_is_a_grid_of_one(read):
    assert folders(read("train: {seed: 7}")) == ["paper-seed7"]


def test_a_model_name_alone_names_its_configuration(read):
    assert folders(read("grid: {model.name: [paper]}")) == ["paper-seed0"]


def test_folds_repeat_a_configuration_too(read):
    found = read("data: {split: kfold}\ngrid: {data.fold: [0, 1]}")
    assert folders(found) == ["paper-fold0-seed0", "paper-fold1-seed0"]
    assert found.configurations == ["paper"]


def test_none_in_a_grid_is_a_value(read):
    found = read("data: {bits: 8}\ngrid: {data.bits: [null, 12]}")
    assert [run.cfg.data.bits for run in found.planned] == [None, 12]
    assert folders(found) == ["bits_none-seed0", "bits_12-seed0"]


def test_a_configuration_with_a_grid_of_its_own_takes_the_values_of_its_keys_from_there(read):
    found = read(
        "configurations: [{name: a}, {name: b, model.dense: 9, grid: {data.per_class: [null], train.seed: [7]}}]\n"
        "grid: {data.per_class: [5, null], train.seed: [0, 1]}"
    )
    assert folders(found) == ["a-per_class_5-seed0", "a-per_class_5-seed1", "a-per_class_all-seed0", "a-per_class_all-seed1",
                              "b-per_class_all-seed7"]  # fmt: skip
    assert [(run.cfg.data.per_class, run.cfg.train.seed) for run in found.planned[-2:]] == [(None, 1), (None, 7)]


def test_configurations_of_one_name_have_grids_of_other_values(read, refused):
    text = "configurations: [{name: a, train.epochs: 9, grid: {data.per_class: [5]}}, {name: a, grid: {data.per_class: [6]}}]"
    found = read(text)
    assert [(run.configuration, run.cfg.train.epochs) for run in found.planned] == [("a-per_class_5", 9), ("a-per_class_6", 10)]  # fmt: skip
    assert "two runs would be named 'a-per_class_5-seed0'" in refused(text.replace("6", "5"))


def test_texts_lists_and_flags_become_names_of_folders(read):
    found = read(
        "grid: {model.filters: [[8, 16], [4]], data.harmonise: [true], evaluate.threshold: ['sensitivity>=0.9']}"
    )
    assert folders(found)[0] == "filters_8x16-harmonise_on-threshold_sensitivity_0.9-seed0"


def test_the_file_itself_is_not_changed_by_one_run_for_the_next(read):
    found = read("model: {dense: 5}\nconfigurations: [{name: a, model.dropout: 0.5}, {name: b, model.kernel: 3}]")
    assert [run.cfg.model.dropout for run in found.planned] == [0.5, 0.2]


def test_data_of_the_command_line_overrides_the_files(read, tmp_path):
    found = read("data: {path: elsewhere}", data=tmp_path)
    assert found.planned[0].cfg.data.path == str(tmp_path) and found.names_data


@pytest.mark.parametrize(
    ("text", "named"),
    [("train: {seed: 1}", False), ("data: {split: patient}", False), ("data: {path: x}", True),
     ("data: {phantom: {images: 60}}", True), ("configurations: [{name: a, data.path: x}]", True)],
)  # fmt: skip
def test_it_is_known_whether_the_file_names_its_images(read, text, named):
    assert read(text).names_data is named


def test_only_the_requested_configurations_are_planned(read):
    found = read("configurations: [{name: a}, {name: b, model.dense: 3}]\ngrid: {train.seed: [0, 1]}")
    assert [run.folder for run in found.only(["b"])] == ["b-seed0", "b-seed1"]
    with pytest.raises(ConfigError, match="no configuration 'c'; it has a, b"):
        found.only(["c"])


def test_a_skipped_configuration_is_checked_and_planned_only_by_name(read, refused):
    text = "configurations: [{name: a}, {name: b, model.dense: 3, skip: takes hours}]"
    found = read(text)
    assert found.configurations == ["a", "b"]
    assert [run.folder for run in found.only([])] == ["a-seed0"]
    assert [(run.folder, run.skip) for run in found.only(["b"])] == [("b-seed0", "takes hours")]
    assert "model.dense: Input should be greater" in refused(text.replace("dense: 3", "dense: 0"))
    assert "expected the reason" in refused(text.replace("takes hours", "true"))
    assert "nothing to run" in refused("configurations: [{name: a, skip: why}]")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grid: {model.nam: [paper]}", "model.nam: unknown key; did you mean 'name'?"),
        ("modle: {}", "modle: unknown key; did you mean 'model'?"),
        ("grid: {train.seed: []}", ("grid.train.seed: the list is empty", "nothing to run")),
        ("grid: {}", "grid: found {}"),
        ("grid: [1]", "expected dotted keys with lists"),
        ("grid: {train.seed: 3}", ("grid.train.seed: found 3", "expected a list of values", "[3]")),
        ("grid: {train.seed: ['zero']}", "train.seed: Input should be a valid integer"),
        ("grid: {train.seed: [-1]}", ("train.seed:", "greater than or equal to 0", "found -1")),
        ("grid: {train.seed: [1, 1]}", "grid.train.seed: 1 is listed twice"),
        ("grid: {train.seed: [0, 0]}", "grid.train.seed: 0 is listed twice; keep one"),
        ("grid: {data.bits: [null, 8, null]}", "grid.data.bits: None is listed twice"),
        ("gird: {train.seed: [0, 1]}", "gird: unknown key; did you mean 'grid'?"),
        ("configuration: [{name: a}]", ("configuration: unknown key", "did you mean 'configurations'?")),
        ("abuot: {title: x}", "did you mean 'about'?"),
        ("grid: {seed: [1]}", "expected a dotted key, e.g. 'train.seed'"),
        ("grid: {train.epochs: [1, 0]}", ("train.epochs:", "greater than or equal to 1", "found 0")),
        ("grid: {model.name: [paper, papper]}", "Did you mean 'paper' or 'paper-gap'?"),
        ("grid: {model.name: [paper, resnet18], train.size_px: [48, 224]}", "48 px is too small for 'resnet18'"),
        ("grid: {model.filters: [[4, 4], [4, 4, 4, 4, 4]], train.size_px: [64]}", "64 px is too small for 5 blocks"),
        ("grid: {model.name: [vit_tiny], train.size_px: [100]}", "patches of 16 px"),
        ("grid: {model.name: [compact], model.dense: [64]}", ("model.dense:", "'compact' has no such option")),
        ("configurations: []", "expected a list of at least one"),
        ("configurations: [paper]", "entry 1: expected a text 'name'"),
        ("configurations: [{model.dense: 3}]", "entry 1: expected a text 'name'"),
        ("configurations: [{name: 'a/b'}]", "'a/b' cannot name a folder"),
        ("configurations: [{name: ..}]", "'..' cannot name a folder"),
        ("configurations: [{name: a}, {name: a, model.dense: 3}]", "two are named 'a'"),
        ("configurations: [{name: a}, {name: A, model.dense: 3}]", "two runs would be named 'A-seed0'"),
        ("configurations: [{name: a}, {name: b}]", "a-seed0 and b-seed0 are the same run"),
        ("configurations: [{name: a, dense: 3}]", "a.dense: expected a dotted key"),
        ("configurations: [{name: a, model.dense: 3}]\ngrid: {model.dense: [1, 2]}", "in the grid and in the configuration"),
        ("configurations: [{name: a, grid: {train.seed: 3}}]", "configurations, a.grid.train.seed: found 3"),
        ("configurations: [{name: a, grid: [1]}]", "configurations, a.grid: found [1]; expected dotted keys"),
        ("configurations: [{name: a, train.seed: 3, grid: {train.seed: [1]}}]", "in the grid and in the configuration"),
        ("grid: {evaluate.threshold: ['sensitivity>=0.9', 'sensitivity>= 0.9']}", "two runs would be named"),
        ("about: {titel: x}", "about.titel: unknown key"),
        ("about: text", "about: expected a short text"),
        ("- a", "holds list"),
        ("a: [", "not valid YAML"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line(refused, text, said):
    assert lacking(refused(text), *([said] if isinstance(said, str) else said)) == []


def test_all_faults_are_reported_at_once_and_each_once(refused):
    said = refused("modle: {}\ngrid: {train.epochs: [0, -1], train.seed: [0, 1, 2], model.dens: [3]}")
    for fault in ("modle: unknown key", "model.dens: unknown key", "(found 0)", "(found -1)"):
        assert fault in said
    for value in (0, -1):
        assert len(re.findall(rf"\btrain\.epochs: [^;]+ \(found {value}\)", said)) == 1


def test_all_impossible_configurations_are_reported(refused):
    said = refused("train: {size_px: 40}\ngrid: {model.name: [resnet18, vit_tiny, paper, compact], train.seed: [0, 1]}")
    assert said.count("'resnet18'") == 1 and said.count("'vit_tiny'") == 1 and "'compact'" not in said


def test_a_missing_file_a_folder_and_a_name_that_names_no_folder_are_refused(tmp_path, refusal, refused):
    assert "does not exist" in refusal(lambda: read_experiment(tmp_path / "nowhere.yaml"), ConfigError)
    assert "is a folder" in refusal(lambda: read_experiment(tmp_path), ConfigError)
    for name in (" grid.yaml", "grid .yaml", "my\tgrid.yaml", "gr:id.yaml"):
        assert "cannot name a folder" in refused("train: {seed: 1}", name=name)


def test_a_file_may_have_a_space_in_its_name(tmp_path):
    path = tmp_path / "my grid 2.yaml"
    path.write_text("train: {seed: 1}")
    found = read_experiment(path)
    assert found.name == "my grid 2" and [run.folder for run in found.planned] == ["paper-seed1"]
