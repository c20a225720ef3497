"""That a run is a trial of a study: said in its status.json, and read before its test set is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from plainfilm.errors import SealError, UsageError
from plainfilm.runs.folder import RunDir

_Prunes = Callable[[Sequence[float]], bool]


@dataclass(frozen=True)
class Trial:
    """Which training of a study a run is.

    study: the study's name. number: of the trial whose config it has. confirms: it trains that config again on a fresh
    seed. prunes: whether to end it, from the select AUROC of each epoch so far; None: it is trained to its end.
    """

    study: str
    number: int
    confirms: bool = False
    prunes: _Prunes | None = None

    def facts(self) -> dict[str, Any]:
        """What status.json says of it."""
        return {"trial": {"study": self.study, "number": self.number, "confirms": self.confirms}}


def refuse_resume_of_trial(run: RunDir) -> None:
    """Refuse to resume a trial by itself: its study may prune it, and goes on by the number of trials in its folder.

    Raises:
        UsageError: the run is a trial of a study, and not one that confirms.
    """
    if searched := _searched(run):
        raise UsageError(
            f"{searched}, which may prune it. Repeat the command plainfilm tune of that study: it resumes this trial."
        )


def refuse_test_of_trial(run: RunDir) -> None:
    """Refuse a test-set access of a trial: of many, the best on valid flatters itself there.

    Raises:
        SealError: the run is a trial of a study, and not one that confirms.
    """
    if searched := _searched(run):
        raise SealError(
            f"{searched}, one of many that were chosen among. "
            "Only a run that confirms a config on fresh seeds may be evaluated on test: those in the study's folder "
            "confirmed/, which plainfilm tune trains at its end."
        )


def _searched(run: RunDir) -> str:
    """'RUN is trial 3 of the study NAME'; '' of another run, and of one that confirms."""
    trial = run.read_status().get("trial")
    if not trial or trial["confirms"]:
        return ""
    return f"{run.root} is trial {trial['number']} of the study {trial['study']}"
