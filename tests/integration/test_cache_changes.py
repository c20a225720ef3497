"""Somebody changes the cache under a training: it is never "done" with pixels that were not in the files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import plainfilm

from plainfilm.data.synthetic.phantom import write_phantom
from plainfilm.train.interruption import _WriteState
from wording import lacking

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
SAME = ("model.safetensors", "history.csv", "predictions/valid.csv", "card.json", "metrics.json")


def blocks(cache: Path) -> list[Path]:
    return sorted((cache / "decoded").rglob("*.npy"))


def overwrite(path: Path) -> None:
    """Noise over every row, in place."""
    with path.open("r+b") as file:
        file.seek(128)
        file.write(np.random.default_rng(0).bytes(path.stat().st_size - 128))


def cut(path: Path) -> None:
    os.truncate(path, 4096)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> list[object]:
    """The options of a training that takes a second."""
    folder = tmp_path_factory.mktemp("small")
    write_phantom(folder / "drawn", images=60, size_px=32, seed=1)
    (folder / "small.yaml").write_text(
        f"data: {{path: {json.dumps(str(folder / 'drawn'))}}}\nmodel: {{filters: [4, 8], dense: 8}}\n"
        "evaluate: {n_boot: 100}\ntrain: {size_px: 32, batch_size: 8, epochs: 3, lr: 0.01}\n"
    )
    return ["--config", folder / "small.yaml", "--device", "cpu"]


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory) -> Path:
    """A run that nobody disturbed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    plainfilm("train", *small, "--out", run, "-q")
    return run


@pytest.fixture
def after_the_first_epoch(monkeypatch, fresh_cache) -> Callable[..., None]:
    """after_the_first_epoch(damage): do so to each block of decoded images, once."""

    def plan(damage: Callable[[Path], None]) -> None:
        write, left = _WriteState._at_epoch, [damage]

        def write_and_damage(self) -> None:
            write(self)
            if left:
                chosen = left.pop()
                for path in blocks(fresh_cache):
                    chosen(path)

        monkeypatch.setattr(_WriteState, "_at_epoch", write_and_damage)

    return plan


@pytest.mark.parametrize("damage", [overwrite, cut])
def test_a_cache_that_changes_ends_the_training_and_the_resumed_run_is_the_undisturbed_one(
    small, whole, after_the_first_epoch, tmp_path, damage
):
    after_the_first_epoch(damage)
    run = tmp_path / "run"
    done = plainfilm("train", *small, "--out", run, "-q", code=2)
    (line,) = done.stderr.strip().splitlines()
    assert lacking(line, "changed or was cut short", "resume RUN") == []
    assert json.loads((run / "status.json").read_text())["status"] == "failed"
    assert json.loads((run / "checkpoints" / "last.json").read_text())["state"]["epoch"] == 1
    plainfilm("resume", run, "-q")
    assert [name for name in SAME if (run / name).read_bytes() != (whole / name).read_bytes()] == []


def test_a_block_removed_under_a_training_changes_nothing(small, whole, after_the_first_epoch, tmp_path):
    after_the_first_epoch(Path.unlink)
    run = tmp_path / "run"
    plainfilm("train", *small, "--out", run, "-q")
    assert [name for name in SAME if (run / name).read_bytes() != (whole / name).read_bytes()] == []
