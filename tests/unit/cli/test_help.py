"""`--help` and completion: panels in the order of the work, examples that are commands, words that a shell offers."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.cli.help import EXAMPLES
from plainfilm.config import PANELS

COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]


def shown(*words: str, width: int = 80) -> list[str]:
    told = CliRunner(env={"NO_COLOR": "1", "COLUMNS": str(width), "TERMINAL_WIDTH": str(width)}).invoke(
        app, [*words, "--help"]
    )
    assert told.exit_code == 0, told.output
    return told.stdout.splitlines()


def panels(lines: list[str]) -> list[str]:
    return [found[1] for line in lines if (found := re.match(r"╭─ ([A-Z][a-z ]+) ─", line))]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("train", [*PANELS]),
        ("lr-find", [*PANELS]),
        ("audit", ["Data", "Split", "Network", "Speed", "Output"]),
        ("split", ["Data", "Split", "Speed", "Output"]),
        ("evaluate", ["Output", "External images", "Speed", "Data"]),
        ("interpret", ["Options"]),
    ],
)
def test_the_options_are_in_panels_in_the_order_of_the_work(command, expected):
    assert panels(shown(command)) == ["Arguments", *expected]


def test_options_without_a_config_key_are_in_their_panels():
    expected = {"--offline": "Weights", "--device": "Speed", "--max-minutes": "Training", "--out": "Output", "--without": "Speed"}  # fmt: skip
    options = {param.opts[0]: param for param in COMMANDS["train"].get_params(COMMANDS["train"].make_context("train", ["--help"], resilient_parsing=True))}  # fmt: skip
    assert {name: options[name].rich_help_panel for name in expected} == expected


@pytest.mark.parametrize(
    "words", [(), *((name,) for name in sorted(COMMANDS)), ("experiments", "run"), ("cache", "ls")]
)
def test_a_flag_shows_no_type_and_no_line_is_wider_than_the_terminal(words):
    lines = shown(*words)
    assert "bool" not in " ".join(lines).replace("boolean", "")
    assert max(map(len, lines)) <= 80


def commands_in(text: str) -> list[list[str]]:
    """The words of each example, without what is explained beside it."""
    lines = [line.strip() for line in text.splitlines()]
    return [shlex.split(re.split(r"  +", line)[0]) for line in lines if line.startswith("plainfilm ")]


@pytest.mark.parametrize("command", EXAMPLES)
def test_the_examples_are_shown_whole_and_are_commands(command):
    examples = commands_in(EXAMPLES[command])
    assert len(examples) >= 2
    told = "\n".join(shown(command))
    for words in examples:
        assert f"plainfilm {words[1]}" in told
        taken = words[2 : words.index(">")] if ">" in words else words[2:]
        COMMANDS[words[1]].make_context(words[1], taken)  # an unknown option or a missing value raises
    for line in EXAMPLES[command].strip().splitlines():
        assert line.strip() in told


def offered(*words: str) -> list[str]:
    """What bash offers for the last of `words`, which may be empty."""
    env = {
        "_PLAINFILM_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(["plainfilm", *words]), "COMP_CWORD": str(len(words)),
    }  # fmt: skip
    return CliRunner(env=env).invoke(app, [], prog_name="plainfilm").stdout.split()


def test_a_shell_offers_networks_and_kinds_of_split():
    assert offered("train", "--model", "resnet") == ["resnet18", "resnet34", "resnet50"]
    assert "paper" in offered("lr-find", "--model", "")
    assert offered("train", "--split", "") == ["patient", "official", "given", "image", "kfold", "group", "temporal"]
    assert offered("split", "--split", "k") == ["kfold"]
    assert offered("train", "--norm", "") == ["batch", "hold"]
    assert offered("train", "--lr", "") == ["auto"]
    assert offered("evaluate", "R", "--split", "valid-") == ["valid-shifted"]


def test_a_shell_offers_run_folders_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for run in ("runs/a", "runs/b", "alone"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "status.json").write_text("{}")
    (tmp_path / "runs" / "images").mkdir()
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    assert offered("evaluate", "") == ["alone", "runs/a", "runs/b"]
    assert offered("show", "runs/") == ["runs/a", "runs/b"]
    assert offered("compare", "runs/a", "runs/b") == ["runs/b"]
    assert offered("report", f"{tmp_path}/al") == [f"{tmp_path}/alone"]
    assert offered("export", "none/") == []
