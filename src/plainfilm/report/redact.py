"""The command and the config of a run, without paths, file names or any other word that could identify a person.

A value is shown only if its option and its form are known to be harmless; every other word becomes a placeholder. A
word missing from these lists is therefore hidden, never shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from plainfilm.config import NUMBER, OPTIONS, OTHER_OPTIONS, ExperimentConfig, Option

_COMMANDS = {"train", "resume", "experiments run"}
_PLAIN = re.compile(r"[0-9A-Za-z.>=%+-]{1,24}", re.ASCII)


def _harmless(option: Option, words: Sequence[str] = (), *, number: bool = False) -> str:
    """The pattern of values of an option that may be shown: its words, numbers where it is one, and what it names."""
    kinds = [*map(re.escape, words or option.words), *([NUMBER] if number else []), option.harmless]
    return "|".join(kind for kind in kinds if kind)


def _shown_values() -> Iterator[tuple[str, tuple[str, str]]]:
    """Name of each option with a value: what the value must be to be shown, and what is shown instead."""
    for found in OPTIONS.values():
        pattern = _harmless(found.option, found.words, number=found.number is not None)
        yield from ((name, (pattern, found.option.hides or "VALUE")) for name in found.names if not found.is_flag)
    for option in _OTHERS:
        yield from ((name, (_harmless(option), option.hides or "VALUE")) for name in option.each_name if option.metavar)


_OTHERS = [option for option in OTHER_OPTIONS if _COMMANDS & set(option.on)]
_FLAGS = {name for found in OPTIONS.values() if found.is_flag for name in found.names}
_FLAGS |= {name for option in _OTHERS if not option.metavar for name in option.each_name}
_VALUES = {name: shown for name, shown in _shown_values() if name.startswith("--")}
NOT_A_COMMAND = "not known: the run was made from Python, not from the command line"


def redacted_command(argv: Sequence[Any]) -> str | None:
    """The command with placeholders for words that may identify a place or a person; None if it is not a known command."""
    words = [str(word) for word in argv[1:]]
    name = " ".join(words[:2]) if words[:1] == ["experiments"] else "".join(words[:1])
    if name not in _COMMANDS:
        return None
    shown, left = ["plainfilm", name], words[len(name.split()) :]
    positional = iter({"train": ["DATA"], "resume": ["RUN"], "experiments run": ["EXPERIMENT.yaml"]}[name])
    while left:
        word = left.pop(0)
        option, joined, value = word.partition("=")
        if not option.startswith("-"):
            shown.append(next(positional, "WORD"))
        elif option in _FLAGS:
            shown.append(option)
        elif option not in _VALUES:
            shown.append("--OPTION")
            if not joined and left:
                left.pop(0)
                shown.append("VALUE")
        elif joined or left:
            shown += [option, _value(option, value if joined else left.pop(0))]
    return " ".join(shown)


def _value(option: str, value: str) -> str:
    harmless, hidden = _VALUES[option]
    if not harmless or not re.fullmatch(harmless, value, re.ASCII):
        return hidden
    return f"'{value}'" if ">" in value else value


def redacted_config(cfg: ExperimentConfig, *, names: bool) -> list[tuple[str, str]]:
    """Every setting and its value, by section; texts other than plain words are shown only with `names`."""
    flat = _flat(cfg.model_dump(mode="json"))
    drawn = cfg.data.path is None
    return [(key, _setting(key, value, names=names)) for key, value in flat.items() if drawn or "phantom" not in key]


def _flat(tree: dict[str, Any], at: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _flat(value, f"{at}{key}.") if isinstance(value, dict) else {f"{at}{key}": value}
    return found


def _setting(key: str, value: Any, *, names: bool) -> str:
    if isinstance(value, list):
        return "; ".join(
            ", ".join(f"{k} {v}" for k, v in item.items()) if isinstance(item, dict) else str(item) for item in value
        )
    if value is None or isinstance(value, bool):
        return {None: "not set", True: "yes", False: "no"}[value]
    if not isinstance(value, str) or names or key == "data.positive":
        return str(value)
    option = OPTIONS.get(key)
    if option and option.option.hides:
        return value if value in option.words else "(in config.yaml)"
    named = option and option.option.harmless and re.fullmatch(option.option.harmless, value, re.ASCII)
    return value if named or _PLAIN.fullmatch(value) else "(in config.yaml)"
