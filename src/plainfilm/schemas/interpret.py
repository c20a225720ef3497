"""The document of `plainfilm interpret --json`."""

from __future__ import annotations

from pydantic import BaseModel

from plainfilm.schemas.documents import Document, Metric


class Confused(BaseModel):
    """A pair of classes that were mistaken for each other, in this direction."""

    truth: str
    called: str
    images: int


class HeatFindings(BaseModel):
    """How far the heat maps may be believed, on `pictures` pictures; heat is for the class called.

    `layer`: whose map is drawn, of `cells` (rows, columns). `flat`: pictures without any heat. `deletion`: area under
    the score of the class called while pieces are taken away, by order; `deletion_gain`: at random less heat first,
    above 0 when heat shows what the score rests on. `randomised`: rank correlation with the heat of random weights,
    -1..1. `central`: share of the heat in the central field, which is `central_area` of the picture.
    """

    method: str
    layer: str
    cells: tuple[int, int]
    pictures: int
    chosen: str
    flat: int
    deletion: dict[str, Metric]
    deletion_gain: Metric
    randomised: Metric
    random_networks: int
    central: Metric
    central_area: float
    says: list[str]


class LabelErrorFindings(BaseModel):
    """Images that look mislabelled: `found` of `images`; `folds` of `of_folds` k-fold runs were asked, None: no k-fold.
    `says` puts it in words."""

    file: str
    found: int
    images: int
    folds: int | None
    of_folds: int | None
    says: str


class InterpretDocument(Document):
    """`plainfilm interpret --json`; `heat` is None where heat maps were left out."""

    run: str
    split: str
    figures: dict[str, str]
    notes: list[str]
    confused: list[Confused]
    heat: HeatFindings | None = None
    suspects: LabelErrorFindings | None = None
