"""The page of a bundle that commit 6b26762 made gives the scores that commit gave."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from served import Served, ask, post

pytestmark = pytest.mark.slow

KEPT = Path(__file__).parents[2] / "artefacts" / "6b26762"


def test_the_page_gives_the_same_scores(tmp_path):
    with (KEPT / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7
    images = [(KEPT / "images" / Path(row["path"]).name).read_bytes() for row in rows]
    served = Served(KEPT / "bundle", tmp_path)
    try:
        results = post(served.port, images).json()["results"]
        assert ask(served.port, "GET", "/card").status == 200
    finally:
        assert served.stop() == 0, served.log()
    for result, row in zip(results, rows, strict=True):
        assert result["label"] == row["label"]
        assert result["score"] == pytest.approx(float(row["score"]), abs=1e-5)
        assert bool(result["flags"]) == bool(row["flag"])
