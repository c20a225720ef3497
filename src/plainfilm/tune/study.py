"""The folder of a study: what it was started with, and the split that all of its trials have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plainfilm.base.events import EventCallback, silent
from plainfilm.base.files import TEMP_PREFIX, atomic_write, dump_json, read_regular, sha256_of
from plainfilm.base.json_text import parsed_json
from plainfilm.config import ExperimentConfig
from plainfilm.errors import DataError, GateError, OccupiedError
from plainfilm.evaluate.test_ledger import seal_of
from plainfilm.pipeline.prepare import Prepared, decode_spec, prepare
from plainfilm.pipeline.split import write_split
from plainfilm.runs.folder import RunDir
from plainfilm.tune.plan import Plan
from plainfilm.tune.space import Values

_ALLOW = ", or repeat with --allow-leak, which every output will state"
# of the section tune; trials may be raised, and changes of confirm are recorded
_KEPT = ("sampler", "seed", "prune", "prune_after", "space")


@dataclass(frozen=True)
class Study:
    """A study on disk: `ready` are its images in its split, scanned once."""

    plan: Plan
    folder: Path
    ready: Prepared
    about: dict[str, Any]

    @property
    def notes(self) -> list[str]:
        """What the split as it was made says, what the split file does, and what changed since."""
        said = list(self.about["notes"])
        heads = {note.partition(":")[0] for note in said}  # ONE VALID SET of the split file says its reason no more
        said += [note for note in self.ready.split.notes if note.partition(":")[0] not in heads]
        confirms = self.about["confirms"]
        if len(confirms) > 1:
            each = ", then ".join(f"top {top} on {seeds} seeds" for top, seeds in confirms)
            said.append(f"What is confirmed was changed after the start: {each}. A choice by what was seen flatters.")
        if seen := self.about["after_accesses"]:
            said.append(
                f"The study went on after {seen} test-set accesses: what was trained since may be chosen by them."
            )
        return list(dict.fromkeys(said))

    def record_accesses(self, accesses: int) -> None:
        """Keep that something is trained after these test-set accesses."""
        if accesses and accesses != self.about["after_accesses"]:
            self.about["after_accesses"] = accesses
            _write(self.folder, self.about)

    @property
    def split(self) -> Path:
        return self.folder / "split.csv"

    def config(self, values: Values, **fixed: Any) -> ExperimentConfig:
        """The config of a trial, on the study's split."""
        return self.plan.config(values, data__split=str(self.split), **fixed)

    def images(self, cfg: ExperimentConfig) -> Prepared | None:
        """The images as this config reads them; None where its seed chooses among them, so that they are prepared again."""
        if cfg.data.per_class is not None:
            return None
        return replace(self.ready, spec=decode_spec(cfg, self.ready.table))


@contextmanager
def study_in(folder: Path, plan: Plan, on_event: EventCallback) -> Iterator[Study]:
    """The study of a folder, begun or resumed, locked.

    Raises:
        OccupiedError: another process works on it, or the folder holds something else.
        DataError: it was started with another file, split or data, or its files were edited.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    about = folder / "study.json"
    with RunDir(folder).lock():
        others = [
            p.name
            for p in folder.iterdir()
            if p.name not in (".lock", "split.csv") and not p.name.startswith(TEMP_PREFIX)
        ]
        if not about.is_file() and others:
            raise OccupiedError(f"{folder} exists and holds no study (no study.json in it). Choose another --out.")
        begins = not about.is_file()
        found = _begin(folder, plan) if begins else _read(about)
        if not begins:
            _refuse_another(folder, found, plan)
        ready = _prepared(folder, found, plan, on_event)  # what this refuses leaves no study.json behind
        confirm = [plan.tune.confirm.top, plan.tune.confirm.seeds]
        changed = confirm[0] and found["confirms"][-1:] != [confirm]
        if changed:
            found["confirms"].append(confirm)
        if begins or changed:
            _write(folder, found)
        yield Study(plan, folder, ready, found)


def _begin(folder: Path, plan: Plan) -> dict[str, Any]:
    """Split once, for all trials; what a later start must find unchanged, for study.json, which is written last."""
    data = plan.base.data.model_copy(update={"exclude": None, "per_class": None})
    try:
        ready = prepare(plan.base.model_copy(update={"data": data}), silent)
    except GateError as error:
        raise GateError(str(error).replace(_ALLOW, " (a search takes no split that leaks)")) from None
    split = folder / "split.csv"
    write_split(split, ready.split, roles=True)
    return {
        "schema_version": 1, "config": _as_json(plan.base.model_dump(mode="json")), "tune": _kept(plan),
        "given_split_sha256": _given_split(plan), "split_sha256": sha256_of(split), "data_sha256": seal_of(ready.split.rows),
        "images": len(ready.split.rows), "notes": list(ready.split.notes), "confirms": [], "after_accesses": 0,
    }  # fmt: skip


def _write(folder: Path, about: dict[str, Any]) -> None:
    atomic_write(folder / "study.json", dump_json(about))


def _prepared(folder: Path, about: dict[str, Any], plan: Plan, on_event: EventCallback) -> Prepared:
    """The images in the study's split, which must be those it began with."""
    try:
        frozen = plan.config({}, data__split=str(folder / "split.csv"))
        whole = frozen.data.model_copy(update={"exclude": None, "per_class": None})
        at_once = whole == frozen.data
        ready = prepare(frozen.model_copy(update={"data": whole}), on_event if at_once else silent)
    except DataError as error:
        raise DataError(f"The data is not what the study {folder} began with: {error}") from None
    if seal_of(ready.split.rows) != about["data_sha256"]:
        raise DataError(
            f"The study {folder} began with other data: {about['images']} images then, {len(ready.split.rows)} now, or other "
            "labels. Restore the data, or start a new study: --out."
        )
    return ready if at_once else prepare(frozen, on_event)


def _refuse_another(folder: Path, about: dict[str, Any], plan: Plan) -> None:
    then = {**_flat(about["config"]), **_flat(about["tune"], "tune."), "split file": about["given_split_sha256"]}
    now = {
        **_flat(_as_json(plan.base.model_dump(mode="json"))),
        **_flat(_kept(plan), "tune."),
        "split file": _given_split(plan),
    }
    differ = [key for key in sorted(then.keys() | now.keys()) if then.get(key, _NONE) != now.get(key, _NONE)]
    if sha256_of(folder / "split.csv") != about["split_sha256"]:
        differ.append("split.csv in its folder, which was edited or deleted")
    if differ:
        more = f" and {len(differ) - 3} more" if len(differ) > 3 else ""
        shown = "; ".join(_changed(key, then, now) for key in differ[:3])
        raise DataError(
            f"The study {folder} was started otherwise: {shown}{more}. All its trials must be comparable: restore that, or "
            "start a new study in another --out."
        )


_NONE = object()


def _changed(key: str, then: dict[str, Any], now: dict[str, Any]) -> str:
    if key == "split file":
        return "another split file, or other content of it"
    if key not in then and key not in now:
        return key
    return f"{key} was {_text(then, key)}, is now {_text(now, key)}"


def _text(found: dict[str, Any], key: str) -> str:
    return json.dumps(found[key]) if key in found else "not there"


def _given_split(plan: Plan) -> str | None:
    """The hash of the file's own split file; None where it names none."""
    path = Path(plan.base.data.split)
    return sha256_of(path) if path.is_file() else None


def _kept(plan: Plan) -> dict[str, Any]:
    found = plan.tune.model_dump(mode="json", include=set(_KEPT))
    found["space"] = {key: {k: v for k, v in axis.items() if v is not None} for key, axis in found["space"].items()}
    return dict(_as_json(found))


def _as_json(tree: Any) -> Any:
    return parsed_json(json.dumps(tree), "the study's config")


def _flat(tree: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {path.rstrip("."): tree}
    return {key: value for name, part in tree.items() for key, value in _flat(part, f"{path}{name}.").items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = parsed_json(read_regular(path), path)
        if not isinstance(found["config"], dict) or not isinstance(found["tune"], dict):
            raise TypeError
        return {
            **found,
            "images": int(found["images"]),
            "notes": [str(note) for note in found.get("notes", ())],
            "confirms": [[int(top), int(seeds)] for top, seeds in found.get("confirms", ())],
            "after_accesses": int(found.get("after_accesses", 0)),
            "data_sha256": str(found["data_sha256"]),
            "given_split_sha256": found["given_split_sha256"],
            "split_sha256": str(found["split_sha256"]),
        }
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"{path} is damaged. Restore it from a backup, or start a new study in another --out."
        ) from None
