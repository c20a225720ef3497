"""What one key of the config is: value, text, unit, and the option that sets it. Each is said once, beside the field.

The options of the command line, the reference page and what a report hides are made from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

Panel = Literal["Data", "Split", "Network", "Weights", "Training", "Speed", "Output"]
PANELS: tuple[Panel, ...] = get_args(Panel)

TRAIN = ("train",)
LEARNS = ("train", "lr-find")
SPLITS = ("train", "lr-find", "split", "init")
DECODES = ("train", "lr-find", "audit")
READS = ("train", "lr-find", "audit", "split", "init")
LISTS = (*READS, "evaluate")  # of evaluate: how the images of --external are listed and labelled


class Section(BaseModel):
    """Base of all parts of a config."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Option:
    """The option that sets a key, or one of `OTHER_OPTIONS`.

    names: '--norm', or '--cache/--no-cache' for a flag that is on by default; without '--' it is an argument.
    panel: where `--help` lists it.
    on: the commands that take it.
    metavar: what `--help` shows for its value; a flag needs none.
    unset: what is done without a value, where the default is None.
    words: the words it may hold beside a path or pattern, of a key that is any text; a Literal names its own.
    path: 'file': the path of a file that exists; 'any': every value that is none of the words.
    harmless: a pattern of values that a report may show, beside the words and plain numbers.
    hides: what a report shows in place of a value that could identify a person.
    """

    names: str
    panel: Panel
    on: tuple[str, ...] = TRAIN
    metavar: str | None = None
    unset: str = ""
    words: tuple[str, ...] = ()
    path: Literal["file", "any", ""] = ""
    harmless: str = ""
    hides: str = ""

    @property
    def each_name(self) -> list[str]:
        """['--cache', '--no-cache']: every name, the one that sets it first."""
        return self.names.split("/")


@dataclass(frozen=True)
class ConfigOption:
    """An option with what its key says of it."""

    key: str
    option: Option
    help: str
    unit: str
    default: Any
    alternatives: tuple[Any, ...] = field(repr=False)  # types and literal values that the key may hold

    @property
    def names(self) -> list[str]:
        """Every name of the option, the one that sets it first."""
        return self.option.each_name

    @property
    def words(self) -> tuple[str, ...]:
        """Words that it may hold."""
        return self.option.words + tuple(value for value in self.alternatives if isinstance(value, str))

    @property
    def number(self) -> type[int] | type[float] | None:
        """The type of the numbers that it may hold; None: it holds no number."""
        if float in self.alternatives:
            return float
        whole = (int in self.alternatives) or any(type(value) is int for value in self.alternatives)
        return int if whole else None

    @property
    def is_flag(self) -> bool:
        """Whether it is given without a value."""
        return self.alternatives == (bool,)


def key(default: Any, description: str, option: Option | None = None, *, unit: str = "", **bounds: Any) -> Any:
    """A field of a section; `...` as default: it must be given. `bounds` are those of pydantic's Field."""
    about = {"unit": unit, "option": option}
    return Field(
        default,
        description=description,
        json_schema_extra={name: value for name, value in about.items() if value},  # type: ignore[misc]
        **bounds,
    )


def options_of(model: type[BaseModel], prefix: str = "") -> Iterator[ConfigOption]:
    """The options of all keys of a config, in the order of the keys."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from options_of(info.annotation, f"{prefix}{name}.")
        elif option := _option_of(info):
            extra: Any = info.json_schema_extra
            yield ConfigOption(
                f"{prefix}{name}", option, info.description or "", extra.get("unit", ""), info.default,
                tuple(_alternatives(info.annotation)),
            )  # fmt: skip


def _option_of(info: FieldInfo) -> Option | None:
    """The option that sets this field; most fields of a network have none."""
    extra: Any = info.json_schema_extra
    return extra.get("option") if isinstance(extra, dict) else None


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Types and literal values of an annotation, without None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin is Literal:
        yield from get_args(annotation)
    elif get_args(annotation) and origin is not tuple:
        for part in get_args(annotation):
            yield from _alternatives(part)
    elif annotation is not type(None):
        yield annotation
