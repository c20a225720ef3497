"""What a trial tries, and whether it is pruned: Optuna's part, on a study in memory that is made of the outcomes so far.

A seeded sampler repeats its draws after a restart, so it is seeded again for each trial, by (seed, trial number): the
draw of a trial depends on the outcomes before it and on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from plainfilm.config.tune import Axis, TuneConfig
from plainfilm.errors import MissingError
from plainfilm.tune.outcome import Outcome
from plainfilm.tune.space import Space, Values, choice_code

_BEFORE_MODEL = 5  # trials drawn at random, the default among them, before a sampler relies on what it has seen
_BEFORE_PRUNING = 5  # finished trials that a median needs
_DRAWS = 20  # of a trial whose config was trained before


def load_optuna() -> Any:
    """The library, which says only what is wrong.

    Raises:
        MissingError: it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("optuna", "sqlalchemy", "alembic", "colorlog", "tqdm"):
            raise
        raise MissingError(
            "plainfilm tune needs Optuna, which is not installed. Install it: pip install 'plainfilm[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _distributions(space: Space) -> dict[str, Any]:
    """Optuna's distribution of each key."""
    return {key: _distribution(axis) for key, axis in space.axes.items()}


def _distribution(axis: Axis) -> Any:
    of = load_optuna().distributions
    if axis.choice is not None:
        return of.CategoricalDistribution([choice_code(value) for value in axis.choice])
    if axis.int is not None:
        return of.IntDistribution(*axis.int)
    low, high = axis.log or axis.uniform or (0.0, 1.0)
    return of.FloatDistribution(low, high, log=axis.log is not None)


def frozen(outcome: Outcome, space: Space) -> Any:
    """A finished trial as Optuna keeps it; a value outside of the space is left out."""
    optuna = load_optuna()
    state = {"done": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}[outcome.status]
    codes, known = space.encode(outcome.values), _distributions(space)
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState[state], value=outcome.select if state == "COMPLETE" else None, params=codes,
        distributions={key: known[key] for key in codes},
        intermediate_values=dict(enumerate(outcome.curve, start=1)),
        user_attrs={"trial": outcome.number, "run": outcome.run.name if outcome.run else ""},
    )  # fmt: skip


def _study(tune: TuneConfig, past: Sequence[Outcome], seed: int | None = None) -> Any:
    """A study in memory with the outcomes so far. A default outside of the space would hide a key from the sampler."""
    optuna, space = load_optuna(), Space(tune.space)
    study = optuna.create_study(direction="maximize", sampler=None if seed is None else _sampler(tune.sampler, seed))
    for outcome in past:
        if len(space.encode(outcome.values)) == len(space.axes) or seed is None:
            study.add_trial(frozen(outcome, space))
    return study


def _sampler(name: str, seed: int) -> Any:
    samplers = load_optuna().samplers
    if name == "random":
        return samplers.RandomSampler(seed=seed)
    if name == "gp":
        return samplers.GPSampler(seed=seed, n_startup_trials=_BEFORE_MODEL)
    return samplers.TPESampler(seed=seed, n_startup_trials=_BEFORE_MODEL)


def draw(tune: TuneConfig, number: int, past: Sequence[Outcome]) -> Values:
    """The values of a trial, the same for the same outcomes before it; a config that was trained before is drawn again."""
    space = Space(tune.space)
    seen = {choice_code(outcome.values) for outcome in past}
    values: Values = {}
    for attempt in range(_DRAWS):
        seed = int(np.random.SeedSequence([tune.seed, number, attempt]).generate_state(1)[0])
        trial = _study(tune, past, seed).ask(fixed_distributions=_distributions(space))
        values = space.decode(trial.params)
        if choice_code(values) not in seen:
            return values
    return next((found for found in space.configs() if choice_code(found) not in seen), values)


def median_pruner(tune: TuneConfig, past: Sequence[Outcome], epochs: int) -> Callable[[Sequence[float]], bool] | None:
    """Whether a trial is worse by now than the median of the finished ones; None where none is pruned.

    `epochs`: of the trial. Under one-cycle the order of configs early in training says little of their order at its end.
    """
    if tune.prune == "none":
        return None
    optuna = load_optuna()
    pruner, study = optuna.pruners.MedianPruner(n_startup_trials=_BEFORE_PRUNING), _study(tune, past)

    def prunes(curve: Sequence[float]) -> bool:
        if len(curve) < tune.prune_after * epochs:
            return False
        running = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING, intermediate_values=dict(enumerate(curve, start=1))
        )
        return bool(pruner.prune(study, running))

    return prunes


def importance(tune: TuneConfig, outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Share of the variance of the select AUROC that each key explains (fANOVA), largest first; empty where it cannot be
    known: fewer than four finished trials, or equal scores."""
    done = [outcome for outcome in outcomes if outcome.status == "done"]
    space = Space(tune.space)
    whole = [outcome for outcome in done if len(space.encode(outcome.values)) == len(space.axes)]
    if len(whole) < 4 or len({outcome.select for outcome in whole}) < 2:
        return {}
    of = load_optuna().importance
    found = of.get_param_importances(_study(tune, whole), evaluator=of.FanovaImportanceEvaluator(seed=0))
    return {str(key): float(value) for key, value in found.items()}
