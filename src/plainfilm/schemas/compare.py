"""The documents of `compare` and `experiments`: configurations side by side, the mean of seeds or folds together."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from plainfilm.schemas.documents import Document
from plainfilm.schemas.evaluate import LEVEL
from plainfilm.schemas.number_text import THREE, limits_text


class MeanSd(BaseModel):
    """A metric over the seeds of one configuration; `sd` is None for a single one. Folds of a seed are pooled first.

    `ci_low`, `ci_high`: means of the limits of the seeds' own 95 % intervals. They describe the patients, `sd` the
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


class Folds(BaseModel):
    """How many folds of a k-fold experiment are in a row, `done` of `of`; where its seeds differ, the fewest."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    done: int
    of: int

    def as_text(self) -> str:
        """'5 folds', '4 of 5 folds'."""
        return f"{self.done} folds" if self.done == self.of else f"{self.done} of {self.of} folds"


NOT_TESTED = "not tested (different images)"  # of a row without a difference
Verdict = Literal["equivalent", "different", "undecided"]


class Difference(BaseModel):
    """A row minus the best row, on the same images.

    `p`: paired permutation of whole patients, two-sided; `p_holm`: adjusted for all `comparisons`, the pairs of rows,
    since the best row was chosen among all of them; `p_is_floor`, `p_holm_is_floor`: the fewest that the draws can
    show, so the true one may be smaller. No limits are adjusted. `second_p` is the closed-form test named by `second`,
    not adjusted. These describe the trained networks; `seeds_low`, `seeds_high`: 95 % limits (t) of the mean over seeds
    trained in pairs, None below three pairs. `distinguishable`: p_holm <= 0.05, and these limits exclude 0 where they
    are known.

    With a `margin`, `verdict` is equivalent where the 90 % limits `low_90`, `high_90`, and over three seeds or more
    `seeds_low_90`, `seeds_high_90`, are inside +-margin (two one-sided tests at 0.05, not adjusted); else different
    where distinguishable; else undecided.
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
    p_is_floor: bool = False
    p_holm_is_floor: bool = False
    comparisons: int = 1
    margin: float | None = None
    low_90: float | None = None
    high_90: float | None = None
    seeds_low_90: float | None = None
    seeds_high_90: float | None = None
    verdict: Verdict | None = None

    def seeds_text(self) -> str:
        """'[-0.012, +0.003]', the limits over seeds; '' where there are too few pairs."""
        return limits_text(self.seeds_low, self.seeds_high, "+.3f")

    def verdict_text(self) -> str:
        """'equivalent within 0.01', 'different', 'undecided'; '' without a margin."""
        if self.verdict != "equivalent":
            return self.verdict or ""
        return f"equivalent within {self.margin:g}" + (", though different from 0" if self.distinguishable else "")

    def against_best(self) -> str:
        """The result of the adjusted test, in words."""
        if not self.distinguishable:
            return f"not distinguishable from the best row{self._seed_spread()}"
        several = self.seeds_low is not None  # three pairs of seeds or more
        scope = "" if several else " (only these trained networks)"
        return ("below the best row" if self.value < 0 else "above the row ranked best") + scope

    def _seed_spread(self) -> str:
        """Why a small p is not enough: with other seeds, the row could as well be better."""
        seeds = self.seeds_text()
        return f"; the interval over seeds includes 0 {seeds}" if seeds and self.p_holm <= LEVEL else ""


class ComparedRow(BaseModel):
    """One configuration; `differences` is empty for the best row. `folds`: None where its runs are no folds."""

    name: str
    runs: list[str]
    seeds: list[int]
    metrics: dict[str, MeanSd]
    differences: dict[str, Difference]
    folds: Folds | None = None


class CompareDocument(Document):
    """`plainfilm compare --json`; the best row comes first. `margin`: of equivalence, for AUROC and accuracy alike."""

    split: str
    metric: str
    best: str
    n: int
    n_patients: int | None
    draws: int
    rows: list[ComparedRow]
    notes: list[str]
    margin: float | None = None


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
