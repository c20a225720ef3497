"""Facts of files, remembered by content; what does not fit is read again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from plainfilm.config import DataConfig
from plainfilm.data.image import decode as decoding
from plainfilm.data.image.decode import ImageFacts, inspect, read_bytes
from plainfilm.data.table import file_facts
from plainfilm.data.table.file_facts import FactsBook
from plainfilm.data.table.image_table import build_table

READING = {"tiff": False, "frame": None, "secret": "0"}
ONE = ImageFacts("a" * 64, 10, 3, 4, "L", True, None, 8, 1, 0, "c" * 32)


def others(n: int) -> list[ImageFacts]:
    return [replace(ONE, sha256=f"{i:064x}", width=i) for i in range(n)]


def test_what_was_added_is_known_to_the_next_book(tmp_path: Path) -> None:
    FactsBook(tmp_path, READING).add([ONE, *others(2)])
    book = FactsBook(tmp_path, READING)
    assert book.get(ONE.sha256) == ONE
    assert book.get("1".rjust(64, "0")).width == 1
    assert book.get("f" * 64) is None


def test_another_way_of_reading_is_another_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FactsBook(tmp_path, READING).add([ONE])
    for reading in ({**READING, "tiff": True}, {**READING, "frame": 0}, {**READING, "secret": "1"}):
        assert FactsBook(tmp_path, reading).known == {}
    monkeypatch.setattr(file_facts.decode, "VERSION", -1)
    assert FactsBook(tmp_path, READING).known == {}


def test_many_small_parts_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_facts, "_MAX_PARTS", 3)
    for fact in others(7):
        FactsBook(tmp_path, READING).add([fact])
    book = FactsBook(tmp_path, READING)
    assert len(book.known) == 7
    assert len(list(book.folder.glob("*.json"))) <= 3


@pytest.mark.parametrize("cut", [0, 1, 40, 200])
def test_a_damaged_part_is_not_believed(tmp_path: Path, cut: int) -> None:
    FactsBook(tmp_path, READING).add([ONE])
    part = next(FactsBook(tmp_path, READING).folder.glob("*.json"))
    part.write_bytes(part.read_bytes()[:cut])
    assert FactsBook(tmp_path, READING).known == {}


def test_an_edited_part_is_not_believed(tmp_path: Path) -> None:
    FactsBook(tmp_path, READING).add([ONE])
    part = next(FactsBook(tmp_path, READING).folder.glob("*.json"))
    part.write_text(part.read_text().replace('"width": 3', '"width": 5'))
    assert FactsBook(tmp_path, READING).known == {}


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    book = FactsBook(tmp_path / "file", READING)
    book.add([ONE])
    assert book.get(ONE.sha256) == ONE


def test_a_second_scan_decodes_nothing_and_finds_the_same(
    tiny_cxr: Path, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tiny_cxr / "NORMAL" / "broken.png").write_bytes(b"broken")
    seen: list[bytes] = []

    def recorded(data: bytes, **how: object) -> ImageFacts:
        seen.append(data)
        return inspect(data, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(decoding, "inspect", recorded)
    first = build_table(tiny_cxr, DataConfig())
    assert len(seen) == 33
    seen.clear()
    second = build_table(tiny_cxr, DataConfig())
    assert seen == [b"broken"]
    assert second.rows.equals(first.rows)
    assert second.excluded.equals(first.excluded)
    seen.clear()
    assert build_table(tiny_cxr, DataConfig(cache=False)).rows.equals(first.rows)
    assert len(seen) == 33


def test_a_file_changed_under_the_same_size_is_read_again(tiny_cxr: Path, fresh_cache: Path, write_image) -> None:
    path = tiny_cxr / "NORMAL" / "phantom-00001-1.png"
    write_image(path, np.zeros((24, 24), np.uint8), compress_level=0)
    before = build_table(tiny_cxr, DataConfig()).rows.set_index("relative")["sha256"]
    write_image(path, np.ones((24, 24), np.uint8), compress_level=0)
    after = build_table(tiny_cxr, DataConfig()).rows.set_index("relative")["sha256"]
    assert (before != after).sum() == 1


def test_the_book_holds_no_path_and_no_name(tiny_cxr: Path, fresh_cache: Path) -> None:
    build_table(tiny_cxr, DataConfig())
    written = "".join(path.read_text() for path in (fresh_cache / "facts").rglob("*.json"))
    assert "phantom" not in written
    assert "NORMAL" not in written
    assert set(json.loads(next((fresh_cache / "facts").rglob("*.json")).read_text())["facts"][0]) == set(
        ImageFacts.__dataclass_fields__
    )
    assert inspect(read_bytes(tiny_cxr / "NORMAL" / "phantom-00001-1.png")).patient == ""
