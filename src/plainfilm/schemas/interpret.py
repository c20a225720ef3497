"""The document of `plainfilm interpret --json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

from plainfilm.schemas.documents import Document, Metric

_Verdict = Literal["passed", "failed", "not_enough_images", "not_judged"]
_Check = Literal["deletion", "randomised"]
_CHECKS: tuple[_Check, ...] = ("deletion", "randomised")  # the first sentences of HeatFindings.says, in this order


class Confused(BaseModel):
    """Images of class `truth` that were predicted as class `called`."""

    truth: str
    called: str
    images: int

    @property
    def predicted(self) -> str:
        return self.called


def confused_pairs(rows: Sequence[Sequence[int]], labels: Sequence[str]) -> list[Confused]:
    """Pairs of a true and a predicted class with the most images first, of counts (k, k) with a row per true class."""
    wrong = [(n, i, j) for i, row in enumerate(rows) for j, n in enumerate(row) if n and i != j]
    wrong.sort(key=lambda pair: (-pair[0], *pair[1:]))
    return [Confused(truth=labels[i], called=labels[j], images=int(n)) for n, i, j in wrong]


class HeatFindings(BaseModel):
    """Sanity checks of the heat maps on `pictures` images; heat is for the predicted class.

    `layer`: the layer whose map is drawn, of `cells` (rows, columns). `flat`: images without any heat. `deletion`:
    area under the score of the predicted class as patches are deleted, by order of deletion; `deletion_gain`: the area
    with random order minus that with most heat first, above 0 when the score depends on the hot patches;
    `deletion_change`: by how much the score differs, up or down, when all patches are removed; `deletion_share`: the gain
    over this change, which the verdict is about (both None in runs of earlier versions). `randomised`: rank correlation
    with the heat of random weights, -1..1. `central`: share of the heat in the central field, which covers `central_area`
    of the image. `verdicts`: of the two checks that can fail; `not_enough_images`: the interval allows both; `not_judged`:
    the score hardly changes, whatever is removed. `images_needed`: about how many images would decide such a check four
    times in five if spread and effect stay as measured, None where that is unknown or the check is decided; `available`:
    how many there are to choose from. `says`: deletion, random weights and central field as sentences. `sheets`: the
    splits whose sheet of the largest losses was drawn with these heat maps.
    """

    method: str
    layer: str
    cells: tuple[int, int]
    pictures: int
    chosen: str
    flat: int
    deletion: dict[str, Metric]
    deletion_gain: Metric
    deletion_change: Metric | None = None
    deletion_share: Metric | None = None
    randomised: Metric
    random_networks: int
    central: Metric
    central_area: float
    says: list[str]
    verdicts: dict[_Check, _Verdict] = {}
    images_needed: dict[_Check, int | None] = {}
    available: int | None = None
    sheets: list[str] = []

    @property
    def checked_on(self) -> str:
        """The images of the checks, e.g. '32 valid images, one of each patient'."""
        return f"{self.pictures} {self.chosen}"

    @property
    def verdict(self) -> _Verdict:
        """Of both checks together: failed if one failed, passed if both passed."""
        worst: tuple[_Verdict, ...] = ("failed", "not_judged", "not_enough_images")
        found = self.verdicts.values()
        return next((verdict for verdict in worst if verdict in found), "passed" if found else "not_enough_images")

    def said(self, verdict: _Verdict) -> dict[_Check, str]:
        """The sentences of the checks with this verdict; '' where the file lost one."""
        sentences = dict(zip(_CHECKS, self.says, strict=False))
        return {check: sentences.get(check, "") for check in _CHECKS if self.verdicts.get(check) == verdict}


class LabelErrorFindings(BaseModel):
    """Likely label errors: `found` of `images`; `folds` of `of_folds` k-fold runs were used, None: no k-fold.
    `says`: the same as a sentence.
    """

    file: str
    found: int
    images: int
    folds: int | None
    of_folds: int | None
    says: str


class InterpretDocument(Document):
    """`plainfilm interpret --json`; `heat` is None without heat maps; `suspects`: the likely label errors."""

    run: str
    split: str
    figures: dict[str, str]
    notes: list[str]
    confused: list[Confused]
    heat: HeatFindings | None = None
    suspects: LabelErrorFindings | None = None
