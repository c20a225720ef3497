"""`plainfilm train` without DATA, as `make train` does it: good enough, and better than the shortcut baseline.

The whole default training: too long for `make test`, so `.ci/run` and `make test-all` run it.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from plainfilm.cli import app
from plainfilm.data.cache.rows import decode_rows
from plainfilm.data.image.decode import DecodeSpec

pytestmark = [pytest.mark.slow, pytest.mark.campaign]  # .ci/run asks for this file by name


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantom")
    runner = CliRunner(env={"PLAINFILM_CACHE": str(folder / "cache")})
    trained = runner.invoke(app, ["train", "--device", "cpu", "--out", str(folder / "run"), "--json"])
    assert trained.exit_code == 0, trained.stderr
    assert "No DATA given" in trained.stderr
    tested = runner.invoke(app, ["evaluate", str(folder / "run"), "--split", "test", "--json"])
    assert tested.exit_code == 0, tested.stderr
    return folder / "run", json.loads(tested.stdout)["metrics"]


def test_the_test_accuracy_is_at_least_085(run):
    accuracy = run[1]["accuracy"]
    assert accuracy["value"] >= 0.85
    assert accuracy["n"] >= 150
    assert accuracy["ci_high"] - accuracy["ci_low"] < 0.2


def thumbnails(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(len(pixels), -1).astype(float)


def brightness(pixels: np.ndarray) -> np.ndarray:
    flat = pixels.reshape(len(pixels), -1)
    return np.c_[flat.mean(axis=1), flat.std(axis=1), np.percentile(flat, [1, 25, 50, 75, 99], axis=1).T]


@pytest.mark.parametrize(("features", "size_px"), [(thumbnails, 8), (brightness, 96)])
def test_the_network_beats_the_shortcut_baseline_by_008(run, features, size_px):
    rows = pd.read_csv(run[0] / "table.csv", dtype=str, keep_default_na=False)
    x = features(decode_rows(rows, DecodeSpec(size_px))[:])
    y, train, test = (
        (rows["label"] == "PNEUMONIA").to_numpy(),
        *(rows["split"].eq(name).to_numpy() for name in ("train", "test")),
    )
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000)).fit(x[train], y[train])
    without_lungs = roc_auc_score(y[test], probe.predict_proba(x[test])[:, 1])
    assert without_lungs <= 0.85  # 0.80 on 2,000 images; this test set has 180
    assert run[1]["auroc"]["value"] >= without_lungs + 0.08
