"""The house stays a size that a stranger can walk: modules, functions, rooms, and what is shown to others."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "plainfilm"
MODULES = {path: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {path: ast.parse(text) for path, text in MODULES.items()}
ROOMY = {"pipeline": 20, "cli/commands": 20, "schemas": 20}  # one module per command, one per theme
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def test_modules_are_short():
    lines = [len(text.splitlines()) for text in MODULES.values() if text]
    assert len(lines) > 150
    assert median(lines) <= 135 and max(lines) <= 320


def test_functions_fit_a_screen():
    lengths = sorted(
        node.end_lineno - node.lineno + 1
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, DEFINITIONS[:2]) and node.end_lineno
    )
    assert len(lengths) > 1000
    assert median(lengths) <= 8 and lengths[int(0.9 * len(lengths))] <= 22


def test_functions_take_at_most_eight_parameters():
    """More of them are an object without a name, self included; a command takes as many as it has options."""
    commands = PACKAGE / "cli" / "commands"
    long = {
        node.name if node.name != "__init__" else f"{path.stem}.__init__"
        for path, tree in TREES.items()
        if path.parent != commands
        for node in ast.walk(tree)
        if isinstance(node, DEFINITIONS[:2]) and _parameters(node) > 8
    }
    assert long == set()


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    takes = function.args
    return len([*takes.posonlyargs, *takes.args, *takes.kwonlyargs, *filter(None, (takes.vararg, takes.kwarg))])


def test_rooms_are_small():
    folders = {path.parent for path in MODULES}
    sizes = {
        folder.relative_to(PACKAGE).as_posix(): sum(path.name != "__init__.py" for path in folder.glob("*.py"))
        for folder in folders
    }
    assert {room: size for room, size in sizes.items() if size > ROOMY.get(room, 14)} == {}
    entries = [path for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 28  # with the rooms of many runs and of tracking, which are to come


def test_modules_show_little_to_each_other():
    """The documents of schemas/ are not counted: docs/reference/json.md names each."""
    counted = [tree for path, tree in TREES.items() if "schemas" not in path.parts]
    shown = [
        node.name
        for tree in counted
        for node in tree.body
        if isinstance(node, DEFINITIONS) and not node.name.startswith("_")
    ]
    assert len(shown) <= 2.8 * len(counted)


def test_every_other_init_is_empty():
    """config re-exports its models, cli holds the app, the package its public names."""
    full = {
        path.parent.relative_to(PACKAGE).as_posix()
        for path, text in MODULES.items()
        if text and path.name == "__init__.py"
    }
    assert full == {".", "cli", "config"}


def test_the_tests_mirror_the_rooms():
    rooms = {path.parent.relative_to(PACKAGE).as_posix() for path in MODULES} - {"."}
    folders = {
        path.parent.relative_to(ROOT / "tests" / "unit").as_posix()
        for path in (ROOT / "tests" / "unit").rglob("test_*.py")
    }
    assert folders - {"."} <= rooms
