"""One walk through a JPEG for all who walk: it sees what libjpeg sees, and a cheap file has one frame for everyone."""

from __future__ import annotations

import contextlib
import io
import struct

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from plainfilm.data.dicom.codestream import coded_size
from plainfilm.data.image.cheap import may_cost
from plainfilm.data.image.jpeg_markers import markers


def jpeg(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((height, width), 9, np.uint8)).save(file, "JPEG")
    return file.getvalue()


HONEST, HIDDEN = jpeg(40, 24), jpeg(99, 77)


def segment(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, kind, 2 + len(body)) + body


def read_markers(data: bytes) -> list[tuple[int, int]]:
    """A byte at a time, as next_marker() and skip_variable() of libjpeg's jdmarker.c do."""
    at, found = 2, []
    while True:
        while data[at : at + 1] not in (b"\xff", b""):
            at += 1
        while data[at : at + 1] == b"\xff":
            at += 1
        if at >= len(data) or data[at] == 0xD9:
            return found
        kind = data[at]
        at += 1
        if kind == 0 or 0xD0 <= kind <= 0xD7:
            continue
        found.append((kind, at - 2))
        if kind not in (0x01, 0xD8):
            at += max(2, int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big"))


def decoded_size(data: bytes) -> tuple[int, int]:
    """Width and height as a reader takes them that skips no segment but by its length."""
    at = next(at for kind, at in read_markers(data) if kind in FRAMES)
    height, width = struct.unpack_from(">HH", data, at + 5)
    return width, height


FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# what an attacker puts before, between and around segments: padding, bytes of no marker, kinds that one reader skips
# and another does not, lengths that are too short, and whole frames within a body
KINDS = st.sampled_from([0x01, 0x02, 0xBF, *range(0xC0, 0x100)])
BODIES = st.sampled_from([b"", b"\0" * 9, b"\xff\xda", b"\xff" * 5, HIDDEN[2:], HIDDEN[2:-2], b"MPF\0", b"Exif\0\0"])
PARTS = st.one_of(
    st.builds(segment, KINDS, BODIES),
    st.builds(lambda kind: bytes([0xFF, kind]), KINDS),
    st.sampled_from([b"\xff", b"\xff\xff", b"\xff\0", b"\0", b"\xff\xe0\0\0", b"\xff\xfe\0\1", HIDDEN[2:-2]]),
)
PLACES = [i for i in range(2, len(HONEST)) if HONEST[i] == 0xFF and HONEST[i + 1] not in (0, 0xFF)]


@settings(max_examples=200, deadline=None)
@given(st.lists(PARTS, max_size=4).map(b"".join), st.sampled_from(PLACES), st.integers(2, len(HONEST)))
@example(b"", 2, len(HONEST))
@example(segment(0xFF, HIDDEN[2:]), 2, len(HONEST))
@example(segment(0xC8, HIDDEN[2:]), 2, len(HONEST))
@example(segment(0xF0, HIDDEN[2:]), 2, len(HONEST))
def test_every_walk_sees_the_markers_of_libjpeg_and_a_cheap_file_has_one_size(part: bytes, at: int, end: int) -> None:
    data = HONEST[:at] + part + HONEST[at:end]
    assert list(markers(data)) == read_markers(data)
    if not may_cost(data):
        kinds = [kind for kind, _ in read_markers(data)]
        assert sum(kind in FRAMES for kind in kinds[: kinds.index(0xDA)]) == 1
        assert coded_size(data)[::-1] == decoded_size(data)
        with contextlib.suppress(OSError, SyntaxError, struct.error):  # refused by Pillow: nothing is decoded
            assert Image.open(io.BytesIO(data)).size == decoded_size(data)


def test_padding_junk_and_false_lengths_by_hand() -> None:
    data = b"\xff\xd8\xff\xff\xfe\0\3\xdaxx\xff\0\xff\xd3\xff\x01\xff\xe0\0\0\xff\xdb\0\2\xff\xd9\xff\xc0\0\2"
    assert list(markers(data)) == [(0xFE, 3), (0x01, 14), (0xE0, 16), (0xDB, 20)]
    assert list(markers(b"\xff\xd8" + b"\xff" * 99)) == list(markers(b"\xff\xd8\xff\xd9")) == []


def test_what_is_read_from_an_honest_file() -> None:
    """Its own tables, comments and profiles keep a file cheap; one byte of padding does not."""
    for kind in (0xFE, 0xE2, 0xED, 0xDB):
        body = bytes([0]) + b"\1" * 64 if kind == 0xDB else b"text"
        assert not may_cost(HONEST[:2] + segment(kind, body) + HONEST[2:])
    assert not may_cost(HONEST) and may_cost(HONEST[:2] + b"\xff" + HONEST[2:])
