"""The model card as HTML: its Markdown without HTML of its own, links or images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

# With these off, what would be a link, an image or a tag is text: a card cannot lead or load anywhere.
_OFF = ("html_block", "html_inline", "link", "image", "autolink", "reference")
_SCROLLS = '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>\n'


def as_html(markdown: str) -> str:
    """HTML for the body of a page, without the metadata before it; text of others, such as a class name, is escaped."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(_OFF)
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", _table_close)
    tokens = parser.parse(_without_metadata(markdown))
    for token in tokens:
        token.attrs.pop("style", None)  # of an aligned column; the page's content policy refuses inline styles
    html: str = parser.renderer.render(tokens, parser.options, {})
    return html


def _without_metadata(markdown: str) -> str:
    """The text below the front matter: lines between two of '---' that are for model hubs."""
    head, fence, rest = markdown.partition("\n---\n")
    return rest if fence and head.startswith("---\n") else markdown


def _table_open(renderer: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    """A table that is wider than the page scrolls by itself."""
    return _SCROLLS


def _table_close(renderer: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    return "</table></div>\n"
