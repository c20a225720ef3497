"""PGM and PPM: the values of netpbm's own definition, worked out by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from plainfilm.data.errors import DecodeError
from plainfilm.data.image import pnm
from plainfilm.data.image.cheap import may_cost
from plainfilm.data.image.decode import DecodeSpec, decode_bytes, inspect, load


def grey(text: bytes) -> list[list[int]]:
    return np.asarray(load(text)).tolist()


def deep_png(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values.astype(np.uint16)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("text", "pixels"),
    [
        (b"P5 3 2 255\n\x00\x01\x02\x7f\xfe\xff", [[0, 1, 2], [127, 254, 255]]),
        (b"P2 3 2 255\n0 1 2\n127 254 255\n", [[0, 1, 2], [127, 254, 255]]),
        (b"P2\n# a comment 9 9\n3 # another\n2\n255\n0 1 # 7 7\n2 127\n254\t255", [[0, 1, 2], [127, 254, 255]]),
        (b"P2 3 1 15\n0 5 15", [[0, 85, 255]]),  # 5/15 of white
        (b"P5 3 1 100\n\x00\x32\x64", [[0, 128, 255]]),  # 127.5, and halves go to the even number
        (b"P2 4 1 1023\n0 1 1000 1023", [[0, 0, 249, 255]]),  # 0.249; 249.27
        (b"P5 3 1 4095\n\x00\x00\x08\x00\x0f\xff", [[0, 128, 255]]),  # 2048 * 255 / 4095 = 127.53
        (b"P5 1 1 1\n\x01", [[255]]),
    ],
)
def test_grey_values_are_a_share_of_maxval(text: bytes, pixels: list[list[int]]) -> None:
    assert grey(text) == pixels


def test_colour_is_read_as_text_and_binary() -> None:
    wanted = [[[255, 0, 85], [17, 34, 51]]]
    assert grey(b"P3 2 1 15\n15 0 5  1 2 3") == wanted
    assert grey(b"P6 2 1 255\n\xff\x00\x55\x11\x22\x33") == wanted


def test_16_bit_colour_keeps_its_high_bytes_and_is_refused_when_shallow() -> None:
    """As a PNG: 0x80ff is 128. With 12 bits in use every pixel would be below 16."""
    assert grey(b"P6 1 1 65535\n\x80\xff\x40\x00\x00\x07") == [[[128, 64, 0]]]
    assert inspect(b"P6 1 1 65535\n\x80\xff\x40\x00\x00\x07").depth == 16
    assert grey(b"P3 1 1 4095\n 4095 2048 0") == [[[255, 128, 0]]]
    with pytest.raises(DecodeError, match="E_BITS: 16-bit colour with at most 14 bits"):
        load(b"P6 1 1 65535\n\x0f\xff\x00\x00\x00\x00")


def test_16_bits_are_those_of_a_png_of_the_same_values() -> None:
    """A maxval of 65535 is written whatever is used of it: 12 bits in use are 12 bits, by --bits or measured."""
    values = np.array([[0, 1, 2048], [4095, 300, 17]])
    png, pgm = deep_png(values), b"P5 3 2 65535\n" + values.astype(">u2").tobytes()
    text = b"P2 3 2 65535\n" + " ".join(map(str, values.ravel())).encode()
    facts = [inspect(data) for data in (png, pgm, text)]
    assert {fact.deep_max for fact in facts} == {4095} and {fact.depth for fact in facts} == {16}
    assert len({fact.content for fact in facts}) == 1
    for data in (pgm, text):
        found = decode_bytes(data, DecodeSpec(8, bits=12))
        np.testing.assert_array_equal(found, decode_bytes(png, DecodeSpec(8, bits=12)))
        with pytest.raises(DecodeError, match="E_BITS"):
            decode_bytes(data, DecodeSpec(8))


def test_a_stated_depth_needs_no_bits_and_is_a_fact() -> None:
    fact = inspect(b"P5 1 1 4095\n\x0f\xff")
    assert (fact.depth, fact.deep_max, fact.mode, fact.grey) == (12, None, "L", True)
    assert decode_bytes(b"P5 1 1 4095\n\x0f\xff", DecodeSpec(4)).tolist() == [[255] * 4] * 4


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"P5 3 2 255\n\x00\x01\x02\x7f\xfe", "E_CORRUPT"),  # one byte short
        (b"P2 3 2 255\n0 1 2 127 254", "E_CORRUPT"),
        (b"P2 3 1 255\n0 one 2", "E_CORRUPT"),
        (b"P2 3 1 255\n0 -1 2", "E_CORRUPT"),
        (b"P2 3 1 255\n0 1.5 2", "E_CORRUPT"),
        (b"P2 1 1 9\n10", "E_VALUES"),
        (b"P5 1 1 9\n\x0a", "E_VALUES"),
        (b"P5 1 1 9\n\x09P5 1 1 9\n\x09", "E_FRAMES"),
        (b"P5 1 1 70000\n\x00", "E_"),
        (b"P5 0 1 255\n", "E_"),
        (b"P5 -1 1 255\n\x00", "E_"),
        (b"P5 1", "E_"),
        (b"P5", "E_FORMAT"),
        (b"P5 9000 9000 255\n\x00", "E_LARGE"),
        (b"P2 5000 5000 255\n0 0", "E_LIMIT"),  # 25 million numbers as text
        (b"P4\n8 1\n\xff", "E_FORMAT"),
        (b"Pf\n1 1\n-1.0\n\0\0\0\0", "E_FORMAT"),
        (b"P5 hello", "E_"),
    ],
)
def test_what_is_no_whole_image_is_refused(text: bytes, code: str) -> None:
    with pytest.raises(DecodeError) as caught:
        load(text)
    assert caught.value.code.startswith(code)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.sampled_from([b"P2 ", b"P3 ", b"P5 ", b"P6\n", b"P5#"]))
def test_any_bytes_are_an_image_or_a_decode_error(rest: bytes, magic: bytes) -> None:
    try:
        image = load(magic + rest)
    except DecodeError:
        return
    assert image.width * image.height > 0


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 65534), st.integers(1, 5), st.integers(1, 5), st.randoms(use_true_random=False))
def test_text_and_binary_are_one_image(top: int, width: int, height: int, random) -> None:
    values = [random.randint(0, top) for _ in range(width * height)]
    head = f"{width} {height} {top}\n".encode()
    binary = b"P5 " + head + np.array(values, ">u2" if top > 255 else np.uint8).tobytes()
    text = b"P2 " + head + b" ".join(str(value).encode() for value in values)
    wanted = [round(value * 255 / top) for value in values]
    assert np.asarray(load(binary)).ravel().tolist() == wanted
    assert np.asarray(load(text)).ravel().tolist() == wanted


def test_a_large_file_is_decoded_apart() -> None:
    assert not may_cost(b"P5 2 2 255\n" + bytes(4))
    assert may_cost(b"P5 4001 4000 255\n" + bytes(16_004_000))


def test_only_the_four_kinds_are_taken_for_pnm() -> None:
    assert [n for n in range(10) if pnm.is_pnm(f"P{n}\n1 1 255\n".encode())] == [2, 3, 5, 6]
    assert not pnm.is_pnm(b"P50 1 1") and not pnm.is_pnm(b"PyP 1 1")


@pytest.mark.parametrize("head", ["4 4 0", "12345678901234567890 4 255", "4 4 70000", "4 x 255", "4"])
def test_a_header_that_is_none_is_said_as_a_fact(head: str) -> None:
    with pytest.raises(DecodeError, match="maxval of 1 to 65535 are expected"):
        load(f"P5\n{head}\n".encode() + bytes(16))
