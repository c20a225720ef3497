"""A request is one object or its fields as keywords, and a run is read once unless its files are written meanwhile."""

from __future__ import annotations

import json

import pytest

from plainfilm.evaluate import finished as room
from plainfilm.pipeline.evaluate import EvaluateRequest, evaluate_run


def test_fields_may_be_given_as_keywords_and_come_before_the_request(save_run):
    run = save_run("r", patients=12)
    asked = evaluate_run(run.root, EvaluateRequest(threshold="0.9"))
    assert asked.threshold == 0.9
    assert evaluate_run(run.root, threshold="0.9") == asked
    assert evaluate_run(run.root, EvaluateRequest(threshold="0.2"), threshold="0.9") == asked
    with pytest.raises(TypeError, match="threshhold"):
        evaluate_run(run.root, threshhold="0.9")


def test_another_threshold_predicts_other_classes_and_saves_nothing(save_run):
    run = save_run("r", patients=12)
    before = run.metrics.read_bytes()
    low, high = (evaluate_run(run.root, threshold=rule).metrics["sensitivity"].value for rule in ("0.01", "0.99"))
    assert low == 1 > high and run.metrics.read_bytes() == before


def test_card_and_table_are_read_once(save_run, monkeypatch):
    run, reads = save_run("r", patients=12), []
    for name in ("read_card", "read_run_config", "read_table"):
        real = getattr(room, name)
        monkeypatch.setattr(room, name, lambda what, real=real, name=name: reads.append(name) or real(what))
    evaluate_run(run.root, again=True)
    assert sorted(reads) == ["read_card", "read_run_config", "read_table"]


def test_what_another_process_wrote_before_the_lock_was_held_is_what_is_evaluated(save_run, monkeypatch):
    run = save_run("r", patients=12)
    lock = type(run).lock

    def later(self):
        card = json.loads(run.card.read_text())
        run.card.write_text(json.dumps({**card, "threshold": 0.99}))
        return lock(self)

    monkeypatch.setattr(type(run), "lock", later)
    assert evaluate_run(run.root, again=True).threshold == 0.99
