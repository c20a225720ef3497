"""The state of each planned run on disk: new, finished, stopped, or in conflict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from plainfilm.config import ExperimentConfig
from plainfilm.errors import DataError, OccupiedError
from plainfilm.experiments.grid import Planned
from plainfilm.models.find_weights import as_it_began
from plainfilm.runs.folder import RunDir
from plainfilm.runs.saved_config import read_run_config

_Standing = Literal["new", "done", "stopped", "busy", "diverged"]
_SHOWN = 5  # differing keys listed individually
_MOST_FOLDERS = 100  # incomplete folders of one run; more means a fault elsewhere


@dataclass(frozen=True)
class Place:
    """The folder of a planned run and its state; `half_made`: earlier folders with nothing to resume from."""

    planned: Planned
    run: RunDir
    standing: _Standing
    half_made: tuple[Path, ...] = ()


def find_place(folder: Path, planned: Planned) -> Place:
    """The first of NAME, NAME.2, NAME.3 ... that is free or has a usable run.

    Raises:
        OccupiedError: it has a run of another config; names what differs. DataError: a run of another version.
    """
    half_made: list[Path] = []
    for number in range(1, _MOST_FOLDERS):
        root = folder / (planned.folder if number == 1 else f"{planned.folder}.{number}")
        run = RunDir(root)
        if not root.exists() or (root.is_dir() and not any(p.name != ".lock" for p in root.iterdir())):
            return Place(planned, run, "new", tuple(half_made))
        if not root.is_dir():
            raise OccupiedError(f"{root} is a file; a run folder was expected. Move it, or choose another --out.")
        if run.config.is_file():
            _refuse_another(run, planned.cfg)
        standing = _standing(run)
        if standing is not None:
            return Place(planned, run, standing, tuple(half_made))
        half_made.append(root)
    raise OccupiedError(
        f"{folder / planned.folder} was started {_MOST_FOLDERS} times without success. Remove these folders."
    )


def _standing(run: RunDir) -> _Standing | None:
    """State of a run folder; None: it stopped before it could be resumed."""
    if not run.status.is_file():
        return "busy" if (run.root / ".lock").is_file() and run.is_locked() else None
    try:
        status = run.read_status()["status"]
    except DataError:
        return None
    if status in ("done", "diverged"):
        return "done" if status == "done" else "diverged"
    if status == "running":
        return "busy"
    return "stopped" if run.start.is_file() else None


def _refuse_another(run: RunDir, cfg: ExperimentConfig) -> None:
    there = read_run_config(run)
    cfg = cfg.model_copy(update={"model": as_it_began(cfg.model, there.model)})
    if there == cfg:
        return
    then, now = (dict(_flat(each.model_dump(mode="json"))) for each in (there, cfg))
    differ = [f"{key}: {then.get(key)!r} there, {now.get(key)!r} wanted" for key in now if then.get(key) != now[key]]
    more = f"; and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
    raise OccupiedError(
        f"{run.root} holds a run of another config: {'; '.join(differ[:_SHOWN])}{more}. Choose another --out, rename "
        "the configuration, or move that folder away."
    )


def _flat(tree: dict[str, object], path: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, part in tree.items():
        key = f"{path}{name}"
        found += _flat(part, f"{key}.") if isinstance(part, dict) else [(key, part)]
    return found
