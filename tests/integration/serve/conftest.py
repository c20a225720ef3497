"""One small bundle for all tests of `serve`, and one running server per file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Served
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.data.synthetic.phantom import write_phantom


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compact network, one epoch on drawn films."""
    folder = tmp_path_factory.mktemp("serve")
    write_phantom(folder / "data", images=120, size_px=48)
    for words in (
        f"train {folder / 'data'} --model compact --size 48 --epochs 1 --batch-size 16 --device cpu --out {folder / 'run'} -q",
        f"export {folder / 'run'} --out {folder / 'bundle'} -q",
    ):
        done = CliRunner().invoke(app, words.split())
        assert done.exit_code == 0, done.output
    return folder / "bundle"


@pytest.fixture(scope="module")
def served(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that is asked by all tests of a file, and stopped by Ctrl-C."""
    server = Served(bundle, tmp_path_factory.mktemp("server"))
    yield server
    assert server.stop() == 0, server.log()
