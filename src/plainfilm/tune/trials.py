"""Train the trials of a study one after the other; what is in a run folder already is not done again."""

from __future__ import annotations

import gc
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plainfilm.base.events import EventCallback
from plainfilm.config import ExperimentConfig
from plainfilm.errors import ConfigError, DataError, DivergedError, OccupiedError, PrunedError, TrainingError
from plainfilm.experiments.grid import Planned
from plainfilm.experiments.status import Place, find_place
from plainfilm.pipeline import train
from plainfilm.runs.folder import RunDir
from plainfilm.runs.saved_config import read_run_config
from plainfilm.runs.trial import Trial
from plainfilm.tune.accesses import count_test_accesses
from plainfilm.tune.outcome import Outcome, read_outcome
from plainfilm.tune.sampler import draw, median_pruner
from plainfilm.tune.space import Values, value_at
from plainfilm.tune.study import Study

_NUMBER = re.compile(r"trial-(\d+)(?:\.\d+)?$")


@dataclass(frozen=True)
class Machine:
    """Where trials are trained, and who hears of it."""

    device: str
    offline: bool
    on_event: EventCallback


def run_trial(study: Study, number: int, past: Sequence[Outcome], machine: Machine) -> Outcome:
    """The outcome of a trial: read, resumed, or trained. That its training failed, or that its values do not fit together,
    is an outcome, except of trial 0, the file's own config.

    Raises:
        PlainfilmError: trial 0 failed, or something else than the config is at fault: the disk, the data, what is not
            installed; the same command goes on from there. OccupiedError: its folder has a run of another config.
    """
    folder = f"trial-{number:03}"
    values = _begun(study, folder) or (study.plan.default if number == 0 else draw(study.plan.tune, number, past))
    place = None
    try:
        cfg = study.config(values)
        place = find_place(study.folder / "trials", Planned(folder, folder, cfg))
        if place.standing == "done" or _is_pruned(place.run):
            return read_outcome(number, values, place.run, cfg)
        if place.standing == "busy":
            raise OccupiedError(f"{place.run.root} is being trained by another process. Wait for it.")
        machine.on_event("tune_trial", {
            "number": number, "of": study.plan.tune.trials, "params": values, "resumes": place.standing == "stopped"
        })  # fmt: skip
        prunes = median_pruner(study.plan.tune, past, sum(phase.epochs for phase in cfg.train.phases))
        trial = Trial(study.plan.name, number, prunes=prunes if number else None)
        train_in(place, trial, study, machine)
        return read_outcome(number, values, place.run, cfg)
    except (TrainingError, ConfigError) as error:
        if number == 0:
            raise
        return Outcome(number, "failed", values, place.run.root if place else None, message=str(error))


def train_in(place: Place, trial: Trial, study: Study, machine: Machine) -> None:
    """Train or resume a run of the study to its end, or until it is pruned.

    Raises:
        DivergedError: it diverges, or did before: it would again, which is a fact about its config and seed.
    """
    import torch

    if place.standing == "diverged":
        raise DivergedError(str(place.run.read_status().get("message", "It diverged.")))
    study.record_accesses(count_test_accesses(study.folder)[1])
    threads = torch.get_num_threads()
    try:
        if place.standing == "stopped":
            train.resume_run(place.run.root, trial=trial, on_event=machine.on_event)
            return
        cfg = place.planned.cfg
        train.train_trial(
            cfg, place.run.root, trial, study.images(cfg), device=machine.device, offline=machine.offline,
            on_event=machine.on_event,
        )  # fmt: skip
    except PrunedError:
        pass  # its folder says so
    finally:
        torch.set_num_threads(threads)  # a resumed run uses its own number of threads; the next run must not
        gc.collect()  # a Learner and its callbacks form a reference cycle, which keeps all decoded images of the run


def count_begun(study: Study) -> int:
    """How many trials the folder holds, up to the last that was begun."""
    trials = study.folder / "trials"
    found = [
        _NUMBER.match(root.name)
        for root in (trials.iterdir() if trials.is_dir() else ())
        if RunDir(root).config.is_file()
    ]
    return max((int(name[1]) + 1 for name in found if name), default=0)


def _begun(study: Study, folder: str) -> Values | None:
    """The values of a trial whose folder has a config; None where none was begun."""
    trials = study.folder / "trials"
    for root in sorted(trials.glob(f"{folder}*")) if trials.is_dir() else ():
        run = RunDir(root)
        if root.name.partition(".")[0] == folder and run.config.is_file():
            return _values(study, root, read_run_config(run))
    return None


def _values(study: Study, root: Path, cfg: ExperimentConfig) -> Values:
    """The values of the searched keys; find_place() checks that every other key is as in the study.

    Raises:
        DataError: it is a trial of another study.
    """
    values = {key: value_at(cfg, key) for key in study.plan.tune.space}
    run = RunDir(root)
    trial = run.read_status().get("trial") if run.status.is_file() else None
    if trial and trial["study"] != study.plan.name:
        raise DataError(f"{root} is a trial of the study {trial['study']}. Move it away.")
    return values


def _is_pruned(run: RunDir) -> bool:
    return run.status.is_file() and run.read_status()["status"] == "pruned"
