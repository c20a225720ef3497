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

# The rooms, lowest first. A module may import its own room and rooms of lower rows, at module level or in a function;
# rooms of one row do not import each other, unless the row says so with "<>". The longest name that fits counts.
ROOMS = """
errors
base
schemas
config
runs
data.errors
data.image <> data.dicom
data.cache data.folders
data.archives
data.csv
data.table
data.split
data.loaders data.audit data.synthetic
models
train.machine
train
evaluate.stats
evaluate.metrics evaluate.ood
evaluate.saved_auroc
evaluate.predictions evaluate.saved_numbers
evaluate.finished
evaluate.access_chain
evaluate.shared_ledgers
evaluate.test_ledger
evaluate.planning
evaluate.shortcuts
evaluate.shift
evaluate.operating evaluate.heldout
evaluate.document <> evaluate.abstention_document
plots compare
interpret
report
pipeline
export
experiments serve recalibrate
board tune
cli
__main__
"""
TORCH_AT_MODULE_LEVEL = (
    "plainfilm.data.loaders.block",
    "plainfilm.data.loaders.augment_batch",
    "plainfilm.data.loaders.resident",
    "plainfilm.models.dropout",
    "plainfilm.data.loaders.shrink",
    "plainfilm.models.paper",
    "plainfilm.models.paper_gap",
    "plainfilm.models.compact",
    "plainfilm.models.backbones",
    "plainfilm.models.load_weights",
    "plainfilm.models.build",
    "plainfilm.train.",
    "plainfilm.evaluate.predictions",
    "plainfilm.interpret.gradcam",
    "plainfilm.export.onnx",
)
HEAVY = {"torch", "torchvision", "fastai", "fasttransform", "fastcore", "timm"}
PIXEL_MODULES = {"PIL", "pydicom"}
# Commands that need no pipeline, by their function in cli.commands, and the room that each calls instead.
DIRECT = {
    "export": "export",
    "predict": "export",
    "serve": "serve",
    "run": "experiments",
    "table": "experiments",
    "recalibrate": "recalibrate",
    "tune": "tune",
    "runs": "board",
    "board": "board",
}
# What a command may import besides: what options are read with.
READING = {"errors", "base", "config", "cli", "runs", "data.synthetic.planted_faults"}
READING |= {"evaluate.metrics.measure", "evaluate.metrics.prevalence", "evaluate.shift.external_set"}


def rooms() -> dict[str, tuple[int, int]]:
    """Room -> its row, and the group in that row within which imports are free."""
    found: dict[str, tuple[int, int]] = {"": (len(ROOMS.splitlines()), 0)}  # the package itself names its parts
    for row, line in enumerate(ROOMS.splitlines()):
        together = "<>" in line
        for i, name in enumerate(line.replace("<>", " ").split()):
            found[name] = (row, 0 if together else i)
    return found


PLACES = rooms()


def place(module: str) -> tuple[int, int]:
    """Row and group of the longest room name that fits `module`; raises KeyError where none does."""
    name = module.removeprefix("plainfilm").removeprefix(".")
    while name not in PLACES:
        if "." not in name:
            raise KeyError(f"{module} is in no room; add it to ROOMS")
        name = name.rpartition(".")[0]
    return PLACES[name]


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
    assert {"plainfilm.cli.main", "plainfilm.data.loaders.block", "plainfilm.pipeline.train"} <= set(MODULES)
    assert "plainfilm.train.fit" in imports("plainfilm.pipeline.train", everywhere=True)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards_only(module: str):
    for name in imports(module, everywhere=True):
        if name.split(".")[0] == "plainfilm" and name != "plainfilm":
            mine, theirs = place(module), place(name)
            assert theirs == mine or theirs[0] < mine[0], f"{module} imports {name}"


def called_rooms() -> dict[str, set[str]]:
    """What each function of cli.commands imports in its body, without the package's name and what READING names."""
    found: dict[str, set[str]] = {}
    for module in MODULES:
        if module.startswith("plainfilm.cli.commands."):
            for node in ast.parse(MODULES[module].read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef):
                    names = {n.module.partition(".")[2] for n in ast.walk(node) if isinstance(n, ast.ImportFrom)}
                    found[node.name] = {n for n in names if not {n, n.partition(".")[0]} & READING}
    return found


def test_run_level_commands_call_the_pipeline():
    called = {name: modules for name, modules in called_rooms().items() if modules and not name.startswith("_")}
    run_level = {"train", "resume", "lr_find", "evaluate", "interpret", "audit", "split", "report", "show"}
    run_level |= {"compare", "plan", "init", "card"}
    assert run_level | set(DIRECT) <= set(called)
    wrong = {name: rooms for name, rooms in called.items() if {r.partition(".")[0] for r in rooms} != {DIRECT.get(name, "pipeline")}}  # fmt: skip
    assert not wrong


def test_commands_import_at_module_level_only_what_reads_options():
    for module in MODULES:
        if module.startswith("plainfilm.cli.commands."):
            ours = {n.partition(".")[2] for n in imports(module, everywhere=False) if n.startswith("plainfilm.")}
            assert {name for name in ours if not {name, name.partition(".")[0]} & READING} == set(), module


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
    allowed = any(module == name or (name.endswith(".") and module.startswith(name)) for name in TORCH_AT_MODULE_LEVEL)
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
            ("plainfilm.cli", "plainfilm.config", "plainfilm.data.image.decode", "plainfilm.report", "plainfilm.serve")
        )
        or m in ("plainfilm.export.scorer", "plainfilm.pipeline.report")
    ],
)
def test_the_command_line_decode_and_report_reach_no_torch(module: str):
    assert not {name for name in reaches(module) if name.split(".")[0] in HEAVY}


def test_a_bundle_predicts_with_a_light_set_of_libraries():
    """What requirements-predict.txt need not name: pandas, scipy and the rest of the training."""
    foreign = (
        {name.split(".")[0] for name in reaches("plainfilm.export.scorer")} - {"plainfilm"} - sys.stdlib_module_names
    )
    assert foreign == {"numpy", "PIL", "pydantic", "yaml", "filelock"}


def test_a_bundle_is_served_with_five_libraries_more():
    foreign = {name.split(".")[0] for name in reaches("plainfilm.serve.run")} - {"plainfilm"} - sys.stdlib_module_names
    light = {"numpy", "PIL", "pydantic", "yaml", "filelock"}
    assert foreign == light | {
        "jinja2",
        "markdown_it",
        "starlette",
        "uvicorn",
        "h11",
        "python_multipart",
    }  # h11 is uvicorn's own parser


def test_only_decode_opens_images():
    users = {m for m in MODULES if {n.split(".")[0] for n in imports(m, everywhere=True)} & PIXEL_MODULES}
    assert users == {
        "plainfilm.data.image.decode",
        "plainfilm.data.dicom.read",
        "plainfilm.data.dicom.display",
        "plainfilm.data.dicom.pixel_data",
        "plainfilm.data.image.modes",  # works on what decode opened, as does resize
        "plainfilm.data.image.resize",
        "plainfilm.data.image.pnm",  # pixels of a PGM or PPM, whose header decode opened
        "plainfilm.data.audit.near_duplicates",  # hands thumbnails to ImageHash
        "plainfilm.data.synthetic.corruptions",  # a JPEG in memory, of what decode gave
        "plainfilm.serve.images",  # writes PNG of what decode gave
        "plainfilm.data.synthetic.film",
        "plainfilm.data.synthetic.phantom",
        "plainfilm.data.synthetic.planted_faults",
    }  # the last three draw, they never read
    openers = {m for m, path in MODULES.items() if "Image.open(" in path.read_text(encoding="utf-8")}
    assert openers == {
        "plainfilm.data.image.decode",
        "plainfilm.data.synthetic.corruptions",
    }  # the second from memory alone


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
    # a refusal names the line that converts a whole model, for the user to run elsewhere
    named = "torch.save(torch.load('FILE', weights_only=False).state_dict(), 'weights.pt')"
    users = [m for m, path in MODULES.items() if word in path.read_text(encoding="utf-8").replace(named, "")]
    # load_weights reads foreign files, and makes nothing of them but tensors
    assert users == (["plainfilm.models.load_weights"] if word == "torch.load" else [])


def test_onnx_runtime_is_imported_in_one_place():
    """Elsewhere it would send facts of the machine away before anybody could say no."""
    users = {m for m in MODULES if "onnxruntime" in {n.split(".")[0] for n in imports(m, everywhere=True)}}
    assert users == {"plainfilm.export.onnx_runtime"}


def test_foreign_weights_are_read_by_weights_only():
    tree = ast.parse(MODULES["plainfilm.models.load_weights"].read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"]
    assert len(calls) == 1
    assert "weights_only=True" in ast.unparse(calls[0])


def test_only_runs_writes_files():
    """atomic_write is the one way; phantom renames a whole folder and says so."""
    words = ("write_text(", "write_bytes(", 'open(path, "w', '"wb")', "to_csv(path", "savefig(path", "np.save(path")
    writers = {m for m, path in MODULES.items() if any(w in path.read_text(encoding="utf-8") for w in words)}
    assert writers <= {"plainfilm.base.files", "plainfilm.data.synthetic.phantom"}


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["train", "--help"],
        ["evaluate", "--help"],
        ["compare", "--help"],
        ["plan", "--help"],
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
