"""Write the pages of docs/reference/ that are generated from the code: config.md, commands.md, json.md and labels.md.

    python tools/docs_reference.py             # writes the pages
    python tools/docs_reference.py --missing   # config keys whose model gives no description, or no unit

`make docs` runs it; a test compares the committed pages with its output.
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import pkgutil
import re
import sys
import textwrap
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from pydantic import BaseModel
from typer.main import get_command

import plainfilm
from plainfilm.cli import app
from plainfilm.config import OPTIONS, SPEED_SWITCHES, ExperimentConfig, Phase
from plainfilm.config.tune import Axis, TuneConfig
from plainfilm.data.table.kinds import KINDS

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
MADE = "<!-- Made by tools/docs_reference.py (make docs); edit the code, not this page. -->"

Row = tuple[str, ...]


def pages() -> dict[str, str]:
    """Text of each page by file name, the same on every machine and at every terminal width."""
    return {
        "config.md": config_page(),
        "commands.md": commands_page(),
        "json.md": json_page(),
        "labels.md": labels_page(),
    }


def table(head: Row, rows: list[Row]) -> str:
    """A Markdown table without empty columns; a cell must not contain a line break."""
    kept = [i for i in range(len(head)) if i == 0 or any(row[i] for row in rows)]
    head, rows = tuple(head[i] for i in kept), [tuple(row[i] for i in kept) for row in rows]
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def prose(docstring: str | None) -> str:
    """Paragraphs of a docstring, each on one line."""
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(docstring or "").split("\n\n"))


# --- config.md --------------------------------------------------------------------------------------------------------


class Key(NamedTuple):
    """One key of the config as the page shows it; empty where the model says nothing."""

    name: str
    default: str
    allowed: str
    unit: str
    what: str
    option: str


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel], list[Key]]]:
    """Each section of the config: its dotted name, its model and its keys; inner sections after the outer one."""
    schema = model.model_json_schema()
    keys, inner = [], []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            inner.append((f"{prefix}{name}", field.annotation))
            continue
        found = schema["properties"][name]
        default = "required" if field.is_required() else shown(field.default)
        option = OPTIONS.get(f"{prefix}{name}")
        if option and option.option.unset:
            default += f": {option.option.unset}"
        keys.append(
            Key(
                f"{prefix}{name}",
                "the phases that the short keys mean" if name == "phases" else default,
                "a list of phases" if name == "phases" else allowed(found, schema.get("$defs", {})),
                unit_of(name, found),
                field.description or "",
                " / ".join(f"`{option}`" for option in options_of(f"{prefix}{name}")),
            )
        )
    yield prefix.rstrip("."), model, keys
    for name, section in inner:
        yield from keys_of(section, f"{name}.")


def shown(value: object) -> str:
    """A default as a YAML file would hold it."""
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, tuple):
        return "`[" + ", ".join(shown(part).strip("`") for part in value) + "]`"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def allowed(schema: dict[str, Any], models: dict[str, Any]) -> str:
    """What a key may hold, from its JSON schema: choices, bounds, or the type."""
    if "anyOf" in schema:
        return " or ".join(allowed(part, models) for part in schema["anyOf"])
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if "properties" in models[name] else allowed(models[name], models)
    if "enum" in schema or "const" in schema:
        return ", ".join(shown(choice) for choice in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any value")
    if kind == "array" and "prefixItems" in schema:
        parts = [allowed(part, models) for part in schema["prefixItems"]]
        return f"{len(parts)} of: {parts[0]}" if len(set(parts)) == 1 else "list of " + ", ".join(parts)
    if kind == "array":
        return f"list of {allowed(schema['items'], models)}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object, by name: {allowed(schema['additionalProperties'], models)}"
    names = {"boolean": "`true`, `false`", "string": "text", "null": "`null`"}
    return " ".join([names.get(kind, kind), bounds(schema)]).rstrip()


def bounds(schema: dict[str, Any]) -> str:
    """'>= 1, < 2' of a number's schema, '' without bounds."""
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    return ", ".join(f"{sign} {schema[word]:g}" for word, sign in signs.items() if word in schema)


def unit_of(name: str, schema: dict[str, Any]) -> str:
    """Unit that the model states, or that the name ends with; '' for none."""
    return str(schema.get("unit") or ("px" if name.endswith("_px") else ""))


def comments_of(model: type[BaseModel]) -> dict[str, str]:
    """The comment of each field: right before it, and at the end of its lines."""
    source = textwrap.dedent(inspect.getsource(model))
    comments: dict[int, str] = {}
    alone = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("# ")
            if not token.line[: token.start[1]].strip():
                alone.add(token.start[0])
    found = {}
    lines = source.splitlines()
    for number, line in enumerate(lines, start=1):
        field = re.match(r"    (\w+): ", line)
        if not field or field[1] not in model.model_fields:
            continue
        first = last = number
        while first - 1 in alone:
            first -= 1
        while last < len(lines) and lines[last].startswith(("        ", "    )")):
            last += 1
        said = [comments[at] for at in range(first, last + 1) if at in comments]
        said = [text for text in said if not re.fullmatch(r"(fmt|type|noqa)\b.*", text)]
        found[field[1]] = " ".join(said)
    return found


def options_of(key: str) -> list[str]:
    """The option that sets a key, and the one that unsets it; most keys of a network have neither."""
    section, _, name = key.rpartition(".")
    if key in OPTIONS:
        return OPTIONS[key].names
    return [f"--without {name}"] if section == "train.speed" and name in SPEED_SWITCHES else []


def config_page() -> str:
    parts = [
        "# Every key of a config",
        MADE,
        "A config is a YAML file for `plainfilm train --config FILE` and `lr-find`; a grid of `plainfilm experiments run` "
        "holds the same keys ([how-to](../how-to/experiments.md)). Every key may be left out. An unknown key, a wrong type "
        "or a value out of range is an error; all faults are reported at once. `plainfilm train DATA --print-config` prints "
        "the resolved config, and each run keeps it as `config.yaml`; without DATA and a file it prints the defaults for "
        "images of your own, not the experiment on phantoms that `plainfilm train` alone runs. An option of the command "
        "line replaces the value of the file.",
        "The sections `tune` and `tune.confirm` are read by [`plainfilm tune FILE`](../how-to/tune.md) alone, beside the others. "
        "`null` means: not set. The last column names the option that sets the key; the [commands](commands.md) say which takes it.",
    ]
    head = ("key", "default", "allowed", "unit", "what it does", "option")
    sections = list(keys_of(ExperimentConfig))
    after_train = next(i for i, (name, _, _) in enumerate(sections) if name == "train") + 1
    sections.insert(after_train, ("train.phases", Phase, next(keys_of(Phase, "train.phases[]."))[2]))
    sections += [*keys_of(TuneConfig, "tune."), ("Axis", Axis, next(keys_of(Axis, "tune.space.KEY."))[2])]
    for name, model, keys in sections:
        rows = [(f"`{key.name}`", key.default, key.allowed, key.unit, key.what, key.option) for key in keys]
        parts += [f"## {name or 'Top level'}", prose(model.__doc__), table(head, rows)]
    return "\n\n".join(parts) + "\n"


def missing() -> str:
    """Config keys whose model gives no description, and numbers without a unit."""
    keys = [key for _, _, found in keys_of(ExperimentConfig) for key in found]
    bare = [key.name for key in keys if not key.what]
    unitless = [key.name for key in keys if re.search("number|integer", key.allowed) and not key.unit]
    return (
        f"no description ({len(bare)} of {len(keys)}): {', '.join(bare)}\n"
        f"number without a unit ({len(unitless)}): {', '.join(unitless)}"
    )


# --- commands.md ------------------------------------------------------------------------------------------------------


def commands_page() -> str:
    root = get_command(app)
    parts = [
        "# Every command",
        MADE,
        "`plainfilm COMMAND --help` prints the same. `plainfilm`, `python -m plainfilm` and `python cli.py` are one program. "
        "Research use only; not a medical device.",
        "`plainfilm --install-completion` sets up the completion of your shell, `--show-completion` prints it. "
        "See also: [exit codes](exit-codes.md), [the documents of `--json`](json.md), [every key of a config](config.md).",
    ]
    for path, command in [("plainfilm", root), *walk("plainfilm", root)]:
        parts += [f"## {path}", prose(command.help), *help_of(path, command)]
        if command.epilog:
            examples = inspect.cleandoc(command.epilog).partition("\n")[2]
            parts.append(f"```text\n{textwrap.dedent(examples)}\n```")
    return "\n\n".join(parts) + "\n"


def walk(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if hasattr(command, "commands"):
            yield from walk(f"{path} {name}", command)


def help_of(path: str, command: Any) -> list[str]:
    context = command.make_context(path, [], resilient_parsing=True)
    subcommands = getattr(command, "commands", {})
    usage = [path, "[OPTIONS]", *(["COMMAND"] if subcommands else [])]
    usage += [usage_of(param) for param in command.params if param.param_type_name == "argument"]
    parts = [f"```text\n{' '.join(usage)}\n```"]
    if subcommands:
        anchor = f"#{path.replace(' ', '-')}"
        links = [
            (f"[`{name}`]({anchor}-{name})", prose(sub.help).partition("\n")[0]) for name, sub in subcommands.items()
        ]
        parts.append(table(("command", ""), links))
    arguments, options = [], []
    for param in command.params:
        record = param.get_help_record(context)
        if record is None:
            continue
        said, default = without_default(record[1])
        if param.param_type_name == "argument":
            arguments.append((f"`{usage_of(param).strip('[]')}`", "yes" if param.required else "no", said))
        elif "--install-completion" not in param.opts and "--show-completion" not in param.opts:
            options.append((f"`{record[0]}`", default, said))
    if arguments:
        parts.append(table(("argument", "required", ""), arguments))
    if options:
        parts.append(table(("option", "default", ""), options))
    return parts


def usage_of(argument: Any) -> str:
    """RUN, [DATA] or RUNS... as a usage line shows an argument."""
    name = str(argument.metavar or argument.name.upper()).strip("{}[].") + ("..." if argument.nargs != 1 else "")
    return name if argument.required else f"[{name}]"


def without_default(text: str) -> tuple[str, str]:
    """Help text of an option with its bounds, and the default given in brackets at its end."""
    text, default, bounds = " ".join(text.replace("\\[", "[").split()), "", ""
    while found := re.search(r"(?:^| )\[(required|(default: )?[^\[\]]*)\]$", text):
        said = found[1]
        if found[2]:
            default = said.removeprefix("default: ")
        elif said != "required":
            bounds = f" ({said})"
        text = text[: found.start()]
    return (text + bounds).strip(), default


# --- labels.md --------------------------------------------------------------------------------------------------------


def labels_page() -> str:
    """What is done with labels and patients of every kind."""
    rows = [
        (
            kind.found,
            kind.where,
            f"{kind.action}, exit code {kind.exit_code}",
            kind.option and f"`{kind.option}`",
            re.sub(r"\{(\w+)\}", r"`\1`", re.sub(r"\{(\w+)![rs]\}", r"'`\1`'", kind.words)),
        )
        for kind in KINDS
    ]
    return "\n".join(
        [
            "# Labels and patients",
            "",
            MADE,
            "",
            "Labels and patient cells of DATA are checked as a set, before any image is read. They are compared without the",
            "spaces around them. `--keep-label` and `--labels-as-text` keep text as it is.",
            "",
            table(("kind", "where", "action", "option", "words"), rows),
            "",
            "Said where it is found: masks and folders named like splits ([folder layouts](../how-to/folders.md)), columns",
            "([tables](../how-to/tables.md)), classes of one patient each ([patients](../how-to/patients.md)).",
            "",
        ]
    )


# --- json.md ----------------------------------------------------------------------------------------------------------


def schema_modules() -> list[ModuleType]:
    """The modules that hold the documents: `plainfilm.schemas*`, modules of a package included."""
    names = [info.name for info in pkgutil.iter_modules(plainfilm.__path__) if info.name.startswith("schemas")]
    found = [importlib.import_module(f"plainfilm.{name}") for name in names]
    for package in [module for module in found if hasattr(module, "__path__")]:
        inner = pkgutil.iter_modules(package.__path__)
        found += [importlib.import_module(f"{package.__name__}.{info.name}") for info in inner]
    return found


def json_page() -> str:
    models = {
        name: value
        for module in schema_modules()
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, BaseModel) and value.model_fields
    }
    order = [path.removeprefix("plainfilm ") for path, _ in walk("plainfilm", get_command(app))]
    documents = {}
    for name, model in models.items():
        command = re.match(
            r"`plainfilm ([a-z -]+?) --json`|The document of `plainfilm ([a-z -]+?) --json`", model.__doc__ or ""
        )
        if command:
            documents[command[1] or command[2]] = name
    parts = [
        "# The documents of `--json`",
        MADE,
        "With `--json` a command prints one JSON document on stdout; everything else goes to stderr. Keys may be added, never "
        "renamed; `schema_version` counts the renames that had to happen anyway. A default in the table means that the key "
        "may be missing in documents of older versions.",
        table(
            ("command", "document"),
            [
                (f"`plainfilm {name}`", f"[{documents[name]}](#{documents[name].lower()})")
                for name in order
                if name in documents
            ],
        ),
    ]
    used: set[str] = set()
    for name in [documents[command] for command in order if command in documents]:
        parts += describe(models[name], used)
    parts.append("The sections below are the blocks that the documents above are made of.")
    for name in sorted(models):
        if name in used and name not in documents.values():
            parts += describe(models[name], used)
    return "\n\n".join(parts) + "\n"


def describe(model: type[BaseModel], used: set[str]) -> list[str]:
    """Heading, text and table of one model; names of the models in it, at any depth, are added to `used`."""
    schema = model.model_json_schema()
    used |= set(schema.get("$defs", {}))
    comments = comments_of(model)
    rows = []
    for name, field in model.model_fields.items():
        default = "" if field.is_required() else shown(field.default)
        what = field.description or comments.get(name, "")
        rows.append((f"`{name}`", allowed(schema["properties"][name], schema.get("$defs", {})), default, what))
    return [f"## {model.__name__}", prose(model.__doc__), table(("key", "holds", "default", ""), rows)]


if __name__ == "__main__":
    if "--missing" in sys.argv[1:]:
        print(missing())
    else:
        for name, text in pages().items():
            (REFERENCE / name).write_text(text, encoding="utf-8")
            print(f"docs/reference/{name}")
