"""An experiment file: one config, and lists of values that expand it into many.

```
about: {title: ..., command: ..., hardware: ..., time: ..., expected: ...}
data: ...                      the keys of any config
grid: {model.name: [paper, compact], train.seed: [0, 1, 2]}
configurations: [{name: wide, model.filters: [32, 64, 128]}, {name: huge, model.dense: 4096, skip: takes hours}]
```
The grid is the product of all its values and the configurations. `train.seed` and `data.fold` repeat a configuration;
every other key makes a new one. A configuration with a `grid` of its own takes the values of its keys from there, and may
share its name with another whose runs are of other values. One with `skip` is checked, listed as not run, and trained
only when requested by name. Nothing runs until all of them have been checked.
"""

from __future__ import annotations

import copy
import difflib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from plainfilm.config import ExperimentConfig, make_config
from plainfilm.config.strict_yaml import read_yaml
from plainfilm.errors import ConfigError
from plainfilm.models.find_weights import with_absolute_weights
from plainfilm.models.registry import check_sizes

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,79}$")
_STEM = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9._+ -]{0,78}[A-Za-z0-9_+-])?$")  # Windows drops a space or dot at the end
_NAMES_ARE = "letters, digits, '.', '_', '+' and '-', at most 80, the first a letter or digit"
_BETWEEN_FAULTS = re.compile(r"; (?=[\w.]+: )")  # as joined by make_config; runs share most of their faults
SEED, FOLD = "train.seed", "data.fold"
_PER_CLASS = "data.per_class"
_SKIP, _GRID = "skip", "grid"
_OWN_KEYS = ("about", _GRID, "configurations")
_Overrides = dict[str, Any]
_Axes = dict[str, list[Any]]  # dotted key -> its values


class About(BaseModel):
    """Short texts that describe an experiment; `test_set` names the images in the log of test-set accesses."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    title: str = ""
    command: str = ""
    hardware: str = ""
    time: str = ""
    expected: str = ""
    test_set: str = ""


@dataclass(frozen=True)
class Planned:
    """One run: the names of its configuration and folder, its config, and why it is skipped unless requested."""

    configuration: str
    folder: str
    cfg: ExperimentConfig
    skip: str = ""


@dataclass(frozen=True)
class Experiment:
    """A checked experiment file; `planned` is in running order, with all repeats of a configuration together."""

    path: Path
    about: About
    planned: list[Planned]
    names_data: bool

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def configurations(self) -> list[str]:
        return list(dict.fromkeys(run.configuration for run in self.planned))

    def only(self, names: Sequence[str]) -> list[Planned]:
        """The runs of these configurations; without a name, of all that are not skipped.

        Raises:
            ConfigError: no such configuration.
        """
        unknown = [name for name in names if name not in self.configurations]
        if unknown:
            raise ConfigError(
                f"{self.path} has no configuration {unknown[0]!r}; it has {', '.join(self.configurations)}."
            )
        return [run for run in self.planned if (run.configuration in names if names else not run.skip)]


def read_experiment(path: Path, data: Path | None = None) -> Experiment:
    """The experiment of a YAML file; a file without a grid is a grid of one. `data` overrides data.path.

    Raises:
        ConfigError: the file cannot be read, or some of its configurations are invalid; names every fault.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give one experiment file, e.g. {path / 'smoke.yaml'}.")
    raw = read_yaml(path)
    if not _STEM.match(path.stem):
        raise ConfigError(
            f"The name {path.stem!r} of {path} cannot name a folder; use {_NAMES_ARE}, and spaces inside."
        )
    faults: list[str] = []
    about, grid, configurations = (raw.pop(key, None) for key in _OWN_KEYS)
    for key in sorted(map(str, raw.keys() - ExperimentConfig.model_fields.keys())):
        near = difflib.get_close_matches(key, [*_OWN_KEYS, *ExperimentConfig.model_fields], n=1)
        if near and near[0] in _OWN_KEYS:
            faults.append(f"{key}: unknown key; did you mean {near[0]!r}?")
    described = _about(about, faults)
    axes = _axes(grid, faults)
    rows = _configurations(configurations, faults)
    if faults:
        raise ConfigError(f"{path}: " + "; ".join(faults))
    if data is not None:
        rows = [(name, {**overrides, "data.path": str(data.absolute())}) for name, overrides in rows]
    planned = _plan(path, raw, rows, axes, faults)
    if faults:
        raise ConfigError(f"{path}: " + "; ".join(dict.fromkeys(faults)))
    if all(run.skip for run in planned):
        raise ConfigError(f"{path}: every configuration has a skip, so there is nothing to run; remove one")
    section = raw.get("data")
    named = isinstance(section, Mapping) and bool(section.get("path") or section.get("phantom"))
    return Experiment(path, described, planned, named or all(run.cfg.data.path for run in planned))


def _about(raw: Any, faults: list[str]) -> About:
    try:
        return About.model_validate(raw if raw is not None else {})
    except ValidationError as error:
        for fault in error.errors():
            key = ".".join(("about", *map(str, fault["loc"])))
            known = f"; known: {', '.join(About.model_fields)}" if fault["type"] == "extra_forbidden" else ""
            faults.append(f"{key}: expected a short text{known}" if not known else f"{key}: unknown key{known}")
        return About()


def _axes(raw: Any, faults: list[str], where: str = _GRID) -> _Axes:
    """The axes of a grid; `where`: its name in faults."""
    if raw is None:
        return {}
    if not isinstance(raw, Mapping) or not raw:
        faults.append(f"{where}: found {raw!r}; expected dotted keys with lists, e.g. 'train.seed: [0, 1, 2]'")
        return {}
    axes = {}
    for key, values in raw.items():
        if not isinstance(values, list):
            faults.append(f"{where}.{key}: found {values!r}; expected a list of values, e.g. [{values}]")
        elif not values:
            faults.append(
                f"{where}.{key}: the list is empty, so there is nothing to run; give it a value or remove the key"
            )
        elif twice := [value for i, value in enumerate(values) if value in values[:i]]:
            faults.append(f"{where}.{key}: {twice[0]!r} is listed twice; keep one")
        elif "." not in str(key):
            faults.append(f"{where}.{key}: expected a dotted key, e.g. 'train.{key}'")
        else:
            axes[str(key)] = values
    return axes


def _configurations(raw: Any, faults: list[str]) -> list[tuple[str, _Overrides]]:
    """(name, overrides, with the axes of its own grid) of each; one without any of it if the file lists none."""
    if raw is None:
        return [("", {})]
    if not isinstance(raw, list) or not raw:
        faults.append("configurations: expected a list of at least one, each with a name and dotted keys")
        return []
    found: list[tuple[str, _Overrides]] = []
    for number, entry in enumerate(raw, start=1):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if not isinstance(entry, Mapping) or not isinstance(name, str):
            faults.append(f"configurations, entry {number}: expected a text 'name', found {entry!r}")
            continue
        if not _NAME.match(name):
            faults.append(f"configurations: {name!r} cannot name a folder; use {_NAMES_ARE}")
        if any(name == other and _GRID not in theirs for other, theirs in found) and _GRID not in entry:
            faults.append(f"configurations: two are named {name!r}; each needs its own name")
        overrides = {str(key): value for key, value in entry.items() if key != "name"}
        if not isinstance(overrides.get(_SKIP, "text"), str) or not overrides.get(_SKIP, "text"):
            faults.append(f"configurations, {name}.skip: found {overrides[_SKIP]!r}; expected the reason as a text")
        if _GRID in overrides:
            overrides[_GRID] = _axes(overrides[_GRID], faults, f"configurations, {name}.grid")
        flat = [key for key in overrides if "." not in key and key not in (_SKIP, _GRID)]
        faults += [f"configurations, {name}.{key}: expected a dotted key, e.g. 'train.{key}'" for key in flat]
        found.append((name, overrides))
    return found


def _plan(
    path: Path, raw: dict[str, Any], rows: list[tuple[str, _Overrides]], shared: _Axes, faults: list[str]
) -> list[Planned]:
    planned: list[Planned] = []
    for name, given in rows:
        overrides = {key: value for key, value in given.items() if key not in (_SKIP, _GRID)}
        axes = {**shared, **given.get(_GRID, {})}
        repeats = {key: axes[key] for key in (FOLD, SEED) if key in axes}
        others = {key: values for key, values in axes.items() if key not in repeats}
        clash = sorted(overrides.keys() & axes.keys())
        faults += [f"{key} is in the grid and in the configuration {name!r}; keep one" for key in clash]
        for values in itertools.product(*others.values()):
            chosen = dict(zip(others, values, strict=True))
            for again in itertools.product(*repeats.values()):
                cfg = config_of(path, raw, {**overrides, **chosen, **dict(zip(repeats, again, strict=True))}, faults)
                if cfg is None:
                    continue
                full = "-".join(part for part in (name, *(_part(k, v) for k, v in chosen.items())) if part)
                full = full or cfg.model.name
                fold = f"-fold{cfg.data.fold}" if FOLD in repeats else ""
                planned.append(Planned(full, f"{full}{fold}-seed{cfg.train.seed}", cfg, given.get(_SKIP, "")))
    _refuse_twins(planned, faults)
    return planned


def config_of(path: Path, raw: dict[str, Any], overrides: _Overrides, faults: list[str]) -> ExperimentConfig | None:
    tree = copy.deepcopy(raw)
    for key in (
        key for key, value in overrides.items() if value is None
    ):  # null is a value here, it does not mean "not given"
        *sections, last = key.split(".")
        target = tree
        for section in sections:
            target = target.setdefault(section, {})
        target[last] = None
    try:
        cfg = make_config(tree, copy.deepcopy(overrides), source="")
        check_sizes(cfg.model, cfg.train)
    except ConfigError as error:
        faults += _BETWEEN_FAULTS.split(str(error).removeprefix(": ").rstrip("."))
        return None
    if cfg.data.path:
        absolute = cfg.data.model_copy(update={"path": str(Path(cfg.data.path).absolute())})
        cfg = cfg.model_copy(update={"data": absolute})
    return cfg.model_copy(update={"model": with_absolute_weights(cfg.model)})


def _part(key: str, value: Any) -> str:
    """The part of a name for a grid value: 'compact', 'size_px_128', 'filters_8x16x32', 'per_class_all'."""
    if key == _PER_CLASS and value is None:
        text = "all"
    elif isinstance(value, list):
        text = "x".join(map(str, value))
    elif isinstance(value, bool) or value is None:
        text = {True: "on", False: "off", None: "none"}[value]
    else:
        text = Path(value).stem if isinstance(value, str) and key in ("data.path", "data.split") else str(value)
    text = re.sub(r"[^A-Za-z0-9._+-]+", "_", text).strip("_")
    return text if key == "model.name" else f"{key.rpartition('.')[2]}_{text}"


def _refuse_twins(planned: list[Planned], faults: list[str]) -> None:
    folders: dict[str, Planned] = {}
    configs: dict[str, Planned] = {}
    for run in planned:
        if not _NAME.match(run.folder):
            faults.append(f"{run.folder!r} cannot name a run folder; name it under configurations: with {_NAMES_ARE}")
        if run.folder.casefold() in folders:  # Windows and macOS ignore case in names
            faults.append(f"two runs would be named {run.folder!r}; name them under configurations:")
        resolved = run.cfg.as_yaml()
        if resolved in configs and configs[resolved].folder != run.folder:
            faults.append(f"{configs[resolved].folder} and {run.folder} are the same run; remove one")
        folders.setdefault(run.folder.casefold(), run)
        configs.setdefault(resolved, run)
