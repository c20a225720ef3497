"""The space of a search: which keys may be in it, and the values that a trial may give them."""

from __future__ import annotations

import difflib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from plainfilm.base.json_text import parsed_json
from plainfilm.config import ExperimentConfig
from plainfilm.config.tune import Axis
from plainfilm.experiments.grid import config_of

_MOVES = "it changes which images are in train, valid and test, so that scores would be of different images"
_IDLE = "it changes no select score"
_REFUSED = {
    "train.seed": "the best of several seeds is the luckiest, and the seed also draws the split; confirm varies it",
    "train.keep": "the best epoch's score is compared",
    "train.phases": "give the short keys, such as train.epochs and train.lr",
    "task": "other tasks are refused for now",
    "data.audit": _IDLE, "data.cache": _IDLE, "data.sandbox": _IDLE,
}  # fmt: skip
_PIXELS = ("data.resize", "data.harmonise", "data.requantise")  # of data alone these move no image
_INSIDE = 0.381966  # a place between two bounds at which a whole number shows that none other fits
Values = dict[str, Any]


@dataclass(frozen=True)
class Space:
    """The axes by key; a value is what the config holds, its code what the sampler knows it by: a number, or JSON text
    of a choice."""

    axes: Mapping[str, Axis]

    def encode(self, values: Values) -> dict[str, float | int | str]:
        """The codes of the values that are in the space; others are left out."""
        found = {key: _code(axis, values[key]) for key, axis in self.axes.items() if key in values}
        return {key: code for key, code in found.items() if code is not None}

    def decode(self, codes: Mapping[str, Any]) -> Values:
        """The values of a full set of codes."""
        return {
            key: parsed_json(codes[key], "a choice") if axis.choice else codes[key] for key, axis in self.axes.items()
        }

    @property
    def size(self) -> float:
        """How many configs are in it; inf with a key that takes any number of a range."""
        return math.prod(
            len(axis.choice) if axis.choice else axis.int[1] - axis.int[0] + 1 if axis.int else math.inf
            for axis in self.axes.values()
        )

    def configs(self) -> Iterator[Values]:
        """All configs of a finite space, in order."""
        for values in itertools.product(*(_listed(axis) for axis in self.axes.values())):
            yield dict(zip(self.axes, values, strict=True))


def _listed(axis: Axis) -> Iterator[Any]:
    """The values of a choice or of a range of whole numbers."""
    if axis.int is not None:
        yield from range(axis.int[0], axis.int[1] + 1)
    yield from axis.choice or ()


def _code(axis: Axis, value: Any) -> float | int | str | None:
    """The code of a value; None where it is not on the axis."""
    if axis.choice is not None:
        text = choice_code(value)
        return text if text in map(choice_code, axis.choice) else None
    low, high = axis.int or axis.log or axis.uniform or (0, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        return None
    return value if axis.int is None else int(value) if value == int(value) else None


def choice_code(value: Any) -> str:
    """What the sampler knows a choice by."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, sort_keys=True)


def space_faults(path: Path, raw: dict[str, Any] | None, axes: Mapping[str, Axis]) -> list[str]:
    """What is wrong with a space, in words: unknown keys, keys that no search may vary, and values that the config `raw`
    refuses; None: it is refused itself."""
    keys, faults = list(_keys(ExperimentConfig)), []
    for key, axis in axes.items():
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1)
            known = f"did you mean {near[0]!r}?" if near else "docs/reference/config.md lists them"
            faults.append(f"tune.space.{key}: unknown key; {known}")
        elif why := _why_refused(key):
            faults.append(f"tune.space.{key}: cannot be searched: {why}")
        elif raw is not None:
            faults += _refused_values(path, raw, key, axis)
    return faults


def _why_refused(key: str) -> str:
    if key in _REFUSED:
        return _REFUSED[key]
    if key.startswith("data.") and key not in _PIXELS:
        return _MOVES
    return _IDLE if key.startswith(("evaluate.", "train.speed.", "train.gpu.")) else ""


def _refused_values(path: Path, raw: dict[str, Any], key: str, axis: Axis) -> list[str]:
    """Faults of the values of one key, each set alone in the file's config."""
    for value in ends_of(axis):
        faults: list[str] = []
        cfg = config_of(path, raw, {key: value}, faults)
        if faults:
            return [f"tune.space.{key}: {choice_code(value)} is refused: {faults[0]}"]
        if cfg and axis.choice is None and value_at(cfg, key) != value:
            return [f"tune.space.{key}: {value:g} would set another key (it reads {value_at(cfg, key)!r} then)"]
    return []


def ends_of(axis: Axis) -> tuple[Any, ...]:
    """Every choice, or both ends of a range and, of one that is not of whole numbers, a value inside."""
    low, high = (axis.int or axis.log or axis.uniform or (0, 0))[:2]
    return axis.choice or (low, high, *([low + _INSIDE * (high - low)] if axis.int is None else []))


def as_read(path: Path, raw: dict[str, Any], axes: Mapping[str, Axis], faults: list[str]) -> dict[str, Axis]:
    """The axes with each choice as a config holds it: the absolute path of weights, 0.0 for 0."""
    found = dict(axes)
    for key, axis in axes.items():
        configs = [config_of(path, raw, {key: value}, faults) for value in axis.choice or ()]
        values = [value_at(cfg, key) for cfg in configs if cfg]
        if len(set(map(choice_code, values))) < len(values):
            faults.append(f"tune.space.{key}: two of its values are the same to the config; keep one")
        if axis.choice is not None:
            found[key] = axis.model_copy(update={"choice": tuple(values)})
    return found


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted keys of a config."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _keys(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def value_at(cfg: ExperimentConfig, key: str) -> Any:
    """What a config holds at a dotted key, as JSON has it."""
    found: Any = cfg.model_dump(mode="json")
    for part in key.split("."):
        found = found[part]
    return found
