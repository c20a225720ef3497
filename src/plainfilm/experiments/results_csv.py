"""Turn rows into results.csv: one flat row per configuration, of all experiments."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plainfilm.compare.scored_run import SENSITIVITY_AT
from plainfilm.errors import DataError
from plainfilm.experiments.aggregate import ResultsSection, Row
from plainfilm.schemas.compare import Difference, MeanSd


def _spreads(*names: str) -> list[str]:
    return [f"{name}_{part}" for name in names for part in ("mean", "sd", "low", "high")]


# Always all of them and in this order: otherwise a new experiment would rewrite the rows of the others.
_COLUMNS = (
    "experiment", "configuration", "rank", "status", "seeds", "folds",
    *_spreads("valid_auroc", "valid_accuracy", f"valid_{SENSITIVITY_AT}", "valid_log_loss"),
    "valid_n", "valid_patients", *_spreads("valid_beyond_shortcut"),
    "parameters", "weights_mb", "train_minutes", "train_img_per_s", "latency_ms", "latency_threads", "peak_rss_mb",
    "peak_rss_exact", "test_looks", *(f"to_best_{name}" for name in Difference.model_fields), "test_runs",
    *_spreads("test_auroc", "test_accuracy", "test_sensitivity", "test_specificity", "test_no_lungs_auroc"),
)  # fmt: skip


def csv_rows(section: ResultsSection) -> list[dict[str, Any]]:
    """One flat row per configuration, and one for the probe; numbers by repr, None empty."""
    rows = [_flat_row(section.name, row) for row in section.rows]
    if section.baseline is not None:
        rows.append({"experiment": section.name, "configuration": f"shortcut baseline ({section.baseline_probe})",
                     "status": "probe", **_spread("valid_auroc", section.baseline)})  # fmt: skip
    return rows


def _flat_row(experiment: str, row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {"experiment": experiment, "configuration": row.name, "rank": row.rank,
                             "status": "done" if row.metrics else row.why, "seeds": " ".join(map(str, row.seeds)),
                             "folds": row.folds.as_text() if row.folds else None}  # fmt: skip
    for name, metric in row.metrics.items():
        found |= _spread(f"valid_{name}", metric)
    if row.metrics:
        found |= {"valid_n": row.metrics["auroc"].n, "valid_patients": row.metrics["auroc"].n_patients}
    if row.discordant is not None:
        found |= _spread("valid_beyond_shortcut", row.discordant)
    if row.difference is not None:
        found |= {f"to_best_{name}": value for name, value in row.difference.model_dump().items()}
    if row.costs is not None:
        found |= {"parameters": row.costs.parameters, "weights_mb": row.costs.weights_mb, "train_minutes": row.costs.minutes,
                  "train_img_per_s": row.costs.img_per_s, "latency_ms": row.costs.latency_ms,
                  "latency_threads": row.costs.threads, "peak_rss_mb": row.costs.peak_rss_mb,
                  "peak_rss_exact": row.costs.peak_exact}  # fmt: skip
    found["test_looks"] = row.accesses
    if row.test is not None:
        found["test_runs"] = row.test.n_runs
        for name, metric in row.test.metrics.items():
            found |= _spread(f"test_{name}", metric)
        if row.test.baseline is not None:
            found |= _spread("test_no_lungs_auroc", row.test.baseline)
    return found | {"command": row.command}


def _spread(name: str, found: MeanSd) -> dict[str, float | None]:
    return dict(zip(_spreads(name), (found.mean, found.sd, found.ci_low, found.ci_high), strict=True))


def put_rows(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    """The text of results.csv with these rows in place of the same experiments' old ones.

    Raises:
        DataError: the existing file is not such a table.
    """
    old = _read_rows(path)
    replaced = {row["experiment"] for row in rows}
    kept = [row for row in old if row["experiment"] not in replaced]
    columns = list(dict.fromkeys([*_COLUMNS, *(name for row in (*kept, *rows) for name in row)]))
    columns = [name for name in columns if name != "command"] + ["command"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows([*kept, *({name: "" if value is None else value for name, value in row.items()} for row in rows)])
    return text.getvalue()


def _read_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), strict=True))
        if rows and (None in rows[0] or "experiment" not in rows[0]):
            raise ValueError
        return rows
    except (ValueError, csv.Error, OSError):
        raise DataError(
            f"{path} is not a table of experiments (no column 'experiment'). Move it, or choose another --out."
        ) from None
