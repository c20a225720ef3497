"""`plainfilm evaluate`: what its help promises, and which options need external images."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from plainfilm.cli import app
from wording import lacking


def test_the_help_says_what_is_shown_again_and_what_never_is():
    """`--threshold` and `--external` compute each time they are asked."""
    done = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "200"}).invoke(app, ["evaluate", "--help"])
    said = " ".join(done.stdout.split())
    assert lacking(said, "saved numbers are shown again", "--threshold, --external and --again always compute") == []


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--drop-known"], "--drop-known"),
        (["--leave-out", "x"], "--leave-out"),
        (["--map", "a=b"], "--map"),
        (["--label-column", "dx"], "--label-column"),
        (["--missing-label", "drop", "--follow-links"], "--missing-label and --follow-links"),
        (["--patient-pattern", "(x)"], "--patient-pattern"),
    ],
)
def test_options_of_external_images_are_refused_without_them(words, named):
    done = CliRunner().invoke(app, ["evaluate", "RUN", *words])
    assert done.exit_code == 2
    assert f"{named} apply to external images. Add --external DIR" in done.stderr
