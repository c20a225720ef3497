"""The little Markdown that a model card is written in, as blocks that a template escapes and shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

Span = tuple[Literal["text", "strong", "code"], str]
SPANS = re.compile(r"\*\*(.+?)\*\*|`([^`]+)`")
HEADING = re.compile(r"(#{1,4}) +(.+)")
ITEM = re.compile(r"[-*] +(.+)")
RULE = re.compile(r"\|?[\s:|-]+\|[\s:|-]*")


@dataclass(frozen=True)
class Block:
    """A heading (`level` 1..4), paragraph, list, table or preformatted text; `rows` are its lines, each a row of cells."""

    kind: Literal["heading", "text", "list", "table", "code"]
    rows: list[list[list[Span]]] = field(default_factory=list)
    level: int = 0


def spans(text: str) -> list[Span]:
    """Plain, strong and code pieces of a line."""
    found: list[Span] = []
    at = 0
    for match in SPANS.finditer(text):
        if match.start() > at:
            found.append(("text", text[at : match.start()]))
        found.append(("strong", match[1]) if match[1] is not None else ("code", match[2]))
        at = match.end()
    if at < len(text):
        found.append(("text", text[at:]))
    return found


def blocks(markdown: str) -> list[Block]:
    """The blocks of a text; what is no known form is a paragraph, nothing is left out, no HTML is understood."""
    return list(_blocks(markdown.splitlines()))


def _kind(line: str) -> str:
    if not line.strip():
        return "gap"
    if HEADING.fullmatch(line):
        return "heading"
    if ITEM.match(line):
        return "list"
    return "table" if line.lstrip().startswith("|") else "text"


def _blocks(lines: list[str]) -> Iterator[Block]:
    plain: list[str] = []
    fenced = False
    for line in [*lines, "```"] if lines.count("```") % 2 else lines:
        if line.startswith("```"):
            if fenced:
                yield Block("code", [[[("text", text)]] for text in plain])
            else:
                yield from _unfenced(plain)
            plain, fenced = [], not fenced
        else:
            plain.append(line)
    yield from _unfenced(plain)


def _unfenced(lines: list[str]) -> Iterator[Block]:
    for kind, group in groupby(lines, _kind):
        run = list(group)
        if kind == "heading":
            for line in run:
                marks, text = HEADING.fullmatch(line).groups()  # type: ignore[union-attr] # _kind matched it
                yield Block("heading", [[spans(text)]], len(marks))
        elif kind == "list":
            yield Block("list", [[spans(ITEM.match(line)[1])] for line in run])  # type: ignore[index]
        elif kind == "table":
            yield Block("table", [_cells(line) for line in run if not RULE.fullmatch(line.strip())])
        elif kind == "text":
            yield Block("text", [[spans(" ".join(line.strip() for line in run))]])


def _cells(line: str) -> list[list[Span]]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [spans(cell.replace("\\|", "|").strip()) for cell in re.split(r"(?<!\\)\|", inner)]
