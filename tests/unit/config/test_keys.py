"""One table of keys and options: what it says of each key, and that an option is spelled there alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from typer.main import get_command

from plainfilm.cli.main import app
from plainfilm.config import OPTIONS, load_config
from plainfilm.config.keys import Option, Section, key, options_of

SRC = Path(__file__).parents[3] / "src"
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SRC.rglob("*.py")))
COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]


class Inner(Section):
    rate: float | Literal["auto"] = key(0.5, "A rate.", Option("--rate", "Training"), unit="share", gt=0)
    bits: Literal[8, 16] | None = key(None, "Bits.", Option("--bits", "Data", unset="measured"), unit="bits")


class Outer(Section):
    quiet: bool = key(True, "Says little.", Option("--hush/--no-hush", "Output"))
    silent: int = key(3, "Has no option.", unit="none")
    inner: Inner = Inner()


def test_the_table_holds_what_the_fields_say():
    found = {option.key: option for option in options_of(Outer)}
    assert list(found) == ["quiet", "inner.rate", "inner.bits"]
    quiet, rate, bits = found.values()
    assert (quiet.is_flag, quiet.names, quiet.number, quiet.words) == (True, ["--hush", "--no-hush"], None, ())
    assert (rate.number, rate.words, rate.unit, rate.help, rate.default) == (float, ("auto",), "share", "A rate.", 0.5)
    assert (bits.number, bits.words, bits.default) == (int, (), None)


def test_the_bounds_of_a_key_hold():
    with pytest.raises(ValueError, match="greater than 0"):
        Inner(rate=0)


@pytest.mark.parametrize("name", ["--norm", "--label-smoothing", "--per-class", "--exclude", "--lr-ratio", "--augment"])
def test_an_option_is_spelled_in_one_place(name: str):
    assert TEXT.count(f'"{name}"') == 1


def test_each_option_is_on_commands_that_exist():
    for option in OPTIONS.values():
        assert set(option.option.on) <= set(COMMANDS), option.key
        for command in option.option.on:
            names = {name for param in COMMANDS[command].params for name in [*param.opts, *param.secondary_opts]}
            assert set(option.names) <= names


def test_a_free_text_says_what_a_report_may_show():
    for option in OPTIONS.values():
        if option.alternatives == (str,):
            assert option.option.hides or option.option.harmless, option.key


def test_the_defaults_of_the_table_are_those_of_the_config():
    cfg = load_config().model_dump()
    for dotted, option in OPTIONS.items():
        value: Any = cfg
        for part in dotted.split("."):
            value = value[part]
        assert value == option.default
