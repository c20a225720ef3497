"""What the package says of itself in one place agrees with what it says in another."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import plainfilm
from plainfilm.models.registry import MODELS

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BROUGHT_BY = {
    "fastcore": "fastai",
    "h11": "uvicorn",
    "huggingface-hub": "timm",
}  # imported, and only there with the other


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return found


def test_the_citation_is_that_of_this_version(citation: dict[str, Any]) -> None:
    assert citation["version"] == plainfilm.__version__
    assert (citation["cff-version"], citation["type"], citation["title"]) == ("1.2.0", "software", PROJECT["name"])
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert citation["authors"] == PROJECT["authors"] == [{"name": "The plainfilm maintainers"}]
    assert citation["keywords"] == PROJECT["keywords"]


def test_the_citation_holds_what_cff_asks_of_it_and_the_facts_of_the_readme(citation: dict[str, Any]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert citation.keys() >= {"cff-version", "message", "title", "authors"}
    assert [one["type"] for one in citation["references"]] == ["article", "data"]
    for one in citation["references"]:
        assert one["title"] in readme and one["authors"]
        assert re.fullmatch(r"10\.\d{4,9}/[\w.]+", one.get("doi", "10.0000/x")) and one.get("doi", "") in readme


OF_EXTRAS = {"optuna": ("tune", "optuna"), "sqlalchemy": ("tune", "optuna")}  # import -> the extra, and what brings it


def test_what_an_extra_brings_is_imported_in_its_room_alone() -> None:
    """And only when the command runs: without the extra every other command works, and this one says what is missing."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for name, (extra, package) in OF_EXTRAS.items():
            assert not re.search(rf"^(import|from) {name}\b", text, re.M), path
            if re.search(rf"^ +(import|from) {name}\b", text, re.M):
                assert path.parent.name == extra
                assert any(line.startswith(package) for line in PROJECT["optional-dependencies"][extra])


def test_what_is_imported_is_a_declared_dependency() -> None:
    """A library that only the development environment has would be missing where the wheel is installed."""
    declared = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    imported: set[str] = set()
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).partition(".")[0])
    providers = metadata.packages_distributions()
    foreign = imported - sys.stdlib_module_names - {"plainfilm"} - OF_EXTRAS.keys()
    assert {"torch", "PIL", "yaml"} <= foreign
    for name in sorted(foreign):
        homes = {canonicalize_name(home) for home in providers[name]}
        assert homes & declared or {BROUGHT_BY[home] for home in homes & BROUGHT_BY.keys()} & declared, name


def pins(name: str) -> dict[str, str]:
    """Package -> version of a lock file."""
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / name).read_text(encoding="utf-8"), re.M))


def test_the_extras_are_locked_on_top_of_the_plain_install() -> None:
    plain, extras = pins("requirements.lock"), pins("requirements-extras.lock")
    assert len(plain) > 100 and plain == {name: version for name, version in extras.items() if name in plain}
    wanted = {canonicalize_name(Requirement(line).name) for group, lines in PROJECT["optional-dependencies"].items()
              if group != "dev" for line in lines}  # fmt: skip
    declared = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert wanted <= extras.keys() and not (wanted - declared) & plain.keys()


def test_the_weights_of_the_extra_are_those_of_the_registry() -> None:
    packages = [spec.package for spec in MODELS.values() if spec.package]
    assert sorted(PROJECT["optional-dependencies"]["imagenet"]) == sorted(f"{p.name}=={p.version}" for p in packages)
