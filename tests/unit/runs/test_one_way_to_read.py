"""A file of a run that other commands trust is read in one way only: read_verified(). Found in the source, not by use."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "src" / "plainfilm"
FILES = {
    "config", "environment", "table", "excluded", "data", "history", "timing", "card", "metrics", "cost", "probes",
    "probe_features", "heat_checks", "local",
}  # fmt: skip
NAMERS = {"predictions", "top_images", "probe_scores"}  # methods of RunDir
READERS = {
    "read_regular", "regular_file", "read_yaml", "load_config", "read_csv", "load", "load_file", "safe_open", "open",
    "loadtxt", "read_json",
}  # fmt: skip
METHODS = {"read_bytes", "read_text", "open"}
# module, function -> why it may
ALLOWED = {
    ("runs/run_manifest.py", "read_verified"): "it is the one way",
    (
        "pipeline/run_inputs.py",
        "_config_differences",
    ): "names what an edit changed; read_run_config() reads what is used",
    ("pipeline/train.py", "_timing"): "of the training that has just written it",
}


def _is_trusted(node: ast.expr, names: set[str]) -> bool:
    """Whether an expression is the path of a trusted file: run.card, x.run.predictions("test"), or a name for one."""
    if isinstance(node, ast.Name):
        return node.id in names
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr in NAMERS
    if not (isinstance(node, ast.Attribute) and node.attr in FILES):
        return False
    of = node.value
    of_run = isinstance(of, ast.Call) and isinstance(of.func, ast.Name) and of.func.id == "RunDir"
    return of_run or ast.unparse(of).rpartition(".")[2] in ("run", "other", "source", "place", "parent", "self_run")


def _readings(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        names: set[str] = set()
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and _is_trusted(node.value, names):
                names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0] if node.args else None
            by_argument = called in READERS and first is not None and _is_trusted(first, names)
            on_itself = (
                called in METHODS and isinstance(node.func, ast.Attribute) and _is_trusted(node.func.value, names)
            )
            if by_argument or on_itself:
                yield function.name, node.lineno


def test_no_trusted_file_is_read_past_its_hash():
    found = {
        (path.relative_to(PACKAGE).as_posix(), function)
        for path in sorted(PACKAGE.rglob("*.py"))
        for function, _ in _readings(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found <= set(ALLOWED)
    assert found >= set(ALLOWED) - {("runs/run_manifest.py", "read_verified")}  # an exception that is gone is struck


@pytest.mark.parametrize(
    "line",
    [
        "load_config(run.config)",
        "read_yaml(RunDir(root).config)",
        "pd.read_csv(finished.run.table)",
        "np.load(run.top_images('valid'))",
        "run.card.read_text(encoding='utf-8')",
        "path = run.predictions('test'); path.read_bytes()",
        "read_regular(other.metrics)",
    ],
)
def test_each_way_past_it_is_seen(line):
    assert list(_readings(ast.parse(f"def f(run):\n    {line}")))


@pytest.mark.parametrize(
    "line", ["read_verified(run, run.card)", "read_yaml(path)", "run.log.read_text()", "cfg.data.path"]
)
def test_what_is_none_is_not(line):
    assert not list(_readings(ast.parse(f"def f(run):\n    {line}")))
