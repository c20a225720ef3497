"""What the tutorial, the how-to pages and the notebook show can be typed as it stands, and prints what they show."""

from __future__ import annotations

import ast
import contextlib
import csv
import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from typer.testing import CliRunner

import plainfilm
from plainfilm.cli import app
from plainfilm.data.synthetic.phantom import write_phantom

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (
    "your-own-folder",
    "report",
    "from-dicom",
    "external-validation",
    "recalibrate",
    "your-own-backbone",
    "plan-a-study",
)
NOTEBOOK = ROOT / "notebooks" / "fastai.ipynb"
MOST_NOT_RUN = 0  # blocks of commands that the pages may show and this file does not run
FENCE = re.compile(r"(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
DECIMAL = re.compile(r"[-+]?\d+\.\d+")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page: its language, its text, and what the comment right before it says."""

    kind: str
    text: str
    mark: str

    @property
    def exit_code(self) -> int:
        """What its last command ends with; 0 unless a comment says another."""
        match = re.fullmatch(r"exit (\d+)", self.mark)
        return int(match[1]) if match else 0


def path_of(page: str) -> Path:
    """The page of that name, in whichever section it lies."""
    (path,) = DOCS.rglob(f"{page}.md")
    return path


def blocks_of(page: str) -> list[Block]:
    text = path_of(page).read_text(encoding="utf-8")
    return [Block(found["kind"], found["text"], found["mark"] or "") for found in FENCE.finditer(text)]


def commands_in(text: str) -> list[str]:
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def type_in(command: str) -> tuple[int, str]:
    """Exit code and all that a command prints: ours in this process (torch is here already), others in a shell."""
    words = shlex.split(command, comments=True)
    if words[0] != "plainfilm":
        done = subprocess.run(["sh", "-ec", command], capture_output=True, text=True, check=False)  # noqa: S607
        return done.returncode, done.stdout + done.stderr
    result = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "80"}).invoke(app, words[1:])
    return result.exit_code, result.stdout + result.stderr


def shown_and_not_printed(shown: str, printed: str) -> list[str]:
    """Lines of a page that are not in the output; blanks and line ends do not count, nor do the digits of decimals."""
    squeezed = re.sub(r"\s+", " ", printed)
    missing = []
    for line in shown.splitlines():
        parts = DECIMAL.split(" ".join(line.split()))
        if not re.search(DECIMAL.pattern.join(map(re.escape, parts)), squeezed):
            missing.append(line)
    return missing


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """walk(page): its folder, after everything on the page was typed there, and on the page that it goes on from."""

    @cache
    def through(page: str) -> Path:
        folder = tmp_path_factory.mktemp(page)
        before = re.search(r"<!-- goes on from ([\w-]+)\.md -->", path_of(page).read_text(encoding="utf-8"))
        if before:  # the same folder: the pages of one reader
            folder = through(before[1])
        if page == "from-dicom":
            export_of_an_archive(folder)
        with contextlib.chdir(folder):
            follow(page)
        return folder

    return through


def follow(page: str) -> None:
    """Type every command of a page and run its Python; what it shows right after them must be in what they print."""
    printed, names = "", {"__name__": "__main__"}
    blocks = blocks_of(page)
    for before, block in zip([None, *blocks], blocks, strict=False):
        if block.mark.startswith("not run"):
            continue
        if block.kind == "sh":
            printed = ""
            commands = commands_in(block.text)
            for number, command in enumerate(commands, start=1):
                code, output = type_in(command)
                printed += output
                expected = block.exit_code if number == len(commands) else 0
                assert code == expected, f"{page}: {command}\n{output}"
                assert "Traceback" not in output
        elif block.kind == "python":
            exec(compile(block.text, f"{page}.md", "exec"), names)  # noqa: S102 - our own page
        elif block.kind == "text":  # output; files and folders are shown as csv and txt
            assert before is not None and before.kind == "sh", f"{page}: this is the output of nothing:\n{block.text}"
            assert not shown_and_not_printed(block.text, printed), f"{page} shows what is not printed:\n{printed}"


def export_of_an_archive(folder: Path) -> None:
    """export/P0001/S1/IM000001...: drawn films as 12-bit DICOM files without a suffix, and labels.csv."""
    write_phantom(folder / "drawn", images=160, size_px=96)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        labels = csv.writer(file)
        labels.writerow(["path", "label"])
        for path in sorted((folder / "drawn").rglob("*.png")):
            _, patient, k = path.stem.split("-")
            target = folder / "export" / f"P{patient}" / "S1" / f"IM{int(k):06d}"
            target.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(path) as image:
                as_dicom(np.asarray(image), f"ID{patient}").save_as(target, enforce_file_format=True)
            labels.writerow([target.relative_to(folder).as_posix(), path.parent.name])


def as_dicom(image: np.ndarray, patient: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.PatientID, dataset.PatientName = patient, f"CANARY^{patient}"
    dataset.Rows, dataset.Columns = image.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.PixelRepresentation, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 0, 16, 12, 11
    dataset.PixelData = (image.astype("<u2") * 16).tobytes()
    return dataset


# --- the pages --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.campaign  # .ci/run asks for this file; the first page is walked by the next test too
@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_typed_from_top_to_bottom(page, walk):
    walk(page)


@pytest.mark.slow
@pytest.mark.campaign
def test_what_the_pages_promise_of_their_files_is_there(walk):
    folder = walk("your-own-folder")
    assert (folder / "runs" / "first" / "report.html").is_file()
    assert len((folder / "films.csv").read_text().splitlines()) == 201
    table = (walk("from-dicom") / "runs" / "dicom" / "table.csv").read_text()
    assert len(set(re.findall(r"dicom-[0-9a-f]{16}\b", table))) > 50 and "CANARY" not in table
    assert list((walk("external-validation") / "runs" / "first" / "predictions").glob("external-*.csv"))


def test_every_page_with_commands_to_type_in_is_walked():
    pages = {
        path.stem
        for path in DOCS.rglob("*.md")
        if path.parent.name in ("tutorials", "how-to") and "```sh\n" in path.read_text(encoding="utf-8")
    }
    assert pages == set(PAGES)


def test_every_block_of_a_page_is_run_or_shown_and_few_are_neither():
    blocks = {page: blocks_of(page) for page in PAGES}
    for page, found in blocks.items():
        fences = path_of(page).read_text(encoding="utf-8").count("```")
        assert len(found) == fences / 2 and any(block.kind == "sh" for block in found), page
        assert {block.kind for block in found} <= {"sh", "python", "text", "txt", "csv"}, page
        for block in found:  # a command hides in no block that is only shown
            assert block.kind == "sh" or not re.search(r"^\$? ?plainfilm ", block.text, re.MULTILINE), page
            assert re.fullmatch(r"|exit \d|not run: .+|goes on from [\w-]+\.md", block.mark), block.mark
    not_run = [block for found in blocks.values() for block in found if block.mark.startswith("not run")]
    assert len(not_run) <= MOST_NOT_RUN


def test_commands_inside_sentences_have_the_options_they_name():
    """`plainfilm evaluate RUN --by hospital` in a sentence or a table: the command is there and knows each option."""
    seen = 0
    for page in PAGES:
        prose = FENCE.sub("", path_of(page).read_text(encoding="utf-8"))
        for command, rest in re.findall(r"`plainfilm ([a-z][a-z-]+)([^`]*)`", prose):
            seen += 1
            shown = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "300"}).invoke(app, [command, "--help"])
            assert shown.exit_code == 0, command
            for option in re.findall(r"--[a-z-]+", rest):
                assert option in shown.stdout, f"{page}: {command} {option}"
    assert seen > 5


def test_quoted_messages_and_codes_are_those_of_the_source():
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.py")))
    folder = path_of("your-own-folder").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| `([^`]+)` \|", folder, re.MULTILINE)
    codes = re.findall(r"^\| `(E_[A-Z_]+)` \|", path_of("from-dicom").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(quoted) == 3 and len(codes) == 5
    for text in (*quoted, *(f'"{code}"' for code in codes)):
        assert text in source, text


def test_the_readme_leads_to_the_pages_and_the_notebook():
    """Where each link of each page leads is asked in tests/unit/test_docs.py."""
    links = re.findall(r"\]\((?!https?://)([^)#]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert {"docs/index.md", "notebooks/fastai.ipynb"} <= set(links)
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    for name in PAGES:
        assert f"]({path_of(name).relative_to(DOCS).as_posix()})" in index, name


def test_a_shown_line_is_missed_when_a_word_or_a_count_differs():
    printed = "Evaluations on this test set: 1 by this run,\n1 by all runs\nAUROC   0.556  [0.199, 0.863]   30"
    assert not shown_and_not_printed(
        "Evaluations on this test set: 1 by this run, 1 by all\nAUROC 0.9 [0.1, 0.2] 30", printed
    )
    assert shown_and_not_printed("Evaluations on this test set: 2 by this run", printed)
    assert shown_and_not_printed("AUROC 0.556 [0.199, 0.863] 31", printed)
    assert shown_and_not_printed("AUPRC 0.556", printed)


# --- the notebook and the page on Python, in a process that has imported nothing else --------------------------------------

TYPED = """
import ast, json, sys
from pathlib import Path
import matplotlib
matplotlib.use("Agg")
from matplotlib import pyplot

def run(code, names):
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)

page, cells = json.loads(sys.stdin.read())
run(page, {"__name__": "__main__"})
names, drawn = {"__name__": "__main__"}, []
for cell in cells:
    shown = run(cell, names)
    drawn.append([len(pyplot.figure(n).axes) for n in pyplot.get_fignums()])
    pyplot.close("all")
print("RESULT" + json.dumps({"drawn": drawn, "shown": json.loads(shown.to_json(orient="index"))}))
"""


def cells_of(kind: str) -> list[str]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def page_python() -> list[str]:
    return [block.text for block in blocks_of("from-python") if block.kind == "python"]


@pytest.mark.slow
@pytest.mark.campaign  # half a minute: .ci/run asks for this file
def test_the_notebook_runs_from_top_to_bottom_and_so_does_what_it_recommends(tmp_path):
    write_phantom(tmp_path / "DATA", images=60, size_px=64)
    # a warning would appear in the reader's notebook; torch and fastai deprecate things at their import
    quiet = ["-W", "error", "-W", "ignore::FutureWarning", "-W", "ignore::DeprecationWarning"]
    done = subprocess.run(
        [sys.executable, *quiet, "-c", TYPED], input=json.dumps([page_python()[1], cells_of("code")]),
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.split("RESULT")[1])
    assert [axes for axes in result["drawn"] if axes] == [[8], [1], [1], [6]]  # batch, rate, confusion, top losses
    assert result["shown"]["accuracy"]["n"] == 125 and result["shown"]["accuracy"]["n_patients"] < 125
    for metric in result["shown"].values():
        assert metric["ci_low"] < metric["value"] < metric["ci_high"]
    assert result["shown"]["auroc"]["ci_low"] > 0.5  # twelve epochs have learned something

    (fence,) = re.findall(r"```\n(.*?)```", cells_of("markdown")[-1], flags=re.DOTALL)
    with contextlib.chdir(tmp_path):
        for command in commands_in(fence):
            code, output = type_in(command)
            assert code == 0, f"{command}\n{output}"


def test_the_notebook_is_committed_without_outputs_and_says_what_it_is_for():
    whole = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (whole["nbformat"], whole["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in whole["cells"]}) == len(whole["cells"]) > 10
    for cell in whole["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
    assert "Research use only" in cells_of("markdown")[0]


def uses_of(code: str) -> dict[str, tuple[int, tuple[str, ...]]]:
    """How the code uses plainfilm's public names: positional arguments, and keywords."""
    found = {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in plainfilm.__all__:
            found[node.func.id] = (len(node.args), tuple(sorted(str(word.arg) for word in node.keywords)))
    return found


def test_notebook_and_pages_call_the_same_things_in_the_same_way():
    notebook = uses_of("\n".join(cells_of("code")))
    (page,) = [block.text for block in blocks_of("your-own-backbone") if block.kind == "python"]
    for other in (uses_of(page_python()[1]), uses_of(page)):
        assert len(other) >= 7
        assert other == {name: notebook[name] for name in other}
