"""Strict YAML: text stays text, and numbers are numbers."""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from plainfilm.base.files import read_regular
from plainfilm.base.sanitize import found_value
from plainfilm.errors import ConfigError

_LARGEST = 1024 * 1024  # bytes; the largest experiment of ours has 4,000
_DEEPEST = 20
_DIGITS = 20  # a 64-bit integer and its sign
_TEXT = "tag:yaml.org,2002:str"
_MEND = "Correct or delete it."
_EVENTS = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # it is asked for events only
_T = TypeVar("_T")


class _RefusedError(yaml.YAMLError):
    """What YAML allows and a config never needs, in words."""

    def __init__(self, what: str, mark: Any) -> None:
        super().__init__(what)
        self.what, self.problem_mark = what, mark


class _StrictLoader(yaml.SafeLoader):
    """YAML 1.1 made strict: only true/false are booleans, 1e-3 is a number, and nothing stands for anything else."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node, unless it is an alias, has an anchor or a type of its own, or is nested too deeply."""
        event = self.peek_event()
        if getattr(event, "anchor", None) is not None:
            raise _RefusedError(
                f"the anchor or alias {found_value(event.anchor)}; write the value out", event.start_mark
            )
        if getattr(event, "tag", None) not in (None, _TEXT):
            raise _RefusedError(f"the tag {found_value(event.tag)}; write the plain value", event.start_mark)
        if self.depth >= _DEEPEST:
            raise _RefusedError(f"more than {_DEEPEST} levels", event.start_mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


# YAML 1.1 reads NO as false, 1e-3 as text, 007 as 7 and 1:30 as 90; '<<' merges sections, and '=' is a type of its own
_LOOSE = ("bool", "float", "int", "timestamp", "merge", "value")
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


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _RefusedError("a key that is no word", key.start_mark)
    twice = sorted(key for key, n in Counter(key.value for key, _ in node.value).items() if n > 1)
    if twice:
        raise _RefusedError(f"{found_value(twice[0])} is given twice in one section", node.start_mark)
    return loader.construct_mapping(node, deep=True)


def _number(loader: _StrictLoader, node: yaml.ScalarNode) -> int | float:
    text = str(node.value)
    whole = node.tag.endswith(":int")
    if whole and len(text) > _DIGITS:
        raise _RefusedError(f"a number of {len(text)} digits", node.start_mark)
    value = int(text) if whole else float(text)
    if not math.isfinite(value):
        raise _RefusedError(f"the number {found_value(text)}, which is infinite", node.start_mark)
    return value


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping)
for _tag in ("int", "float"):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _number)


def read_yaml(path: Path, what: str = "config") -> dict[str, Any]:
    """The mapping in a YAML file; `what`: its name in errors.

    Raises:
        ConfigError: the file is missing, not text, not YAML, not a mapping, or larger, deeper or cleverer than a config.
    """
    try:
        data = read_regular(path, _LARGEST + 1)
    except FileNotFoundError:
        raise ConfigError(f"The {what} {path} does not exist. Give the path of a YAML file.") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigError(f"The {what} {path} cannot be read ({why}). {_hint(what)}") from None
    return parsed_yaml(data, path, what)


def parsed_yaml(data: bytes, path: Path, what: str = "config") -> dict[str, Any]:
    """The mapping in the bytes of a YAML file; raises as read_yaml(), which names `path`. An empty card has no fields."""
    raw = _made(data, path, what, lambda text: yaml.load(text, Loader=_StrictLoader))  # noqa: S506 - it is a SafeLoader
    if raw is None and what != "config":
        return {}  # nothing but comments: no field is filled
    if not isinstance(raw, dict):
        expected = "sections such as 'train:'." if what == "config" else f"fields, NAME: 'TEXT'. {_MEND}"
        raise ConfigError(f"The {what} {path} holds {type(raw).__name__}; expected {expected}")
    return raw


def yaml_texts(data: bytes, path: Path) -> dict[str, str]:
    """The scalars of a YAML mapping as they are written, by dotted key, without lists and nulls; raises as parsed_yaml().

    For one line about each of many runs: with libyaml, a tenth of the time of parsed_yaml().
    """
    return _made(data, path, "config", lambda text: _texts(yaml.parse(text, Loader=_EVENTS)))


def _made(data: bytes, path: Path, what: str, make: Callable[[str], _T]) -> _T:
    if len(data) > _LARGEST:
        raise ConfigError(f"The {what} {path} is larger than {_LARGEST:,} bytes. {_hint(what)}")
    try:
        return make(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise ConfigError(f"The {what} {path} is not UTF-8 text. {_hint(what)}") from None
    except yaml.YAMLError as error:
        raise _refusal(path, error, what) from None


def _hint(what: str) -> str:
    return "Give the path of a YAML file." if what == "config" else _MEND


def _texts(events: Iterable[yaml.Event]) -> dict[str, str]:
    found: dict[str, str] = {}
    keys: list[str | None] = []  # of each mapping that is open, '' where the next scalar is a key; None for a list
    for event in events:
        if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) not in (None, _TEXT):
            raise _RefusedError("an anchor, alias or tag; write the value out", event.start_mark)
        if isinstance(event, yaml.ScalarEvent) and keys and keys[-1] == "":
            keys[-1] = event.value
            continue
        if isinstance(event, yaml.ScalarEvent) and None not in keys and not _is_null(event):
            found[".".join(map(str, keys))] = event.value
        if isinstance(event, yaml.CollectionStartEvent):
            if keys and keys[-1] == "":
                raise _RefusedError("a key that is no word", event.start_mark)
            keys.append("" if isinstance(event, yaml.MappingStartEvent) else None)
        elif isinstance(event, yaml.CollectionEndEvent):
            keys.pop()
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionEndEvent) and keys and keys[-1] is not None:
            keys[-1] = ""
        if len(keys) > _DEEPEST:
            raise _RefusedError(f"more than {_DEEPEST} levels", event.start_mark)
    return found


def _is_null(event: yaml.ScalarEvent) -> bool:
    return bool(event.implicit[0]) and event.value in ("null", "~", "")


def _refusal(path: Path, error: yaml.YAMLError, what: str) -> ConfigError:
    where = getattr(error, "problem_mark", None)
    line = f" at line {where.line + 1}" if where else ""
    end = "" if what == "config" else f" {_MEND}"
    if isinstance(error, _RefusedError):
        return ConfigError(f"The {what} {path} is not valid YAML for plainfilm{line}: {error.what}.{end}")
    compare = "Compare it with experiments/phantom.yaml." if what == "config" else f"Put each text between quotes.{end}"
    return ConfigError(f"The {what} {path} is not valid YAML{line}. {compare}")


def dump_yaml(value: dict[str, Any]) -> str:
    """`value` as YAML text; read_yaml() reads it back unchanged, keys in the order given."""
    return yaml.dump(value, Dumper=_StrictDumper, sort_keys=False, allow_unicode=True, width=sys.maxsize)
