"""The main job on real images, small: whole patients, few pixels, few epochs."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from plainfilm.cli import app


def test_a_small_run_learns_and_its_test_score_has_an_interval(kermany, tmp_path):
    run = tmp_path / "run"
    options = ["--split", "patient", "--size", "64", "--epochs", "4", "--seed", "100", "--out", str(run), "--json"]
    trained = CliRunner().invoke(app, ["train", str(kermany), *options])
    assert trained.exit_code == 0, trained.stderr
    valid = json.loads(trained.stdout)["metrics"]["valid"]
    assert valid["auroc"]["value"] > 0.97  # 0.99 is usual; a wrong label order or range gives 0.5
    tested = CliRunner().invoke(app, ["evaluate", str(run), "--split", "test", "--json"])
    assert tested.exit_code == 0, tested.stderr
    found = json.loads(tested.stdout)
    accuracy = found["metrics"]["accuracy"]
    assert accuracy["ci_low"] < accuracy["value"] < accuracy["ci_high"]
    assert accuracy["n"] == sum(map(sum, found["confusion"]["rows"])) > 800
    assert found["metrics"]["auroc"]["value"] > 0.96
