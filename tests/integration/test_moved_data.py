"""DATA that was moved after training: every command finds its images again, or says which are other ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from commands import plainfilm

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
SMALL = ["--size", 32, "--batch-size", 16, "--epochs", 1, "--no-audit", "--no-cache", "--model", "compact"]


@pytest.fixture
def data(tmp_path) -> Path:
    plainfilm("phantom", tmp_path / "data", "--images", 48, "--size", 32, "-q")
    return tmp_path / "data"


def files(run: Path) -> dict[str, bytes]:
    """What a run must hold again, byte for byte."""
    names = ("model.safetensors", "table.csv", "predictions/valid.csv", "history.csv")
    found = {name: (run / name).read_bytes() for name in names if (run / name).is_file()}
    assert len(found) >= 3
    return found


def test_a_stopped_run_goes_on_with_moved_data_to_the_same_bytes(data, tmp_path):
    plainfilm("train", data, *SMALL, "--out", tmp_path / "whole", "-q")
    plainfilm("train", data, *SMALL, "--out", tmp_path / "run", "--max-minutes", 0, "-q", code=130)
    moved = tmp_path / "elsewhere" / "images"
    moved.parent.mkdir()
    shutil.move(data, moved)
    assert "--data" in plainfilm("resume", tmp_path / "run", "-q", code=2).stderr
    plainfilm("resume", tmp_path / "run", "--data", moved, "-q")
    assert files(tmp_path / "run") == files(tmp_path / "whole")


def test_other_images_in_the_new_place_are_refused_by_name(data, tmp_path):
    plainfilm("train", data, *SMALL, "--out", tmp_path / "run", "--max-minutes", 0, "-q", code=130)
    moved = tmp_path / "moved"
    shutil.move(data, moved)
    assert "does not exist" in plainfilm("resume", tmp_path / "run", "--data", tmp_path / "nowhere", code=2).stderr
    name = next(line for line in (tmp_path / "run" / "table.csv").read_text().splitlines() if ",train" in line).split(
        ","
    )[1]
    before = (moved / name).read_bytes()
    other = next(path for path in moved.rglob("*.png") if path.read_bytes() != before)
    (moved / name).write_bytes(other.read_bytes())
    line = plainfilm("resume", tmp_path / "run", "--data", moved, code=2).stderr
    assert "1 of the run's images" in line and name in line
    (moved / name).unlink()
    line = plainfilm("resume", tmp_path / "run", "--data", moved, code=2).stderr
    assert "1 of the run's 48 images are not below" in line and name in line
