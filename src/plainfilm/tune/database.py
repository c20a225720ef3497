"""study.db: the outcomes as a database of Optuna, for its own tools. It holds nothing that the run folders do not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from plainfilm.config.tune import TuneConfig
from plainfilm.errors import DataError
from plainfilm.tune.outcome import Outcome
from plainfilm.tune.sampler import frozen, load_optuna
from plainfilm.tune.space import Space


def keep_database(path: Path, name: str, tune: TuneConfig, outcomes: Sequence[Outcome]) -> str:
    """Make the database hold these outcomes; a lost, damaged or other one is made again from them. Returns what was
    wrong with it; '' where it only lacked the last ones.

    Raises:
        DataError: it cannot be written.
    """
    wrong = ""
    if path.exists():
        try:
            _add(path, name, tune, outcomes)
            return ""
        except _OtherTrialsError as error:
            wrong = str(error)
        except _errors() as error:
            wrong = f"cannot be read ({type(error).__name__})"
        for each in (path, path.with_name(f"{path.name}-journal")):
            with suppress(FileNotFoundError):
                each.unlink()
    try:
        _add(path, name, tune, outcomes)
    except _errors() as error:
        raise DataError(
            f"{path} cannot be written ({type(error).__name__}). Check the free space and the permissions; the run folders "
            "beside it are kept, and the same command goes on from them."
        ) from None
    return wrong


class _OtherTrialsError(Exception):
    """The database holds something else than the run folders."""


def _errors() -> tuple[type[Exception], ...]:
    from sqlalchemy.exc import SQLAlchemyError

    return SQLAlchemyError, RuntimeError, ValueError, KeyError, AssertionError, OSError


@contextmanager
def _opened(path: Path, name: str) -> Any:
    optuna = load_optuna()
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    try:
        yield optuna.create_study(study_name=name, direction="maximize", storage=storage, load_if_exists=True)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _add(path: Path, name: str, tune: TuneConfig, outcomes: Sequence[Outcome]) -> None:
    wanted = [frozen(outcome, Space(tune.space)) for outcome in outcomes]
    with _opened(path, name) as study:
        there = study.get_trials(deepcopy=False)
        # a later start goes through the trials again: until its last one the database may hold more
        more = len(there) > len(wanted) >= tune.trials
        if more or any(_known(kept) != _known(trial) for kept, trial in zip(there, wanted, strict=False)):
            raise _OtherTrialsError("holds other trials than the run folders")
        for trial in wanted[len(there) :]:
            study.add_trial(trial)


def _known(trial: Any) -> tuple[Any, ...]:
    """What must be equal of a trial."""
    return trial.state.name, trial.value, dict(trial.params), dict(trial.intermediate_values), trial.user_attrs
