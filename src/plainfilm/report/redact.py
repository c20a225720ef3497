"""The command and the config of a run, without paths, file names or any other word that could identify a person.

A value is shown only if its option and its form are known to be harmless; every other word becomes a placeholder. A
word missing from these lists is therefore hidden, never shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from plainfilm.config import OPTIONS, SPEED_SWITCHES, ConfigOption, ExperimentConfig

_COMMANDS = {"train", "resume", "experiments run"}
_PLAIN = re.compile(r"[0-9A-Za-z.>=%+-]{1,24}", re.ASCII)
_NUMBER = r"[0-9.eE+%-]{1,24}"

# Options of those commands that set no config key: what a value must be to be shown, and what is shown instead.
_FLAGS = {"--offline", "--json", "-q", "--quiet", "-v", "--verbose", "--dry-run", "--open-test"}
_OTHERS = {
    **dict.fromkeys(("--max-minutes", "--checkpoint-minutes", "--jobs"), (_NUMBER, "VALUE")),
    "--device": ("auto|cpu|cuda|mps", "VALUE"), "--without": ("|".join(SPEED_SWITCHES), "VALUE"),
    "--out": ("", "OUT"), "--config": ("", "CONFIG.yaml"), "--data": ("", "DATA"),
}  # fmt: skip


def _harmless(option: ConfigOption) -> str:
    """The pattern of values of an option that may be shown: its words, numbers where it is one, and what it names."""
    kinds = [*map(re.escape, option.words), *([_NUMBER] if option.number else []), option.option.harmless]
    return "|".join(kind for kind in kinds if kind)


_BY_NAME = {name: option for option in OPTIONS.values() for name in option.names}
_FLAGS |= {name for name, option in _BY_NAME.items() if option.is_flag}
_VALUES = _OTHERS | {
    name: (_harmless(option), option.option.hides or "VALUE")
    for name, option in _BY_NAME.items()
    if not option.is_flag and name.startswith("--")
}
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
