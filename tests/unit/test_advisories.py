"""No floor and no line of the lock admits a version with a fault that tools/advisories.csv knows."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("pyproject.toml", "requirements-predict.txt", "requirements.lock", "tools/advisories.csv")


def load():
    spec = importlib.util.spec_from_file_location("check_advisories", ROOT / "tools" / "check_advisories.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_what_is_allowed_has_no_known_fault(copy, capsys):
    assert load().main(copy) == 0
    assert capsys.readouterr().out.endswith(": 0 met\n")


@pytest.mark.parametrize(
    ("name", "good", "bad", "says"),
    [
        ("pyproject.toml", '"starlette>=1.3.1"', '"starlette>=0.49"', "pyproject.toml: starlette 0.49 has CVE-2025-62727"),
        ("pyproject.toml", '"jinja2>=3.1.6"', '"jinja2"', "pyproject.toml: jinja2 0 has CVE-2025-27516"),
        ("requirements-predict.txt", "pillow>=13.0.0", "pillow>=12.3", "requirements-predict.txt: pillow 12.3 has CVE-2026-112403"),
        ("requirements.lock", "\nfilelock==", "\nfilelock==3.20.2 \\\nother==", "requirements.lock: filelock 3.20.2 has CVE-2026-22701"),
    ],
)  # fmt: skip
def test_one_that_is_affected_fails(copy, capsys, name, good, bad, says):
    text = (copy / name).read_text(encoding="utf-8")
    assert good in text
    (copy / name).write_text(text.replace(good, bad), encoding="utf-8")
    assert load().main(copy) == 1
    assert says in capsys.readouterr().out


@pytest.mark.parametrize(
    "row", ["x,CVE-1,,,https://a,2026-01-01", "x,CVE-1,1,,,2026-01-01", "x,CVE-1,1,,https://a,today"]
)
def test_a_row_without_version_source_or_day_is_refused(copy, row):
    with (copy / "tools/advisories.csv").open("a", encoding="utf-8") as file:
        file.write(f"{row}\n")
    with pytest.raises(SystemExit, match="CVE-1"):
        load().main(copy)


def test_the_floors_of_both_lists_are_the_same():
    lowest = {}
    for where, name, version in load().admitted(ROOT):
        lowest.setdefault(name, {})[where] = version
    both = [found for found in lowest.values() if {"pyproject.toml", "requirements-predict.txt"} <= found.keys()]
    assert len(both) > 10
    assert all(found["pyproject.toml"] == found["requirements-predict.txt"] for found in both)
