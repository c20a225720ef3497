"""`plainfilm evaluate`: what its help promises."""

from __future__ import annotations

from typer.testing import CliRunner

from plainfilm.cli import app
from wording import lacking


def test_the_help_says_what_is_shown_again_and_what_never_is():
    """`--threshold` and `--external` compute each time they are asked."""
    done = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "200"}).invoke(app, ["evaluate", "--help"])
    said = " ".join(done.stdout.split())
    assert lacking(said, "saved numbers are shown again", "--threshold, --external and --again always compute") == []
