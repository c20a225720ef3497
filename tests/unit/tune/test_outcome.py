"""An outcome is read from the run folder alone."""

import pytest

from plainfilm.config import load_config
from plainfilm.runs.folder import RunDir
from plainfilm.tune.confirm import _to_confirm, ranked
from plainfilm.tune.outcome import Outcome, read_outcome


def run_with(folder, status: str, *scores: float) -> RunDir:
    run = RunDir(folder / "run")
    run.write_status(status)
    run.history.write_text("epoch,valid_auroc\n" + "".join(f"{k},{score!r}\n" for k, score in enumerate(scores)))
    run.timing.write_text("epoch,epoch_seconds\n" + "".join(f"{k},1.5\n" for k in range(len(scores))))
    return run


@pytest.mark.parametrize(("keep", "select"), [("best", 0.9), ("last", 0.8)])
def test_the_score_is_that_of_the_epoch_that_is_kept(tmp_path, keep, select):
    cfg = load_config(options={"train.keep": keep})
    found = read_outcome(3, {"train.lr": 1}, run_with(tmp_path, "done", 0.7, 0.9, 0.8), cfg)
    assert (found.number, found.status, found.select, found.curve, found.seconds) == (
        3,
        "done",
        select,
        (0.7, 0.9, 0.8),
        4.5,
    )


def test_a_pruned_trial_has_the_best_it_reached(tmp_path):
    found = read_outcome(1, {}, run_with(tmp_path, "pruned", 0.7, 0.6), load_config())
    assert (found.status, found.select) == ("pruned", 0.7)


def test_a_score_that_is_no_number_is_a_failure(tmp_path):
    found = read_outcome(1, {}, run_with(tmp_path, "done", 0.7, float("nan")), load_config())
    assert (found.status, found.select) == ("failed", None)


def test_a_damaged_history_is_refused(tmp_path, refusal):
    run = run_with(tmp_path, "done", 0.7)
    run.history.write_text("epoch\n1\n")
    assert "history.csv" in refusal(lambda: read_outcome(1, {}, run, load_config()))


def outcome(number: int, select: float | None, value: float, status: str = "done") -> Outcome:
    return Outcome(number, status, {"train.lr": value}, None, (), select)


def test_the_best_come_first_each_config_once_and_the_default_is_always_confirmed():
    found = [
        outcome(0, 0.7, 1),
        outcome(1, 0.9, 2),
        outcome(2, 0.9, 3),
        outcome(3, 0.95, 4, "pruned"),
        outcome(4, 0.8, 2),
        outcome(5, None, 5, "failed"),
    ]
    assert [each.number for each in ranked(found)] == [1, 2, 0]
    assert [each.number for each in _to_confirm(found, 1)] == [1, 0]
    assert [each.number for each in _to_confirm(found, 3)] == [1, 2, 0]
    assert _to_confirm(found, 0) == []
