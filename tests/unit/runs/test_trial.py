"""A trial of a study says so in its status.json, and may not be evaluated on test."""

import json

import pytest

from plainfilm.errors import PrunedError, SealError, UsageError
from plainfilm.pipeline.train import resume_run
from plainfilm.runs.folder import RunDir
from plainfilm.runs.trial import Trial, refuse_resume_of_trial, refuse_test_of_trial
from wording import lacking


def run_with(tmp_path, **facts) -> RunDir:
    run = RunDir(tmp_path / "run")
    run.write_status("done", **facts)
    return run


def test_the_facts_stay_when_the_status_is_written_again(tmp_path):
    run = run_with(tmp_path, **Trial("lr", 7).facts())
    run.write_status("done", seal="0" * 64)
    assert run.read_status()["trial"] == {"study": "lr", "number": 7, "confirms": False}


def test_only_a_run_that_confirms_may_be_evaluated_on_test(tmp_path, refusal):
    trial = run_with(tmp_path, **Trial("lr", 7).facts())
    assert (
        lacking(refusal(lambda: refuse_test_of_trial(trial), SealError), "trial 7", "the study lr", "confirmed/") == []
    )
    refuse_test_of_trial(run_with(tmp_path / "a", **Trial("lr", 7, confirms=True).facts()))
    refuse_test_of_trial(run_with(tmp_path / "b"))


@pytest.mark.parametrize("trial", ["lr", {"study": "lr"}, {"study": "lr", "number": True, "confirms": False}, []])
def test_other_facts_are_damage(tmp_path, refusal, trial):
    run = run_with(tmp_path)
    status = json.loads(run.status.read_text())
    run.status.write_text(json.dumps({**status, "trial": trial}))
    assert "status.json" in refusal(run.read_status)


def test_a_pruned_run_says_what_it_is_and_is_not_resumed(tmp_path, refusal):
    run = RunDir(tmp_path / "run")
    run.make()
    with pytest.raises(PrunedError), run.outcome():
        raise PrunedError("Pruned after 3 of 5 epochs.")
    assert run.read_status()["status"] == "pruned"
    for said in (refusal(run.refuse_unless_stopped, UsageError), refusal(lambda: RunDir.open(run.root))):
        assert lacking(said, "plainfilm tune ended it", "plainfilm train --config") == []


def test_a_trial_is_not_resumed_by_itself(tmp_path, refusal):
    said = refusal(lambda: refuse_resume_of_trial(run_with(tmp_path, **Trial("lr", 7).facts())), UsageError)
    assert lacking(said, "trial 7", "plainfilm tune") == []
    refuse_resume_of_trial(run_with(tmp_path / "a", **Trial("lr", 7, confirms=True).facts()))
    refuse_resume_of_trial(run_with(tmp_path / "b"))


def test_resume_asks_whether_it_is_a_trial(tmp_path, refusal):
    run = RunDir(tmp_path / "run")
    run.make()
    run.start.parent.mkdir()
    run.start.touch()
    run.write_status("interrupted", **Trial("lr", 7).facts())
    assert "plainfilm tune" in refusal(lambda: resume_run(run.root), UsageError)
