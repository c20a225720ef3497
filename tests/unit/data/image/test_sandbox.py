"""Files made to cost time or memory are one E_LIMIT line each, and the next file goes on; pixels do not depend on where."""

from __future__ import annotations

import io
import struct
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

import plainfilm
from plainfilm.base import child_process
from plainfilm.base.child_process import ChildError, ChildLimits, ChildPool
from plainfilm.config import DataConfig
from plainfilm.data.cache.threads import in_threads
from plainfilm.data.errors import DecodeError
from plainfilm.data.image import costly, png_check, sandbox
from plainfilm.data.image.cheap import may_cost
from plainfilm.data.image.decode import DecodeSpec, decode_bytes, inspect
from plainfilm.data.table.image_table import build_table

SPEC = DecodeSpec(16, bits=16)
NOISE = np.random.default_rng(5).integers(0, 256, (24, 40), dtype=np.uint8)
EXPLICIT, DEFLATED, RLE, JPEG_2000 = (f"1.2.840.10008.1.2.{end}" for end in ("1", "1.99", "5", "4.90"))


def stored(pixels: Any, kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, kind, **how)
    return file.getvalue()


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int = 8, colour: int = 0, extra: bytes = b"") -> bytes:
    row = 1 + -(-width * depth * {0: 1, 2: 3, 6: 4}[colour] // 8)
    packer, left, parts = zlib.compressobj(1), row * height, []
    while left > 0:
        parts.append(packer.compress(bytes(min(left, 1 << 22))))
        left -= 1 << 22
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = b"".join(parts) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", body) + chunk(b"IEND")


def progressive(scans: int, side: int = 64) -> bytes:
    """A JPEG whose last scan is repeated until it has `scans`."""
    jpeg = stored(np.full((side, side), 77, np.uint8), "JPEG", progressive=True)
    starts = [at for at in range(len(jpeg)) if jpeg.startswith(b"\xff\xda", at)]
    last, end = jpeg[starts[-1] : -2], jpeg[-2:]
    return jpeg[:-2] + last * (scans - len(starts)) + end


def dicom(rows: int, columns: int, pixels: bytes, syntax: str = EXPLICIT) -> bytes:
    def element(tag: int, kind: bytes, value: bytes) -> bytes:
        value += b" " * (len(value) % 2)
        length = struct.pack("<xxI" if kind in (b"OB", b"OW") else "<H", len(value))
        return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + kind + length + value

    def words(tag: int, value: int) -> bytes:
        return element(tag, b"US", struct.pack("<H", value))

    body = (
        words(0x280002, 1) + element(0x280004, b"CS", b"MONOCHROME2") + words(0x280010, rows) + words(0x280011, columns)
    )
    body += words(0x280100, 8) + words(0x280101, 8) + words(0x280102, 7) + words(0x280103, 0)
    if syntax == RLE:
        frame = struct.pack("<16L", 1, 64, *[0] * 14) + pixels
        items = struct.pack("<HHL", 0xFFFE, 0xE000, 0) + struct.pack("<HHL", 0xFFFE, 0xE000, len(frame)) + frame
        body += b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + items + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    else:
        body += element(0x7FE00010, b"OB", pixels)
    if syntax == DEFLATED:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = packer.compress(body) + packer.flush()
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    return bytes(128) + b"DICM" + struct.pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid + body


@pytest.fixture(autouse=True)
def usual_mode() -> Iterator[None]:
    yield
    sandbox.use("auto")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChildPool]:
    """Children with 32 MB and half a second."""
    limits = ChildLimits(memory=32 << 20, seconds=0.5)
    pool = ChildPool("plainfilm.data.image.sandbox:work", 1, limits)
    monkeypatch.setattr(sandbox, "_pool", lambda _: pool)
    yield pool
    pool.kill()


RGB = np.dstack([NOISE, NOISE[::-1], NOISE[:, ::-1]])
FILES = {
    "grey": lambda: stored(NOISE, "PNG"),
    "colour": lambda: stored(RGB, "PNG"),
    "alpha": lambda: stored(np.dstack([RGB, NOISE]), "PNG"),
    "grey and alpha": lambda: stored(Image.fromarray(NOISE).convert("LA"), "PNG"),
    "palette": lambda: stored(Image.fromarray(RGB).convert("P"), "PNG"),
    "bits": lambda: stored(Image.fromarray(NOISE).convert("1"), "PNG"),
    "deep": lambda: stored(NOISE.astype(np.uint16) * 257, "PNG"),
    "JPEG": lambda: stored(RGB, "JPEG"),
    "turned": lambda: stored(NOISE, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
    "CMYK": lambda: stored(Image.fromarray(RGB).convert("CMYK"), "JPEG"),
    "progressive": lambda: progressive(40),
    "BMP": lambda: stored(RGB, "BMP"),
    "DICOM": lambda: dicom(24, 40, NOISE.tobytes()),
    "deflated": lambda: dicom(24, 40, NOISE.tobytes(), DEFLATED),
    "damaged": lambda: stored(NOISE, "PNG")[:-40],
    "empty": lambda: b"",
    "text": lambda: b"<html>",
    "no DICOM": lambda: bytes(128) + b"DICM",
}
SPECS = (
    SPEC,
    DecodeSpec(16, channels=3, resize="pad", bits=16),
    DecodeSpec(9, resize="crop", bits=16, harmonise=True, requantise=32),
    DecodeSpec(16, channels=3, bits=None, frame=1),
)


def outcome(work: Any) -> Any:
    try:
        found = work()
    except DecodeError as error:
        return error.code, error.fact, error.why
    return (found.dtype, found.shape, found.tobytes()) if isinstance(found, np.ndarray) else found


@pytest.mark.parametrize("name", FILES)
def test_a_child_gives_the_pixels_the_facts_and_the_errors_of_the_parent(name: str):
    data = FILES[name]()
    sandbox.use("on")
    for spec in SPECS:
        assert outcome(lambda s=spec: sandbox.pixels_of(data, s)) == outcome(lambda s=spec: decode_bytes(data, s))
    for how in (dict(tiff=False, frame=None, key=None), dict(tiff=True, frame=1, key=b"secret")):
        assert outcome(lambda h=how: sandbox.facts_of(data, **h)) == outcome(lambda h=how: inspect(data, **h))


BOMBS = {
    "scans": lambda: progressive(300),
    "chunks": lambda: png(16, 16, extra=chunk(b"tEXt", b"a\0b") * 100_001),
    "wide": lambda: png(64_000_000, 1),
    "high": lambda: png(1, 64_000_000),
    "RLE": lambda: dicom(64, 64, b"\x80" * 200_000, RLE),
    "DICOM side": lambda: dicom(1, 65_001, bytes(65_001)),
}


@pytest.mark.parametrize("mode", ["auto", "on", "off"])
@pytest.mark.parametrize("name", ["scans", "chunks", "wide", "RLE", "DICOM side"])
def test_what_no_image_needs_is_refused_without_decoding_it(name: str, mode: Any):
    sandbox.use(mode)
    with pytest.raises(DecodeError) as found:
        sandbox.pixels_of(BOMBS[name](), SPEC)
    assert found.value.code == "E_LIMIT" and "\n" not in found.value.why
    assert sandbox.pixels_of(stored(NOISE, "PNG"), SPEC).shape == (16, 16)


def test_the_longest_side_itself_is_read():
    assert decode_bytes(png(65_000, 1), SPEC).shape == (16, 16)
    with pytest.raises(DecodeError, match="E_LIMIT: 1 x 65001 pixels; each side may have 65,000"):
        decode_bytes(png(1, 65_001), SPEC)


def test_as_many_scans_and_chunks_as_are_allowed_are_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(costly, "_MOST_SCANS", 40)
    monkeypatch.setattr(png_check, "_MOST_CHUNKS", 10)
    assert decode_bytes(progressive(40), SPEC).shape == (16, 16)
    assert decode_bytes(png(16, 16, extra=chunk(b"tEXt", b"a\0b") * 7), SPEC).shape == (16, 16)  # and three more
    for data in (progressive(41), png(16, 16, extra=chunk(b"tEXt", b"a\0b") * 8)):
        with pytest.raises(DecodeError, match="E_LIMIT"):
            decode_bytes(data, SPEC)


def test_scans_in_a_thumbnail_or_behind_the_end_are_not_counted():
    hidden = b"\xff\xe2" + struct.pack(">H", 2 + 3000) + b"\xff\xda\0" * 1000
    jpeg = stored(NOISE, "JPEG")
    assert not may_cost(jpeg[:2] + hidden + jpeg[2:])
    data = jpeg[:2] + hidden + jpeg[2:] + b"\0\2" + b"\xff\xda\0\2" * 1000
    np.testing.assert_array_equal(decode_bytes(data, SPEC), decode_bytes(jpeg, SPEC))


@pytest.mark.parametrize(
    ("data", "costly"),
    [
        (lambda: stored(np.tile(NOISE, (40, 40)), "PNG"), False),
        (lambda: stored(np.tile(NOISE, (40, 40)), "JPEG", quality=90), False),
        (lambda: stored(NOISE, "JPEG", progressive=True), False),
        (lambda: dicom(24, 40, NOISE.tobytes()), False),
        (lambda: b"version https://git-lfs", False),
        (lambda: b"", False),
        (lambda: progressive(17), True),
        (lambda: png(2100, 2000), True),  # 4.2 million pixels in 20 KB
        (lambda: png(4001, 4000)[:40].ljust(8_000_000), True),  # 16 million pixels, however many bytes
        (lambda: stored(np.zeros((2100, 2000), np.uint8), "JPEG", quality=5), True),
        (lambda: png(16, 16, extra=chunk(b"tEXt", b"a\0b") * 10_001), True),
        (lambda: b"BM".ljust(18) + struct.pack("<ii", 4001, -4000), True),
        (lambda: b"II*\0", True),
        *((lambda s=s: dicom(24, 40, NOISE.tobytes(), s), True) for s in (DEFLATED, RLE, JPEG_2000)),
    ],
)  # fmt: skip
def test_which_files_may_cost_much(data: Any, costly: bool):
    assert may_cost(data()) is costly


@pytest.mark.parametrize(
    ("bomb", "why"),
    [(lambda: progressive(240, 2500), "takes too long"), (lambda: png(6000, 6000), "of memory")],
)
def test_a_costly_file_is_one_error_and_the_next_goes_on(narrow: ChildPool, bomb: Any, why: str):
    if why == "of memory" and not psutil.LINUX:
        pytest.skip("address space is limited on Linux only")
    with pytest.raises(DecodeError, match=f"E_LIMIT: .*{why}"):
        sandbox.pixels_of(bomb(), SPEC)
    sandbox.use("on")
    np.testing.assert_array_equal(
        sandbox.pixels_of(stored(NOISE, "PNG"), SPEC), decode_bytes(stored(NOISE, "PNG"), SPEC)
    )


def test_quick_pixels_are_those_of_any_other_way():
    with sandbox.used("on"):
        found = sandbox.quick_pixels_of(stored(NOISE, "PNG"), SPEC)
    assert found is not None and np.array_equal(found, decode_bytes(stored(NOISE, "PNG"), SPEC))


def test_what_may_or_does_take_long_is_not_quick(monkeypatch: pytest.MonkeyPatch):
    """The second is an image like any other for may_cost(); its child is ended, and the usual way still reads it."""
    with sandbox.used("on"):
        assert sandbox.quick_pixels_of(progressive(100), SPEC) is None
        with pytest.raises(DecodeError, match="E_CORRUPT"):
            sandbox.quick_pixels_of(stored(NOISE, "PNG")[:-30], SPEC)
        plain = stored(np.random.default_rng(0).integers(0, 256, (3000, 3000), dtype=np.uint8), "PNG", compress_level=1)
        monkeypatch.setattr(sandbox, "_QUICK", ChildLimits(seconds=0.001))
        assert not may_cost(plain)
        assert sandbox.quick_pixels_of(plain, SPEC) is None
        assert sandbox.pixels_of(plain, SPEC).shape == (16, 16)


def test_a_mask_is_counted_in_a_child_too():
    mask = np.zeros((2100, 2000), np.uint8)
    mask[:900], mask[:300, :300] = 255, 128
    tasks, sent = [], sandbox._reply

    def recorded(asked: Any, *how: Any) -> Any:
        tasks.append(asked["task"])
        return sent(asked, *how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "_reply", recorded)
        task, options = (
            "plainfilm.data.folders.mask_pixels:_count_values",
            {"tiff": False, "near": False, "megapixels": 64},
        )
        assert sandbox.number_of(task, stored(mask, "PNG"), options) == 3
    assert tasks == [task]


def test_a_reply_of_another_size_is_no_image(monkeypatch: pytest.MonkeyPatch):
    sandbox.use("on")
    monkeypatch.setattr(sandbox, "_reply", lambda *_: ({}, bytes(255)))
    with pytest.raises(DecodeError, match="E_LIMIT"):
        sandbox.pixels_of(stored(NOISE, "PNG"), SPEC)


def test_the_limits_grow_with_the_pixels_that_are_admitted():
    usual = ChildLimits()
    assert sandbox._limits(1) == sandbox._limits(64) == usual
    large = sandbox._limits(160)  # 2.5 times as many
    assert (large.memory, large.cpu_seconds, large.seconds) == (1120 << 20, 11.25, 75.0)
    assert large.reply == usual.reply  # the image that the network sees


@pytest.mark.skipif(sys.platform != "linux", reason="memory has a limit on Linux only")
def test_a_child_gets_as_much_memory_as_the_pixels_need(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sandbox, "_LIMITS", ChildLimits(memory=24 << 20))
    data = png(5000, 5000)  # 25 MB of pixels
    with pytest.raises(DecodeError, match="E_LIMIT: decoding it takes more than 24 MB of memory"):
        sandbox.pixels_of(data, SPEC)
    assert sandbox.pixels_of(data, replace(SPEC, megapixels=320)).shape == (16, 16)
    facts = sandbox.facts_of(data, tiff=False, frame=None, key=None, megapixels=320)
    assert (facts.width, facts.height) == (5000, 5000)


def test_the_child_refuses_what_its_parent_would():
    data = png(1001, 1000)
    with sandbox.used("on"):
        for read in (
            lambda most: sandbox.pixels_of(data, replace(SPEC, megapixels=most)),
            lambda most: sandbox.facts_of(data, tiff=False, frame=None, key=None, megapixels=most),
        ):
            read(2)
            with pytest.raises(DecodeError, match="E_LARGE: 1001 x 1000 pixels.*--max-megapixels 2 admits it"):
                read(1)


def test_stopped_it_decodes_no_more_until_it_is_used_again():
    with sandbox.used("on"):
        assert sandbox.pixels_of(stored(NOISE, "PNG"), SPEC).shape == (16, 16)
        sandbox.stop()
        with pytest.raises(DecodeError, match="E_LIMIT"):
            sandbox.pixels_of(stored(NOISE, "PNG"), SPEC)
    assert sandbox.pixels_of(png(2100, 2000), SPEC).shape == (16, 16)


def test_after_a_kill_no_thread_of_a_pool_starts_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Three costly images take turns; Ctrl-C ends the first, and the other two are not begun."""
    (tmp_path / "a_task.py").write_text("import time\ndef work(head, body): time.sleep(60)\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    pool, starts, begun = ChildPool("a_task:work", 4, ChildLimits(seconds=3)), [], child_process._begun
    monkeypatch.setattr(sandbox, "_pool", lambda _: pool)
    monkeypatch.setattr(sandbox, "_pools", {0: pool})
    monkeypatch.setattr(child_process, "_begun", lambda task: starts.append(task) or begun(task))
    costly, found = png(2100, 2000), []

    def read(number: int) -> None:
        if number == 0:
            while not starts or not pool._all[0]._until:
                time.sleep(0.01)
            time.sleep(0.3)
            raise KeyboardInterrupt
        found.append(outcome(lambda: sandbox.pixels_of(costly, SPEC))[0])

    with pytest.raises(KeyboardInterrupt):
        list(in_threads(read, range(4)))
    until = time.monotonic() + 30
    while len(found) < 3 and time.monotonic() < until:  # nobody waits for them
        time.sleep(0.01)
    assert found == ["E_LIMIT"] * 3 and len(starts) == 1


@pytest.mark.parametrize(("deaths", "said"), [(1, ""), (2, "E_LIMIT")])
def test_a_child_that_somebody_ended_is_asked_again_once(tmp_path: Path, monkeypatch: Any, deaths: int, said: str):
    text = f"""import os, pathlib
def work(head, body):
    found = pathlib.Path({str(tmp_path / "deaths")!r})
    died = found.stat().st_size if found.exists() else 0
    if died < {deaths}:
        found.write_bytes(bytes(died + 1))
        os._exit(9)
    return {{}}, bytes(256)
"""
    (tmp_path / "a_dying_task.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    pool = ChildPool("a_dying_task:work", 1)
    monkeypatch.setattr(sandbox, "_pool", lambda _: pool)
    monkeypatch.setattr(sandbox, "_AT_ONCE", 60.0)  # a busy machine
    with sandbox.used("on"):
        assert outcome(lambda: sandbox.pixels_of(png(8, 8), SPEC))[0] == (said or np.dtype(np.uint8))
    pool.kill()


@pytest.mark.parametrize(("mode", "times"), [("auto", 1), ("on", 1), ("off", 0)])
def test_a_file_is_asked_once_whether_it_may_cost_much(monkeypatch: pytest.MonkeyPatch, mode: Any, times: int):
    """A file made for it takes as long to be asked as an honest one to be decoded."""
    asked = []
    monkeypatch.setattr(sandbox, "may_cost", lambda data: asked.append(data) or True)
    with sandbox.used(mode):
        assert sandbox.pixels_of(stored(NOISE, "PNG"), SPEC).shape == (16, 16)
    assert len(asked) == times


def test_no_command_changes_where_the_next_one_of_the_process_decodes():
    """use() holds for the process: the package itself has used(), for the duration."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in Path(plainfilm.__file__).parent.rglob("*.py")}
    assert [name for name, text in texts.items() if "sandbox.use(" in text] == []


def test_large_files_are_read_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sandbox, "_READ_ALONE", 100)
    (tmp_path / "large.png").write_bytes(png(64, 64, extra=chunk(b"tEXt", bytes(200))))
    (tmp_path / "small.bmp").write_bytes(b"BM" + bytes(50))
    now, most, lock = [0], {}, threading.Lock()

    def read(path: Path, megapixels: int) -> bytes:
        with lock:
            now[0] += 1
            most[path.name] = max(most.get(path.name, 0), now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        return path.read_bytes()

    monkeypatch.setattr(sandbox.decode, "read_bytes", read)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    for name in ("large.png", "small.bmp"):
        list(in_threads(lambda path: outcome(lambda: sandbox.pixels_of_file(path, SPEC)), [tmp_path / name] * 6))
    assert most["large.png"] == 1 and most["small.bmp"] > 1


def test_the_scan_reads_large_files_one_at_a_time(tmp_path: Path, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch):
    """And small ones in every thread: six files of each size, six threads."""
    for i in range(6):
        for name, more, width in (("large", 4000, 8 + i), ("small", 0, 20 + i)):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{i}.png").write_bytes(png(width, 8, extra=chunk(b"tEXt", bytes(more))))
    now, most, lock = {"large": 0, "small": 0}, {"large": 0, "small": 0}, threading.Lock()
    plain = sandbox.facts_of

    def facts_of(data: bytes, **options: Any) -> Any:
        name = "large" if len(data) > 2000 else "small"
        with lock:
            now[name] += 1
            most[name] = max(most[name], now[name])
        time.sleep(0.05)
        with lock:
            now[name] -= 1
        return plain(data, **options)

    monkeypatch.setattr(sandbox, "_READ_ALONE", 2000)
    monkeypatch.setattr(sandbox, "facts_of", facts_of)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert len(build_table(tmp_path, DataConfig(cache=False)).rows) == 12
    assert most["large"] == 1 and most["small"] > 1


def test_the_error_names_the_option_only_where_there_is_one(narrow: ChildPool):
    monkey = ChildError("time")
    for option, hint in (
        (True, "; --sandbox off sets no limit"),
        (False, "; store the image again, as PNG, or leave it out"),
    ):
        with sandbox.used("on", option=option):
            assert sandbox._failed(monkey).why == f"decoding it takes too long{hint}"


def test_the_scan_quarantines_a_bomb_by_its_code(tiny_cxr: Path, fresh_cache: Path):
    (tiny_cxr / "NORMAL" / "bomb.jpg").write_bytes(progressive(300))
    table = build_table(tiny_cxr, DataConfig())
    bad = table.excluded[table.excluded["state"] == "quarantined"]
    assert bad[["relative", "code"]].to_numpy().tolist() == [["NORMAL/bomb.jpg", "E_LIMIT"]] and len(table.rows) == 32


@pytest.mark.campaign
@pytest.mark.parametrize("bomb", [
    lambda: png(8000, 8000, 16, 6), lambda: png(8000, 8000, 16, 2), lambda: dicom(8000, 8000, bytes(64_000_000), DEFLATED),
    lambda: dicom(8000, 8000, b"\x80" * 60_000_000, RLE), lambda: progressive(250, 7000),
    lambda: png(16, 16, extra=chunk(b"tEXt", b"a\0b") * 1_000_000), BOMBS["high"],
])  # fmt: skip
def test_a_bomb_takes_less_than_half_a_gigabyte(bomb: Any):
    """What the parent and its child hold together, sampled; the bomb itself is not counted."""
    import threading

    data, here = bomb(), psutil.Process()
    peak, done = [0], threading.Event()

    def memory() -> int:
        total = here.memory_info().rss
        for child in here.children():
            try:
                total += child.memory_full_info().uss  # a fork that is not yet the child shares all of this process
            except psutil.NoSuchProcess:
                continue
        return total

    def sample() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], memory())

    sandbox.kill_children()
    before = memory()
    watcher = threading.Thread(target=sample)
    watcher.start()
    began = time.process_time()
    outcome(lambda: sandbox.pixels_of(data, SPEC))
    seconds = time.process_time() - began
    done.set()
    watcher.join()
    assert seconds < 10  # of processor time here, with the sampling; the child has 4 s, then the system kills it
    assert peak[0] - before < 512e6


@pytest.mark.campaign
@pytest.mark.parametrize("data", [
    lambda: stored(np.tile(NOISE.astype(np.uint16) * 257, (330, 195)), "PNG"),  # 7,800 x 7,920 pixels of 16 bits
    lambda: stored(np.tile(NOISE, (330, 195)), "PNG"), lambda: stored(np.tile(NOISE, (330, 195)), "JPEG"),
    lambda: stored(np.tile(RGB, (330, 195, 1)), "JPEG"), lambda: dicom(7920, 7800, np.tile(NOISE, (330, 195)).tobytes()),
])  # fmt: skip
def test_a_large_honest_image_is_read(data: Any):
    made = data()
    for channels in (1, 3):
        spec = DecodeSpec(16, channels=channels, bits=16)
        np.testing.assert_array_equal(sandbox.pixels_of(made, spec), decode_bytes(made, spec))
