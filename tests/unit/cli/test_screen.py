"""What is printed: whole words and names at any width, whole lines in a pipe, and nothing a second time."""

from __future__ import annotations

import io

import pytest
from rich.table import Table

from plainfilm.cli.screen import Screen

PATH = "/home/ada/a folder/" + "of-a-long-study/" * 6 + "one film.png"
NOTE = "NOTE: " + "a note of some length that goes on " * 5 + "ends"


def printed(*objects: object, said: set[str] | None = None, **options: object) -> list[str]:
    file = io.StringIO()
    screen = Screen(said or set(), file=file)
    for each in objects:
        screen.print(each, **options)
    return file.getvalue().splitlines()


def table(*rows: tuple[str, str, str]) -> Table:
    out = Table(box=None, pad_edge=False)
    for name in ("file", "what it is", "n"):
        out.add_column(name, no_wrap=name == "file", justify="right" if name == "n" else "left")
    for row in rows:
        out.add_row(*row)
    return out


def test_a_pipe_gets_each_line_whole(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    words = "a cell with a sentence that has no end " * 5
    assert printed(NOTE, table((PATH, words.strip(), "1"))) == [
        NOTE,
        f"{'file':{len(PATH)}}  {'what it is':{len(words) - 1}}  n",
        f"{PATH}  {words.strip()}  1",
    ]


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_narrow_screen_breaks_between_words_only(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = printed(NOTE)
    assert len(lines) > 1 and max(map(len, lines)) <= width and " ".join(lines) == NOTE
    word = "precision_recall_test.png" * 5  # wider than every screen here
    assert printed(f"see {word} there") == ["see", word, "there"]
    assert printed(PATH, soft_wrap=True) == [PATH]
    assert printed("- " + "so on " * 20)[1][:4] in ("  so", "  on")


def test_a_narrow_table_narrows_its_sentences_and_keeps_its_words_and_names(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    short, words = "heat map of one.png", "a sentence that may be broken wherever a word of it comes to its end"
    lines = printed(table((short, words, "117")))
    assert max(map(len, lines)) <= 60 and len(lines) == 4
    assert lines[1].startswith(f"{short}  a sentence") and lines[1].endswith("  117")
    wide = printed(table((PATH, words, "117")))  # wider than the screen: the terminal breaks it, not we
    (row,) = [line for line in wide if line.startswith(PATH)]
    assert row == f"{PATH}  a         117"  # as narrow as 'sentence', its longest word


def test_what_was_said_and_a_note_given_twice_are_left_out():
    assert printed(NOTE, "By sex:", NOTE, "By sex:", "Run: x", said={"Run: x"}) == [NOTE, "By sex:", "By sex:"]


@pytest.mark.parametrize("columns", ["0", "-5", "", "\u00b2", "9" * 5000, "wide"])
def test_an_odd_number_of_columns_is_none(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    stream = io.StringIO()
    Screen(set(), file=stream).print("word " * 100)
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("width", range(20, 60))
def test_an_interval_stays_on_one_line(width):
    stream = io.StringIO()
    text = "AUROC above the best shortcut probe: -0.179 [-0.897, +0.540], p 0.438, at 0.5 [0.323, 0.929]"
    Screen(set(), file=stream, width=width, force_terminal=True, color_system=None).print(text)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width and " ".join(lines) == text
    assert all(line.count("[") == line.count("]") for line in lines)
