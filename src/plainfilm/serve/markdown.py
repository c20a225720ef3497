"""The small part of Markdown that model cards use, as blocks that a template escapes and shows."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

_Span = tuple[Literal["text", "strong", "code"], str]
_SPANS = re.compile(r"(?P<escape>\\[!-/:-@\[-`{-~])|\*\*(?P<strong>(?:\\.|[^\\])+?)\*\*|`(?P<code>[^`]+)`")
_HEADING = re.compile(r"(#{1,4}) +(.+)")
_ITEM = re.compile(r"[-*] +(.+)")
_RULE = re.compile(r"\|?[\s:|-]+\|[\s:|-]*")


@dataclass(frozen=True)
class _MarkdownBlock:
    """A heading (`level` 1..4), paragraph, list, table or preformatted text; `rows` are its lines, each a row of cells."""

    kind: Literal["heading", "text", "list", "table", "code"]
    rows: list[list[list[_Span]]] = field(default_factory=list)
    level: int = 0


def _spans(text: str) -> list[_Span]:
    """Plain, strong and code pieces of a line, with backslash escapes and HTML entities resolved."""
    found: list[_Span] = []
    plain, at = "", 0
    for match in _SPANS.finditer(text):
        plain += html.unescape(text[at : match.start()])
        at = match.end()
        if match["escape"]:
            plain += match["escape"][1]
            continue
        if plain:
            found.append(("text", plain))
        plain = ""
        strong = match["strong"]
        found.append(("code", match["code"]) if strong is None else ("strong", _bare(strong)))
    plain += html.unescape(text[at:])
    return [*found, ("text", plain)] if plain else found


def _bare(text: str) -> str:
    return html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text))


def blocks(markdown: str) -> list[_MarkdownBlock]:
    """The blocks of a text; any unknown form becomes a paragraph, nothing is dropped, HTML is not interpreted."""
    return list(_blocks(markdown.splitlines()))


def _kind(line: str) -> str:
    if not line.strip():
        return "gap"
    if _HEADING.fullmatch(line):
        return "heading"
    if _ITEM.match(line):
        return "list"
    return "table" if line.lstrip().startswith("|") else "text"


def _blocks(lines: list[str]) -> Iterator[_MarkdownBlock]:
    plain: list[str] = []
    fenced = False
    for line in [*lines, "```"] if lines.count("```") % 2 else lines:
        if line.startswith("```"):
            if fenced:
                yield _MarkdownBlock("code", [[[("text", text)]] for text in plain])
            else:
                yield from _unfenced(plain)
            plain, fenced = [], not fenced
        else:
            plain.append(line)
    yield from _unfenced(plain)


def _unfenced(lines: list[str]) -> Iterator[_MarkdownBlock]:
    for kind, group in groupby(lines, _kind):
        run = list(group)
        if kind == "heading":
            for line in run:
                marks, text = _HEADING.fullmatch(line).groups()  # type: ignore[union-attr] # _kind matched it
                yield _MarkdownBlock("heading", [[_spans(text)]], len(marks))
        elif kind == "list":
            yield _MarkdownBlock("list", [[_spans(_ITEM.match(line)[1])] for line in run])  # type: ignore[index]
        elif kind == "table":
            yield _MarkdownBlock("table", [_cells(line) for line in run if not _RULE.fullmatch(line.strip())])
        elif kind == "text":
            yield _MarkdownBlock("text", [[_spans(" ".join(line.strip() for line in run))]])


def _cells(line: str) -> list[list[_Span]]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [_spans(cell.strip()) for cell in re.split(r"(?<!\\)\|", inner)]
