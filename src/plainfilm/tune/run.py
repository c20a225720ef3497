"""`plainfilm tune FILE`: search, then confirm; the run folders say how far it is, and the same command goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plainfilm.base.command_line import command_line
from plainfilm.base.events import EventCallback, silent
from plainfilm.base.files import atomic_write, dump_json
from plainfilm.data.split.valid_roles import CALIBRATE
from plainfilm.errors import DataError, StoppedError, TrainingError
from plainfilm.experiments.grid import Planned
from plainfilm.experiments.preflight import require_possible
from plainfilm.experiments.status import Place
from plainfilm.pipeline.prepare import keep_out_of_data
from plainfilm.pipeline.train import train_run
from plainfilm.runs.folder import RunDir
from plainfilm.schemas.tune import Confirmed, TuneBest, TuneDocument, TuneTrial
from plainfilm.tune.accesses import count_test_accesses
from plainfilm.tune.confirm import calibrate_scores, confirm, ranked
from plainfilm.tune.database import keep_database
from plainfilm.tune.outcome import Outcome
from plainfilm.tune.page import write_page
from plainfilm.tune.plan import Plan, read_plan
from plainfilm.tune.sampler import importance, load_optuna
from plainfilm.tune.study import Study, study_in
from plainfilm.tune.trials import Machine, count_begun, run_trial

OUT = Path("runs") / "tune"
_FLATTERS = (
    "The best of many trials flatters itself: its select AUROC chose it. What a config reaches is its calibrate AUROC on "
    "fresh seeds, and no number here is a test score."
)


@dataclass(frozen=True)
class TuneRequest:
    """The user's options; `command` is the command line that repeats them."""

    path: Path
    data: Path | None = None
    out: Path = OUT
    sampler: str | None = None
    seed: int | None = None
    device: str = "auto"
    offline: bool = False

    @property
    def command(self) -> str:
        words: list[str | Path] = ["tune", self.path]
        words += ["--data", self.data] if self.data else []
        words += ["--out", self.out] if self.out != OUT else []
        words += ["--sampler", self.sampler] if self.sampler else []
        words += ["--seed", str(self.seed)] if self.seed is not None else []
        words += ["--device", self.device] if self.device != "auto" else []
        return command_line(*words, *(["--offline"] if self.offline else []))


def tune(request: TuneRequest, *, dry_run: bool = False, on_event: EventCallback = silent) -> TuneDocument:
    """`plainfilm tune`: the trials that are left, then the confirming runs; makes no test-set access.

    Raises:
        MissingError: Optuna is not installed. ConfigError: the file is refused. DataError: the images are missing, or the
            study was started otherwise. OccupiedError: another process works on it. StoppedError: Ctrl-C.
    """
    load_optuna()
    plan = read_plan(request.path, request.data, request.sampler, request.seed)
    _require_data(plan)
    folder = request.out / plan.name
    keep_out_of_data(folder, plan.base)
    on_event("tune_plan", {
        "study": plan.name, "sampler": plan.tune.sampler, "trials": plan.tune.trials, "space": list(plan.tune.space),
        "prune": plan.tune.prune, "top": plan.tune.confirm.top, "seeds": plan.tune.confirm.seeds,
    })  # fmt: skip
    machine = Machine(request.device, request.offline, on_event)
    _require_possible(plan, machine)
    if dry_run:
        return _dry(plan, folder, request, machine)
    outcomes: list[Outcome] = []
    try:
        with study_in(folder, plan, on_event) as study:
            _search(study, outcomes, machine)
            _ended(study, outcomes, [])  # whatever becomes of the confirming runs
            return _ended(study, outcomes, confirm(study, outcomes, machine))
    except (KeyboardInterrupt, StoppedError):
        raise StoppedError(
            f"Interrupted with {len(outcomes)} of {plan.tune.trials} trials done; the state of the current run is kept. "
            f"Resume with: {request.command}"
        ) from None


def _require_data(plan: Plan) -> None:
    path = plan.base.data.path
    if path and not Path(path).exists():
        raise DataError(f"The images of {plan.path} are missing: {path!r} does not exist. Give --data FOLDER.")


def _require_possible(plan: Plan, machine: Machine) -> None:
    """Check the networks and weights of the space, each choice alone in the file's config, before the first training."""
    choices = [{key: v} for key, axis in plan.tune.space.items() if key.startswith("model.") for v in axis.choice or ()]
    named = [(", ".join(f"{key} {v}" for key, v in values.items()) or plan.name, values) for values in ({}, *choices)]
    require_possible(
        [Place(Planned(name, name, plan.config(values)), RunDir(plan.path), "new") for name, values in named],
        device=machine.device, offline=machine.offline, on_event=machine.on_event,
    )  # fmt: skip


def _search(study: Study, outcomes: list[Outcome], machine: Machine) -> None:
    """Fill `outcomes` with all trials, and keep study.db beside them after each.

    Raises:
        DataError: the folder holds more trials than the file asks for: the best was chosen among them too.
    """
    tune, database = study.plan.tune, study.folder / "study.db"
    if (begun := count_begun(study)) > tune.trials:
        raise DataError(
            f"The study {study.folder} has {begun} trials, tune.trials is {tune.trials}. The best was chosen among all of "
            f"them: set tune.trials to {begun} or more, or start a new study in another --out."
        )
    for number in range(tune.trials):
        outcome = run_trial(study, number, outcomes, machine)
        outcomes.append(outcome)
        if wrong := keep_database(database, study.plan.name, tune, outcomes):
            machine.on_event("note", {"text": f"study.db {wrong}; it was made again from the run folders."})
        machine.on_event("tune_done", {
            "number": number, "of": tune.trials, "status": outcome.status, "select": outcome.select,
            "message": outcome.message, "best": max((o.select or 0.0 for o in ranked(outcomes)), default=None),
        })  # fmt: skip


def _dry(plan: Plan, folder: Path, request: TuneRequest, machine: Machine) -> TuneDocument:
    """What would be trained, and for how long, from timed steps of trial 0; writes nothing."""
    timed = train_run(
        plan.base, folder / "trials" / "trial-000.dry", device=request.device, dry_run=True, offline=request.offline,
        on_event=machine.on_event,
    )  # fmt: skip
    confirms = (plan.tune.confirm.top + 1) * plan.tune.confirm.seeds if plan.tune.confirm.top else 0
    return TuneDocument(
        study=plan.name, out=str(folder), sampler=plan.tune.sampler, planned=plan.tune.trials, trials=[], best=None,
        default=None, confirmed=[], importance={}, estimate_seconds=timed.estimate_seconds * (plan.tune.trials + confirms),
        notes=timed.notes, next=request.command,
    )  # fmt: skip


def _ended(study: Study, outcomes: Sequence[Outcome], confirmed: list[Confirmed]) -> TuneDocument:
    best = ranked(outcomes)
    if not best or best[0].run is None or best[0].select is None:
        raise TrainingError(f"No trial of {study.folder} was trained to its end. Their folders say why.")
    winner = TuneBest(
        number=best[0].number, params=best[0].values, select=best[0].select,
        calibrate=calibrate_scores(best[0].run).metrics["auroc"], apart=bool((study.ready.split.rows["role"] == CALIBRATE).any()),
    )  # fmt: skip
    page = study.folder / "tune.html"
    own, by_all = count_test_accesses(study.folder)
    document = TuneDocument(
        study=study.plan.name, out=str(study.folder), sampler=study.plan.tune.sampler, planned=study.plan.tune.trials,
        trials=[_as_trial(outcome) for outcome in outcomes], best=winner, default=outcomes[0].select, confirmed=confirmed,
        importance=importance(study.plan.tune, outcomes), notes=[*study.notes, _FLATTERS], page=str(page),
        has_test=study.ready.split.has_test, test_accesses=own, test_accesses_by_all=by_all,
        next=_next(best[0].number, confirmed) if study.ready.split.has_test else "",
    )  # fmt: skip
    write_page(page, document, study.plan.tune)
    atomic_write(study.folder / "tune.json", dump_json(document.model_dump(mode="json")))
    return document


def _next(winner: int, confirmed: Sequence[Confirmed]) -> str:
    """The one evaluation on test that a study ends with: of the search's winner on the first fresh seed that ended.

    Not of the highest of `confirmed`: calibrate would choose then, and its number would flatter itself too.
    """
    runs = [run for row in confirmed if row.number == winner for run in row.runs]
    return command_line("evaluate", runs[0], "--split", "test") if runs else ""


def _as_trial(outcome: Outcome) -> TuneTrial:
    return TuneTrial(
        number=outcome.number, status=outcome.status, params=outcome.values, select=outcome.select,
        epochs=len(outcome.curve), seconds=outcome.seconds, run=None if outcome.run is None else str(outcome.run),
        message=outcome.message,
    )  # fmt: skip
