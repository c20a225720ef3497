"""Names in an archive: each is one new place below the folder, on every system, or the whole archive is refused."""

from __future__ import annotations

import ntpath
import posixpath
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plainfilm.data.archives.names import checked_parts
from plainfilm.errors import DataError


def test_ordinary_names_are_taken_as_they_are() -> None:
    names = [
        "a/",
        "a/NORMAL/1.png",
        "a/./SICK//2.png",
        "a\\SICK\\3.png",
        "über/ 4.png",
        "..hidden/5.png",
        "console.png",
    ]
    assert checked_parts(names) == [
        (), ("a", "NORMAL", "1.png"), ("a", "SICK", "2.png"), ("a", "SICK", "3.png"), ("über", " 4.png"),
        ("..hidden", "5.png"), ("console.png",),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["../x.png"], "leads out"), (["a/../../x"], "leads out"), (["a\\..\\x"], "leads out"), (["a/.."], "leads out"),
        (["/etc/x"], "absolute"), (["\\x"], "absolute"), (["C:/x"], "absolute"), (["c:x"], "absolute"), (["\\\\host\\x"], "absolute"),
        (["nul"], "device"), (["a/CON.png"], "device"), (["com1/x.png"], "device"), (["aux .png"], "device"), (["LPT³.txt"], "device"),
        (["a\x00b"], "no name"), (["a\nb"], "no name"), ([""], "no name"), (["./."], "no name"), (["..."], "no name"), (["a/. ./b"], "no name"),
        (["x" * 256], "too long"), (["a/" * 40 + "b"], "too long"), (["ü" * 128], "too long"),
        (["a/1.png", "a/1.png"], "twice"), (["a/1.png", "a//1.png"], "twice"), (["a/1.png", "a\\1.png"], "twice"),
        (["a/1.png", "a/1.PNG"], "one place"), (["NORMAL/1.png", "normal/2.png"], "one place"), (["a./1", "a/2"], "one place"),
        (["\u00e9/1", "e\u0301/2"], "one place"), (["a", "a/b"], "a file of a folder"), (["a/b", "a"], "a file of a folder"), (["a/", "A/1"], "one place"),
        (["a", "a/"], "a file of a folder"), (["a/", "a"], "a file of a folder"),
    ],
)  # fmt: skip
def test_a_name_that_is_no_new_place_below_is_refused(names: list[str], why: str) -> None:
    with pytest.raises(DataError, match=why):
        checked_parts(names)


_PIECES = st.lists(
    st.sampled_from(["a", "a", "b", "A", "..", "", "C:", "nul", "\u00e9", "e\u0301", "a."]), min_size=1, max_size=3
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(_PIECES, st.sampled_from(["/", "\\"])).map(lambda made: made[1].join(made[0])), max_size=4))
@example(["a/b", "a"])
@example(["a", "a\\..\\..\\b"])
def test_whatever_is_taken_lies_below_the_folder_on_every_system(names: list[str]) -> None:
    try:
        found = [parts for parts in checked_parts(names) if parts]
    except DataError:
        return
    for parts in found:
        assert posixpath.normpath(posixpath.join("/root", *parts)).startswith("/root/")
        assert ntpath.normpath(ntpath.join("C:\\root", *parts)).startswith("C:\\root\\")
    same = [unicodedata.normalize("NFC", "/".join(parts)).casefold() for parts in found]
    assert len(set(same)) == len(same)  # no file is written over another
    assert not any(one != other and other.startswith(f"{one}/") for one in same for other in same)
