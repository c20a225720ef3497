"""Confirming runs: one that fails is an outcome, and the differences are adjusted for their number."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plainfilm.base.events import silent
from plainfilm.errors import DataError, DivergedError
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.compare import Difference, MeanSd
from plainfilm.schemas.tune import Confirmed
from plainfilm.tune import confirm as confirming
from plainfilm.tune.outcome import Outcome
from plainfilm.tune.plan import Plan, read_plan
from plainfilm.tune.run import _next
from plainfilm.tune.trials import Machine


@pytest.fixture
def plan(tmp_path) -> Plan:
    path = tmp_path / "lr.yaml"
    tune = {"trials": 2, "space": {"train.lr": {"log": [1e-4, 1e-1]}}, "confirm": {"top": 1, "seeds": 3}}
    path.write_text(json.dumps({"tune": tune}))
    return read_plan(path)


@pytest.fixture
def confirmed(plan, tmp_path, monkeypatch):
    """confirmed(fails): the rows of trial 1 and the default on seeds 1 to 3; AUROC 0.6 + seed/100, trial 1 0.2 more."""

    def work(fails: dict[tuple[int, int], Exception]) -> tuple[list[Confirmed], list[str]]:
        def train(study: Any, outcome: Outcome, seed: int, machine: Any) -> RunDir:
            if (outcome.number, seed) in fails:
                raise fails[outcome.number, seed]
            return RunDir(Path(f"{outcome.number}-{seed}"))

        def score(root: Path) -> Any:
            number, seed = map(int, root.name.split("-"))
            return SimpleNamespace(metrics={"auroc": 0.6 + seed / 100 + 0.2 * number}, root=root)

        monkeypatch.setattr(confirming, "_trained", train)
        monkeypatch.setattr(confirming, "calibrate_scores", score)
        monkeypatch.setattr(confirming, "over_seeds", lambda found: mean(found))
        monkeypatch.setattr(confirming, "_difference", lambda runs, default: difference(len(runs), 0.03))
        outcomes = [Outcome(0, "done", {"train.lr": 1e-3}, None, (), 0.7), Outcome(1, "done", {"train.lr": 1e-2}, None, (), 0.8)]  # fmt: skip
        events: list[str] = []
        study: Any = SimpleNamespace(plan=plan)
        return confirming.confirm(study, outcomes, Machine("cpu", False, lambda what, facts: events.append(what))), events  # fmt: skip

    return work


def mean(found: list[float]) -> MeanSd:
    value = sum(found) / len(found) if found else None
    return MeanSd(mean=value, sd=None, ci_low=None, ci_high=None, n=1, n_patients=None, method="")


def difference(pairs: int, p: float, **more: Any) -> Difference:
    return Difference(
        value=0.1, ci_low=0.0, ci_high=0.2, method="", p=p, p_holm=p, second="", second_p=None, pairs=pairs, patients=9,
        distinguishable=p <= 0.05, **more,
    )  # fmt: skip


def test_a_seed_that_diverges_is_an_outcome_and_the_rest_is_paired(confirmed):
    rows, events = confirmed({(1, 2): DivergedError("The loss is NaN."), (0, 3): DivergedError("NaN.")})
    first, default = rows
    assert [Path(run).name for run in first.runs] == ["1-1", "1-3"] and first.ended() == "2 of 3 seeds"
    assert first.message == "seed 2: The loss is NaN."
    assert first.calibrate.mean == pytest.approx(0.82) and default.calibrate.mean == pytest.approx(0.615)
    assert first.difference and first.difference.pairs == 1  # seed 1 alone has both
    assert events.count("tune_unconfirmed") == 2 and events.count("tune_confirm") == 6


def test_a_config_that_never_ends_has_no_mean_and_no_difference(confirmed):
    rows, _ = confirmed({(1, seed): DivergedError("NaN.") for seed in (1, 2, 3)})
    assert (rows[0].runs, rows[0].calibrate.mean, rows[0].difference) == ([], None, None)
    assert _next(1, rows) == "" and "0-1" in _next(0, rows)


def test_another_fault_stops_the_study(confirmed, refusal):
    assert refusal(lambda: confirmed({(1, 1): DataError("The disk is full.")})) == "The disk is full."


def test_a_folder_that_diverged_is_not_trained_again(plan, tmp_path, refusal):
    study: Any = SimpleNamespace(
        plan=plan, folder=tmp_path, config=lambda values, **fixed: plan.config(values, **fixed)
    )
    run = RunDir(tmp_path / "confirmed" / "trial-001-seed2")
    run.make()
    run.write_status("diverged", code=5, message="The loss is NaN.")
    found = Outcome(1, "done", {"train.lr": 1e-2}, None, (), 0.8)
    again = lambda: confirming._trained(study, found, 2, Machine("cpu", False, silent))  # noqa: E731
    assert refusal(again, DivergedError) == "The loss is NaN."


def row(number: int, found: Difference | None, mean_auroc: float = 0.7) -> Confirmed:
    return Confirmed(
        number=number, params={}, seeds=[1], calibrate=mean([mean_auroc]), difference=found, runs=[f"run-{number}"]
    )


def test_the_differences_are_adjusted_for_their_number():
    """Holm by hand: 0.01 x 3, 0.02 x 2 and 0.04 x 1, none below the one before it."""
    p = {4: 0.04, 1: 0.01, 2: 0.02}
    apart = {"seeds_low": -0.1, "seeds_high": 0.3}
    rows = [row(n, difference(3, value, **(apart if n == 2 else {}))) for n, value in p.items()]
    found = {each.number: each.difference for each in confirming._adjusted([*rows, row(0, None)])}
    assert {n: d.p_holm for n, d in found.items() if d} == pytest.approx({1: 0.03, 2: 0.04, 4: 0.04})
    assert {n: (d.p, d.comparisons, d.distinguishable) for n, d in found.items() if d} == {
        4: (0.04, 3, True), 1: (0.01, 3, True), 2: (0.02, 3, False),  # its limits over seeds hold 0
    }  # fmt: skip
    many = confirming._adjusted([row(n, difference(3, 0.03)) for n in (1, 2)])
    assert [each.difference and each.difference.distinguishable for each in many] == [False, False]


def test_the_search_and_not_calibrate_says_what_is_evaluated():
    assert "run-3" in _next(3, [row(3, None, 0.70), row(5, None, 0.95), row(0, None, 0.90)])
