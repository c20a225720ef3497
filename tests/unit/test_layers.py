"""The direction of imports, followed through the source of every module."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
PACKAGE = SRC / "plainfilm"
MODULES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# A package may import its own number and below; the same number only inside itself (data and models meet in train).
LEVELS = {
    "errors": 0, "seeds": 0, "shown": 0, "strict_yaml": 1, "schemas_evaluate": 0, "schemas": 1, "schemas_data": 2, "schemas_compare": 2, "schemas_interpret": 2, "config_sections": 1, "config": 2,  "files": 0, "runs": 1, "listener": 2, "card": 3,
    "data": 4, "models": 4, "prepare": 5, "train": 5, "evaluate": 5, "inputs": 6, "seen": 6, "interpret": 6, "export": 7,
    "audit": 7, "evaluation": 7, "doctor": 7, "training": 7, "interpretation": 7, "app": 8, "pipeline": 8, "experiments": 9, "report": 9, "cli": 10, "__main__": 11, "": 11,
}  # fmt: skip
TORCH_AT_MODULE_LEVEL = (
    "data.block",
    "models.paper",
    "models.gap",
    "models.compact",
    "models.backbones",
    "models.weights",
    "models.build",
    "train.",
    "evaluate.predictions",
    "interpret.gradcam",
    "export.onnx",
)
HEAVY = {"torch", "torchvision", "fastai", "fasttransform", "fastcore", "timm"}
PIXEL_MODULES = {"PIL", "pydicom"}


def layer(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports(module: str, *, everywhere: bool) -> set[str]:
    """Names of the modules that `module` imports, at module level or everywhere in it (type checking excluded)."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everywhere else iter(tree.body)
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in nodes:
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in named}
    return found


def test_the_walk_finds_the_modules():
    assert {"plainfilm.cli.main", "plainfilm.data.block", "plainfilm.pipeline"} <= set(MODULES)
    assert "plainfilm.train.fit" in imports("plainfilm.pipeline", everywhere=True)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards_only(module: str):
    mine = layer(module)
    for name in imports(module, everywhere=True):
        if name.split(".")[0] != "plainfilm":
            continue
        theirs = layer(name)
        if theirs == mine or name == "plainfilm":
            continue
        assert LEVELS[theirs] < LEVELS[mine], f"{module} imports {name}"


def test_no_module_is_imported_in_a_circle():
    graph = {
        module: {n for n in imports(module, everywhere=True) if n in MODULES and n != "plainfilm"} for module in MODULES
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for name in sorted(graph[module]):
                visit(name, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("module", MODULES)
def test_torch_is_imported_at_module_level_only_where_allowed(module: str):
    heavy = {name for name in imports(module, everywhere=False) if name.split(".")[0] in HEAVY}
    allowed = any(
        module == f"plainfilm.{place}" or (place.endswith(".") and module.startswith(f"plainfilm.{place}"))
        for place in TORCH_AT_MODULE_LEVEL
    )
    assert allowed or not heavy, f"{module} imports {heavy}"


def reaches(module: str) -> set[str]:
    """All modules, ours and foreign, that importing `module` loads, followed through our own module level."""
    seen: set[str] = set()
    todo = [module]
    while todo:
        for name in imports(todo.pop(), everywhere=False):
            if name not in seen:
                seen.add(name)
                todo += [name] if name in MODULES else []
    return seen


@pytest.mark.parametrize(
    "module",
    [
        m
        for m in MODULES
        if m.startswith(
            ("plainfilm.cli", "plainfilm.config", "plainfilm.data.decode", "plainfilm.report", "plainfilm.app")
        )
        or m == "plainfilm.export.inference"
    ],
)
def test_the_command_line_decode_and_report_reach_no_torch(module: str):
    assert not {name for name in reaches(module) if name.split(".")[0] in HEAVY}


def test_a_bundle_predicts_with_a_light_set_of_libraries():
    """What requirements-predict.txt need not name: pandas, scipy and the rest of the training."""
    foreign = (
        {name.split(".")[0] for name in reaches("plainfilm.export.inference")} - {"plainfilm"} - sys.stdlib_module_names
    )
    assert foreign == {"numpy", "PIL", "pydantic", "yaml", "filelock"}


def test_a_bundle_is_served_with_four_libraries_more():
    foreign = {name.split(".")[0] for name in reaches("plainfilm.app.run")} - {"plainfilm"} - sys.stdlib_module_names
    light = {"numpy", "PIL", "pydantic", "yaml", "filelock"}
    assert foreign == light | {"jinja2", "starlette", "uvicorn", "python_multipart"}


def test_only_decode_opens_images():
    users = {m for m in MODULES if {n.split(".")[0] for n in imports(m, everywhere=True)} & PIXEL_MODULES}
    assert users == {
        "plainfilm.data.decode",
        "plainfilm.data.dicom",
        "plainfilm.data.dicom_display",
        "plainfilm.data.dicom_pixels",
        "plainfilm.data.pixels",  # works on what decode opened, as does resize
        "plainfilm.data.resize",
        "plainfilm.data.near",  # hands thumbnails to ImageHash
        "plainfilm.data.corruptions",  # a JPEG in memory, of what decode gave
        "plainfilm.app.pictures",  # writes PNG of what decode gave
        "plainfilm.data.film",
        "plainfilm.data.phantom",
        "plainfilm.data.planted",
    }  # the last three draw, they never read
    openers = {m for m, path in MODULES.items() if "Image.open(" in path.read_text(encoding="utf-8")}
    assert openers == {"plainfilm.data.decode", "plainfilm.data.corruptions"}  # the second from memory alone


@pytest.mark.parametrize(
    "word",
    [
        "torch.load",
        "torch.save",
        "import pickle",
        "export.pkl",
        "joblib",
        "get_image_files",
        "fit_flat_cos",
        "import click",
    ],
)
def test_no_module_uses(word: str):
    users = [m for m, path in MODULES.items() if word in path.read_text(encoding="utf-8")]
    # models.weights reads foreign files, and makes nothing of them but tensors
    assert users == (["plainfilm.models.weights"] if word == "torch.load" else [])


def test_onnx_runtime_is_imported_in_one_place():
    """Elsewhere it would send facts of the machine away before anybody could say no."""
    users = {m for m in MODULES if "onnxruntime" in {n.split(".")[0] for n in imports(m, everywhere=True)}}
    assert users == {"plainfilm.export.runtime"}


def test_foreign_weights_are_read_by_weights_only():
    tree = ast.parse(MODULES["plainfilm.models.weights"].read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"]
    assert len(calls) == 1
    assert "weights_only=True" in ast.unparse(calls[0])


def test_only_runs_writes_files():
    """atomic_write is the one way; phantom renames a whole folder and says so."""
    words = ("write_text(", "write_bytes(", 'open(path, "w', '"wb")', "to_csv(path", "savefig(path", "np.save(path")
    writers = {m for m, path in MODULES.items() if any(w in path.read_text(encoding="utf-8") for w in words)}
    assert writers <= {"plainfilm.files", "plainfilm.data.phantom"}


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["train", "--help"],
        ["evaluate", "--help"],
        ["compare", "--help"],
        ["experiments", "run", "--help"],
        ["--version"],
    ],
)
def test_help_loads_neither_torch_nor_fastai(args: list[str]):
    code = (
        "import sys\nfrom plainfilm.cli import app\ntry:\n    app(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'fastai', 'torchvision', 'pandas', 'sklearn', 'matplotlib'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, *args], check=True, capture_output=True, timeout=60)


def test_importing_plainfilm_is_light_and_its_names_resolve():
    code = "import sys, plainfilm\nassert 'torch' not in sys.modules\nassert plainfilm.load_config().train.epochs == 10"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
