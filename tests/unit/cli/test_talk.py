from __future__ import annotations

import json

import pytest

from plainfilm.cli.printers import NAMES, duration, metric_text
from plainfilm.cli.talk import Talk
from plainfilm.evaluate.metrics import METRICS
from plainfilm.schemas import Metric, PhantomDocument

DOCUMENT = PhantomDocument(out="o", images=12, patients=5, size_px=32, seed=0, classes={"NORMAL": 6, "PNEUMONIA": 6})


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (40, "40 s"), (89, "89 s"), (100, "2 min"), (5399, "90 min"), (9000, "2.5 h")]
)
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text


def test_json_is_the_only_thing_on_stdout(capsys):
    with Talk(json=True) as talk:
        print("a library talks")
        talk("network", {"name": "paper", "parameters": 1, "size_px": 8, "device": "cpu", "balanced": False})
        talk.result(DOCUMENT)
    out, err = capsys.readouterr()
    assert json.loads(out)["images"] == 12
    assert "a library talks" in err
    assert "Network: paper" in err


def test_quiet_says_only_the_result(capsys):
    with Talk(quiet=True) as talk:
        talk("estimate", {"seconds": 3, "epochs": 2})
        talk.result(DOCUMENT)
    out, err = capsys.readouterr()
    assert "12 images of 5 patients" in out
    assert err == ""


def test_a_metric_that_cannot_be_estimated_is_a_dash_with_its_reason():
    missing = Metric(
        value=None, ci_low=None, ci_high=None, n=0, n_patients=0, method="not estimable: no positive image"
    )
    assert metric_text(missing) == ("-", "not estimable: no positive image", "0")


def test_every_metric_has_a_name_for_people():
    assert set(NAMES) == set(METRICS)
