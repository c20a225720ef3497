"""The pages of docs/: links, anchors and the index hold, and the pages that are made from the code are up to date."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from plainfilm import errors
from plainfilm.cli import app, main

ROOT = Path(__file__).parents[2]
MOST_WORDS = 1200  # of the README


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


site, reference = tool("docs_site"), tool("docs_reference")


def test_links_and_anchors_lead_somewhere_and_every_page_is_in_the_navigation():
    assert site.problems(ROOT) == []
    pages = site.pages_of(ROOT)
    assert len(pages) > 30
    assert sum(len(site.links_of(page)) for page in pages) > 150
    sections = [name for name, _ in site.navigation(ROOT)]
    assert sections == ["Tutorials", "How-tos", "Reference", "Explanation", "Decisions"]


@pytest.mark.parametrize(
    ("page", "text", "said"),
    [
        ("README.md", "[a](docs/none.md)", "README.md: docs/none.md leads to no file"),
        ("docs/index.md", "![a](images/none.png)", "docs/index.md: images/none.png leads to no file"),
        ("docs/how-to/a.md", "[a](../index.md#nowhere)", "docs/how-to/a.md: ../index.md#nowhere leads to no heading"),
        ("docs/how-to/a.md", "[a](#b)", "docs/how-to/a.md: #b leads to no heading"),
        ("docs/how-to/b.md", "# B", "docs/how-to/b.md is not listed in docs/index.md"),
        ("docs/index.md", "[A again](how-to/a.md)", "docs/index.md lists docs/how-to/a.md 2 times"),
    ],
)
def test_what_is_wrong_with_a_page_is_found(tmp_path, page, text, said):
    (tmp_path / "docs" / "how-to").mkdir(parents=True)
    for name, content in {
        "README.md": "# R\n[docs](docs/index.md#how-tos)",
        "CONTRIBUTING.md": "# C\n`[not](a-link.md)`",
        "docs/index.md": "# I\n## How-tos\n- [A](how-to/a.md)",
        "docs/how-to/a.md": "# A\n## What `--x` does\n[self](#what---x-does)\n\n```\n[not](a-link.md)\n```",
    }.items():
        (tmp_path / name).write_text(content)
    assert site.problems(tmp_path) == []
    with (tmp_path / page).open("a") as file:
        file.write(f"\n\n{text}\n")
    assert site.problems(tmp_path) == [said]


@pytest.mark.parametrize(
    ("markup", "fetched"),
    [
        ('<script src="https://cdn.example/a.js"></script>', True),
        ("<img alt=a src=//cdn.example/a.png>", True),
        ('<link rel="stylesheet" href="https://fonts.example/css">', True),
        ("@import 'https://fonts.example/css';", True),
        ("a { background: url(https://cdn.example/a.png) }", True),
        ('<link rel="stylesheet" href="../assets/main.css"><img src="a.png">', False),
        ('<a href="https://example.org/">a link is only followed</a>', False),
    ],
)
def test_what_a_page_would_fetch_from_elsewhere_is_found(tmp_path, markup, fetched):
    (tmp_path / "index.html").write_text(markup)
    assert bool(site.fetches_of(tmp_path)) is fetched


@pytest.mark.parametrize("width", ["40", "200"])
def test_pages_made_from_the_code_are_up_to_date(width, monkeypatch):
    """Mended by: make docs."""
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("TERMINAL_WIDTH", width)
    made = reference.pages()
    assert set(made) == {"config.md", "commands.md", "json.md", "labels.md"}
    for name, text in made.items():
        assert (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") == text, name


def keys() -> dict[str, Any]:
    return {key.name: key for _, _, found in reference.keys_of(reference.ExperimentConfig) for key in found}


def test_the_config_page_has_every_key_of_a_resolved_config():
    def dotted(section: dict[str, Any], prefix: str = "") -> set[str]:
        found = set()
        for name, value in section.items():
            found |= dotted(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}"}
        return found

    resolved = yaml.safe_load(reference.ExperimentConfig().as_yaml())
    assert set(keys()) == dotted(resolved)
    page = (ROOT / "docs" / "reference" / "config.md").read_text(encoding="utf-8")
    assert "| `train.size_px` | `224` | integer >= 16, <= 2048 | px |" in page
    assert "| `train.lr` | `0.001` | number > 0 or `auto` |" in page


def test_every_key_has_a_description_and_every_number_a_unit():
    assert [name for name, key in keys().items() if len(key.what) < 10] == []
    assert [line.partition(": ")[2] for line in reference.missing().splitlines()] == ["", ""]


# A value of each option that is not the default; bare options need none.
VALUES = {
    "--model": "compact", "--weights": "none", "--freeze-epochs": "0", "--freeze-lr": "0.5", "--lr-ratio": "1", "--norm": "batch",
    "--epochs": "3", "--size": "65", "--batch-size": "3", "--lr": "0.5", "--seed": "3", "--split": "image", "--folds": "7",
    "--fold": "1", "--positive": "x", "--balance": "auto", "--label-smoothing": "0.5", "--clip": "0.5", "--ema": "0.5",
    "--augment": "none", "--keep": "last", "--threshold": "0.25", "--threshold-on": "valid-shifted",
    **dict.fromkeys(("--path-column", "--label-column", "--patient-column", "--split-column"), "x"), "--suffix": ".png",
    "--patient-pattern": "(x)", "--bits": "12", "--frame": "1", "--resize": "pad", "--requantise": "8", "--max-bad": "7",
    "--per-class": "3", "--exclude": "x.csv", "--threads": "3", "--missing-label": "drop", "--keep-label": "NA",
    "--one-label": "x", "--max-megapixels": "300",
    "--label-pattern": "(x)", "--under": "x", "--precision": "bf16", "--group-column": "x", "--group-pattern": "(x)",
    "--date-column": "x", "--test-series": "x", "--sandbox": "off", "--recipe": "all", "--range": "-1,1",
}  # fmt: skip
ALSO = {"--requantise": ["--harmonise"], "--range": ["--weights", "x.pth"]}
CHANGES_NOTHING = {"--weights", "--freeze-epochs", "--lr-ratio", "--norm"}  # another value needs weights
NEEDS_WEIGHTS = {"--freeze"}


@pytest.mark.parametrize("name", sorted(name for name, key in keys().items() if key.option and name != "data.path"))
def test_the_option_beside_a_key_sets_that_key(name):
    option = keys()[name].option.split("` / `")[-1].strip("`")
    words = [*option.split(), *([VALUES[option]] if option in VALUES else []), *ALSO.get(option, [])]
    told = CliRunner().invoke(app, ["train", "DATA", *words, "--print-config"])
    if option in NEEDS_WEIGHTS:
        assert told.exit_code == 2 and name in told.stderr
        return
    assert told.exit_code == 0, told.stderr
    changed = yaml.safe_load(told.stdout)
    for part in name.split("."):
        changed = changed[part]
    assert (str(changed) == keys()[name].default.strip("`")) is (option in CHANGES_NOTHING), changed


def test_every_exit_code_is_on_its_page():
    raised = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.PlainfilmError)
    }
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    shown = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert shown == raised | {0, main.BUG, main.INTERRUPTED, main.READER_LEFT}


def test_the_readme_is_short_and_says_early_that_it_is_for_research_only():
    """Words are what stands between blanks in the text as it is shown: tables, code and the text of links, no addresses."""
    text: list[str] = []
    pictures = 0
    for token in site.tokens_of(ROOT / "README.md"):
        if token.type in ("text", "code_inline", "fence", "code_block"):
            text += token.content.split()
        pictures += token.type == "image"
    assert 500 < len(text) <= MOST_WORDS
    assert pictures == 1
    assert "Research use only" in " ".join(text[:60])


def test_the_picture_of_the_readme_is_small():
    assert (ROOT / "docs" / "images" / "report.png").stat().st_size < 300_000


def test_every_source_and_test_file_that_a_page_cites_is_there():
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    cited = {
        (page.name, path)
        for page in pages
        for path in re.findall(
            r"`((?:tests|src|benchmarks|tools|experiments)/[\w./-]+\.(?:py|yaml|md|jsonl))`",
            page.read_text(encoding="utf-8"),
        )
    }
    assert len(cited) > 50
    assert sorted(pair for pair in cited if not (ROOT / pair[1]).exists()) == []
