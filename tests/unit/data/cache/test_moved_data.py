"""Images in a new place are found by the relative path of their row, and by no other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from plainfilm.data.cache.moved_data import find_moved
from wording import lacking

Refusal = Callable[..., str]


def rows_of(*names: str, split: str = "train") -> pd.DataFrame:
    """Rows of images whose content is their file name."""
    hashes = [hashlib.sha256(Path(name).name.encode()).hexdigest() for name in names]
    return pd.DataFrame({"path": "/old", "relative": names, "sha256": hashes, "split": split})


def write(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(path.name.encode())
    return str(path)


def test_paths_beside_the_table_are_taken_from_its_new_folder(tmp_path: Path, refusal: Refusal):
    image = write(tmp_path / "images" / "a.png")
    table = tmp_path / "lists" / "list.csv"
    write(table)
    (found,) = find_moved(rows_of("../images/a.png"), table)["file"]
    assert Path(found).resolve() == Path(image)
    message = refusal(lambda: find_moved(rows_of("../elsewhere/a.png"), table))
    assert lacking(message, "'../elsewhere/a.png', taken from there", str(tmp_path / "lists")) == []


def test_absolute_paths_are_used_as_they_are_and_refused_where_nothing_is(tmp_path: Path, refusal: Refusal):
    image, new = write(tmp_path / "fixed" / "a.png"), tmp_path / "new"
    write(new / "a.png")
    assert list(find_moved(rows_of(image), new)["file"]) == [image]
    Path(image).unlink()
    message = refusal(lambda: find_moved(rows_of(image), new))
    assert lacking(message, "1 of the run's 1 images are gone", "absolute paths", "relative paths only") == []


def test_test_images_only_have_to_be_there(tmp_path: Path, refusal: Refusal):
    Path(write(tmp_path / "a.png")).write_bytes(b"another")
    assert len(find_moved(rows_of("a.png", split="test"), tmp_path)) == 1
    assert "'a.png': changed" in refusal(lambda: find_moved(rows_of("a.png", split="valid"), tmp_path))
    (tmp_path / "a.png").unlink()
    assert "are not below" in refusal(lambda: find_moved(rows_of("a.png", split="test"), tmp_path))
