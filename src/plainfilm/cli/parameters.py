"""A parameter of a command that stands for several options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

_Command = Callable[..., None]


def option_parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    """An option as a parameter of a command: `annotation` is what typer reads."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def stands_for(
    name: str, options: Sequence[inspect.Parameter], make: Callable[[dict[str, Any]], Any]
) -> Callable[[_Command], _Command]:
    """Puts `options` in place of a command's parameter `name`, which gets what `make` makes of their values."""

    def decorate(function: _Command) -> _Command:
        own = inspect.signature(function, eval_str=True).parameters
        parameters: list[inspect.Parameter] = []
        for each, parameter in own.items():
            parameters += options if each == name else [parameter]

        @functools.wraps(function)
        def run(**given: Any) -> None:
            values = {option.name: given.pop(option.name) for option in options}
            function(**given, **{name: make(values)})

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate
