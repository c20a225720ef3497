"""Strict YAML: text stays text, and numbers are numbers."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from plainfilm.base.files import read_regular
from plainfilm.errors import ConfigError


class _StrictLoader(yaml.SafeLoader):
    """YAML 1.1 made strict: only true/false are booleans, and 1e-3 is a number."""


_LOOSE = ("bool", "float", "int", "timestamp")  # YAML 1.1 reads NO as false, 1e-3 as text, 007 as 7 and 1:30 as 90
_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag.rpartition(":")[2] not in _LOOSE]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _first in (
    ("bool", r"^(true|false)$", "tf"),
    ("int", r"^[-+]?(0|[1-9]\d*)$", "-+0123456789"),
    ("float", r"^[-+]?(\d+\.\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|\d+[eE][-+]?\d+)$", "-+.0123456789"),
):
    _StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


class _StrictDumper(yaml.SafeDumper):
    """Quotes every string that StrictLoader or YAML 1.1 would read as another type, e.g. a class named 1e5."""


_StrictDumper.yaml_implicit_resolvers = {
    first: yaml.SafeDumper.yaml_implicit_resolvers.get(first, []) + _StrictLoader.yaml_implicit_resolvers.get(first, [])
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_StrictLoader.yaml_implicit_resolvers}
}


def _refuse_duplicate_keys(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [key.value for key, _ in node.value]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ConfigError(f"{twice[0]!r} is given twice in one section (line {node.start_mark.line + 1}); keep one.")
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _refuse_duplicate_keys)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: the file is missing, not text, not YAML, or not a mapping.
    """
    try:
        raw = yaml.load(read_regular(path).decode("utf-8"), Loader=_StrictLoader)  # noqa: S506 - StrictLoader is a SafeLoader
    except FileNotFoundError:
        raise ConfigError(f"The config {path} does not exist. Give the path of a YAML file.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"The config {path} is not UTF-8 text. Give the path of a YAML file.") from None
    except OSError as error:
        raise ConfigError(
            f"The config {path} cannot be read ({error.strerror}). Give the path of a YAML file."
        ) from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        raise ConfigError(
            f"The config {path} is not valid YAML{line}. Compare it with experiments/phantom.yaml."
        ) from None
    if not isinstance(raw, dict):
        raise ConfigError(f"The config {path} holds {type(raw).__name__}; expected sections such as 'train:'.")
    return raw


def dump_yaml(value: dict[str, Any]) -> str:
    """`value` as YAML text; read_yaml() reads it back unchanged, keys in the order given."""
    return yaml.dump(value, Dumper=_StrictDumper, sort_keys=False, allow_unicode=True, width=sys.maxsize)
