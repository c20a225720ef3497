"""Heat maps: every registered network has one, and networks built to use one position have their heat there."""

import numpy as np
import pytest
import torch
from torch import nn

from plainfilm.config import ModelConfig
from plainfilm.errors import UsageError
from plainfilm.interpret.gradcam import LastMap, _log_odds, find_last_map, heat_maps
from plainfilm.models.backbones import BackboneParts
from plainfilm.models.build import Normalised, build_model
from plainfilm.models.registry import MODELS
from wording import lacking

SIZE = {"vit_tiny": 224, "inception_v3": 107, "xception": 96}
LAYER = {
    "paper": "features",
    "paper-gap": "blocks",
    "compact": "stage3",
    "resnet18": "layer4",
    "vit_tiny": "blocks.11.norm1",
}


@pytest.mark.parametrize("name", MODELS)
def test_every_network_has_heat_at_image_size_and_is_left_unchanged(name: str):
    size = SIZE.get(name, 64)
    model = build_model(ModelConfig(name=name), 3, size, channels=1)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    modules = [key for key, _ in model.named_modules()]
    pixels = np.random.default_rng(0).integers(0, 256, (2, size, size), dtype=np.uint8)
    place = find_last_map(model, size)
    assert place.name == LAYER.get(name, place.name)
    heats = np.stack([heat_maps(model, pixels, np.full(2, c), place=place) for c in range(3)])
    assert heats.dtype == np.float32 and heats.shape == (3, 2, size, size)
    assert heats.min() >= 0 and set(np.unique(heats.max((2, 3)))) <= {0.0, 1.0}
    assert (heats.max((2, 3)) == 1).any()  # at least one of three classes has heat, or nothing was measured
    assert [key for key, _ in model.named_modules()] == modules
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["timm/swin_tiny_patch4_window7_224", "timm/vit_tiny_patch16_224.augreg_in21k"])
def test_transformers_of_other_layouts_have_maps_too(name: str):
    model = build_model(ModelConfig(name=name), 2, 224)
    place = find_last_map(model, 224)
    assert place.layout == ("nhwc" if "swin" in name else "tokens")
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), dtype=np.uint8)
    both = [
        heat_maps(model, pixels, np.array([c]), place=place, method=m)
        for c in (0, 1)
        for m in ("grad-cam", "hires-cam")
    ]
    assert max(heat.max() for heat in both) == 1


class OneQuadrant(nn.Module):
    """Brightness (and its reverse) as the map; bright cells of the upper right quadrant are evidence for class 1.

    `dense`: the head weights positions, as the paper's does; otherwise the map is masked before it is averaged.
    """

    def __init__(self, *, dense: bool, cells: int = 8) -> None:
        super().__init__()
        self.pool, self.dense = nn.AdaptiveAvgPool2d(cells), dense
        self.map = nn.Conv2d(3, 2, 1)
        self.map.weight.data = torch.tensor([[1.0, 1, 1], [-1, -1, -1]])[:, :, None, None] / 3
        self.map.bias.data = torch.tensor([0.0, 1.0])
        quadrant = torch.zeros(2, cells, cells)
        quadrant[0, : cells // 2, cells // 2 :] = 1
        self.cut, self.body = nn.Identity(), nn.Identity()
        self.register_buffer("quadrant", quadrant)
        self.head = nn.Linear(2 * cells * cells if dense else 2, 2)
        self.head.weight.data = torch.zeros_like(self.head.weight)
        self.head.weight.data[1] = quadrant.flatten() if dense else torch.tensor([1.0, 0.0])

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        map_ = self.map(self.pool(x))
        return map_.flatten(1) if self.dense else self.body(map_ * self.quadrant).mean((2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pooled(x))


def quadrant_model(*, dense: bool) -> Normalised:
    anatomy = BackboneParts("head", ("map",), (("map",), ("head",)), lambda network, x: network.pooled(x))
    return Normalised(OneQuadrant(dense=dense), (0.0,) * 3, (1.0,) * 3, anatomy)


BRIGHT = np.full((2, 64, 64), 200, np.uint8)  # uniform: only the network distinguishes positions


def share_in_quadrant(heat: np.ndarray) -> float:
    return float(heat[:, :32, 32:].sum() / heat.sum())


@pytest.mark.parametrize(("dense", "method"), [(False, "grad-cam"), (False, "hires-cam"), (True, "hires-cam")])
def test_a_network_that_uses_one_quadrant_has_its_heat_there(dense: bool, method: str):
    model = quadrant_model(dense=dense)
    assert find_last_map(model, 64).name == ("map" if dense else "body")
    heat = heat_maps(model, BRIGHT, np.array([1, 1]), method=method)
    assert share_in_quadrant(heat) > 0.9  # bilinear upsampling carries half a cell over the edge
    assert heat[:, 0, 63] == pytest.approx(1) and heat[:, 63, 0].tolist() == [0, 0]
    assert not heat_maps(model, BRIGHT, np.array([0, 0]), method=method).any()  # no evidence for the other class


def test_grad_cam_misses_positions_that_a_dense_layer_weights():
    assert share_in_quadrant(heat_maps(quadrant_model(dense=True), BRIGHT, np.array([1, 1]))) == pytest.approx(0.25)


def test_both_methods_agree_where_the_map_is_averaged_before_a_linear_head():
    model = build_model(ModelConfig(name="resnet18"), 2, 96, channels=1)
    pixels = np.random.default_rng(1).integers(0, 256, (3, 96, 96), dtype=np.uint8)
    classes = np.array([0, 1, 1])
    one, two = (heat_maps(model, pixels, classes, method=method) for method in ("grad-cam", "hires-cam"))
    np.testing.assert_allclose(one, two, atol=1e-4)
    assert one.max() == 1


def test_grad_cam_is_the_sum_of_maps_weighted_by_their_mean_gradient():
    """By hand on the paper's network: relu(sum_c mean(d score / d A_c) A_c), upsampled, divided by its maximum."""
    model = build_model(ModelConfig(), 2, 64, seed=3).eval()
    pixels = np.random.default_rng(2).integers(0, 256, (1, 64, 64), dtype=np.uint8)
    x = torch.from_numpy(pixels)[:, None].float() / 255
    map_ = model.network.features(model._normalised(x)).detach().requires_grad_()
    logits = model.network.head(map_)
    for c in (0, 1):
        (grad,) = torch.autograd.grad(logits[0, c] - logits[0, 1 - c], map_, retain_graph=True)
        cells = torch.relu((grad.mean((2, 3), keepdim=True) * map_).sum(1, keepdim=True))
        wanted = nn.functional.interpolate(cells, size=(64, 64), mode="bilinear", align_corners=False)[:, 0]
        wanted = (wanted / wanted.max().clamp_min(1e-30)).detach().numpy()
        np.testing.assert_allclose(heat_maps(model, pixels, np.array([c])), wanted, atol=1e-5)


def test_log_odds_are_those_of_the_probability():
    logits = torch.tensor([[1.0, -2.0, 0.5], [30.0, -30.0, 0.0]])
    p = logits.double().softmax(1)[torch.arange(2), torch.tensor([2, 0])]
    wanted = (p[0] / (1 - p[0])).log().item()
    found = _log_odds(logits, torch.tensor([2, 0]))
    assert found[0].item() == pytest.approx(wanted, abs=1e-5)
    assert found[1].item() == pytest.approx(30, abs=1e-4)  # where 1 - p is 0 in single precision


def test_many_images_run_in_batches_and_none_gives_none():
    model = build_model(ModelConfig(name="compact"), 2, 64, channels=1)
    pixels = np.random.default_rng(4).integers(0, 256, (19, 64, 64), dtype=np.uint8)
    classes = np.arange(19) % 2
    whole = heat_maps(model, pixels, classes)
    np.testing.assert_allclose(whole[17:], heat_maps(model, pixels[17:], classes[17:]), atol=1e-4)
    assert heat_maps(model, pixels[:0], classes[:0]).shape == (0, 64, 64)


def test_an_earlier_layer_is_used_where_the_last_map_has_one_cell():
    assert find_last_map(build_model(ModelConfig(), 2, 36), 36) == LastMap("features.8", "nchw", (2, 2))


def test_a_network_without_a_map_is_refused():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4), nn.Linear(4, 2))
    anatomy = BackboneParts("2", ("1",), (("1",), ("2",)), lambda network, x: network[:2](x))
    with pytest.raises(UsageError) as error:
        find_last_map(Normalised(flat, (0.0,) * 3, (1.0,) * 3, anatomy), 8)
    assert lacking(str(error.value), "more than one cell", "8 px", "--heat-maps 0") == []
