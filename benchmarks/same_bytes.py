"""Are two runs of the same command the same? For a change that must not change a number.

    plainfilm train DATA --seed 3 --threads 2 --out before     # with the older version
    plainfilm train DATA --seed 3 --threads 2 --out after      # with this one
    python benchmarks/same_bytes.py before after

Weights, history and predictions are compared byte by byte (but for the folder in their column `path`), metrics.json
value by value: a number, a key or a class that differs is a difference (exit 1); wording alone is listed.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BYTES = ("model.safetensors", "history.csv", "table.csv", "predictions/valid.csv", "predictions/test.csv",
         "predictions/valid-shifted.csv", "gate.safetensors", "probes/valid.csv", "probes/test.csv")  # fmt: skip
ALIASES = {"no_lungs_needed": "shortcut_baseline"}  # both are written since the second came


def content(path: Path) -> bytes:
    """The file's bytes; of a CSV with absolute paths, each path is cut to its last two parts."""
    if path.suffix != ".csv":
        return path.read_bytes()
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if "path" in row:
            row["path"] = "/".join(Path(row["path"]).parts[-2:])
    return json.dumps(rows).encode()


def leaves(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of everything in a JSON document that is no object or list."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ALIASES and ALIASES[key] in value:
                continue
            yield from leaves(inner, f"{where}.{ALIASES.get(key, key)}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from leaves(inner, f"{where}[{i}]")
    else:
        yield where, value


def compared(before: Path, after: Path) -> tuple[list[str], list[str]]:
    """Differences, and places where only the wording differs."""
    differ, reworded = [], []
    for name in BYTES:
        a, b = before / name, after / name
        if a.is_file() != b.is_file() or (a.is_file() and content(a) != content(b)):
            differ.append(name)
    a, b = (dict(leaves(json.loads((run / "metrics.json").read_text(encoding="utf-8")))) for run in (before, after))
    for where in sorted(a.keys() | b.keys()):
        if a.get(where) == b.get(where) and (where in a) == (where in b):
            continue
        text = isinstance(a.get(where), str) and isinstance(b.get(where), str)
        (reworded if text else differ).append(f"metrics.json{where}: {a.get(where)!r} -> {b.get(where)!r}")
    return differ, reworded


if __name__ == "__main__":
    differences, words = compared(Path(sys.argv[1]), Path(sys.argv[2]))
    print(*(f"wording: {line}" for line in words), sep="\n")
    print(*(f"DIFFERS: {line}" for line in differences), sep="\n")
    print(f"{len(differences)} differences, {len(words)} places reworded")
    sys.exit(bool(differences))
