"""The config: defaults, files, options that override files, and all faults reported at once."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from plainfilm.config import DataConfig, EvaluateConfig, ExperimentConfig, TrainConfig, experiment_file, load_config
from plainfilm.config.gpu import GpuConfig, without_effect
from plainfilm.config.strict_yaml import read_yaml
from plainfilm.errors import ConfigError
from wording import lacking

ROOT = Path(__file__).parents[3]
GRID = ("grid", "configurations", "about", "tune")  # keys of experiment files; their own tests read those
EXPERIMENTS = sorted(p for p in (ROOT / "experiments").rglob("*.yaml") if not set(GRID) & read_yaml(p).keys())


@pytest.fixture
def yaml(tmp_path: Path) -> Callable[[str], Path]:
    """yaml(text): a config file with this text."""

    def write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


Yaml = Callable[[str], Path]


def test_there_are_experiments() -> None:
    assert EXPERIMENTS


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_an_experiment_loads(path: Path) -> None:
    load_config(path)


def test_the_shipped_phantom_experiment_is_found() -> None:
    assert experiment_file("phantom.yaml").is_file()
    assert load_config(experiment_file("phantom.yaml")).data.path is None


def test_the_defaults_are_those_of_the_design() -> None:
    cfg = load_config()
    assert (cfg.data.split, cfg.data.shares, cfg.data.path) == ("patient", (0.60, 0.25, 0.15), None)
    assert (cfg.model.name, cfg.model.filters, cfg.model.kernel) == ("paper", (16, 32, 64), 5)
    assert (cfg.model.dropout, cfg.model.dense, cfg.model.dense_dropout) == (0.2, 128, 0.5)
    assert (cfg.train.epochs, cfg.train.size_px, cfg.train.batch_size, cfg.train.lr) == (10, 224, 64, 1e-3)
    assert (cfg.train.augment, cfg.train.balance, cfg.train.keep) == ("radiograph", "none", "best")
    assert (cfg.evaluate.threshold, cfg.evaluate.n_boot) == ("smooth", 2000)


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        load_config().train.epochs = 3  # type: ignore[misc]


def test_a_file_overrides_the_defaults_and_options_override_the_file(yaml: Yaml) -> None:
    path = yaml("train:\n  epochs: 3\n  size_px: 96\ndata:\n  phantom:\n    images: 60\n")
    cfg = load_config(path, {"train.epochs": 5, "train.lr": None, "data.phantom.seed": 7, "model.dense": 9})
    assert (cfg.train.epochs, cfg.train.size_px, cfg.train.lr) == (5, 96, 1e-3)
    assert (cfg.data.phantom.images, cfg.data.phantom.seed, cfg.data.phantom.size_px) == (60, 7, 256)
    assert cfg.model.dense == 9


def test_all_faults_are_reported_at_once_with_suggestions(yaml: Yaml) -> None:
    path = yaml(
        "modle: {}\n"
        "data: {splt: patient, folds: 2, phantom: {sed: 1}}\n"
        "train: {epochs: 0, lr: fast, batchsize: 3, phases: [{epoch: 2, size_px: 224}]}\n"
        "evaluate: {threshold: best}\n"
    )
    message = _refusal(lambda: load_config(path))
    assert lacking(
        message, "modle: unknown key; did you mean 'model'?", "data.splt: unknown key; did you mean 'split'?",
        "data.folds:", "greater than or equal to 3 (found 2)", "data.phantom.sed: unknown key", "did you mean 'seed'?",
        "train.epochs:", "greater than or equal to 1 (found 0)", "train.batchsize: unknown key",
        "did you mean 'batch_size'?", "train.phases.0.epoch: unknown key", "did you mean 'epochs'?", "train.lr",
        "evaluate.threshold: found 'best'", "accuracy, youden, sensitivity>=0.95",
    ) == []  # fmt: skip
    assert str(path) in message


def _refusal(work: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        work()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unknown_key_without_a_close_match_lists_the_known_keys() -> None:
    refusal = _refusal(lambda: load_config(options={"train.zzz": 1}))
    assert lacking(refusal, "train.zzz: unknown key", "epochs, size_px, batch_size") == []


def test_an_empty_section_is_refused_by_name(yaml: Yaml) -> None:
    assert "train" in _refusal(lambda: load_config(yaml("train:\n")))


@pytest.mark.parametrize("text", ["data:\n  phantom:\n", "data:\n  phantom: 3\n", "data:\n"])
def test_an_option_that_overrides_a_non_section_is_refused_by_name(yaml: Yaml, text: str) -> None:
    assert "data" in _refusal(lambda: load_config(yaml(text), {"data.phantom.images": 20}))


@pytest.mark.parametrize("text", ["NO", "no", "off", "yes", "007", "0x1F", "1_000", "12:30", "2024-01-01", "1.2.3"])
def test_text_stays_text_in_yaml(yaml: Yaml, text: str) -> None:
    assert load_config(yaml(f"data:\n  positive: {text}\n")).data.positive == text


@pytest.mark.parametrize(
    ("text", "lr"), [("1e-3", 0.001), ("1E-3", 0.001), ("1.5e-2", 0.015), (".5", 0.5), ("1", 1.0), ("5.e-4", 0.0005)]
)
def test_numbers_are_numbers_in_yaml(yaml: Yaml, text: str, lr: float) -> None:
    assert load_config(yaml(f"train:\n  lr: {text}\n")).train.lr == lr


def test_true_and_false_are_the_only_flags_in_yaml(yaml: Yaml) -> None:
    assert load_config(yaml("data:\n  follow_links: true\n")).data.follow_links is True
    assert load_config(yaml("data:\n  follow_links: false\n")).data.follow_links is False


def test_null_is_none_in_yaml(yaml: Yaml) -> None:
    assert load_config(yaml("data:\n  positive: null\n")).data.positive is None


def test_a_key_given_twice_is_refused_with_its_line(yaml: Yaml) -> None:
    message = _refusal(lambda: load_config(yaml("data: {}\ntrain:\n  epochs: 3\n  epochs: 30\n")))
    assert lacking(message, "'epochs'", "twice", "line 3") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [("train: [1\n", "is not valid YAML"), ("- 1\n- 2\n", "holds list"), ("", "holds NoneType"), ("a: *b\n", "YAML")],
)
def test_a_file_that_is_not_a_mapping_is_refused(yaml: Yaml, text: str, reason: str) -> None:
    assert reason in _refusal(lambda: load_config(yaml(text)))


def test_yaml_cannot_make_python_objects(yaml: Yaml) -> None:
    assert "not valid YAML" in _refusal(lambda: load_config(yaml("train: !!python/object/apply:os.getcwd []\n")))


def test_a_file_that_is_missing_or_not_text_is_refused(tmp_path: Path) -> None:
    gone = _refusal(lambda: load_config(tmp_path / "gone.yaml"))
    assert gone == f"The config {tmp_path / 'gone.yaml'} does not exist. Give the path of a YAML file."
    assert "cannot be read (Is a directory)" in _refusal(lambda: load_config(tmp_path))
    (tmp_path / "image.yaml").write_bytes(b"\x89PNG\xff\xfe")
    assert "is not UTF-8 text" in _refusal(lambda: load_config(tmp_path / "image.yaml"))


def test_a_long_path_is_written_on_one_line(tmp_path: Path) -> None:
    path = str(tmp_path / ("a long folder " * 9) / "my films")
    assert f"\n  path: {path}\n" in load_config(options={"data.path": path}).as_yaml()


def test_the_short_keys_give_one_phase() -> None:
    (phase,) = load_config(options={"train.epochs": 3, "train.size_px": 64, "train.lr": "auto"}).train.phases
    assert (phase.epochs, phase.size_px, phase.lr, phase.freeze) == (3, 64, "auto", False)


@pytest.mark.parametrize("phases", ["{a: 1}", "{a: 1, b: 2}", "3", "tall"])
def test_phases_that_are_no_list_are_refused(yaml: Yaml, phases: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.phases: "):
        load_config(yaml(f"train:\n  phases: {phases}\n"))


def test_an_empty_list_of_phases_is_refused(yaml: Yaml) -> None:
    with pytest.raises(ConfigError, match="the list is empty; give at least one phase"):
        load_config(yaml("train: {phases: []}\n"))


def test_several_phases_are_kept(yaml: Yaml) -> None:
    text = "train:\n  phases:\n  - {epochs: 2, size_px: 224, lr: 1e-2}\n  - {epochs: 5, size_px: 224}\n"
    assert [(phase.epochs, phase.lr) for phase in load_config(yaml(text)).train.phases] == [(2, 0.01), (5, 0.001)]


def test_one_phase_without_the_short_keys_is_enough(yaml: Yaml) -> None:
    (phase,) = load_config(yaml("train:\n  phases: [{epochs: 20, size_px: 224, lr: 1e-2}]\n")).train.phases
    assert (phase.epochs, phase.lr) == (20, 0.01)


@pytest.mark.parametrize(
    ("phases", "reason"),
    [
        ("[{epochs: 2, size_px: 160}, {epochs: 2, size_px: 128}]", "sizes may only grow, and 160, 128 px do not"),
        ("[{epochs: 2, size_px: 64, freeze: true}, {epochs: 2, size_px: 96}]", "frozen phase .* must have size_px 96"),
        ("[{epochs: 7, size_px: 224, freeze: true}]", "must be pretrained; set model.weights"),
        ("[{epochs: 7, size_px: 224}, {epochs: 1, size_px: 224, freeze: true}]", "frozen phases must come first"),
        ("[{epochs: 3, size_px: 224}]", "epochs contradict phases"),
        ("[{epochs: 7, size_px: 224, lr: -1}, {epochs: 7, size_px: 224}]", "lr"),
        ("[{epochs: 7, size_px: 224, lr: 0}, {epochs: 7, size_px: 224}]", "lr"),
    ],
)
def test_phases_that_cannot_be_trained_are_refused(yaml: Yaml, phases: str, reason: str) -> None:
    assert re.search(reason, _refusal(lambda: load_config(yaml(f"train:\n  epochs: 7\n  phases: {phases}\n"))))


def test_the_size_of_a_run_is_that_of_its_last_phase(yaml: Yaml) -> None:
    phases = "phases: [{epochs: 3, size_px: 64}, {epochs: 2, size_px: 96}, {epochs: 1, size_px: 128}]"
    cfg = load_config(yaml(f"train: {{{phases}}}\n"))
    assert cfg.train.size_px == 128
    assert [phase.size_px for phase in cfg.train.phases] == [64, 96, 128]
    assert load_config(yaml(cfg.as_yaml())) == cfg
    said = _refusal(lambda: load_config(yaml(f"train: {{size_px: 96, {phases}}}\n")))
    assert "the last phase must have size_px 96, the size of the run" in said
    assert "--size cannot say which" in _refusal(lambda: load_config(yaml(cfg.as_yaml()), {"train.size_px": 96}))


def test_a_frozen_phase_may_come_before_smaller_sizes(yaml: Yaml) -> None:
    phases = "[{epochs: 1, size_px: 96, freeze: true}, {epochs: 2, size_px: 64}, {epochs: 1, size_px: 96}]"
    cfg = load_config(yaml(f"model: {{weights: imagenet}}\ntrain: {{phases: {phases}}}\n"))
    assert [phase.size_px for phase in cfg.train.phases] == [96, 64, 96]


def _phases(**train: object) -> list[tuple[int, bool, object, float]]:
    options = {"model.weights": "imagenet", **{f"train.{name}": value for name, value in train.items()}}
    return [(p.epochs, p.freeze, p.lr, p.lr_ratio) for p in load_config(options=options).train.phases]


def test_the_short_keys_with_weights_become_phases() -> None:
    assert _phases(epochs=4) == [(4, False, 1e-3, 1)]
    assert _phases(epochs=4, freeze=True) == [(4, True, 1e-2, 1)]
    assert _phases(epochs=4, freeze=True, lr=0.3) == [(4, True, 0.3, 1)]
    assert _phases(epochs=4, freeze_epochs=2, lr_ratio=0.1) == [(2, True, 1e-2, 1), (4, False, 1e-3, 0.1)]
    assert _phases(epochs=4, freeze_epochs=2, freeze_lr="auto") == [(2, True, "auto", 1), (4, False, 1e-3, 1)]


@pytest.mark.parametrize(
    ("train", "lr"),
    [
        ("{lr: 3e-4, freeze: true}", 3e-4),  # as --lr 3e-4 --freeze
        ("{lr: auto, freeze: true}", "auto"),
        ("{freeze: true, freeze_lr: 3e-4}", 3e-4),
        ("{lr: 1e-3, freeze: true, freeze_lr: 1e-2}", 1e-2),  # the head's own key wins
        ("{freeze: true}", 1e-2),
        ("{lr: 3e-4, freeze: false}", 3e-4),
    ],
)
def test_the_learning_rate_of_a_file_reaches_the_phase(yaml: Yaml, train: str, lr: object) -> None:
    cfg = load_config(yaml(f"model: {{weights: imagenet}}\ntrain: {train}\n"))
    assert [phase.lr for phase in cfg.train.phases] == [lr]
    assert load_config(yaml(cfg.as_yaml())) == cfg
    assert load_config(yaml(cfg.as_yaml()), {"train.lr": 0.5}).train.phases[0].lr == 0.5


@pytest.mark.parametrize("train", [{"freeze": True}, {"freeze_epochs": 2, "lr_ratio": 0.1}, {"norm": "hold"}])
def test_a_resolved_config_with_phases_loads_unchanged(yaml: Yaml, train: dict[str, object]) -> None:
    cfg = load_config(
        options={"model.weights": "imagenet", **{f"train.{name}": value for name, value in train.items()}}
    )
    assert load_config(yaml(cfg.as_yaml())) == cfg
    refused = _refusal(lambda: load_config(options={f"train.{name}": value for name, value in train.items()}))
    assert "set model.weights (--weights)" in refused


@pytest.mark.parametrize(
    ("train", "reason"),
    [
        ("freeze: true, phases: [{epochs: 2, size_px: 224}]", "freeze contradict phases"),
        ("freeze_epochs: 3, phases: [{epochs: 2, size_px: 224}]", "freeze_epochs contradict"),
        ("lr_ratio: 0.1, phases: [{epochs: 2, size_px: 224, lr_ratio: 0.5}]", "lr_ratio contradict"),
        ("epochs: 99, phases: [{epochs: 2, size_px: 224}, {epochs: 1, size_px: 224}]", "epochs contradict"),
        ("freeze: true, lr_ratio: 0.1", "freeze trains only the head"),
    ],
)
def test_keys_without_effect_are_refused(yaml: Yaml, train: str, reason: str) -> None:
    said = _refusal(lambda: load_config(yaml(f"model: {{weights: imagenet}}\ntrain: {{{train}}}\n")))
    assert reason in said


def test_a_negative_number_of_frozen_epochs_is_refused(yaml: Yaml) -> None:
    said = _refusal(lambda: load_config(yaml("train: {freeze_epochs: -1}\n")))
    assert lacking(said, "train.freeze_epochs:", "greater than or equal to 0", "found -1") == []
    assert "train.phases.0" not in said


def test_options_reach_the_phases_of_a_resolved_config(yaml: Yaml) -> None:
    def resolved(options: dict[str, object]) -> Path:
        return yaml(load_config(options={"model.weights": "imagenet", **options}).as_yaml())

    two = resolved({"train.freeze_epochs": 2, "train.epochs": 4})
    assert [p.epochs for p in load_config(two, {"train.epochs": 7}).train.phases] == [2, 7]
    assert [p.epochs for p in load_config(two, {"train.freeze_epochs": 1}).train.phases] == [1, 4]
    frozen = resolved({"train.freeze": True})
    assert [p.lr for p in load_config(frozen, {"train.freeze": False}).train.phases] == [1e-3]
    assert [p.lr for p in load_config(frozen, {"train.lr": 0.5}).train.phases] == [0.5]
    assert [p.lr for p in load_config(resolved({}), {"train.freeze": True}).train.phases] == [1e-2]
    single = yaml("train:\n  phases: [{epochs: 20, size_px: 224, lr: 1e-2}]\n")
    assert [(p.epochs, p.lr) for p in load_config(single, {"train.epochs": 3}).train.phases] == [(3, 0.01)]


def test_freeze_and_freeze_epochs_exclude_each_other() -> None:
    assert "choose one" in _refusal(lambda: _phases(freeze=True, freeze_epochs=1))


def test_an_option_cannot_say_which_of_several_phases_it_means(yaml: Yaml) -> None:
    path = yaml("train:\n  phases: [{epochs: 2, size_px: 224}, {epochs: 5, size_px: 224}]\n")
    assert "2 phases; --epochs cannot say which" in _refusal(lambda: load_config(path, {"train.epochs": 3}))
    assert "--size cannot" in _refusal(lambda: load_config(path, {"train.size_px": 64}))


@pytest.mark.parametrize("lr", [0, -1, float("nan"), float("inf"), "fast"])
def test_a_learning_rate_that_is_not_a_positive_number_is_refused(lr: object) -> None:
    assert "train.lr" in _refusal(lambda: load_config(options={"train.lr": lr}))


@pytest.mark.parametrize("shares", [[0.6, 0.25, 0.25], [0.8, 0.2, 0], [1.2, -0.1, -0.1]])
def test_shares_must_be_positive_and_sum_to_one(shares: list[float]) -> None:
    assert "three positive shares that sum to 1" in _refusal(lambda: load_config(options={"data.shares": shares}))


def test_a_fold_that_does_not_exist_is_refused() -> None:
    assert DataConfig(split="kfold", folds=4, fold=3).fold == 3
    refusal = _refusal(lambda: load_config(options={"data.folds": 4, "data.fold": 4}))
    assert lacking(refusal, "fold 4", "4 folds", "0 to 3") == []


@pytest.mark.parametrize(
    "rule", ["accuracy", "youden", "sensitivity>=0.95", "specificity>=.9", "sensitivity>=1", "0.5", ".42", "0.001"]
)
def test_known_threshold_rules_are_accepted(rule: str) -> None:
    assert EvaluateConfig(threshold=rule).threshold == rule


def test_a_threshold_may_be_a_number_and_its_rule_may_contain_spaces() -> None:
    assert EvaluateConfig(threshold=0.25).threshold == "0.25"  # type: ignore[arg-type]
    assert EvaluateConfig(threshold="sensitivity >= 0.9").threshold == "sensitivity>=0.9"


@pytest.mark.parametrize(
    "rule",
    ["best", "f1", "sensitivity>0.9", "sensitivity>=1.5", "ppv>=0.9", "1.5", "-0.5", "50%", "", "sensitivity>=", None],
)
def test_other_threshold_rules_are_refused(rule: object) -> None:
    with pytest.raises(ValidationError, match="expected smooth, accuracy, youden"):
        EvaluateConfig(threshold=rule)  # type: ignore[arg-type]


def test_class_weights_and_balanced_sampling_exclude_each_other() -> None:
    assert "choose one" in _refusal(lambda: load_config(options={"train.balance": "auto", "train.class_weights": True}))


def again(tmp_path: Path, cfg: ExperimentConfig) -> ExperimentConfig:
    """`cfg` saved and loaded."""
    (tmp_path / "resolved.yaml").write_text(cfg.as_yaml(), encoding="utf-8")
    return load_config(tmp_path / "resolved.yaml")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"train.lr": "auto", "train.epochs": 3, "train.size_px": 96},
        {"train.lr": 1e-5, "train.wd": 0.0, "evaluate.threshold": "sensitivity>=0.95"},
        {"evaluate.threshold": 0.5, "data.bits": 12, "data.shares": [0.5, 0.3, 0.2]},
        {"data.patient_pattern": r"^(p\d+)['\"]: #", "data.path": "/radiographs/Käthe, 2/x y", "model.filters": [8, 8]},
        {"train.class_weights": True},
        {"train.class_weights": True, "train.balance": "none"},
    ],
    ids=str,
)
def test_a_resolved_config_loads_as_the_same_config(tmp_path: Path, options: dict[str, object]) -> None:
    cfg = load_config(options=options)
    assert again(tmp_path, cfg) == cfg


@pytest.mark.parametrize(
    "name",
    ["NO", "yes", "true", "null", "~", "007", "7", "1e5", "1e-3", "1.5", ".5", "0x1F", "12:30", "2024-01-01", "", " a ", "=",
     "<<", "# a", "a: b", "- a", "'", '"', "\\", "Ä\u2028b", "two\nlines", "@", "%"],
)  # fmt: skip
def test_any_class_name_survives_in_a_resolved_config(tmp_path: Path, name: str) -> None:
    assert again(tmp_path, load_config(options={"data.positive": name})).data.positive == name


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_a_resolved_experiment_loads_as_the_same_experiment(path: Path, tmp_path: Path) -> None:
    cfg = load_config(path)
    assert again(tmp_path, cfg) == cfg


def test_an_option_reaches_the_phase_of_a_resolved_config(tmp_path: Path) -> None:
    (tmp_path / "resolved.yaml").write_text(load_config(options={"train.epochs": 20, "train.lr": 0.5}).as_yaml())
    cfg = load_config(tmp_path / "resolved.yaml", {"train.epochs": 3})
    assert (cfg.train.epochs, cfg.train.lr) == (3, 0.5)
    assert [(phase.epochs, phase.lr) for phase in cfg.train.phases] == [(3, 0.5)]


def test_only_single_label_tasks_are_accepted_for_now(yaml: Yaml) -> None:
    assert load_config(yaml("task: single\n")).task == "single"
    assert lacking(_refusal(lambda: load_config(yaml("task: multi\n"))), "task:", "'single'", "found 'multi'") == []


def test_the_seed_is_not_negative() -> None:
    assert "train.seed" in _refusal(lambda: load_config(options={"train.seed": -1}))
    assert TrainConfig(seed=0).seed == 0


@pytest.mark.parametrize(("written", "read"), [("off", "off"), ("on", "on"), ("'off'", "off"), ("auto", "auto")])
def test_the_sandbox_is_on_or_off_as_yaml_writes_it(tmp_path: Path, written: str, read: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"data:\n  sandbox: {written}\n", encoding="utf-8")
    cfg = load_config(path)
    assert cfg.data.sandbox == read
    path.write_text(cfg.as_yaml(), encoding="utf-8")
    assert load_config(path) == cfg


def test_epochs_have_a_bound():
    assert load_config(options={"train.epochs": 1_000_000}).train.phases[0].epochs == 1_000_000
    for options in ({"train.epochs": 999_999_999_999}, {"train.freeze_epochs": 1_000_001}):
        with pytest.raises(ConfigError) as error:
            load_config(options=options)
        assert "less than or equal to 1000000" in str(error.value) and "\n" not in str(error.value)


def test_gpu_keys_on_another_device_are_one_note():
    assert without_effect(GpuConfig(), "cpu") == [] == without_effect(GpuConfig(tf32=True), "cuda")
    (note,) = without_effect(GpuConfig(tf32=True, loss_every=8), "cpu")
    assert note == "train.gpu.tf32 and train.gpu.loss_every change nothing on the device cpu, only on a CUDA GPU."
