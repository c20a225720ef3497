"""A run's heat maps and their checks, on a fixed number of its valid pictures, one of each patient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from plainfilm.base.events import EventCallback, silent
from plainfilm.base.seeds import HEAT, content_key, uniform
from plainfilm.evaluate.metrics.calibration import softmax
from plainfilm.evaluate.predictions import predict
from plainfilm.interpret import heatmap_checks as checks
from plainfilm.plots import heatmaps
from plainfilm.runs.card import Card
from plainfilm.schemas.documents import Metric, marks
from plainfilm.schemas.interpret import HeatFindings

if TYPE_CHECKING:
    from plainfilm.interpret.gradcam import LastMap, Method
    from plainfilm.models.build import Normalised

_RANDOM_NETWORKS = 3
_Fresh = Callable[[int], "Normalised"]  # seed -> the same network with random weights


@dataclass(frozen=True)
class HeatStudy:
    """What was measured: `heat` float32 (n, h, w) for the class called; `curves` float (3, n, 11), the score while
    pieces are taken away; `ranks` float (n,), rank correlation with heat of random weights, their mean; `chosen`: which pictures.
    """

    place: LastMap
    method: Method
    heat: np.ndarray
    curves: np.ndarray
    ranks: np.ndarray
    chosen: str
    has_patients: bool

    @property
    def areas(self) -> dict[str, Metric]:
        """Area under the mean score of each order."""
        found = checks.area_under(self.curves)
        return {name: self._mean(values) for name, values in zip(heatmaps.ORDERS, found, strict=True)}

    def _mean(self, values: np.ndarray, low: float = 0.0) -> Metric:
        return checks.mean_metric(values, has_patients=self.has_patients, within=(low, 1.0))

    def findings(self) -> HeatFindings:
        """The checks as numbers and sentences."""
        first, random, _ = checks.area_under(self.curves)
        shares, area = checks.central_share(self.heat)
        gain, alike, central = self._mean(random - first, -1), self._mean(self.ranks, -1), self._mean(shares)
        return HeatFindings(
            method=self.method, layer=self.place.name, cells=self.place.cells, pictures=len(self.heat), chosen=self.chosen,
            flat=int((self.heat.max(axis=(1, 2)) == 0).sum()), deletion=self.areas, deletion_gain=gain,
            randomised=alike, random_networks=_RANDOM_NETWORKS, central=central, central_area=area,
            says=[_says_deletion(gain), _says_randomised(alike), _says_central(central, area)],
        )  # fmt: skip

    def figures(self, card: Card) -> dict[str, Figure]:
        """deletion, random weights and central field, by name."""
        found, about = self.findings(), f"{len(self.heat)} {self.chosen}"
        title = f"{marks(card.notes)}{{}}, {about}. {heatmaps.NO_EVIDENCE}"
        return {
            "heat_deletion": heatmaps.plot_deletion(self.curves, found.deletion, title.format("Deletion")),
            "heat_randomised": heatmaps.plot_randomised(
                self.ranks, found.randomised, title.format("Heat after the weights were randomised")
            ),
            "heat_field": heatmaps.plot_field(self.heat, found.central, found.central_area, title.format("Mean heat")),
        }


def _says_deletion(gain: Metric) -> str:
    """`gain`: area under the score when pieces go at random, less that when hot ones go first."""
    if gain.value is None or gain.ci_low is None or gain.ci_high is None:
        return "Deletion says nothing here: too few pictures with heat."
    by = f"{gain.value:+.3f} [{gain.ci_low:+.3f}, {gain.ci_high:+.3f}] of area against random order"
    if gain.ci_low > 0:
        return f"Taking hot pieces away first lowers the score sooner ({by})."
    if gain.ci_high < 0:
        return f"HEAT MAPS MISLEAD: taking hot pieces away first lowers the score later than chance does ({by})."
    return f"HEAT MAPS DO NOT SHOW WHAT THE SCORE RESTS ON: taking hot pieces first is not distinguishable from chance ({by})."


def _says_randomised(alike: Metric) -> str:
    """`alike`: rank correlation of the heat with that of random weights."""
    if alike.value is None:
        return "The check by random weights says nothing here: no picture."
    reach = "" if alike.ci_low is None else f" [{alike.ci_low:.2f}, {alike.ci_high:.2f}]"
    if alike.value >= heatmaps.SAME:
        return f"HEAT MAPS DO NOT DEPEND ON WHAT WAS LEARNED: random weights give nearly the same (rank correlation {alike.value:.2f}{reach})."  # fmt: skip
    return f"Random weights give other heat maps (rank correlation {alike.value:.2f}{reach}, alike from {heatmaps.SAME} on)."


def _says_central(central: Metric, area: float) -> str:
    """`central`: share of the heat in the central field, which is `area` of the picture."""
    if central.value is None:
        return "No picture has heat."
    reach = "" if central.ci_low is None else f" [{central.ci_low:.0%}, {central.ci_high:.0%}]"
    return f"{central.value:.0%}{reach} of the heat lies in the central field, which is {area:.0%} of the area."


def choose_images(rows: pd.DataFrame, n: int) -> np.ndarray:
    """Positions of at most `n` of `rows`, one of each group, in an order that their content decides."""
    keys = np.array([content_key(sha) for sha in rows["sha256"]], dtype=np.int64)
    order = np.lexsort((rows["relative"].to_numpy(dtype=str), uniform(HEAT, keys)))
    _, first = np.unique(rows["group"].to_numpy()[order], return_index=True)
    return np.sort(order[np.sort(first)[:n]])


def study_heat(
    model: Normalised, fresh: _Fresh, pixels: np.ndarray, called: np.ndarray, keys: np.ndarray, card: Card,
    *, method: Method, device: str, chosen: str, on_event: EventCallback = silent,
) -> HeatStudy:  # fmt: skip
    """Heat maps of pictures for the class called, and the three checks of them.

    Args:
        pixels: uint8 (n, h, w) or (n, h, w, 3). called: int (n,). keys: int (n,), of the pictures' content.
        chosen: which pictures these are, for people. on_event: hears `heat` at each look of the deletion check.
    """
    from plainfilm.interpret.gradcam import find_last_map, heat_maps

    place = find_last_map(model, pixels.shape[1])
    shared: dict[str, Any] = {"place": place, "method": method, "device": device}
    heat = heat_maps(model, pixels, called, **shared)

    done = 0

    def score(pictures: np.ndarray) -> np.ndarray:
        nonlocal done
        done += 1
        on_event("heat", {"done": done, "of": checks.FORWARD_PASSES})
        return softmax(predict(model, pictures, device)[0], card.temperature)

    curves = checks.deletion(pixels, heat, called, keys, score)
    others = [heat_maps(fresh(1 + i), pixels, called, **shared) for i in range(_RANDOM_NETWORKS)]
    ranks = np.mean([checks.rank_correlation(heat, other).ranks for other in others], axis=0)
    return HeatStudy(place, method, heat, curves, ranks, chosen, card.has_patients)
