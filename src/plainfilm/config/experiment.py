"""The experiment config: frozen pydantic models, read from YAML and overridden by single options.

Unknown keys are errors with a "did you mean"; all faults of a file are reported at once. The resolved config is
saved in the run folder, and `train --config` on that file repeats the run.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError, model_validator

from plainfilm.base.sanitize import found_value, visible
from plainfilm.config.data import DataConfig
from plainfilm.config.evaluate import EvaluateConfig
from plainfilm.config.keys import ConfigOption, Section, key, options_of
from plainfilm.config.model import ModelConfig
from plainfilm.config.strict_yaml import dump_yaml, read_yaml
from plainfilm.config.train import SHORT_WAY, Phase, TrainConfig, phases_of, short_way_of
from plainfilm.errors import ConfigError

_LONGEST_KEY, _MOST_FAULTS = 80, 30


class ExperimentConfig(Section):
    """Everything that determines a run's result."""

    task: Literal["single"] = key("single", "One label per image; other tasks are refused for now.")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    @model_validator(mode="after")
    def frozen_layers_are_pretrained(self) -> ExperimentConfig:
        if self.model.weights != "none":
            return self
        if any(phase.freeze for phase in self.train.phases):
            what = f"recipe: {self.train.recipe}" if self.train.recipe else "freeze"
            raise ValueError(f"train.{what}: frozen layers must be pretrained; set model.weights (--weights)")
        if self.train.norm == "hold":
            raise ValueError(
                "train.norm: hold needs the statistics of pretrained weights; set model.weights (--weights), or norm: batch"
            )
        return self

    @model_validator(mode="after")
    def range_is_that_of_a_file(self) -> ExperimentConfig:
        if self.model.range is not None and self.model.weights in ("none", "imagenet"):
            known = "ImageNet's weights state theirs" if self.model.weights == "imagenet" else "there are no weights"
            raise ValueError(
                f"model.range: it says what pixels were to a weights file (--weights FILE), and {known}; leave it out"
            )
        return self

    def as_yaml(self) -> str:
        """The resolved config, every key named."""
        return dump_yaml(self.model_dump(mode="json"))


# Every option that sets a key, by the key.
OPTIONS: dict[str, ConfigOption] = {option.key: option for option in options_of(ExperimentConfig)}


def load_config(path: Path | None = None, options: Mapping[str, Any] | None = None) -> ExperimentConfig:
    """The config of a file (or the defaults), overridden by single options.

    Args:
        path: a YAML file, or None for the defaults.
        options: dotted keys to values, e.g. {"train.lr": 0.01}; None entries are ignored.
    Raises:
        ConfigError: names every unknown key and wrong value at once.
    """
    return make_config(read_yaml(path) if path else {}, options, source=str(path) if path else "The options")


def make_config(raw: dict[str, Any], options: Mapping[str, Any] | None = None, *, source: str) -> ExperimentConfig:
    """The config of a mapping as read from YAML; `raw` is changed in place, `source` is named in errors."""
    for dotted, value in (options or {}).items():
        if value is not None:
            _override(raw, dotted, value)
    train = raw.get("train")
    if isinstance(train, dict) and train.get("freeze") is True and (options or {}).get("train.lr") is not None:
        rate = train.pop("lr")  # the only rate in use
        train["freeze_lr"] = rate if (options or {}).get("train.freeze_lr") is None else train["freeze_lr"]
    try:
        return ExperimentConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{source}: " + _explained(error.errors())) from None


def _override(raw: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, name = dotted.split(".")
    target: Any = raw
    for section in sections:
        target = target.setdefault(section, {})
        if not isinstance(target, dict):
            return  # validation reports it
    if sections == ["train"] and name in SHORT_WAY:
        _collapse_phases(target, name)
    target[name] = value


def _collapse_phases(train: dict[str, Any], name: str) -> None:
    """Drop the phases of a resolved config if the short keys can express them, so that an option takes effect."""
    phases = train.get("phases")
    if not isinstance(phases, list) or not phases:
        return
    if len(phases) == 1:
        train.update({**short_way_of(phases[0]), **{key: train[key] for key in SHORT_WAY if key in train}})
    elif not _are_short(phases, train):
        option = f"--{name.removesuffix('_px').replace('_', '-')}"
        raise ConfigError(f"The config has {len(phases)} phases; {option} cannot say which. Edit train.phases.")
    del train["phases"]


def _are_short(phases: list[Any], train: dict[str, Any]) -> bool:
    try:
        return [Phase.model_validate(phase) for phase in phases] == [Phase.model_validate(p) for p in phases_of(train)]
    except ValidationError:
        return False


# Keys known from other tools that are not offered, and why.
_NOT_OFFERED = {
    "tune": "a search is carried out by plainfilm tune FILE; train and experiments run take a file without it",
    **dict.fromkeys(("amp", "fp16", "bf16", "half", "precision", "mixed_precision"),
                    "mixed precision is train.precision: bf16 or auto; without a processor made for it a step takes 11 to 34 times as long"),
    **dict.fromkeys(("compile", "torch_compile"),
                    "torch.compile is not offered: on a CPU it compiles for a minute and trains no faster"),
    **dict.fromkeys(("early_stopping", "patience"),
                    "early stopping is not offered: one-cycle gains most in its last epochs; choose fewer epochs"),
}  # fmt: skip


def _explained(faults: list[Any]) -> str:
    more = f"; and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
    return "; ".join(map(_explain, faults[:_MOST_FAULTS])) + more


def _explain(fault: Any) -> str:
    path = visible(".".join(str(part)[:_LONGEST_KEY] for part in fault["loc"]))
    if fault["type"] == "extra_forbidden":
        if reason := _NOT_OFFERED.get(str(fault["loc"][-1])):
            return f"{path}: {reason}"
        known = _known_keys(fault["loc"][:-1])
        near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        return f"{path}: unknown key; {hint}"
    message = fault["msg"].removeprefix("Value error, ")
    found = (
        ""
        if fault["type"] == "value_error" or isinstance(fault["input"], dict)
        else f" (found {found_value(fault['input'])})"
    )
    return f"{path}: {message}{found}" if path else message + found


def _known_keys(loc: tuple[Any, ...]) -> list[str]:
    model: type[BaseModel] = ExperimentConfig
    for part in loc:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is None:
            return list(Phase.model_fields) if "phases" in loc else []
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return list(model.model_fields)


def experiment_file(name: str) -> Path:
    """Path of a config shipped with the package, e.g. 'phantom.yaml'.

    In a checkout it is in `experiments/`; in an installed wheel, inside the package.
    """
    packaged = Path(__file__).parents[1] / "experiments_shipped" / name
    return packaged if packaged.exists() else Path(__file__).parents[3] / "experiments" / name
