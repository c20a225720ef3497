"""The documents of `compare` and of `experiments`: configurations side by side, each the mean of its seeds."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from plainfilm.schemas.documents import Document
from plainfilm.schemas.number_text import THREE, limits_text


class MeanSd(BaseModel):
    """A metric over the runs of one configuration; `sd` is None for a single run.

    `ci_low`, `ci_high`: means of the limits of the runs' own 95 % intervals. They describe the patients, `sd` the
    seeds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    mean: float | None
    sd: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    n_patients: int | None
    method: str

    def as_text(self) -> str:
        """'0.953 ± 0.004 [0.940, 0.963]'; '-' without a mean."""
        if self.mean is None:
            return "-"
        sd = f" ± {self.sd:.3f}" if self.sd is not None else ""
        return f"{self.mean:{THREE}}{sd} {limits_text(self.ci_low, self.ci_high)}".rstrip()


LEVEL = 0.05  # of the adjusted p; at or below it, two rows are distinguishable


class Difference(BaseModel):
    """A row minus the best row, on the same images.

    `p`: paired permutation of whole patients, two-sided; `p_holm`: adjusted for all pairs of rows, since the best row
    was chosen among all of them. `second_p` is the closed-form test named by `second`, not adjusted. These describe
    the trained networks; `seeds_low`, `seeds_high`: 95 % limits (t) of the mean over seeds trained in pairs, None
    below three pairs. `distinguishable`: p_holm <= 0.05, and these limits exclude 0 where they are known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    value: float
    ci_low: float
    ci_high: float
    method: str
    p: float
    p_holm: float
    second: str
    second_p: float | None
    pairs: int
    patients: int
    seeds_low: float | None = None
    seeds_high: float | None = None
    distinguishable: bool

    def seeds_text(self) -> str:
        """'[-0.012, +0.003]', the limits over seeds; '' where there are too few pairs."""
        return limits_text(self.seeds_low, self.seeds_high, "+.3f")


class ComparedRow(BaseModel):
    """One configuration; `differences` is empty for the best row."""

    name: str
    runs: list[str]
    seeds: list[int]
    metrics: dict[str, MeanSd]
    differences: dict[str, Difference]


class CompareDocument(Document):
    """`plainfilm compare --json`; the best row comes first."""

    split: str
    metric: str
    best: str
    n: int
    n_patients: int | None
    draws: int
    rows: list[ComparedRow]
    notes: list[str]


Outcome = Literal["planned", "skipped", "trained", "resumed", "failed", "busy", "left"]


class ExperimentRun(BaseModel):
    """One run of a grid. `outcome`: skipped = already finished; left = not begun, since the work was stopped.

    `code`: the exit code of `train` alone; 0 if nothing failed.
    """

    configuration: str
    seed: int
    run: str
    outcome: Outcome
    code: int
    message: str
    test_opened: bool


class ExperimentDocument(Document):
    """`plainfilm experiments run --json`; `estimate_seconds` is None while unknown. `next`: the command that goes on: the
    runs themselves after a dry run, else the table; empty if no run is finished."""

    experiment: str
    out: str
    configurations: list[str]
    estimate_seconds: float | None
    runs: list[ExperimentRun]
    next: str = ""


class TableSection(BaseModel):
    """One experiment of the table."""

    experiment: str
    rows: int
    runs: int
    not_run: list[str]
    best: str | None


class TableDocument(Document):
    """`plainfilm experiments table --json`."""

    page: str
    csv: str
    figures: list[str]
    sections: list[TableSection]
    notes: list[str]
