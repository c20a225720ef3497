"""A model card becomes HTML; what others wrote into it stays text."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainfilm.export.model_card import _plain
from plainfilm.serve.markdown import as_html

SEEN = st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
TAGS = {
    "h1", "h2", "h3", "h4", "h5", "h6", "p", "ul", "ol", "li", "strong", "em", "code", "pre", "blockquote", "hr", "br",
    "div", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text by the innermost tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
        self.texts.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        where, before = self.texts[-1] if self.texts else ("", "")
        if self.texts and where == (self.open[-1] if self.open else ""):
            self.texts[-1] = (where, before + data)
        else:
            self.texts.append((self.open[-1] if self.open else "", data))

    def of(self, tag: str) -> list[str]:
        return [text for where, text in self.texts if where == tag]


def test_headings_lists_tables_and_text():
    page = Page(
        as_html("# One\n\ntwo\nthree\n\n- a\n- b **c**\n\n| x | y |\n|---|---:|\n| 1 | `2` |\n\n```\n# raw\n```\n")
    )
    assert (page.of("h1"), page.of("p"), page.of("li"), page.of("strong")) == (
        ["One"], ["two\nthree"], ["a", "b "], ["c"]
    )  # fmt: skip
    assert (page.of("th"), page.of("td"), page.of("code")) == (["x", "y"], ["1", ""], ["2", "# raw\n"])


def test_a_table_scrolls_and_a_keyboard_reaches_it():
    page = Page(as_html("| x |\n|--:|\n| 1 |\n"))
    assert ("div", {"class": "scroll", "tabindex": "0", "role": "group", "aria-label": "Table"}) in page.tags
    assert not any("style" in attributes for _, attributes in page.tags)  # the content policy would refuse it


def test_an_open_fence_loses_nothing():
    assert Page(as_html("```\nleft")).of("code") == ["left"]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>", "<b>bold</b>", "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))", "![a](https://x.y/z.png)",
        "[a](https://x.y)", "<https://x.y>", "https://x.y", "[a][b]\n\n[b]: https://x.y", "<!-- x -->", "<svg/onload=alert(1)>",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["{}", "- {}", "| a |\n|---|\n| {} |", "# {}"])
def test_html_links_and_images_are_text(text: str, place: str):
    page = Page(as_html(place.format(text)))
    assert {tag for tag, _ in page.tags} <= TAGS
    assert text.split("\n")[0] in "".join(shown for _, shown in page.texts)


@given(st.text(st.one_of(st.sampled_from("<>&[]()!`*_#|~-=:/\\\"'\n \t"), SEEN), max_size=200))
def test_no_text_makes_a_tag_or_an_attribute_of_its_own(text: str):
    page = Page(as_html(text))
    assert {tag for tag, _ in page.tags} <= TAGS
    assert {name for _, attributes in page.tags for name in attributes} <= {"class", "tabindex", "role", "aria-label", "start"}  # fmt: skip


@given(st.text(SEEN, min_size=1, max_size=60))
def test_a_class_name_in_a_card_is_shown_as_it_is(name: str):
    """What the card escapes, the page takes back: in a list, and in a cell of a table."""
    if name != name.strip():
        name = f"x{name}x"
    assert Page(as_html(f"- Class: {_plain(name)}.")).of("li") == [f"Class: {name}."]
    assert Page(as_html(f"| a | {_plain(name)} |\n|---|---|\n| 1 | 2 |")).of("th") == ["a", name]
