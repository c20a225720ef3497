"""Fail where the lock or the lowest allowed version of a dependency has a known fault: python tools/check_advisories.py.

tools/advisories.csv holds what was found, with its source and the day; nothing is fetched. An advisory without a fixed
version says why plainfilm does not reach it. The list is no scan: an empty result means only that these are met.
"""

from __future__ import annotations

import csv
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
COLUMNS = ["package", "id", "fixed_in", "not_reached", "source", "checked_on"]


def advisories(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    for row in rows:
        whole = list(row) == COLUMNS and row["source"].startswith("https://")
        if not whole or bool(row["fixed_in"]) == bool(row["not_reached"]):
            sys.exit(
                f"{path}: {row['package']} {row['id']} needs a source, and a fixed version or why it is not reached."
            )
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", row["checked_on"]):
            sys.exit(f"{path}: {row['id']} needs the day on which it was checked.")
    return rows


def admitted(root: Path) -> Iterator[tuple[str, str, Version]]:
    """Where, package, and the lowest version that is let in there; 0 where nothing is asked."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    predict = (root / "requirements-predict.txt").read_text(encoding="utf-8").splitlines()
    for where, lines in [("pyproject.toml", asked), ("requirements-predict.txt", predict)]:
        for line in lines:
            if text := line.partition("#")[0].strip():
                wanted = Requirement(text)
                floors = [Version(each.version) for each in wanted.specifier if each.operator in (">=", "==", "~=")]
                yield where, canonicalize_name(wanted.name), max(floors, default=Version("0"))
    for name, version in re.findall(
        r"^([\w.-]+)==([\w.+!]+)", (root / "requirements.lock").read_text(encoding="utf-8"), re.M
    ):
        yield "requirements.lock", canonicalize_name(name), Version(version)


def main(root: Path = ROOT) -> int:
    known = advisories(root / "tools" / "advisories.csv")
    found = [
        f"{where}: {name} {version} has {row['id']}, fixed in {row['fixed_in']} ({row['source']})"
        for where, name, version in admitted(root)
        for row in known
        if row["fixed_in"] and row["package"] == name and version < Version(row["fixed_in"])
    ]
    print(
        *found,
        f"{len(known)} advisories, newest of {max(row['checked_on'] for row in known)}: {len(found)} met",
        sep="\n",
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
