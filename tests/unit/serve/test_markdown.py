"""A model card becomes blocks; what others wrote into it stays text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from plainfilm.export.model_card import _plain
from plainfilm.serve.markdown import _spans, blocks


def test_headings_lists_tables_and_text():
    found = blocks("# One\n\ntwo\nthree\n\n- a\n- b **c**\n\n| x | y |\n|---|---:|\n| 1 | `2` |\n\n```\n# raw\n```\n")
    assert [(block.kind, block.level) for block in found] == [
        ("heading", 1), ("text", 0), ("list", 0), ("table", 0), ("code", 0)
    ]  # fmt: skip
    assert found[1].rows == [[[("text", "two three")]]]
    assert found[2].rows == [[[("text", "a")]], [[("text", "b "), ("strong", "c")]]]
    assert found[3].rows == [[[("text", "x")], [("text", "y")]], [[("text", "1")], [("code", "2")]]]
    assert found[4].rows == [[[("text", "# raw")]]]


def test_an_open_fence_loses_nothing():
    assert blocks("```\nleft") == blocks("```\nleft\n```")


@given(
    st.text(
        st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")),
        min_size=1,
        max_size=60,
    )
)
def test_a_class_name_in_a_card_is_shown_as_it_is(name: str):
    """What the card escapes, the page takes back: in a list, and in a cell of a table."""
    if name != name.strip():
        name = f"x{name}x"
    line = blocks(f"- Class: {_plain(name)}.")
    assert line[0].rows == [[[("text", f"Class: {name}.")]]]
    table = blocks(f"| a | {_plain(name)} |\n|---|---|\n| 1 | 2 |")
    assert table[0].rows[0] == [[("text", "a")], [("text", name)]]


def test_html_is_text():
    assert _spans("<b>&lt;b&gt; \\*\\*x\\*\\*") == [("text", "<b><b> **x**")]
