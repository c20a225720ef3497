"""The bytes of a table become header and rows, whatever program wrote them, and what is unusual is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from plainfilm.data.csv.dialect import read_rows

Refusal = Callable[..., str]
PLAIN = "path,label\na.png,A\nb.png,B\n"
ROWS = [["a.png", "A"], ["b.png", "B"]]


def table(folder: Path, data: bytes) -> Path:
    path = folder / "list.csv"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "notes"),
    [
        (PLAIN.encode(), ()),
        (b"\xef\xbb\xbf" + PLAIN.encode(), ()),
        (PLAIN.replace("\n", "\r\n").encode(), ()),
        (PLAIN.replace("\n", "\r").encode(), ("The table was read as text with lines that end in CR.",)),
        (PLAIN.replace(",", ";").encode(), ("The table was read as text separated by semicolons.",)),
        (PLAIN.replace(",", "\t").encode(), ("The table was read as text separated by tabs.",)),
        (PLAIN.replace(",", "|").encode(), ("The table was read as text separated by vertical bars.",)),
        (b"sep=,\r\n" + PLAIN.encode(), ("The table was read as text separated by commas.",)),
        (b'"sep=;"\n' + PLAIN.replace(",", ";").encode(), ("The table was read as text separated by semicolons.",)),
        (b"sep=\t\n" + PLAIN.replace(",", "\t").encode(), ("The table was read as text separated by tabs.",)),
        (b"\xff\xfe" + PLAIN.encode("utf-16-le"), ("The table was read as UTF-16 text.",)),
        (b"\xfe\xff" + PLAIN.encode("utf-16-be"), ("The table was read as UTF-16 text.",)),
        (
            b"\xff\xfe" + PLAIN.replace(",", "\t").encode("utf-16-le"),
            ("The table was read as UTF-16 text separated by tabs.",),
        ),
        (b"path,label,\na.png,A,\nb.png,B,\n", ("Empty cells after the last column of the table are ignored.",)),
        (b"path,label\na.png,A,\nb.png,B, ,\n", ("Empty cells after the last column of the table are ignored.",)),
        (b"\n" + PLAIN.encode(), ()),
        (PLAIN.encode() + b",\n,,\n", ()),  # rows without a cell, as spreadsheets leave them
    ],
)
def test_each_way_of_writing_gives_the_same_rows(tmp_path: Path, data: bytes, notes: tuple[str, ...]):
    found = read_rows(table(tmp_path, data))
    assert found.header == ["path", "label"]
    assert [cells for _, cells in found.rows] == ROWS
    assert found.notes == notes


def test_what_is_no_utf8_is_read_as_cp1252_and_that_is_said(tmp_path: Path):
    text = "path,label\nM\u00fcller.png,\u0152d\u00e8me\nb.png,\u20ac\n"
    found = read_rows(table(tmp_path, text.encode("cp1252")))
    assert [cells for _, cells in found.rows] == [["M\u00fcller.png", "\u0152d\u00e8me"], ["b.png", "\u20ac"]]
    assert found.notes == ("The table was read as cp1252 text.",)
    assert read_rows(table(tmp_path, text.encode())).rows == found.rows
    assert read_rows(table(tmp_path, text.encode())).notes == ()


@pytest.mark.parametrize(
    ("text", "header", "first"),
    [
        ("path,label\na.png,x;y\n", ["path", "label"], ["a.png", "x;y"]),
        ("path,label\na.png,x|y\nb.png,z|y\n", ["path", "label"], ["a.png", "x|y"]),
        ("path;label;dose, mg\na.png;A;1,5\n", ["path", "label", "dose, mg"], ["a.png", "A", "1,5"]),
        ("path;label, final\na.png;A\n", ["path", "label, final"], ["a.png", "A"]),
        ("path,label;final\na.png,A\n", ["path", "label;final"], ["a.png", "A"]),
        ('path;"a;b"\na.png;"x;y"\n', ["path", "a;b"], ["a.png", "x;y"]),
        ("path\tlabel\na.png\tmild, left\n", ["path", "label"], ["a.png", "mild, left"]),
        ('path,label\n"a, b.png","say ""ah"""\n', ["path", "label"], ["a, b.png", 'say "ah"']),
        ("path\na.png\n", ["path"], ["a.png"]),
    ],
)
def test_the_separator_is_that_of_the_header_and_of_every_row(
    tmp_path: Path, text: str, header: list[str], first: list[str]
):
    found = read_rows(table(tmp_path, text.encode()))
    assert (found.header, found.rows[0][1]) == (header, first)


def test_lines_are_those_of_the_file(tmp_path: Path):
    assert [line for line, _ in read_rows(table(tmp_path, b"sep=;\n\npath;label\na;A\n\nb;B\n")).rows] == [4, 6]
    assert [line for line, _ in read_rows(table(tmp_path, b'path,label\n"a\nb",A\nc,B\n')).rows] == [3, 4]


def test_a_column_that_holds_something_stays_without_a_name(tmp_path: Path):
    assert read_rows(table(tmp_path, b",path,label,\n0,a,A,\n1,b,B,x\n")).header == ["", "path", "label", ""]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty. Expected a first line path,label[,patient][,split], and one row per image"),
        (b"path,label\n", "has a header but no rows"),
        (b"path,label\na.png,A,x\n", "row 2 has 3 cells, the header 2 ('path,label'). Quote separators inside cells"),
        (b"My study\npath,label\na.png,A\n", "row 2 has 2 cells, the header 1 ('My study')"),
        (b"path,label\na.png,A\n\nb.png\n", "row 4 has 1 cells, the header 2"),
        (b'path,label\na.png,"A\nb.png,B\n', "cannot be read as CSV from line 2 on"),
        (
            b'path,label\na.png,A\nb.png,"A\nc.png,B\n',
            "from line 3 on (unexpected end of data). Is a quote never closed?",
        ),
        (b"path,label\n\x00\x01\x02,A\n", "is no text (UTF-8, UTF-16 and cp1252 were tried)"),
        (b"\xe9\x01\x02\x03,label\n", "is no text"),
        (b"\xff\xfe\x00", "is no text"),
        (b"\xff\xfe\x00\x00p\x00\x00\x00", "is no text"),  # UTF-32
        (PLAIN.encode("utf-16-le"), "is no text"),
        (
            b"PK\x03\x04",
            "is a ZIP archive or an Excel workbook. Expected a folder of class folders, DATA/<class>/<images>",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, refusal: Refusal, data: bytes, said: str):
    assert said in refusal(lambda: read_rows(table(tmp_path, data)))


def test_a_file_that_is_gone_is_named(tmp_path: Path, refusal: Refusal):
    assert "gone.csv cannot be read (No such file" in refusal(lambda: read_rows(tmp_path / "gone.csv"))


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("gbk", "\u6b63\u5e38 \u80ba\u708e"),
        ("gbk", "\u9633 \u9634"),
        ("cp1251", "\u0414\u0430 \u041d\u0435\u0442"),
        ("euc-kr", "\uc815\uc0c1 \ud3d0\ub834"),
        ("big5", "\u6b63\u5e38 \u80ba\u708e"),
        ("cp1251", "\u043d\u043e\u0440\u043c\u0430 \u043f\u043d\u0435\u0432\u043c\u043e\u043d\u0438\u044f"),
        (
            "cp1253",
            "\u03c6\u03c5\u03c3\u03b9\u03bf\u03bb\u03bf\u03b3\u03b9\u03ba\u03cc \u03c0\u03bd\u03b5\u03c5\u03bc\u03bf\u03bd\u03af\u03b1",
        ),
    ],
)
def test_text_of_another_script_is_not_read_as_cp1252(tmp_path: Path, refusal: Refusal, encoding: str, words: str):
    normal, sick = words.split()
    text = f"path,label\na.png,{normal}\nb.png,{sick}\n"
    said = refusal(lambda: read_rows(table(tmp_path, text.encode(encoding))))
    assert "is in an encoding that is not known" in said and "Save it as UTF-8" in said and "\n" not in said
    assert [cells[1] for _, cells in read_rows(table(tmp_path, text.encode())).rows] == [normal, sick]


def test_words_of_western_languages_stay_cp1252(tmp_path: Path):
    words = [
        "Gr\u00f6\u00dfe",
        "\u00abfa\u00e7ade\u00bb",
        "a\u00e7\u00f5es",
        "\u2018na\u00efve\u2019\u2026",
        "37,5\u00a0\u00b0C",
        "\u00c5\u00c4\u00d6 3",
        "a" + "\u00a0" * 4 + "b",
        "\u2014" * 4,
        "\u201e\u00e4\u201d\u00a0\u2013",
        "j\u00e4\u00e4\u00e4\u00e4r",  # Estonian: the edge of the ice
    ]
    text = "path;label\n" + "".join(f"{i}.png;{word}\n" for i, word in enumerate(words))
    found = read_rows(table(tmp_path, text.encode("cp1252")))
    assert [cells[1] for _, cells in found.rows] == words
