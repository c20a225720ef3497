"""The file of `plainfilm tune`: a config, and beside it the section tune."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from plainfilm.base.sanitize import found_value
from plainfilm.config import ExperimentConfig
from plainfilm.config.keys import Section
from plainfilm.config.strict_yaml import read_yaml
from plainfilm.config.tune import Axis, ConfirmConfig, TuneConfig
from plainfilm.errors import ConfigError
from plainfilm.experiments.grid import config_of
from plainfilm.tune.space import Space, Values, as_read, ends_of, space_faults, value_at


@dataclass(frozen=True)
class Plan:
    """A checked file: `base` is its config without the section tune, which trial 0 trains."""

    path: Path
    name: str
    tune: TuneConfig
    base: ExperimentConfig
    raw: dict[str, Any]

    @property
    def space(self) -> Space:
        return Space(self.tune.space)

    @property
    def default(self) -> Values:
        """The values of the file itself."""
        return {key: value_at(self.base, key) for key in self.tune.space}

    def config(self, values: Values, **fixed: Any) -> ExperimentConfig:
        """The config with these values; `fixed`: sections' keys with '__' for the dot, as train__seed=1.

        Raises:
            ConfigError: the values do not fit together.
        """
        faults: list[str] = []
        cfg = config_of(self.path, self.raw, {**values, **{k.replace("__", "."): v for k, v in fixed.items()}}, faults)
        if cfg is None:
            raise ConfigError("; ".join(faults))
        return cfg


def read_plan(path: Path, data: Path | None = None, sampler: str | None = None, seed: int | None = None) -> Plan:
    """The plan of a file. `data` overrides data.path; `sampler` and `seed` those of the section, and join the name.

    Raises:
        ConfigError: the file cannot be read, or names every fault of its section.
    """
    raw = read_yaml(path)
    section = raw.pop("tune", None)
    if not isinstance(section, dict):
        raise ConfigError(
            f"{path} has no section 'tune:', so there is nothing to search. Write one: tune: {{trials: 20, space: "
            "{train.lr: {log: [1e-4, 1e-2]}}} (docs/how-to/tune.md)."
        )
    section = {**section, **({"sampler": sampler} if sampler else {}), **({} if seed is None else {"seed": seed})}
    try:
        tune = TuneConfig.model_validate(section)
    except ValidationError as error:
        raise ConfigError(f"{path}: " + "; ".join(map(_explained, error.errors()))) from None
    if data is not None and isinstance(section := raw.get("data") or {}, dict):  # anything else is refused below
        raw["data"] = {**section, "path": str(data.absolute())}
    faults: list[str] = []
    base = config_of(path, raw, {}, faults)
    faults += space_faults(path, raw if base else None, tune.space)
    faults += _leaks(base) if base else []
    faults += _other_schedules(path, raw, base, tune) if base and not faults else []
    axes = as_read(path, raw, tune.space, faults) if base and not faults else {}
    parts = [path.stem, *([sampler] if sampler else []), *([] if seed is None else [f"seed{seed}"])]
    if base is not None and not faults:
        plan = Plan(path, "-".join(parts), tune.model_copy(update={"space": axes}), base, raw)
        faults += _too_many(plan)
    if base is None or faults:
        raise ConfigError(f"{path}: " + "; ".join(dict.fromkeys(faults)))
    return plan


def _leaks(base: ExperimentConfig) -> list[str]:
    """A search would reward what leaks, and its split file would no longer say that it does."""
    faults = []
    if base.data.split == "image":
        faults.append(
            "data.split: image puts images of one patient into train and valid; a search needs patient, or another"
        )
    if base.data.allow_leak:
        faults.append("data.allow_leak: a search on a split that leaks rewards the leak; set false and mend the split")
    return faults


def _other_schedules(path: Path, raw: dict[str, Any], base: ExperimentConfig, tune: TuneConfig) -> list[str]:
    """Keys of the space that give a trial other epochs or other frozen ones, where trials are compared epoch by epoch."""
    if tune.prune == "none":
        return []
    return [
        f"tune.prune: {tune.prune} compares trials epoch by epoch, and {key} in the space gives them different schedules; "
        "set prune: none, or take it out of the space"
        for key, axis in tune.space.items()
        for configs in [[config_of(path, raw, {key: value}, []) for value in ends_of(axis)]]
        if any(cfg is not None and _schedule(cfg) != _schedule(base) for cfg in configs)
    ]


def _schedule(cfg: ExperimentConfig) -> list[tuple[int, bool]]:
    return [(phase.epochs, phase.freeze) for phase in cfg.train.phases]


def _too_many(plan: Plan) -> list[str]:
    """More trials than there are configs: those of the space, and the file's own where that is outside of it."""
    size = plan.space.size + (plan.space.encode(plan.default).keys() != plan.tune.space.keys())
    if plan.tune.trials <= size:
        return []
    return [f"tune.trials: {plan.tune.trials} trials of a space with {size:g} configs; set at most {size:g}"]


def _explained(fault: Any) -> str:
    place = ".".join(str(part) for part in ("tune", *fault["loc"]))
    if fault["type"] == "extra_forbidden":
        models: dict[str, type[Section]] = {"confirm": ConfirmConfig, "space": Axis} if len(fault["loc"]) > 1 else {}
        model = models.get(str(fault["loc"][0]), TuneConfig)
        near = difflib.get_close_matches(str(fault["loc"][-1]), list(model.model_fields), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(model.model_fields)}"
        return f"{place}: unknown key; {hint}"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" + ("" if fault["type"] == "value_error" else f" (found {found_value(fault['input'])})")
