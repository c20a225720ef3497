"""The command and the config of a run, without paths, file names or any other word that could identify a person.

A value is shown only if its option and its form are known to be harmless; every other word becomes a placeholder. A
word missing from these lists is therefore hidden, never shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from plainfilm.config import ExperimentConfig

_COMMANDS = {"train", "resume", "experiments run"}
_FLAGS = {
    "--freeze", "--class-weights", "--harmonise", "--standardise", "--drop-duplicates", "--follow-links", "--tiff", "--cache",
    "--no-cache", "--audit", "--no-audit", "--allow-leak", "--offline", "--json", "-q", "--quiet", "-v", "--verbose",
    "--dry-run", "--open-test",
}  # fmt: skip
_PLAIN = re.compile(r"[0-9A-Za-z.>=%+-]{1,24}", re.ASCII)
_NUMBER = re.compile(r"[0-9.eE+%-]{1,24}", re.ASCII)
_NUMBERS = {
    "--epochs", "--size", "--batch-size", "--seed", "--folds", "--fold", "--bits", "--frame", "--requantise",
    "--per-class", "--max-bad", "--threads", "--max-minutes", "--checkpoint-minutes", "--freeze-epochs", "--lr-ratio",
    "--label-smoothing", "--clip", "--ema", "--jobs",
}  # fmt: skip
_WORDS = {
    "--split": {"patient", "official", "image", "kfold"}, "--weights": {"none", "imagenet"}, "--lr": {"auto"},
    "--balance": {"auto", "none"}, "--augment": {"radiograph", "robust", "strong", "natural", "none"},
    "--keep": {"best", "last"}, "--threshold": {"accuracy", "youden"}, "--threshold-on": {"valid", "valid-shifted"},
    "--resize": {"squish", "pad", "crop"}, "--norm": {"batch", "hold"}, "--device": {"auto", "cpu", "cuda", "mps"},
    "--without": {"allocator", "channels_last", "pool_first", "fused", "plain_tensors", "gather", "grey_augment"},
}  # fmt: skip
_RULE = re.compile(r"(sensitivity|specificity)>=[0-9.]{1,8}", re.ASCII)
_MODEL = re.compile(r"[a-z0-9_-]{1,40}|timm/[a-z0-9_.-]{1,60}", re.ASCII)
_HIDDEN = {
    "--out": "OUT", "--config": "CONFIG.yaml", "--data": "DATA", "--weights": "WEIGHTS", "--split": "SPLIT.csv",
    "--positive": "CLASS", "--patient-pattern": "REGEX", "--exclude": "LIST.csv",
}  # fmt: skip
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
        elif option not in _NUMBERS | _WORDS.keys() | _HIDDEN.keys() | {"--model"}:
            shown.append("--OPTION")
            if not joined and left:
                left.pop(0)
                shown.append("VALUE")
        elif joined or left:
            shown += [option, _value(option, value if joined else left.pop(0))]
    return " ".join(shown)


def _value(option: str, value: str) -> str:
    harmless = (
        value in _WORDS.get(option, ())
        or (option in _NUMBERS | {"--lr", "--threshold"} and _NUMBER.fullmatch(value))
        or (option == "--threshold" and _RULE.fullmatch(value))
        or (option == "--model" and _MODEL.fullmatch(value))
    )
    if not harmless:
        return _HIDDEN.get(option, "VALUE")
    return f"'{value}'" if ">" in value else value


_KEPT_BACK = {"data.path", "data.patient_pattern", "data.exclude"}


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
    harmless = _PLAIN.fullmatch(value) or (key == "model.name" and _MODEL.fullmatch(value))
    if key == "data.split" and value not in _WORDS["--split"]:
        harmless = None
    if key == "model.weights" and value not in _WORDS["--weights"]:
        harmless = None
    return value if harmless and key not in _KEPT_BACK else "(in config.yaml)"
