"""Whether a run's weights are those of its card, which `show` asks of runs of any version."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from plainfilm.runs.card import has_own_weights
from plainfilm.runs.folder import RunDir

WEIGHTS = b"the weights"


@pytest.mark.parametrize(
    ("card", "weights", "own"),
    [
        ({"weights_sha256": hashlib.sha256(WEIGHTS).hexdigest(), "key of another version": 1}, WEIGHTS, True),
        ({"weights_sha256": hashlib.sha256(WEIGHTS).hexdigest()}, b"others", False),
        ({"weights_sha256": hashlib.sha256(WEIGHTS).hexdigest()}, None, False),
        ({"weights_sha256": ""}, b"others", False),
        ({}, WEIGHTS, False),
        ([], WEIGHTS, False),
        (None, WEIGHTS, False),
    ],
)
def test_weights_are_compared_with_the_card(card: object, weights: bytes | None, own: bool, tmp_path: Path):
    run = RunDir(tmp_path)
    if card is not None:
        run.card.write_text(json.dumps(card), encoding="utf-8")
    if weights is not None:
        run.weights.write_bytes(weights)
    assert has_own_weights(run) is own
