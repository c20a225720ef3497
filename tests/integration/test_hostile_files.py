"""Broken, odd and hostile files and names: each ends in its expected state, without a crash, a hang or much memory."""

from __future__ import annotations

import html
import io
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.campaign]  # .ci/run asks for this file
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (40, 50), dtype=np.uint8)
USED = "used"


def stored(pixels: np.ndarray, kind: str, **save: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **save)
    return file.getvalue()


def png(width: int, height: int, depth: int = 1, colour: int = 0, body: bytes = b"") -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def jpeg_header(width: int, height: int) -> bytes:
    """A whole small JPEG whose frame header claims another size."""
    data = bytearray(stored(IMAGE, "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def frames(kind: str) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(IMAGE)
    image.save(file, kind, save_all=True, append_images=[Image.fromarray(255 - IMAGE)])
    return file.getvalue()


def corpus() -> dict[str, tuple[bytes, str]]:
    """Name -> content and expected state."""
    good_png, good_jpeg = stored(IMAGE, "PNG"), stored(IMAGE, "JPEG", quality=90)
    files: dict[str, tuple[bytes, str]] = {
        "zero.png": (b"", "E_EMPTY"),
        "one-byte.png": (b"\x89", "E_FORMAT"),
        "text.jpg": (b"this is no picture\n" * 50, "E_FORMAT"),
        "html.png": (b"<html><script>alert(1)</script></html>", "E_FORMAT"),
        "gif.png": (stored(IMAGE, "GIF"), "E_FORMAT"),
        "tiff.png": (stored(IMAGE, "TIFF"), "E_FORMAT"),
        "webp.png": (stored(IMAGE, "WEBP"), USED),
        "ppm.bmp": (stored(IMAGE[:, :20], "PPM"), USED),
        "pbm.pgm": (stored(IMAGE > 99, "PPM"), "E_FORMAT"),
        "bomb.webp": (b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + b"\xfe\x3f\0" * 2 + bytes(40), "E_LARGE"),
        "bomb.ppm": (b"P6 60000 60000 255 " + bytes(99), "E_LARGE"),
        "bomb-text.pgm": (b"P2 8000 8000 255 " + b"0 " * 999, "E_LIMIT"),
        "zip.png": (b"PK\x03\x04" + bytes(500), "E_FORMAT"),
        "eps.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "E_FORMAT"),
        "pickle.png": (b"\x80\x04\x95" + bytes(60), "E_FORMAT"),
        "png-named.jpg": (good_png, USED),
        "jpeg-named.png": (stored(IMAGE, "JPEG", quality=70), USED),
        "bmp-named.jpeg": (stored(IMAGE[:, :30], "BMP"), USED),
        "trailing-bytes.png": (stored(IMAGE[:30], "PNG") + bytes(999), USED),
        "trailing-bytes.jpg": (stored(IMAGE[:30], "JPEG") + b"<?php evil(); ?>", USED),
        "one-pixel.png": (stored(IMAGE[:1, :1], "PNG"), USED),
        "thin.png": (stored(IMAGE[:1], "PNG"), USED),
        "apng.png": (frames("PNG"), "E_FRAMES"),
        "no-body.png": (png(40, 40, 8), "E_CORRUPT"),
        "half-body.png": (png(40, 40, 8, body=bytes(41 * 20)), "E_CORRUPT"),
        "bad-crc.png": (good_png[:-20] + bytes([good_png[-20] ^ 1]) + good_png[-19:], "E_CORRUPT"),
        "zero-width.png": (png(0, 10, 8), "E_FORMAT"),
        "bomb-wide.png": (png(2**31 - 1, 1), "E_LARGE"),
        "bomb-square.png": (png(30_000, 30_000), "E_LARGE"),
        "bomb-true.png": (png(12_000, 12_000, body=bytes(12_000 * 1_501)), "E_LARGE"),
        "bomb.bmp": (bmp(30_000, 30_000), "E_LARGE"),
        "bomb-negative.bmp": (bmp(30_000, -30_000), "E_LARGE"),
        "bomb.jpg": (jpeg_header(65_000, 65_000), "E_LARGE"),
        "largest-allowed.png": (png(8_000, 8_000, body=bytes(8_000 * 1_001)), USED),
        "largest-colour.png": (png(8_000, 8_000, 8, 2, b"\0" + b"\7" * 60 + bytes(8_000 * 24_001)), USED),
        "largest-alpha.png": (png(8_000, 8_000, 8, 6, b"\0" + b"\xff" * 80 + bytes(8_000 * 32_001)), USED),
        "largest-deep.png": (png(8_000, 8_000, 16, 0, b"\0" + b"\xff" * 40 + bytes(8_000 * 16_001)), USED),
        # a JPEG has no checksum: the decoder fills what is missing and says nothing
        "wrong-size.jpg": (jpeg_header(60, 4_000), "used E_CORRUPT"),
        "deep-unsigned.png": (stored(IMAGE.astype(np.uint16) * 257, "PNG"), USED),
        "no-preamble.dcm": (b"\x08\x00\x05\x00CS" + bytes(200), "E_FORMAT"),
        "only-preamble.dcm": (bytes(128) + b"DICM", "E_CORRUPT"),
        "exe.dcm": (b"MZ" + bytes(126) + b"DICM" + bytes(64), "E_CORRUPT"),
        "text.dcm": (b"hello", "E_FORMAT"),
    }
    for i, cut in enumerate(np.linspace(8, len(good_png) - 13, 10).astype(int)):
        files[f"cut-{i}.png"] = (good_png[:cut], "E_CORRUPT E_FORMAT")
    for i, cut in enumerate(np.linspace(3, len(good_jpeg) - 20, 10).astype(int)):
        files[f"cut-{i}.jpg"] = (good_jpeg[:cut], "E_CORRUPT E_FORMAT")
    return files


NAMES = [
    "new\nline.png", "tab\there.png", "quote'.png", 'double".png', "<script>alert(1)<script>.png", "<img src=x onerror=alert(1)>.png", "-rf.png",
    "=1+1.png", "+cmd.png", "@sum.png", "\u202egnp.exe.png", "\U0001f9b4\U0001f480.png", "n\u0303fd.png", "\u00f1fc.png",
    "sp ace.png", "dots...png", "comma,semi;.png", "back\\slash.png", "percent%2e%2e.png", "$(id).png", "`id`.png",
    "#hash?.png", "a" * 251 + ".png", "\u0645\u0631\u064a\u0636.png", "[bold]rich[bold].png", "{{7*7}}.png",
]  # fmt: skip


def add_no_files(folder: Path) -> None:
    """What is named like an image and is none: a pipe, and links that go round, to a device, and out of the folder."""
    os.mkfifo(folder / "pipe.png")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "zero-device.png").symlink_to("/dev/zero")
    (folder / "outside.png").symlink_to("/etc/passwd")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile") / "data"
    for label in ("A", "B"):
        (root / label).mkdir(parents=True)
        for i in range(12):
            film = np.random.default_rng([i, label == "B"]).integers(0, 256, (32, 32), dtype=np.uint8)
            (root / label / f"good-{i}.png").write_bytes(stored(film, "PNG"))
    for i, (name, (data, _)) in enumerate(corpus().items()):
        (root / "AB"[i % 2] / name).write_bytes(data)
    for i, name in enumerate(NAMES):
        film = np.random.default_rng([99, i]).integers(0, 256, (32, 32), dtype=np.uint8)
        (root / "A" / name).write_bytes(stored(film, "PNG"))
    add_no_files(root / "A")
    (root / os.fsdecode(b"A/not-unicode-\xff.png")).write_bytes(stored(IMAGE, "PNG"))
    return root


def audit(tree: Path, out: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], dict]:
    # the limits catch a hang and memory use: CPU seconds, and the address space of the largest allowed image
    done = subprocess.run(
        [sys.executable, "-m", "plainfilm", "audit", str(tree), "--out", str(out), "--size", "32", "--json", *options],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done, json.loads(done.stdout) if done.stdout else {}


@pytest.fixture(scope="module")
def audited(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], dict]:
    return audit(tree, tmp_path_factory.mktemp("out") / "audit")


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    assert len(corpus()) + len(NAMES) + 6 >= 60


def test_every_file_ends_in_its_expected_state(tree: Path, audited: tuple) -> None:
    done, document = audited
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    codes = {row["path"].partition("/")[2]: row["code"] for row in document["quarantined"]}
    for name, (_, expected) in corpus().items():
        found = codes.get(name, USED)
        assert found in expected.split(), f"{name}: {found}, expected {expected}"
    assert not set(codes) & set(NAMES)
    rules = {row["path"].partition("/")[2]: row["rule"] for row in document["ignored"]}
    assert rules == {
        "pipe.png": "not a regular file", "loop": "link", "self.png": "link", "zero-device.png": "link",
        "outside.png": "link", "not-unicode-\\udcff.png": "name is not Unicode",
    }  # fmt: skip
    assert document["found"] == document["used"] + len(codes) + len(rules)
    assert document["used"] == 24 + len(NAMES) + sum(USED in state for _, state in corpus().values())


def test_followed_links_end_each_file_once_and_hang_nowhere(tmp_path: Path, draw_cxr: Callable[..., Path]) -> None:
    root = draw_cxr(tmp_path / "data")
    images = len(list(root.rglob("*.png")))
    add_no_files(root / "NORMAL")
    done, document = audit(root, tmp_path / "audit", "--follow-links")
    assert done.returncode == 0, done.stderr
    rules = {row["path"].partition("/")[2]: row["rule"] for row in document["ignored"]}
    assert rules["self.png"] == "broken link"
    assert rules["zero-device.png"] == rules["pipe.png"] == "not a regular file"
    assert document["used"] == images


def test_hostile_names_are_inert_in_the_page(tmp_path: Path) -> None:
    """Each name stands on a broken file and on a pair of copies: the page shows them all."""
    for i, name in enumerate(NAMES):
        for label in ("A", "B"):
            (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
            film = np.random.default_rng([i, label == "B"]).integers(0, 256, (32, 32), dtype=np.uint8)
            (tmp_path / "data" / label / f"copy-{i}.png").write_bytes(stored(film, "PNG"))
        film = np.random.default_rng([i, False]).integers(0, 256, (32, 32), dtype=np.uint8)
        (tmp_path / "data" / "A" / name).write_bytes(stored(film, "PNG"))
        (tmp_path / "data" / "B" / name).write_bytes(b"broken")
    done, document = audit(tmp_path / "data", tmp_path / "audit")
    assert done.returncode == 0, done.stderr
    assert (len(document["duplicates"]), len(document["quarantined"])) == (len(NAMES), len(NAMES))
    page = Path(document["page"]).read_text(encoding="utf-8")
    seen = _Elements()
    seen.feed(page)
    assert seen.names <= {"html", "head", "meta", "title", "style", "body", "p", "h1", "h2", "span", "div", "table", "tr",
                          "th", "td", "img", "code"}  # fmt: skip
    assert seen.attributes <= {"lang", "charset", "name", "content", "http-equiv", "class", "alt", "src", "data-l"}
    for name in NAMES:
        assert html.escape(f"A/{name}", quote=True).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page, name


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_the_file_names_survive_the_round_trip(audited: tuple, tree: Path, tmp_path: Path) -> None:
    from plainfilm.config import DataConfig
    from plainfilm.data.split.splits import grouped
    from plainfilm.data.table.image_table import scan_table
    from plainfilm.data.table.saved_table import read_table, write_table
    from plainfilm.runs.folder import RunDir

    table, _ = scan_table(tree, DataConfig())
    rows, run = grouped(table.rows, wide=False).assign(split="train"), RunDir(tmp_path)
    write_table(run, run.table, rows)
    assert read_table(run)["relative"].tolist() == rows["relative"].tolist()
    assert {f"A/{name}" for name in NAMES} <= set(rows["relative"])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_memory_stays_below_512_mb(tree: Path) -> None:
    """The scan and the decoding of the whole corpus in a process of its own."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom plainfilm.config import DataConfig\n"
        "from plainfilm.data.cache.rows import decode_rows\nfrom plainfilm.data.image.decode import DecodeSpec\n"
        "from plainfilm.data.table.image_table import scan_table\n"
        "table, _ = scan_table(Path(sys.argv[1]), DataConfig(cache=False))\n"
        "decode_rows(table.rows, DecodeSpec(32, bits=table.bits), keep=False)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tree)], capture_output=True, text=True, timeout=120, check=True
    )
    assert int(done.stdout) < 512 * 1024  # kB


@pytest.mark.parametrize("make", [lambda p: p.chmod(0)])
@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_quarantined(
    tmp_path: Path, draw_cxr: Callable[..., Path], make: Callable
) -> None:
    root = draw_cxr(tmp_path / "data")
    make(root / "NORMAL" / "phantom-00001-1.png")
    _, document = audit(root, tmp_path / "audit")
    assert [row["code"] for row in document["quarantined"]] == ["E_READ"]
