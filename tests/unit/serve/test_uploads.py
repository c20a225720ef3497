"""The parts of a body: the same however it is cut, and never more than the caps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from plainfilm.serve.limits import Limits, RefusedError
from plainfilm.serve.memory import Held
from plainfilm.serve.uploads import Upload, drain, read_images

KIND = "multipart/form-data; boundary=cut"
SMALL = Limits(part=100, request=1000, parts=3, held=150)
# Content that looks like the end of a part is the hard case.
CONTENT = st.one_of(
    st.binary(max_size=60), st.sampled_from([b"", b"\r\n--cu", b"\r\n--cut0", b"--cut--\r\n", b"\r", b"\r\n"])
)


def body(images: list[bytes], end: bytes = b"--cut--\r\n") -> bytes:
    head = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="x.png"\r\nContent-Type: image/png\r\n\r\n'
    return b"".join(head + image + b"\r\n" for image in images) + end


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    at = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    yield from (data[a:b] for a, b in pairwise(at))


def parse(data: bytes, places: list[int], limits: Limits, held: Held | None = None) -> list[bytes]:
    upload = Upload(KIND, limits, held or Held(limits.held))
    for chunk in cut(data, places):
        upload.write(chunk)
    return upload.finish()


def outcome(data: bytes, places: list[int], limits: Limits, held: Held) -> tuple[int, list[bytes]]:
    """The status, and the parts of a body that is read; at no time more is held than the caps allow."""
    upload = Upload(KIND, limits, held)
    try:
        for chunk in cut(data, places):
            upload.write(chunk)
            assert held.bytes <= limits.part * limits.parts
        return 200, upload.finish()
    except RefusedError as error:
        return error.status, []
    finally:
        upload.close()


def refusal(data: bytes, limits: Limits = SMALL, kind: str = KIND) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        upload = Upload(kind, limits, Held(limits.held))
        upload.write(data)
        upload.finish()
    assert "\n" not in caught.value.why
    return caught.value


@given(st.lists(CONTENT, min_size=1, max_size=5), st.lists(st.integers(0, 10**6), max_size=12))
@example([b"\r\n--cut-", b"a"], list(range(400)))
def test_any_chunking_gives_the_same_parts(images: list[bytes], places: list[int]):
    assert parse(body(images), places, Limits()) == images


@pytest.mark.parametrize("step", [1, 7])
def test_byte_by_byte_is_the_same(step: int):
    images = [bytes(range(256)), b"\r\n--cu", b""]
    assert parse(body(images), list(range(0, 10**4, step)), Limits()) == images


def test_caps_hold_at_the_byte():
    assert parse(body([b"x" * 100]), [], SMALL) == [b"x" * 100]
    assert refusal(body([b"x" * 101])).status == 413
    assert len(parse(body([b""] * 3), [], SMALL)) == 3
    assert refusal(body([b""] * 4)).status == 413
    whole = body([b"a"])
    exact = Limits(part=100, request=len(whole), parts=3, held=100)
    assert parse(whole, [3], exact) == [b"a"]
    assert refusal(whole, Limits(part=100, request=len(whole) - 1, parts=3, held=100)).status == 413


@given(st.integers(0, 200), st.lists(st.integers(0, 10**6), max_size=8))
def test_a_part_is_never_kept_beyond_its_cap(size: int, places: list[int]):
    held = Held(10**6)
    status, _ = outcome(body([b"x" * size]), places, SMALL, held)
    assert status == (413 if size > SMALL.part else 200)
    assert held.bytes == 0


def test_all_requests_together_hold_no_more_than_their_cap():
    held = Held(SMALL.held)
    first, second = Upload(KIND, SMALL, held), Upload(KIND, SMALL, held)
    first.write(body([b"x" * 100]))
    with pytest.raises(RefusedError) as caught:
        second.write(body([b"y" * 51]))
    assert (caught.value.status, caught.value.retry_after) == (503, 2)
    assert held.bytes == 100
    first.close()
    second.close()
    assert held.bytes == 0
    assert parse(body([b"y" * 51]), [], SMALL, held) == [b"y" * 51]


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"", KIND, 400),
        (b"--cut--\r\n", KIND, 400),
        (body([b"x"], end=b""), KIND, 400),
        (body([b"x"], end=b"--cut"), KIND, 400),
        (b"no boundary at all", KIND, 400),
        (b"--other\r\n\r\nx\r\n--other--\r\n", KIND, 400),
        (b"--cut\r\n" + b"A: b\r\n" * 9 + b"\r\nx\r\n--cut--\r\n", KIND, 400),
        (b"--cut\r\nA: " + b"b" * 5000 + b"\r\n\r\nx\r\n--cut--\r\n", KIND, 400),
        (b"--cut\r\n: \r\n\r\nx\r\n--cut--\r\n", KIND, 400),
        (b"x", "application/json", 415),
        (b"x", "", 415),
        (b"x", "multipart/form-data", 400),
        (b"x", "multipart/form-data; boundary=" + "b" * 71, 400),
        (b"x", "multipart/mixed; boundary=cut", 415),
    ],
)
def test_what_is_no_whole_form_is_refused(data: bytes, kind: str, status: int):
    assert refusal(data, Limits(), kind).status == status


@given(st.binary(max_size=300), st.integers(0, 10**6), st.integers(0, 255), st.lists(st.integers(0, 10**6), max_size=5))
def test_mutated_bodies_are_refused_or_read_never_a_crash(junk: bytes, place: int, byte: int, places: list[int]):
    data = bytearray(body([junk, b"abc"]))
    data[place % len(data)] = byte
    held = Held(10**6)
    status, found = outcome(bytes(data), places, Limits(), held)
    assert status in (200, 400, 413) and held.bytes == 0
    assert sum(map(len, found)) <= len(data)


async def slowly(chunks: list[bytes], seconds: float) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(seconds)
        yield chunk


@pytest.mark.parametrize(("idle", "total"), [(0.05, 5.0), (5.0, 0.2)])
def test_a_slow_body_is_refused(idle: float, total: float):
    """One that says nothing for too long, and one that drips without end."""
    limits = Limits(idle=idle, total=total)
    pause = 0.5 if idle < total else 0.02
    chunks = [bytes([byte]) for byte in body([b"x" * 50])]
    with pytest.raises(RefusedError) as caught:
        asyncio.run(read_images(Upload(KIND, limits, Held(10**6)), slowly(chunks, pause)))
    assert caught.value.status == 408


async def leaving(chunks: int) -> AsyncIterator[bytes]:
    for _ in range(chunks):
        yield b"x" * 10
    raise ClientDisconnect


@pytest.mark.parametrize("chunks", [0, 3])
def test_a_refused_client_may_hang_up_while_its_body_is_dropped(chunks: int):
    asyncio.run(drain(leaving(chunks), 100, 30))


def test_a_body_in_time_is_read():
    limits = Limits(idle=1.0, total=5.0)
    found = asyncio.run(read_images(Upload(KIND, limits, Held(10**6)), slowly([body([b"one", b"two"])], 0.01)))
    assert found == [b"one", b"two"]
