"""The inputs of a run: written before its first step, read and compared when it is resumed.

A resumed run does not scan DATA again. Its images, their splits and hashes are those of table.csv; files added later
are ignored, and a changed file is refused.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from plainfilm.base.files import atomic_write, dump_json, read_regular, sha256_of
from plainfilm.base.json_text import json_model, parsed_json
from plainfilm.config import ExperimentConfig
from plainfilm.config.strict_yaml import read_yaml
from plainfilm.data.archives.unpack import data_folder, is_archive, lost_archive, put_back
from plainfilm.data.cache.moved_data import changed_files, find_moved
from plainfilm.data.image.decode import DecodeSpec
from plainfilm.data.split.splits import Split
from plainfilm.data.table.image_table import ImageTable
from plainfilm.data.table.saved_table import read_table, write_table
from plainfilm.errors import DataError
from plainfilm.pipeline.prepare import Prepared
from plainfilm.runs.environment import Environment, read_environment, versions, write_environment
from plainfilm.runs.folder import RunDir
from plainfilm.runs.run_manifest import IN_STATUS, begin_manifest, is_kept, read_verified, write_file
from plainfilm.runs.saved_config import read_run_config
from plainfilm.schemas.documents import DataCounts

# Libraries that can change the bits of a result; a run is not resumed with another version of one of these.
_DECISIVE = ("plainfilm", "torch", "torchvision", "timm", "fastai", "numpy", "pillow", "pydicom", "scikit-learn")
_SHOWN = 5  # differences listed individually


class _Start(BaseModel):
    """checkpoints/start.json: inputs that are not in table.csv, config.yaml and data.json, and the content or hash of
    these."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    schema_version: Literal[1] = 1
    config: dict[str, Any]
    table_sha256: str
    data_sha256: str
    positive: str | None
    decode: dict[str, Any]
    split: str
    leaky: bool
    notes: list[str]
    initial_weights: dict[str, Any] | None = None
    precision: str = "fp32"  # earlier versions had no other
    estimate_seconds: float | None = None  # only read: older runs timed steps before they began


@dataclass(frozen=True)
class _Resumed:
    """A run's inputs, as train had them."""

    cfg: ExperimentConfig
    ready: Prepared
    environment: Environment
    initial_weights: dict[str, Any] | None = None


def write_inputs(
    run: RunDir, cfg: ExperimentConfig, ready: Prepared, speed: dict[str, Any], *, seal: str | None,
    initial_weights: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write all inputs of a run; start.json comes last, so that if it exists, the rest does too."""
    begin_manifest(run)
    run.write_status("running", seal=seal, images=ready.images, ledger_head=None, **{IN_STATUS: True})
    write_file(run, run.config, cfg.as_yaml())
    write_environment(run, speed)
    # a column of the user's table, such as the hospital, is not kept
    write_table(run, run.table, ready.split.rows.drop(columns="series", errors="ignore"))
    write_table(run, run.excluded, ready.table.excluded)
    write_file(run, run.data, dump_json(ready.counts.model_dump(mode="json")))
    start = _Start(
        config=cfg.model_dump(mode="json"),
        table_sha256=sha256_of(run.table), data_sha256=sha256_of(run.data),
        positive=ready.positive, decode=ready.spec.as_dict(),
        split=ready.split.kind, leaky=ready.split.leaky, notes=list(ready.split.notes),
        initial_weights=initial_weights, precision=speed.get("precision", "fp32"),
    )  # fmt: skip
    atomic_write(run.start, dump_json(start.model_dump(mode="json", exclude={"estimate_seconds"})))


def read_inputs(
    run: RunDir, progress: Callable[[int, int], None] | None = None, *, data: Path | None = None
) -> _Resumed:
    """The inputs that train had before its first step, from the run folder alone.

    Args:
        data: where DATA is now, if it was moved.
    Raises:
        DataError: config, table, an image of train or valid, or a library version has changed; says what, then and
            now.
    """
    start, environment = _read_start(run), read_environment(run)
    now, then = ({name: found.get(name) for name in _DECISIVE} for found in (versions(), environment.versions))
    differ = [
        *_config_differences(run, start),
        *_differences("", then, now),
        *_differences("environment.json ", {"precision": start.precision}, {"precision": environment.precision}),
        *(
            f"{path.name}: edited or deleted since"
            for path, sha256 in ((run.table, start.table_sha256), (run.data, start.data_sha256))
            if sha256_of(path) != sha256
        ),
    ]
    _refuse(run, differ)
    cfg, rows = read_run_config(run), read_table(run)
    if data is not None:
        rows = find_moved(rows, data_folder(data).path, progress, given=data if is_archive(data) else None)
    else:
        rows = put_back(rows, cfg.data.path)
        lost = changed_files(rows[rows["split"] != "test"], progress)
        _refuse(run, [*(lost_archive(cfg.data.path) if lost else []), *lost])
    spec = DecodeSpec(**start.decode)
    excluded = _read_excluded(run)
    ready = Prepared(
        ImageTable(Path(cfg.data.path or "."), rows, excluded, spec.bits),
        Split(rows, start.split, start.leaky, tuple(start.notes)),
        json_model(DataCounts, read_verified(run, run.data), run.data),
        start.positive,
        spec,
    )
    return _Resumed(cfg, ready, environment, start.initial_weights)


def _config_differences(run: RunDir, start: _Start) -> list[str]:
    """What an edit of config.yaml changed; what is used is read_run_config()."""
    return _differences("config.yaml ", _flat(start.config), _flat(read_yaml(run.config)))


def _read_excluded(run: RunDir) -> pd.DataFrame:
    if not is_kept(run, run.excluded):
        return pd.DataFrame()
    return pd.read_csv(io.BytesIO(read_verified(run, run.excluded)), dtype=str, keep_default_na=False)


def _read_start(run: RunDir) -> _Start:
    try:
        return _Start.model_validate(parsed_json(read_regular(run.start), run.start))
    except (ValidationError, ValueError, OSError):
        raise DataError(
            f"{run.start} is missing or damaged. Restore it from a backup, or train again into another folder."
        ) from None


def _flat(tree: Any, path: str = "") -> dict[str, Any]:
    """{'train.lr': 0.001, ...}; lists count as values."""
    if not isinstance(tree, dict):
        return {path: tree}
    return {key: value for name, part in tree.items() for key, value in _flat(part, f"{path}.{name}").items()}


def _differences(title: str, then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [
        f"{title}{key.lstrip('.')}: {then.get(key, 'nothing')!r} then, {now.get(key, 'nothing')!r} now"
        for key in sorted(then.keys() | now.keys())
        if then.get(key, "nothing") != now.get(key, "nothing")
    ]


def _refuse(run: RunDir, differ: list[str]) -> None:
    if not differ:
        return
    more = f"; and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
    raise DataError(
        f"The run {run.root} cannot be resumed: {'; '.join(differ[:_SHOWN])}{more}. "
        "Restore what changed, give the new place of moved DATA with --data, or train again into another folder."
    )
