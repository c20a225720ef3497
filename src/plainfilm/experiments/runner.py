"""`plainfilm experiments run`: train all runs of a grid; finished runs are kept, stopped ones are resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from plainfilm.base.command_line import command_line
from plainfilm.base.events import EventCallback, silent
from plainfilm.errors import DataError, OccupiedError, PlainfilmError, StoppedError, UsageError
from plainfilm.experiments.cost import read_cost, write_cost, write_latency
from plainfilm.experiments.failures import keep_failures
from plainfilm.experiments.grid import Experiment, read_experiment
from plainfilm.experiments.preflight import require_possible
from plainfilm.experiments.status import Place, find_place
from plainfilm.experiments.test_log import access_log_file, evaluate_on_test, require_writable
from plainfilm.experiments.workers import BUG, INTERRUPTED, Ended, Workers, train_here
from plainfilm.pipeline import train
from plainfilm.pipeline.prepare import keep_out_of_data
from plainfilm.schemas.compare import ExperimentDocument, ExperimentRun, Outcome

OUT = Path("runs") / "experiments"
_FAILED = 5
_TRAINED = ("skipped", "trained", "resumed")


@dataclass(frozen=True)
class Order:
    """The user's options; `command` is the command line that repeats them."""

    path: Path
    data: Path | None = None
    out: Path = OUT
    jobs: int = 1
    only: Sequence[str] = ()
    on_test: bool = False
    device: str = "auto"
    offline: bool = False

    @property
    def command(self) -> str:
        words: list[str | Path] = ["experiments", "run", self.path]
        words += ["--data", self.data] if self.data else []
        words += ["--out", self.out] if self.out != OUT else []
        words += ["--jobs", str(self.jobs)] if self.jobs != 1 else []
        words += [word for name in self.only for word in ("--only", name)]
        words += ["--device", self.device] if self.device != "auto" else []
        words += ["--offline"] if self.offline else []
        return command_line(*words, *(["--open-test"] if self.on_test else []))


@dataclass
class _Progress:
    """The outcome of each run so far, by folder name."""

    places: list[Place]
    ended: dict[str, ExperimentRun] = field(default_factory=dict)

    def note(self, place: Place, outcome: Outcome, code: int = 0, message: str = "", opened: bool = False) -> None:
        planned = place.planned
        self.ended[planned.folder] = ExperimentRun(
            configuration=planned.configuration, seed=planned.cfg.train.seed, run=str(place.run.root),
            outcome=outcome, code=code, message=message, test_opened=opened,
        )  # fmt: skip

    def is_trained(self, place: Place) -> bool:
        """Whether the run has a trained model."""
        ended = self.ended.get(place.planned.folder)
        return ended is not None and ended.outcome in _TRAINED

    def left(self) -> list[Place]:
        return [place for place in self.places if place.planned.folder not in self.ended]

    def runs(self) -> list[ExperimentRun]:
        for place in self.left():
            self.note(place, "left")
        return [self.ended[place.planned.folder] for place in self.places]


def run_experiment(order: Order, *, dry_run: bool = False, on_event: EventCallback = silent) -> ExperimentDocument:
    """Train every unfinished run of the file; a failure does not stop the rest, and is in the document.

    Raises:
        ConfigError: the file or one of its configurations is invalid. DataError: the images are missing.
        OccupiedError: one of the folders has a run of another config. StoppedError: Ctrl-C.
    """
    if order.jobs < 1:
        raise UsageError(f"--jobs {order.jobs} would train nothing; expected 1 or more.")
    experiment = read_experiment(order.path, order.data)
    planned = experiment.only(order.only)
    _require_data(experiment, order)
    folder = order.out / experiment.name
    for each in planned:
        keep_out_of_data(folder, each.cfg)
    progress = _Progress(_places(folder, experiment, order))
    require_possible(progress.places, device=order.device, offline=order.offline, on_event=on_event)
    if order.on_test:
        require_writable(access_log_file(experiment))
    done, left = (
        [place for place in progress.places if place.standing in which] for which in (("done",), ("new", "stopped"))
    )
    seconds = _estimate(done, left, order.jobs)
    on_event("plan", {
        "experiment": experiment.name, "title": experiment.about.title, "configurations": len({p.configuration for p in planned}),
        "runs": len(planned), "standing": [place.standing for place in progress.places], "seconds": seconds,
        "half_made": [str(path) for place in progress.places for path in place.half_made], "jobs": order.jobs,
    })  # fmt: skip
    if dry_run:
        seconds = seconds if seconds is not None else _timed(progress, order, on_event)
        for place in progress.left():
            progress.note(place, "skipped" if place.standing == "done" else "planned")
    else:
        _work(experiment, progress, order, folder, on_event)
    return ExperimentDocument(
        experiment=experiment.name, out=str(folder), configurations=list(dict.fromkeys(p.configuration for p in planned)),
        estimate_seconds=seconds, runs=progress.runs(), next=_next(progress, order, folder),
    )  # fmt: skip


def _next(progress: _Progress, order: Order, folder: Path) -> str:
    if any(run.outcome == "planned" for run in progress.runs()):
        return order.command
    trained = any(run.outcome in _TRAINED for run in progress.runs())
    # it names what was not run, and the log of test-set accesses lies beside it
    file = [] if order.out == OUT and order.path.absolute().parent == Path("experiments").absolute() else [order.path]
    return command_line("experiments", "table", folder, *file) if trained else ""


def _require_data(experiment: Experiment, order: Order) -> None:
    if not experiment.names_data:
        raise DataError(
            f"{order.path} names no images. Give a folder: {order.command} --data FOLDER "
            "(or write 'data: {phantom: {...}}' into it, for the synthetic set)."
        )
    paths = dict.fromkeys(run.cfg.data.path for run in experiment.planned if run.cfg.data.path)
    missing = [path for path in paths if not Path(path).exists()]
    if missing:
        raise DataError(f"The images of {order.path} are missing: {missing[0]!r} does not exist. Give --data FOLDER.")


def _places(folder: Path, experiment: Experiment, order: Order) -> list[Place]:
    """The place of each run; all conflicts are reported at once."""
    found, refused = [], []
    for planned in experiment.only(order.only):
        try:
            found.append(find_place(folder, planned))
        except OccupiedError as error:
            refused.append(str(error))
    if refused:
        more = f" ({len(refused) - 1} more runs are in the way.)" if len(refused) > 1 else ""
        raise OccupiedError(refused[0] + more)
    return found


def _estimate(done: Sequence[Place], left: Sequence[Place], jobs: int) -> float | None:
    """Seconds for the runs that are `left`, from those that are `done`; None if there is none to estimate from."""
    known: dict[str, list[float]] = {}
    for place in done:
        try:
            seconds = read_cost(place.run).seconds
        except DataError:
            continue
        known.setdefault(place.planned.configuration, []).extend([seconds] if seconds else [])
    every = [seconds for values in known.values() for seconds in values]
    if not left or not every:
        return None if left else 0.0
    return sum(_mean(known.get(place.planned.configuration) or every) for place in left) / min(jobs, len(left))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _timed(progress: _Progress, order: Order, on_event: EventCallback) -> float:
    """Seconds from timed steps of the first run of each configuration; one that fails does not stop the others."""
    total = 0.0
    by_name: dict[str, float | PlainfilmError] = {}
    for place in progress.places:
        name = place.planned.configuration
        if name not in by_name:
            root = place.run.root.with_name(f"{place.run.root.name}.dry")  # a stopped run's own folder is in use
            try:
                by_name[name] = train.train_run(
                    place.planned.cfg, root, device=order.device, dry_run=True, offline=order.offline, on_event=on_event
                ).estimate_seconds
            except StoppedError:
                raise
            except PlainfilmError as error:
                by_name[name] = error
                on_event("grid_failed", {"name": place.planned.folder, "message": str(error)})
        seconds = by_name[name]
        if place.standing not in ("new", "stopped"):
            continue
        if isinstance(seconds, PlainfilmError):
            progress.note(place, "failed", seconds.exit_code, str(seconds))
        else:
            total += seconds
    return total / order.jobs


def _work(experiment: Experiment, progress: _Progress, order: Order, folder: Path, on_event: EventCallback) -> None:
    try:
        for place in progress.places:
            if place.standing == "done":
                _finish(experiment, progress, place, "skipped", order, folder, on_event)
            elif place.standing == "busy":
                progress.note(place, "busy", OccupiedError.exit_code, "another process is training it; skipped")
            elif place.standing == "diverged":
                progress.note(place, "failed", _FAILED, "it diverged before and would again: lower train.lr")
        keep_failures(folder, progress.ended.values(), _TRAINED)
        _train_all(experiment, progress, order, folder, on_event)
        _measure_latency(progress)
    except (KeyboardInterrupt, StoppedError):
        done = sum(progress.is_trained(place) for place in progress.places)
        raise StoppedError(
            f"Interrupted with {done} of {len(progress.places)} runs done; the state of the current run is kept. "
            f"Resume with: {order.command}"
        ) from None


def _train_all(
    experiment: Experiment, progress: _Progress, order: Order, folder: Path, on_event: EventCallback
) -> None:
    left = progress.left()
    of = len(progress.places)

    def ended(place: Place, how: Ended) -> None:
        if how.code == INTERRUPTED:
            raise KeyboardInterrupt
        if how.code:
            progress.note(place, "failed", how.code, how.message)
            keep_failures(folder, progress.ended.values(), _TRAINED)
            on_event("grid_failed", {"name": place.planned.folder, "message": how.message})
            return
        _finish(
            experiment,
            progress,
            place,
            "resumed" if place.standing == "stopped" else "trained",
            order,
            folder,
            on_event,
        )
        keep_failures(folder, progress.ended.values(), _TRAINED)
        ahead = _estimate([each for each in progress.places if progress.is_trained(each)], progress.left(), order.jobs)
        on_event("grid_done", {"name": place.planned.folder, "done": len(progress.ended), "of": of, "seconds": ahead})

    if order.jobs > 1:
        Workers(order.jobs, folder / ".plans", order.device, offline=order.offline).work(left, ended)
        return
    for place in left:
        facts = {
            "name": place.planned.folder,
            "number": len(progress.ended) + 1,
            "of": of,
            "resumes": place.standing == "stopped",
        }
        on_event("grid_run", facts)
        ended(place, train_here(place, order.device, on_event, offline=order.offline))


def _finish(
    experiment: Experiment, progress: _Progress, place: Place, outcome: Outcome, order: Order, folder: Path, on_event: EventCallback
) -> None:  # fmt: skip
    """After training: save the run's cost, and evaluate it on test if requested."""
    try:
        if not place.run.cost.is_file():
            write_cost(place.run)
        opened = order.on_test and evaluate_on_test(
            experiment, place.planned, place.run, on_event, folder / ".looks.lock"
        )
        progress.note(place, outcome, opened=opened)
    except PlainfilmError as error:
        progress.note(place, "failed", error.exit_code, f"trained, but: {error}")
    except Exception as error:  # noqa: BLE001 - one failure must not stop the others
        progress.note(place, "failed", BUG, f"trained, but a bug in plainfilm: {type(error).__name__}")


def _measure_latency(progress: _Progress) -> None:
    """Measure latency once per configuration, when none of our trainings is running."""
    done = [place for place in progress.places if progress.is_trained(place)]
    measured = {place.planned.configuration for place in done if read_cost(place.run).latency is not None}
    for place in done:
        if place.planned.configuration not in measured:
            write_latency(place.run)
            measured.add(place.planned.configuration)
