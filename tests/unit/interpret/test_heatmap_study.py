"""The study finds what each network was built to do; images are chosen by content, one per patient."""

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from plainfilm.config import ModelConfig
from plainfilm.interpret.heatmap_study import StudiedImages, _says_central, choose_images, study_heat
from plainfilm.models.backbones import BackboneParts
from plainfilm.models.build import Normalised
from plainfilm.runs.card import Card
from plainfilm.schemas.documents import Metric
from wording import lacking

CARD = Card(
    model=ModelConfig(), vocab=["A", "B"], positive="B", decode={"size_px": 64, "channels": 1}, mean=(0.0,) * 3, std=(1.0,) * 3,
    threshold=0.5, threshold_rule="0.5", threshold_chosen_on="nothing", kept_phase=0, kept_epoch=0, kept_by="last epoch",
    split="patient", leaky=False, has_patients=True, seal=None, notes=[], weights_sha256="",
)  # fmt: skip


class SpotNet(nn.Module):
    """Score for class 1 from the brightest cell (trained), or from a map of random kernels."""

    def __init__(self, seed: int | None) -> None:
        super().__init__()
        self.map = nn.Conv2d(3, 4, 8, stride=8, bias=False)
        self.body, self.head = nn.ReLU(), nn.Linear(4, 2)
        draw = torch.Generator().manual_seed(seed or 0)
        for weight in (self.map.weight, self.head.weight):
            weight.data = torch.randn(weight.shape, generator=draw)
        if seed is None:
            self.map.weight.data = torch.full_like(self.map.weight, 1 / 192)
            self.head.weight.data = torch.tensor([[0.0] * 4, [5.0] * 4])
            self.head.bias.data = torch.tensor([0.0, -10.0])  # a blurred spot no longer reaches it

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(self.map(x)).amax((2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pooled(x))


def spot_model(seed: int | None) -> Normalised:
    anatomy = BackboneParts("head", ("map",), (("map",), ("head",)), lambda network, x: network.pooled(x))
    return Normalised(SpotNet(seed), (0.0,) * 3, (1.0,) * 3, anatomy)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(1)
    drawn = rng.integers(0, 60, (12, 64, 64), dtype=np.uint8)
    for image, (row, column) in zip(drawn, rng.integers(0, 8, (12, 2)) * 8, strict=True):
        image[row : row + 8, column : column + 8] = 255
    return drawn


def study(model: Normalised, fresh, images: np.ndarray, card: Card = CARD):
    studied = StudiedImages(images, np.ones(len(images), int), np.arange(len(images)), "images")
    return study_heat(model, fresh, studied, card, method="hires-cam", device="cpu")


def test_a_network_that_detects_a_spot_passes_and_its_heat_is_on_the_spot(images):
    found = study(spot_model(None), spot_model, images)
    hottest = found.heat.reshape(12, -1).argmax(axis=1)
    assert (images.reshape(12, -1)[np.arange(12), hottest] == 255).all()
    findings = found.findings()
    assert findings.layer == "body" and findings.cells == (8, 8) and findings.flat == 0 and findings.pictures == 12
    assert findings.deletion_gain.ci_low > 0.1
    assert findings.verdicts == {"deletion": "passed", "randomised": "passed"} and findings.verdict == "passed"
    assert lacking(findings.says[0], "hottest patches", "first", "lowers the score sooner") == []
    assert findings.randomised.value < 0.5 and findings.says[1].startswith("Random weights give different heat maps")
    assert found.curves[0, :, 1].mean() < 0.6 * found.curves[2, :, 1].mean()


@pytest.mark.parametrize("temperature", [1.0, 30.0])
def test_right_maps_pass_at_any_temperature_and_wrong_ones_at_none(images, temperature):
    card = CARD.model_copy(update={"temperature": temperature})
    right = study(spot_model(None), spot_model, images, card).findings()
    assert (right.deletion_gain.value < 0.05) is (temperature == 30)  # too little for a limit in units of the score
    assert right.verdicts["deletion"] == "passed" and right.deletion_share.ci_low > 0.1

    wrong = study(spot_model(None), spot_model, images, card)
    wrong = replace(
        wrong, curves=wrong.curves[::-1]
    ).findings()  # as if the coldest patches had been called the hottest
    assert wrong.verdicts["deletion"] == "failed" and wrong.says[0].startswith("HEAT MAPS MISLEAD")


def test_a_network_whose_random_weights_give_the_same_heat_is_reported(images):
    findings = study(spot_model(None), lambda seed: spot_model(None), images).findings()
    assert findings.randomised.value == pytest.approx(1)
    assert findings.says[1].startswith("HEAT MAPS DO NOT DEPEND ON WHAT WAS LEARNED")
    assert findings.verdicts["randomised"] == findings.verdict == "failed"


def test_a_network_with_a_constant_score_has_no_heat_and_no_invented_number(images):
    model = spot_model(None)
    model.network.head.weight.data.zero_()
    findings = study(model, spot_model, images).findings()
    assert findings.flat == 12 and findings.central.value is None
    assert findings.says[2] == "No image has heat." and findings.verdict == "not_judged"
    assert findings.deletion_change.value == 0 and findings.deletion_share.value is None
    assert lacking(findings.says[0], "THE SCORE HARDLY DEPENDS ON DETAIL", "changes the score by 0,") == []


def test_the_figures_are_those_that_the_document_names(images):
    figures = study(spot_model(None), spot_model, images).figures(CARD)
    assert set(figures) == {"heat_deletion", "heat_randomised", "heat_field"}
    assert all("not evidence of location" in figure.get_suptitle().replace("\n", " ") for figure in figures.values())


def metric(value: float | None, low: float | None, high: float | None) -> Metric:
    return Metric(value=value, ci_low=low, ci_high=high, n=9, n_patients=9, method="t")


def test_the_sentence_of_the_central_field_follows_its_interval():
    central = _says_central(metric(0.61, 0.5, 0.7), 0.49)
    assert (
        central.startswith("61% [50%, 70%] of the heat") and lacking(central, "central field", "49% of the area") == []
    )


def test_images_are_chosen_by_content_one_per_group():
    names = [f"{i}.png" for i in range(40)]
    rows = pd.DataFrame(
        {
            "relative": names,
            "sha256": [hashlib.sha256(name.encode()).hexdigest() for name in names],
            "group": np.arange(40) // 4,
        }
    )
    chosen = choose_images(rows, 6)
    assert len(chosen) == 6 == rows["group"].iloc[chosen].nunique()
    assert len(choose_images(rows, 99)) == 10
    reversed_rows = rows.iloc[::-1].reset_index(drop=True)
    assert set(reversed_rows["relative"].iloc[choose_images(reversed_rows, 6)]) == set(rows["relative"].iloc[chosen])
