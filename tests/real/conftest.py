from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from plainfilm.config import DataConfig
from plainfilm.data.table.image_table import ImageTable, build_table


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/real" in Path(str(item.fspath)).as_posix():
            item.add_marker(pytest.mark.real)


def real_folder(name: str) -> Path:
    root = os.environ.get("PLAINFILM_DATA")
    if not root:
        pytest.skip("PLAINFILM_DATA is not set; it names the folder that holds chest_xray_224 and chest_xray_full")
    folder = Path(root) / name
    if not folder.is_dir():
        pytest.skip(f"PLAINFILM_DATA is set, but {folder} is not there")
    return folder


@pytest.fixture(scope="session")
def kermany() -> Path:
    """The Kermany set at 224 px, official train and test folders."""
    return real_folder("chest_xray_224")


@pytest.fixture(scope="session")
def originals() -> Path:
    """340 original-size files of its train folder."""
    return real_folder("chest_xray_full")


@pytest.fixture(scope="session")
def real_set() -> Callable[[str], Path]:
    """The folder of a set by its name; skips where it is not there."""
    return real_folder


@pytest.fixture(scope="session")
def table(kermany: Path) -> ImageTable:
    return build_table(kermany, DataConfig())
