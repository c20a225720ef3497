"""Options that set config keys: made from the fields of the config, and the config that they make."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from plainfilm.base.files import from_home, tidy
from plainfilm.cli import completion
from plainfilm.cli.parameters import option_parameter, stands_for
from plainfilm.config import OPTIONS, PANELS, ConfigOption, ExperimentConfig, experiment_file, load_config
from plainfilm.errors import UsageError

ConfigKeys = dict[str, Any]


def takes_config_options(
    command: str, panel: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Puts the options of `command` in place of its function's parameter `keys`, which gets the dict for config_from.

    Args:
        panel: where `--help` lists them; None: each in its own panel.
    """
    made = sorted(
        (option for option in OPTIONS.values() if command in option.option.on),
        key=lambda option: PANELS.index(option.option.panel),
    )

    def read(values: dict[str, Any]) -> ConfigKeys:
        return {option.key: _read(option, values[_name(option)]) for option in made}

    return stands_for("keys", [_parameter(option, panel or option.option.panel) for option in made], read)


def _typer_option(key: str, panel: str) -> Any:
    """The option of a config key as typer declares it."""
    option = OPTIONS[key]
    return typer.Option(
        option.option.names, metavar=option.option.metavar, help=option.help + _default(option), show_default=False,
        autocompletion=_completion(option), rich_help_panel=panel,
    )  # fmt: skip


def _name(option: ConfigOption) -> str:
    return option.key.replace(".", "__")


def _parameter(option: ConfigOption, panel: str) -> inspect.Parameter:
    kind: Any = bool if option.is_flag else option.number if option.number and not option.words else str
    return option_parameter(_name(option), Annotated[kind | None, _typer_option(option.key, panel)], None)


def _default(option: ConfigOption) -> str:
    """' [default: 64]', escaped for rich; '' for a flag that is off."""
    value = option.default
    if isinstance(value, bool):
        text = option.names[0].removeprefix("--") if value else ""
    else:
        text = option.option.unset if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return f" \\[default: {text}]" if text else ""


def _completion(option: ConfigOption) -> Callable[[str], list[str]] | None:
    if option.key == "model.name":
        return completion.networks
    return completion.of(option.words) if option.words else None


def _read(option: ConfigOption, text: Any) -> Any:
    """The value for the config to validate: of a number or a word the number, where it is one."""
    if not isinstance(text, str) or option.number is None or text in option.words:
        return text
    if option.number is float:
        try:
            return float(text)
        except ValueError:
            return text
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        expected = f"expected {' or '.join(option.words)}, or a number from 1."
        raise UsageError(f"{option.names[0]} {text!r} is not a number of {option.unit}; {expected}")
    return int(text)


def reading_from(keys: ConfigKeys) -> dict[str, Any]:
    """The given keys of the section data, without its name: how other images than the run's own are read."""
    return {key.removeprefix("data."): value for key, value in keys.items() if value is not None}


def config_from(
    data: Path | None, config: Path | None, keys: ConfigKeys, *, template: bool = False
) -> ExperimentConfig:
    """The config of a command line: the file overridden by options; without DATA and file, the phantom experiment.

    Args:
        keys: dotted keys and values; None was not given.
        template: it is to be printed, so that without DATA and file it is that of images of the user's own.
    """
    path = config if config or data or template else experiment_file("phantom.yaml")
    found = {key: _located(OPTIONS.get(key), value) for key, value in keys.items()}
    return load_config(path, {**found, "data.path": str(tidy(from_home(data))) if data else None})


def _located(option: ConfigOption | None, value: Any) -> Any:
    """A path from the working directory made absolute: the config may be used from another one."""
    if option is None or not option.option.path or value is None or value in (*option.words, ""):
        return value
    if option.option.path == "file":
        return str(Path(value).absolute()) if Path(value).is_file() else value
    return str(from_home(value).absolute())
