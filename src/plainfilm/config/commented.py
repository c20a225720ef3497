"""A config as a YAML file for people: the keys that matter, each with a comment, and proposals that are commented out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from plainfilm.base.sanitize import visible
from plainfilm.config.experiment import ExperimentConfig
from plainfilm.config.strict_yaml import dump_yaml

_LONGEST = 200  # characters of a comment
_CLAUSE = re.compile(r"^.*?(?=[.;:](?:\s|$)|$)")
_DERIVED = "phases"  # the short keys say it


@dataclass(frozen=True)
class Remark:
    """What is said beside a key. `instead`: other values that may be right, each with its reason; none is applied."""

    text: str = ""
    instead: tuple[tuple[Any, str], ...] = ()


def commented_yaml(cfg: ExperimentConfig, head: Sequence[str], remarks: Mapping[str, Remark]) -> str:
    """YAML text that load_config() reads as `cfg`, whatever the names in it hold.

    Args:
        head: lines of the comment at the top.
        remarks: by dotted key, of the keys to write; a key that is not there is written where its value is no default.
    """
    lines = [f"# {_one_line(line)}" if line else "#" for line in head]
    for name, info in type(cfg).model_fields.items():
        section = getattr(cfg, name)
        if not isinstance(section, BaseModel):
            lines += _key(name, section, _remark(name, info, remarks), indent="") if name in remarks else []
            continue
        inside = list(_section(name, section, remarks))
        lines += ["", f"{name}:", *inside] if inside else []
    return "\n".join(lines) + "\n"


def _section(section: str, values: BaseModel, remarks: Mapping[str, Remark]) -> Iterator[str]:
    for name, info in type(values).model_fields.items():
        value, dotted = getattr(values, name), f"{section}.{name}"
        if name == _DERIVED or isinstance(value, BaseModel):
            continue
        if dotted in remarks or value != info.default:
            yield from _key(name, value, _remark(dotted, info, remarks), indent="  ")


def _remark(dotted: str, info: FieldInfo, remarks: Mapping[str, Remark]) -> Remark:
    """The remark on a key; without a text, the first clause of what the key is described with."""
    found = remarks.get(dotted, Remark())
    if found.text:
        return found
    clause = _CLAUSE.match(info.description or "")
    text = clause.group() if clause else ""
    return Remark(text[:1].lower() + text[1:], found.instead)


def _key(name: str, value: Any, remark: Remark, *, indent: str) -> Iterator[str]:
    yield f"{indent}{name}: {_scalar(value)}  # {_one_line(remark.text)}"
    for other, why in remark.instead:
        yield f"{indent}# {name}: {_scalar(other)}  # {_one_line(why)}"


def _scalar(value: Any) -> str:
    """A value on one line, as YAML; a text that would need several is quoted with escapes."""
    if isinstance(value, str) and visible(value) != value:
        return f'"{"".join(_escaped(c) for c in value)}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_scalar, value))}]"
    return dump_yaml({"x": value}).removeprefix("x: ").rstrip("\n")


def _escaped(character: str) -> str:
    """A character between double quotes in YAML."""
    plain = character not in '"\\' and visible(character) == character
    return character if plain else f"\\U{ord(character):08x}"


def _one_line(text: str) -> str:
    seen = visible(" ".join(text.split()))
    return seen if len(seen) <= _LONGEST else f"{seen[:_LONGEST]}\u2026"
