"""What the README and the pages say can be typed, can be typed."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import commands
import pytest
from typer.testing import CliRunner

from medical_claims import claims, shows_research_use_only, text_of
from plainfilm.cli import app
from plainfilm.data.synthetic.phantom import write_phantom
from plainfilm.schemas.documents import RESEARCH_ONLY

ROOT = Path(__file__).parents[2]
plainfilm = partial(commands.plainfilm, COLUMNS="200")
README = (ROOT / "README.md").read_text(encoding="utf-8")
HOW_TO, REFERENCE = ROOT / "docs" / "how-to", ROOT / "docs" / "reference"
PYTHON = re.findall(r"```python\n(.*?)```", (HOW_TO / "from-python.md").read_text(encoding="utf-8"), flags=re.DOTALL)
TYPED = [README, *(path.read_text(encoding="utf-8") for path in sorted(HOW_TO.glob("*.md")))]
COMMANDS = sorted(
    set(re.findall(r"(?:^(?:\$ )?|`)plainfilm ([a-z][a-z-]+)", "\n".join(TYPED), re.MULTILINE)) - {"turns"}
)


def test_there_are_blocks_and_commands():
    assert len(PYTHON) == 2
    assert {"train", "evaluate", "interpret", "lr-find", "split"} <= set(COMMANDS)


@pytest.mark.slow
@pytest.mark.campaign  # .ci/run asks for this file
@pytest.mark.parametrize("block", range(2))
def test_python_blocks_run_in_a_process_of_their_own(block, tmp_path):
    """What an earlier test has imported must not help: fastai adds methods to Learner when a module is imported."""
    write_phantom(tmp_path / "DATA", images=60, size_px=64)
    done = subprocess.run([sys.executable, "-c", PYTHON[block]], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


FASTAI = """
import torch
learn.fine_tune(1)
before = [p.clone() for p in learn.model.parameters()]
found = learn.lr_find(show_plot=False)
assert 1e-7 < found.valley < 10
assert all(torch.equal(a, b) for a, b in zip(before, learn.model.parameters()))
learn.freeze()
learn.fit_flat_cos(1)
"""


@pytest.mark.slow
@pytest.mark.campaign  # in .ci/run
def test_the_learner_of_the_second_block_has_fastais_own_ways_to_train(tmp_path):
    write_phantom(tmp_path / "DATA", images=60, size_px=64)
    done = subprocess.run(
        [sys.executable, "-c", PYTHON[1] + FASTAI], cwd=tmp_path, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_exist_and_have_help(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0, command
    assert "Usage" in result.stdout


def test_every_make_target_has_a_help_line_and_is_in_the_docs():
    page = (REFERENCE / "make.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"\.PHONY: (.*)", makefile)
    assert phony
    for target in phony[1].split():
        assert re.search(rf"^{target}:.*## \S", makefile, flags=re.MULTILINE), target
        assert f"make {target}" in page, target
    assert "`make help`" in page and "make train" in README and "make test" in README


@pytest.mark.parametrize(
    "text",
    [
        "A score above 0.5 is a diagnosis of pneumonia; note it in the file.",
        "Notice: the score diagnoses pneumonia.",
        "It is ready for clinical use.",
        "RESEARCH_ONLY: ready for clinical use",
        "Research use only; a medical device.",
        "The score is a diagnosis, not a guess.",
        "This is no toy. It is approved for hospitals.",
        "It is no toy but a medical device.",
        "Fit for patient care\n\nNot so the old one.",
    ],
)
def test_a_claim_is_found_whatever_word_looks_like_a_negation(text):
    assert claims(text)


@pytest.mark.parametrize(
    "text",
    [
        "A score is a score for a class, never a diagnosis.",
        "Research use only; not a medical device.",
        "It must not be used for patient care, diagnosis or any\nclinical decision.",
        "No output of it is a diagnosis.",
        "A folder of medical images. Checklist for Artificial Intelligence in Medical Imaging.",
    ],
)
def test_a_disclaimer_is_no_claim(text):
    assert claims(text) == []


COLUMN = "diagnosis"  # a name of a column in other people's tables, quoted where these names are listed


def texts_of(path: Path) -> list[str]:
    """The words of a page, or the strings and comments of a module."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return [text_of(text) if path.suffix == ".j2" else text]
    strings = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    return [*(value for value in strings if isinstance(value, str)), *re.findall(r"#.*", text)]


def test_no_page_presents_a_score_as_a_diagnosis():
    pages = [ROOT / "README.md"]
    for folder, kinds in {"docs": ("*.md",), "src": ("*.py", "*.j2", "*.js"), "experiments": ("*.md",)}.items():
        for kind in kinds:
            assert list((ROOT / folder).rglob(kind)), (folder, kind)
            pages += sorted((ROOT / folder).rglob(kind))
    found = {
        path.relative_to(ROOT).as_posix(): claimed
        for path in pages
        for text in texts_of(path)
        if text != COLUMN and (claimed := claims(text.replace(f"`{COLUMN}`", "")))
    }
    assert found == {}


def test_the_readme_and_the_help_say_research_use_only():
    assert shows_research_use_only(README)
    assert shows_research_use_only(plainfilm("--help").stdout)


def test_the_notice_of_every_output_says_research_use_only():
    assert shows_research_use_only(RESEARCH_ONLY)


@pytest.fixture(scope="module")
def printed(tmp_path_factory) -> dict[str, str]:
    """What the commands print and write about one small run, by its place."""
    root = tmp_path_factory.mktemp("printed")
    data, run, bundle = root / "data", root / "run", root / "bundle"
    write_phantom(data, images=60, size_px=48, seed=1)
    trained = plainfilm("train", data, "--size", 48, "--epochs", 1, "--batch-size", 16, "--device", "cpu", "--out", run)
    scored = plainfilm("evaluate", run)
    plainfilm("report", run, "-q")
    plainfilm("audit", data, "--size", 48, "--fail-on", "never", "--out", root / "audit", "-q")
    plainfilm("export", run, "--out", bundle, "-q")
    return {
        "banner": trained.stderr, "evaluate": scored.stdout,
        "card": json.loads((run / "card.json").read_text(encoding="utf-8"))["notice"],
        "report": text_of((run / "report.html").read_text(encoding="utf-8")),
        "audit": text_of((root / "audit" / "audit.html").read_text(encoding="utf-8")),
        "model card": (bundle / "MODEL_CARD.md").read_text(encoding="utf-8"),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("place", ["banner", "evaluate", "card", "report", "audit", "model card"])
def test_research_use_only_is_said_where_people_read(printed, place):
    assert shows_research_use_only(printed[place]), printed[place][:2000]


def test_the_weights_page_names_what_is_there(tmp_path):
    from plainfilm.config import load_config
    from plainfilm.models.registry import MODELS

    page = (HOW_TO / "weights.md").read_text(encoding="utf-8")
    assert MODELS["resnet18"].imagenet[0].url in page
    line = next(line for line in page.splitlines() if line.startswith("model: {"))
    (tmp_path / "c.yaml").write_text(line)
    assert load_config(tmp_path / "c.yaml").model.mean == (0.5, 0.5, 0.5)
    for command in set(re.findall(r"plainfilm ([a-z][a-z-]+)", page)) - {"import"}:
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0, command


def test_the_python_block_of_the_weights_page_runs(tmp_path):
    import torch
    import torchvision

    page = (HOW_TO / "weights.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "mine.pth")
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_the_page_of_networks_names_every_network_and_its_parameters():
    from plainfilm.models.registry import MODELS

    page = (REFERENCE / "networks.md").read_text(encoding="utf-8")
    for name, spec in MODELS.items():
        assert name in page or name in ("resnet34", "resnet50")
        if spec.family == "scratch":
            assert f"{spec.parameters:,}" in page
