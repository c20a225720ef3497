"""What a trial tries depends on the outcomes before it, the seed and its number alone; pruning waits for its share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from plainfilm.config.tune import TuneConfig
from plainfilm.errors import MissingError
from plainfilm.tune.outcome import Outcome
from plainfilm.tune.sampler import draw, importance, load_optuna, median_pruner

needs_optuna = pytest.mark.skipif(
    not any((Path(folder or ".") / "optuna").is_dir() for folder in sys.path), reason="needs the extra tune: optuna"
)
SPACE = {"train.lr": {"log": [1e-4, 1e-1]}, "model.dense": {"choice": [16, 32, 64]}}


def config(**more) -> TuneConfig:
    return TuneConfig.model_validate({"trials": 9, "space": SPACE, **more})


def done(number: int, lr: float, select: float, dense: int = 32, curve: tuple[float, ...] = ()) -> Outcome:
    values = {"train.lr": lr, "model.dense": dense}
    return Outcome(number, "done", values, Path(f"trial-{number}"), curve or (select,), select)


def test_without_the_library_one_line_says_how_to_get_it(monkeypatch, refusal):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert "pip install 'plainfilm[tune]'" in refusal(load_optuna, MissingError)


@needs_optuna
@pytest.mark.parametrize("sampler", ["tpe", "random", "gp"])
def test_a_restart_draws_the_same_and_each_trial_draws_otherwise(sampler):
    tune, drawn = config(sampler=sampler), list[dict]()
    past = [done(0, 1e-3, 0.7)]
    for number in range(1, 7):
        drawn.append(draw(tune, number, past))
        assert draw(tune, number, past) == drawn[-1]
        past.append(done(number, drawn[-1]["train.lr"], 0.7 + drawn[-1]["train.lr"], drawn[-1]["model.dense"]))
    assert len(set(map(str, drawn))) == 6
    assert draw(config(sampler=sampler, seed=1), 1, past[:1]) != drawn[0]
    assert draw(tune, 2, past[:1]) != drawn[0]  # the number alone makes another draw


@needs_optuna
def test_the_sampler_learns_from_the_outcomes():
    tune = config()
    high = [done(n, 10 ** (-3.9 + 0.14 * n), 0.5 + 0.02 * n) for n in range(21)]
    low = [done(n, 10 ** (-3.9 + 0.14 * n), 0.9 - 0.02 * n) for n in range(21)]
    rates = [[draw(tune, 20 + k, past)["train.lr"] for k in range(9)] for past in (high, low)]
    assert sorted(rates[0])[4] > 10 * sorted(rates[1])[4]


@needs_optuna
def test_a_config_is_not_trained_twice():
    tune = TuneConfig.model_validate({"trials": 3, "space": {"model.dense": {"choice": [16, 32, 64]}}})
    past = [Outcome(n, "done", {"model.dense": d}, None, (0.5,), 0.5) for n, d in enumerate((32, 64))]
    assert draw(tune, 2, past) == {"model.dense": 16}


@needs_optuna
def test_a_default_outside_of_the_space_hides_no_key_from_the_sampler():
    past = [Outcome(0, "done", {"train.lr": "auto", "model.dense": 128}, None, (0.9,), 0.9)]
    past += [done(n, 10 ** (-4 + 0.3 * n), 0.5 + 0.04 * n) for n in range(1, 9)]
    rates = [
        draw(config(sampler="gp"), 20 + k, past)["train.lr"] for k in range(3)
    ]  # it models the keys all trials have
    assert min(rates) > 1e-2


@needs_optuna
def test_a_trial_is_pruned_below_the_median_and_only_after_its_share_of_the_epochs():
    assert median_pruner(config(), [], 5) is None
    tune = config(prune="median", prune_after=0.6)
    past = [done(n, 1e-3, 0.9, curve=(0.5, 0.6, 0.7 + 0.01 * n, 0.8, 0.9)) for n in range(5)]  # median at epoch 3: 0.72
    prunes = median_pruner(tune, past, 5)
    assert prunes is not None
    assert [prunes([0.1] * epochs) for epochs in (1, 2, 3, 4)] == [False, False, True, True]
    assert [prunes([0.5, 0.5, third]) for third in (0.715, 0.725)] == [True, False]
    early = median_pruner(config(prune="median", prune_after=0), past, 5)
    assert early is not None and early([0.1])
    few = median_pruner(tune, past[:4], 5)
    assert few is not None and not few([0.1] * 4)  # four finished trials make no median


@needs_optuna
def test_importance_names_the_key_that_decides():
    past = [done(n, 10 ** (-4 + 0.2 * n), 0.5 + 0.03 * n, (16, 32, 64)[n * 7 % 3]) for n in range(12)]
    found = importance(config(), past)
    assert next(iter(found)) == "train.lr" and sum(found.values()) == pytest.approx(1)
    assert (
        importance(config(), past[:3]) == {} == importance(config(), [done(n, 1e-3 * (n + 1), 0.5) for n in range(6)])
    )
