"""The heat maps of a run and their checks, on a fixed number of its valid images, one per patient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from plainfilm.base.events import EventCallback, silent
from plainfilm.base.seeds import HEAT, content_key, uniform
from plainfilm.evaluate.predictions import predict
from plainfilm.evaluate.stats.intervals import Floats
from plainfilm.interpret import heatmap_checks as checks
from plainfilm.interpret.heatmap_verdicts import HeatVerdict
from plainfilm.plots import heatmaps
from plainfilm.plots.heatmaps import SHARES
from plainfilm.runs.card import Card
from plainfilm.schemas.documents import Metric, marks
from plainfilm.schemas.interpret import HeatFindings

if TYPE_CHECKING:
    from plainfilm.interpret.gradcam import LastMap, Method
    from plainfilm.models.build import Normalised

_RANDOM_NETWORKS = 3
_Fresh = Callable[[int], "Normalised"]  # seed -> the same network with random weights


@dataclass(frozen=True)
class StudiedImages:
    """The images of the study.

    pixels: uint8 (n, h, w) or (n, h, w, 3). predicted: int (n,), class of each. keys: int (n,), derived from the image
    content. chosen: which images these are, in words. available: how many there were to choose from.
    """

    pixels: np.ndarray
    predicted: np.ndarray
    keys: np.ndarray
    chosen: str
    available: int | None = None


@dataclass(frozen=True)
class HeatStudy:
    """The measurements: `heat` float32 (n, h, w) for the predicted class; `curves` float (3, n, 11), the score as patches
    are removed; `ranks` float (n,), mean rank correlation with the heat of random weights; `chosen`: which images;
    `available`: how many there were to choose from.
    """

    place: LastMap
    method: Method
    heat: np.ndarray
    curves: np.ndarray
    ranks: np.ndarray
    chosen: str
    has_patients: bool
    available: int | None = None

    @property
    def areas(self) -> dict[str, Metric]:
        """Area under the mean score curve, by order of removal."""
        found = _area_under(self.curves)
        return {name: self._mean(values) for name, values in zip(heatmaps.ORDERS, found, strict=True)}

    def _mean(self, values: np.ndarray, low: float = 0.0) -> Metric:
        return checks.mean_metric(values, has_patients=self.has_patients, within=(low, 1.0))

    def findings(self) -> HeatFindings:
        """The results of the checks as numbers and sentences."""
        first, random, _ = _area_under(self.curves)
        moved = np.abs(
            self.curves[0, :, -1] - self.curves[0, :, 0]
        )  # the same in each order, so independent of the maps
        shares, area = checks.central_share(self.heat)
        gain, alike, central = self._mean(random - first, -1), self._mean(self.ranks, -1), self._mean(shares)
        change, share = self._mean(moved), checks.ratio_metric(random - first, moved, has_patients=self.has_patients)
        by_deletion = HeatVerdict.of_deletion(gain, share, change, self.available)
        by_weights = HeatVerdict.of_randomised(alike, self.available)
        return HeatFindings(
            method=self.method, layer=self.place.name, cells=self.place.cells, pictures=len(self.heat), chosen=self.chosen,
            flat=int((self.heat.max(axis=(1, 2)) == 0).sum()), deletion=self.areas, deletion_gain=gain,
            deletion_change=change, deletion_share=share, randomised=alike, random_networks=_RANDOM_NETWORKS, central=central, central_area=area,
            says=[by_deletion.says, by_weights.says, _says_central(central, area)],
            verdicts={"deletion": by_deletion.verdict, "randomised": by_weights.verdict},
            images_needed={"deletion": by_deletion.needed, "randomised": by_weights.needed}, available=self.available,
        )  # fmt: skip

    def figures(self, card: Card) -> dict[str, Figure]:
        """The figures of the deletion, random-weights and central-field checks, by name."""
        found, about = self.findings(), f"{len(self.heat)} {self.chosen}"
        title = f"{marks(card.notes)}{{}}, {about}. {heatmaps.NO_EVIDENCE}"
        return {
            "heat_deletion": heatmaps.plot_deletion(self.curves, found.deletion, title.format("Deletion")),
            "heat_randomised": heatmaps.plot_randomised(
                self.ranks, found.randomised, title.format("Heat after the weights were randomised")
            ),
            "heat_field": heatmaps.plot_field(self.heat, found.central, found.central_area, title.format("Mean heat")),
        }


def _says_central(central: Metric, area: float) -> str:
    """`central`: share of the heat in the central field, whose share of the image is `area`."""
    if central.value is None:
        return "No image has heat."
    reach = "" if central.ci_low is None else f" [{central.ci_low:.0%}, {central.ci_high:.0%}]"
    return f"{central.value:.0%}{reach} of the heat is in the central field, which is {area:.0%} of the area."


def choose_images(rows: pd.DataFrame, n: int) -> np.ndarray:
    """Positions of at most `n` of `rows`, one per group; the choice depends on the content of the images alone."""
    keys = np.array([content_key(sha) for sha in rows["sha256"]], dtype=np.int64)
    order = np.lexsort((rows["relative"].to_numpy(dtype=str), uniform(HEAT, keys)))
    _, first = np.unique(rows["group"].to_numpy()[order], return_index=True)
    return np.sort(order[np.sort(first)[:n]])


def study_heat(
    model: Normalised, fresh: _Fresh, studied: StudiedImages, card: Card, *, method: Method, device: str,
    on_event: EventCallback = silent,
) -> HeatStudy:  # fmt: skip
    """Heat maps of the images for their predicted class, and the three checks.

    Args:
        on_event: gets `heat` at each forward pass of the deletion check.
    """
    from plainfilm.interpret.gradcam import find_last_map, heat_maps

    pixels, predicted = studied.pixels, studied.predicted
    place = find_last_map(model, pixels.shape[1])
    shared: dict[str, Any] = {"place": place, "method": method, "device": device}
    heat = heat_maps(model, pixels, predicted, **shared)

    done = 0

    def score(images: np.ndarray) -> np.ndarray:
        nonlocal done
        done += 1
        on_event("heat", {"done": done, "of": checks.FORWARD_PASSES})
        return card.scaling.probs(predict(model, images, device)[0])

    curves = checks.deletion(pixels, heat, predicted, studied.keys, score)
    others = [heat_maps(fresh(1 + i), pixels, predicted, **shared) for i in range(_RANDOM_NETWORKS)]
    ranks = np.mean([checks.rank_correlation(heat, other).ranks for other in others], axis=0)
    return HeatStudy(place, method, heat, curves, ranks, studied.chosen, card.has_patients, studied.available)


def _area_under(curves: Floats) -> Floats:
    """Mean score over the removed share, 0..1, by the trapezoidal rule; curves (..., 11)."""
    return np.asarray(np.trapezoid(curves, SHARES, axis=-1))
