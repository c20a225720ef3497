"""Every file found is accounted for in one line, with the reasons of those that are not used."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.cli.render.counts import counts_line, example_lines


def test_a_line_with_every_reason_and_its_count():
    excluded = [("ignored", "link"), ("quarantined", "E_READ"), ("ignored", "hidden"), ("duplicate", "E_DUPLICATE"), ("ignored", "link")]  # fmt: skip
    assert counts_line(3, excluded) == (
        "8 files found = 3 used + 1 quarantined (E_READ 1) + 1 duplicates dropped + 3 ignored (hidden 1, link 2)"
    )
    assert counts_line(200, []) == "200 files found = 200 used + 0 quarantined + 0 duplicates dropped + 0 ignored"


def test_three_names_of_each_reason():
    assert example_lines([("link", f"{i}.png") for i in range(4)] + [("hidden", ".a")]) == [
        "  hidden: '.a'",
        "  link: '0.png', '1.png', '2.png', ...",
    ]


@pytest.fixture
def folder(tiny_cxr):
    (tiny_cxr / "NORMAL" / "broken.png").write_bytes(b"x")
    (tiny_cxr / "NORMAL" / ".hidden.png").write_bytes(b"x")
    (tiny_cxr / "loose.png").write_bytes(b"x")
    return tiny_cxr


@pytest.mark.parametrize("verbose", [[], ["-v"]])
@pytest.mark.parametrize("command", ["split", "audit"])
def test_commands_say_the_reasons(folder, tmp_path, command, verbose):
    out = {"split": tmp_path / "s.csv", "audit": tmp_path / "audit"}[command]
    told = CliRunner().invoke(app, [command, str(folder), "--out", str(out), *verbose])
    assert told.exit_code == 0, told.output
    said = told.stderr if command == "split" else told.stdout
    assert (
        "35 files found = 32 used + 1 quarantined (E_FORMAT 1) + 0 duplicates dropped + 2 ignored "
        "(hidden 1, outside a class folder 1)" in " ".join(said.split())
    )
    assert ("  outside a class folder: 'loose.png'" in said) is bool(verbose)
    if command == "split":
        assert len(pd.read_csv(out)) == 32
