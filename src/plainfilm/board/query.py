"""What a request asks the page for, and the links that ask for something else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from plainfilm.board.run_list import COLUMNS, Wanted

MOST = 8  # runs that are shown together: as many as there are colours


@dataclass(frozen=True)
class Query:
    """Names of the chosen runs in the order in which they were chosen, and the order of the table."""

    runs: tuple[str, ...] = ()
    sort: str = "name"
    reverse: bool = False

    @classmethod
    def of(cls, items: Iterable[tuple[str, str]], known: Iterable[str]) -> Query:
        """Whatever a request says: a run that there is not, and an unknown column, are left out."""
        found, names = list(items), set(known)
        runs = dict.fromkeys(value for key, value in found if key == "run" and value in names)
        sort = next((value for key, value in found if key == "sort" and value in COLUMNS), "name")
        return cls(tuple(runs)[:MOST], sort, ("reverse", "1") in found)

    @property
    def wanted(self) -> Wanted:
        """The order of the table."""
        return Wanted(self.sort, self.reverse)

    def toggled(self, name: str) -> str:
        """The link that chooses a run, or no longer; '' where there are as many as can be shown, or no link can name it."""
        rest = tuple(run for run in self.runs if run != name)
        if not _can_be_named(name) or (name not in self.runs and len(rest) >= MOST):
            return ""
        return replace(self, runs=rest if name in self.runs else (*self.runs, name)).link()

    def sorted_by(self, column: str) -> str:
        """The link that sorts by a column, or turns its order round."""
        return replace(self, sort=column, reverse=column == self.sort and not self.reverse).link()

    def without_runs(self) -> str:
        """The link that chooses none."""
        return replace(self, runs=()).link()

    def link(self, page: str = "./") -> str:
        """The link of this query; `page`: where it leads."""
        words = [("run", name) for name in self.runs]
        words += [("sort", self.sort)] if self.sort != "name" else []
        words += [("reverse", "1")] if self.reverse else []
        return f"{page}?{urlencode(words)}" if words else page


def of_run(page: str, name: str) -> str:
    """The link of a page of one run; '' where no link can name it."""
    return f"{page}?{urlencode([('run', name)])}" if _can_be_named(name) else ""


def _can_be_named(name: str) -> bool:
    """Not a name of bytes that are no UTF-8, which a query cannot hold."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
