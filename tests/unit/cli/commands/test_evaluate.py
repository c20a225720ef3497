"""`plainfilm evaluate`: what its help promises, and which options need external images."""

from __future__ import annotations

import json

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


def test_the_difference_to_the_best_probe_is_on_the_first_screen(save_run):
    """Two overlapping intervals do not say whether the network is better; so do the terminal's lines as the report's."""
    run = save_run("a")
    saved = json.loads(run.metrics.read_text())
    auroc = saved["valid"]["metrics"]["auroc"]
    difference = {
        "value": 0.004,
        "ci_low": -0.005,
        "ci_high": 0.013,
        "n": 80,
        "n_patients": 40,
        "method": "m",
        "p": 0.35,
    }
    saved["valid"]["shortcut_baseline"] = {
        "best": "thumbnail 8x8",
        "auroc": auroc,
        "probes": {},
        "difference": difference,
    }
    run.metrics.write_text(json.dumps(saved))
    done = CliRunner(env={"NO_COLOR": "1", "COLUMNS": "200"}).invoke(app, ["show", str(run.root), "-v"])
    said = "AUROC above the best shortcut probe (thumbnail 8x8): +0.004 [-0.005, +0.013], p 0.350: not distinguishable from it"
    first, _, rest = done.stdout.partition("At threshold 0.5")
    assert said in first.splitlines() and rest
